/** How playlists and media go out: conditions, compression, ranges, and how long caches may keep them. */
// RFC 9110 (8.8.3 ETag, 12.5.3 Accept-Encoding, 13 conditional requests, 14 ranges), RFC 9111 (caching)
import { PLAYLIST_CONTENT_TYPE } from "#common/formats/playlist.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import type { RenderedText, Representation } from "./rendered-playlist.ts";

/** Names of media carry the run: none is ever used for other bytes. */
const MEDIA_CACHE_CONTROL = "public, max-age=3600, immutable";

export interface PlaylistCaching {
  readonly cacheControl: string;
  /** Default `Accept-Encoding`. */
  readonly vary?: string;
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
  return new Response(bytes, { headers: headersOf(representation, caching, isGzip) });
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

/** A segment, part or initialization segment, or a range of it. `name` is unique, so it is the entity tag. */
export function mediaResponse(request: Request, name: string, bytes: Uint8Array<ArrayBuffer>): Response {
  const etag = `"${name}"`;
  const common = { ...CORS_HEADERS, etag, "cache-control": MEDIA_CACHE_CONTROL, "accept-ranges": "bytes" };
  if (matchesEtag(request.headers.get("if-none-match"), etag)) {
    return new Response(null, { status: 304, headers: common });
  }
  const condition = request.headers.get("if-range");
  const asked = condition === null || condition === etag ? request.headers.get("range") : null;
  const range = readRange(asked, bytes.length);
  if (range === "unsatisfiable") {
    return new Response(null, {
      status: 416,
      headers: { ...common, "content-range": `bytes */${bytes.length}` },
    });
  }
  const body = range === undefined ? bytes : bytes.subarray(range.start, range.end);
  return new Response(body, {
    status: range === undefined ? 200 : 206,
    headers: {
      ...common,
      "content-type": name.endsWith(".ts") ? "video/mp2t" : "video/mp4",
      "content-length": String(body.length),
      ...(range && { "content-range": `bytes ${range.start}-${range.end - 1}/${bytes.length}` }),
    },
  });
}

let latestAccepted: { readonly header: string | null; readonly isGzip: boolean } | undefined;

/** True if the header allows gzip: by name or `*`, and not with a quality of 0. Most requests have the one before's. */
export function acceptsGzip(header: string | null): boolean {
  if (latestAccepted?.header !== header) latestAccepted = { header, isGzip: readAcceptEncoding(header) };
  return latestAccepted.isGzip;
}

function readAcceptEncoding(header: string | null): boolean {
  let wildcard = false;
  for (const item of (header ?? "").toLowerCase().split(",")) {
    const [coding = "", ...parameters] = item.split(";").map((part) => part.trim());
    const isRefused = parameters.some((parameter) => /^q=0(\.0{0,3})?$/.test(parameter));
    if (coding === "gzip" || coding === "x-gzip") return !isRefused;
    if (coding === "*") wildcard = !isRefused;
  }
  return wildcard;
}

/** True if one of the tags in `If-None-Match` is `etag`; weak ones compare by their text (13.1.2). */
export function matchesEtag(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.split(",").some((tag) => ["*", etag].includes(tag.trim().replace(/^W\//, "")));
}

/**
 * The bytes that a `Range` header asks for. One range only: a header with several, or one that is malformed, is
 * ignored, as 14.2 allows.
 */
export function readRange(
  header: string | null,
  length: number,
): { readonly start: number; readonly end: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  if (first === "") {
    return Number(last) === 0 ? "unsatisfiable" : { start: Math.max(0, length - Number(last)), end: length };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= length) return "unsatisfiable";
  return { start, end: last === "" ? length : Math.min(length, Number(last) + 1) };
}
