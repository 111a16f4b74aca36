/** How playlists and media go out: conditions, compression, ranges, and how long caches may keep them. */
// RFC 9110 (8.8.3 ETag, 13 conditional requests, 14 ranges), RFC 9111 (caching)
import { PLAYLIST_CONTENT_TYPE } from "#common/formats/playlist.ts";
import { acceptsGzip, matchesEtag, readRange, type ByteRange } from "#common/http-conditions.ts";
import { lateBody } from "#common/late-body.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import type { RequestCounts } from "./live-answers.ts";
import type { RenderedText, Representation } from "./rendered-text.ts";

/** Bodies that have been asked for over TLS. */
const sharedBodies = new WeakMap<Uint8Array, Blob>();

/** Names of media carry the run: none is ever used for other bytes. */
const MEDIA_CACHE_CONTROL = "public, max-age=3600, immutable";

export interface PlaylistCaching {
  readonly cacheControl: string;
  /** Default `Accept-Encoding`. */
  readonly vary?: string;
  /** Where the bytes of the body are counted. */
  readonly sent: RequestCounts;
}

/** A playlist, compressed for whoever takes that. Its headers are made once for all who ask in the same way. */
export function playlistResponse(request: Request, text: RenderedText, caching: PlaylistCaching): Response {
  const isGzip = acceptsGzip(request.headers.get("accept-encoding"));
  const representation = isGzip ? text.gzip : text.identity;
  const { bytes, etag } = representation;
  if (matchesEtag(request.headers.get("if-none-match"), etag)) {
    const { cacheControl, vary = "Accept-Encoding" } = caching;
    const headers = { ...CORS_HEADERS, vary, "cache-control": cacheControl, etag };
    return new Response(null, { status: 304, headers });
  }
  if (request.method !== "HEAD") caching.sent.playlist += bytes.length;
  return new Response(bodyFor(request, bytes, { start: 0, end: bytes.length }), {
    headers: headersOf(representation, caching, isGzip),
  });
}

/**
 * The body of one answer. Over HTTP/2, Bun copies bytes for every stream whose client takes none yet, so that one
 * connection could make it keep 256 copies of a segment; a Blob's bytes it shares. Over HTTP/1.1 it shares both.
 */
function bodyFor(
  request: Request,
  bytes: Uint8Array<ArrayBuffer>,
  { start, end, isLate }: ByteRange & { readonly isLate?: boolean },
): Uint8Array<ArrayBuffer> | Blob | ReadableStream {
  if (!request.url.startsWith("https:")) {
    const part = bytes.subarray(start, end);
    return isLate === true ? lateBody(part) : part;
  }
  let body = sharedBodies.get(bytes);
  if (body === undefined) sharedBodies.set(bytes, (body = new Blob([bytes])));
  return body.slice(start, end);
}

function headersOf(
  { bytes, etag, headers }: Representation,
  { cacheControl, vary = "Accept-Encoding" }: PlaylistCaching,
  isGzip: boolean,
): Headers {
  let ready = headers.get(cacheControl);
  if (ready === undefined) {
    ready = new Headers({
      ...CORS_HEADERS,
      vary,
      "cache-control": cacheControl,
      etag,
      "content-type": PLAYLIST_CONTENT_TYPE,
      "content-length": String(bytes.length),
      ...(isGzip ? { "content-encoding": "gzip" } : {}),
    });
    // One text has one kind of playlist, so one `Vary`: what differs is its lifetime.
    headers.set(cacheControl, ready);
  }
  return ready;
}

/** A resource of media, and where the bytes of its bodies are counted. */
export interface Media {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly kind: keyof RequestCounts;
  readonly sent: RequestCounts;
  /** True where the request has waited for it. */
  readonly isLate: boolean;
}

/** A segment, part or initialization segment, or a range of it. `name` is unique, so it is the entity tag. */
export function mediaResponse(request: Request, { name, bytes, kind, sent, isLate }: Media): Response {
  const etag = `"${name}"`;
  const common = { ...CORS_HEADERS, etag, "cache-control": MEDIA_CACHE_CONTROL, "accept-ranges": "bytes" };
  if (matchesEtag(request.headers.get("if-none-match"), etag)) {
    return new Response(null, { status: 304, headers: common });
  }
  const condition = request.headers.get("if-range");
  // Ranges are defined for GET alone (RFC 9110 14.2).
  const mayRange = request.method !== "HEAD" && (condition === null || condition === etag);
  const asked = mayRange ? request.headers.get("range") : null;
  const range = readRange(asked, bytes.length);
  if (range === "unsatisfiable") {
    return new Response(null, {
      status: 416,
      // With the lifetime of the whole, a cache in front might give it out in place of the whole.
      headers: { ...common, "cache-control": "no-store", "content-range": `bytes */${bytes.length}` },
    });
  }
  const { start, end } = range ?? { start: 0, end: bytes.length };
  const length = end - start;
  if (request.method !== "HEAD") sent[kind] += length;
  return new Response(bodyFor(request, bytes, { start, end, isLate }), {
    status: range === undefined ? 200 : 206,
    headers: {
      ...common,
      "content-type": name.endsWith(".ts") ? "video/mp2t" : "video/mp4",
      "content-length": String(length),
      ...(range && { "content-range": `bytes ${range.start}-${range.end - 1}/${bytes.length}` }),
    },
  });
}
