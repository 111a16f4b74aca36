/**
 * Foreign live playlists, as a caching proxy finds them among its answers: what may be given to a tail, and where the
 * media are that such a playlist names. Whether it can be waited for, the tail reads in its text.
 */
// draft-pantos-hls-rfc8216bis-22 4.1 (URIs), 4.4.3.8 (CAN-BLOCK-RELOAD)
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { PolicyRequest } from "./policy.ts";
import { readCacheControl } from "./policy-directives.ts";
import { isPlaylist } from "./policy-freshness.ts";
import { varyNamesOf } from "./policy-vary.ts";
import type { ResponseHead } from "./response-head.ts";
import type { UpstreamAnswer } from "./upstream.ts";

/** What playlists are commonly said to vary by, and a tail does not: it asks for plain text and answers everyone. */
const HARMLESS_VARY = new Set(["accept-encoding", "origin"]);
/** Larger texts are no playlists. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;
/** Stands in for the upstream where only the path of a URL is wanted. Not resolvable (RFC 6761 6.4). */
const ANY_ORIGIN = "http://upstream.invalid";

/**
 * True for a playlist that is the same for everyone. What its upstream says about caching does not count: packagers
 * forbid it to be polled for the newest version, which is what a tail does.
 */
export function isForTail(request: PolicyRequest, { status, headers }: ResponseHead): boolean {
  if (status !== 200 || !isPlaylist(headers)) return false;
  if (request.headers.has("authorization") || headers.has("set-cookie")) return false;
  const names = varyNamesOf(headers);
  if (names === "*" || !names.every((name) => HARMLESS_VARY.has(name))) return false;
  const directives = readCacheControl(headers.get("cache-control"));
  return !directives.has("private") && !directives.has("no-store");
}

/** The answer as a tail reads it, in plain text; `undefined` for a coding that is not known or bytes that are not of it. */
export function plainAnswer(head: ResponseHead, body: Uint8Array): UpstreamAnswer | undefined {
  const text = decode(body, head.headers.get("content-encoding"));
  if (text === undefined) return undefined;
  const headers = new Headers(head.headers);
  headers.delete("content-encoding");
  return { ...head, headers, body: text };
}

function decode(body: Uint8Array, coding: string | null): Uint8Array | undefined {
  if (body.length > TEXT_BYTES_MAX) return undefined;
  const bound = { maxOutputLength: TEXT_BYTES_MAX };
  try {
    switch (coding) {
      case null:
      case "identity":
        return body;
      case "gzip":
        return gunzipSync(body, bound);
      case "br":
        return brotliDecompressSync(body, bound);
      default:
        return undefined;
    }
  } catch {
    // The upstream's bad bytes: it is passed on as it is, and nothing is learnt from it.
    return undefined;
  }
}

/**
 * Path and query of what a playlist names by `uri`; `undefined` for what lies on another host.
 *
 * @param playlist path and query of the playlist
 */
export function resolveMedia(playlist: string, uri: string): string | undefined {
  // Joined, not resolved: a path may begin with two slashes.
  const base = new URL(ANY_ORIGIN + playlist);
  const url = URL.parse(uri, base.href);
  return url?.origin === base.origin ? url.pathname + url.search : undefined;
}
