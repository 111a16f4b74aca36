/**
 * Which of an upstream's playlists can be waited for: those that say so themselves. From then on they are answered by
 * their tail, one request upstream for all who wait, whatever the upstream says about caching them.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.3.8 (CAN-BLOCK-RELOAD)
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { LRUCache } from "lru-cache";
import type { PolicyRequest } from "./policy.ts";
import { readCacheControl } from "./policy-directives.ts";
import { isPlaylist } from "./policy-freshness.ts";
import { varyNamesOf } from "./policy-vary.ts";
import type { ResponseHead } from "./response-head.ts";

/** Playlists remembered; one that is forgotten is noticed again when it is next fetched. */
const PLAYLISTS_MAX = 4_096;
const BLOCKING_PATTERN = /^#EXT-X-SERVER-CONTROL:(?:.*,)?\s*CAN-BLOCK-RELOAD=YES/m;

/** What playlists are commonly said to vary by, and a tail does not: it asks for plain text and answers everyone. */
const HARMLESS_VARY = new Set(["accept-encoding", "origin"]);
/** Larger texts are no playlists. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;

/** The playlists with blocking reload, by path. */
export class ProxyPlaylists {
  readonly #blocking = new LRUCache<string, true>({ max: PLAYLISTS_MAX });

  /** True where a tail answers for a path. */
  isBlocking(path: string): boolean {
    return this.#blocking.get(path) === true;
  }

  /** True where an answer may be a playlist for everyone. One that is somebody's own is left to be cached, or not. */
  mayWaitFor(request: PolicyRequest, { status, headers }: ResponseHead): boolean {
    if (status !== 200 || !isPlaylist(headers)) return false;
    if (request.headers.has("authorization") || headers.has("set-cookie")) return false;
    const names = varyNamesOf(headers);
    if (names === "*" || !names.every((name) => HARMLESS_VARY.has(name))) return false;
    const directives = readCacheControl(headers.get("cache-control"));
    return !directives.has("private") && !directives.has("no-store");
  }

  /**
   * Notes what a playlist says of itself. One whose address has a query of its own stays out: a tail asks for a path.
   *
   * @param url path and query
   */
  note(url: string, { headers }: ResponseHead, body: Uint8Array): void {
    if (url.includes("?")) return;
    const text = decode(body, headers.get("content-encoding")) ?? "";
    if (BLOCKING_PATTERN.test(text)) this.#blocking.set(url, true);
    else this.#blocking.delete(url);
  }
}

/** The text of a body, or `undefined` for one that cannot be read. */
function decode(body: Uint8Array, coding: string | null): string | undefined {
  const bound = { maxOutputLength: TEXT_BYTES_MAX };
  try {
    switch (coding) {
      case null:
      case "identity":
        return new TextDecoder().decode(body);
      case "gzip":
        return gunzipSync(body, bound).toString();
      case "br":
        return brotliDecompressSync(body, bound).toString();
      default:
        return undefined;
    }
  } catch {
    // The upstream's bad bytes: then it is passed on, and nothing is learnt from it.
    return undefined;
  }
}
