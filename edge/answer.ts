/**
 * From a stored answer to what one viewer gets: not modified, a range, compressed, headers only, or all of it,
 * each with its age and with how the cache came by it. The last step of every cached request.
 */
// RFC 9110 13 (conditional requests), 14 (ranges), 12.5.3 (Accept-Encoding); RFC 9111 5.1 (Age); RFC 9211
import { CORS_HEADERS } from "#common/node-http.ts";
import type { Counters, RequestResult } from "./counters.ts";
import { ageMsOf, gzipOf, type Stored } from "./stored.ts";

/** How the request met the cache, for `Cache-Status` and the counts. */
export interface AnswerOptions {
  readonly request: Request;
  readonly stored: Stored;
  readonly result: RequestResult;
  readonly counters: Counters;
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** Instead of the stored `Cache-Control`. */
  readonly cacheControl?: string;
}

type HeaderRecord = Record<string, string>;

/** One range of bytes, first and last included. */
interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/** Makes the response to one viewer and counts it. */
export function answerFrom(options: AnswerOptions): Response {
  const { request, stored, result, counters } = options;
  counters.requests[result]++;
  const headers = baseHeaders(options);
  if (stored.status !== 200) return send(options, { status: stored.status, headers, body: stored.body });
  const isGzip = stored.isText && acceptsGzip(request.headers.get("accept-encoding"));
  const etag = isGzip ? gzipTag(stored.etag) : stored.etag;
  if (etag !== "") headers["etag"] = etag;
  if (stored.isText) headers["vary"] = "Accept-Encoding";
  if (etag !== "" && matches(request.headers.get("if-none-match"), etag)) {
    return new Response(null, { status: 304, headers });
  }
  headers["content-type"] = stored.contentType;
  if (stored.isText) {
    if (isGzip) headers["content-encoding"] = "gzip";
    return send(options, { status: 200, headers, body: isGzip ? gzipOf(stored) : stored.body });
  }
  headers["accept-ranges"] = "bytes";
  const range = request.headers.get("range");
  if (range === null || !mayRange(request, stored)) {
    return send(options, { status: 200, headers, body: stored.body });
  }
  return answerRange(options, { headers, range });
}

/** An answer that no stored body stands behind: a refusal or a failure of ours. Never cached. */
export function answerStatus(options: {
  readonly status: number;
  readonly result: RequestResult;
  readonly counters: Counters;
  readonly reason: string;
  /** Seconds after which asking again makes sense. */
  readonly retryAfterSeconds?: number;
}): Response {
  options.counters.requests[options.result]++;
  const headers: HeaderRecord = {
    ...CORS_HEADERS,
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "cache-status": `spillway; fwd=${options.result === "error" ? "miss" : "bypass"}; detail=${options.result}`,
  };
  if (options.retryAfterSeconds !== undefined) headers["retry-after"] = String(options.retryAfterSeconds);
  return new Response(`${options.reason}\n`, { status: options.status, headers });
}

function answerRange(
  options: AnswerOptions,
  { headers, range }: { readonly headers: HeaderRecord; readonly range: string },
): Response {
  const { body } = options.stored;
  const read = readRange(range, body.length);
  if (read === undefined) return send(options, { status: 200, headers, body });
  if (read === "unsatisfiable") {
    headers["content-range"] = `bytes */${body.length}`;
    return new Response(null, { status: 416, headers });
  }
  headers["content-range"] = `bytes ${read.first}-${read.last}/${body.length}`;
  return send(options, { status: 206, headers, body: body.subarray(read.first, read.last + 1) });
}

function send(
  { request, counters }: AnswerOptions,
  answer: { readonly status: number; readonly headers: HeaderRecord; readonly body: Uint8Array },
): Response {
  const { status, headers, body } = answer;
  headers["content-length"] = String(body.length);
  if (request.method === "HEAD") return new Response(null, { status, headers });
  counters.sentBytes += body.length;
  // Bodies come from the network or zlib and never lie in shared memory, which is what the type must rule out.
  return new Response(body as Uint8Array<ArrayBuffer>, { status, headers });
}

function baseHeaders({ stored, result, nowMs, cacheControl }: AnswerOptions): HeaderRecord {
  const ageMs = ageMsOf(stored, nowMs);
  const headers: HeaderRecord = {
    ...CORS_HEADERS,
    date: stored.date,
    age: String(Math.floor(ageMs / 1_000)),
    "cache-status": cacheStatus(result, Math.floor((stored.freshMs - ageMs) / 1_000)),
  };
  const control = cacheControl ?? stored.cacheControl;
  if (control !== "") headers["cache-control"] = control;
  if (stored.status !== 200) {
    headers["content-type"] = stored.contentType;
    if (stored.retryAfter !== "") headers["retry-after"] = stored.retryAfter;
  }
  return headers;
}

/** RFC 9211: `hit` for what was in memory, `fwd=miss` for what was asked for, `collapsed` for who joined in. */
function cacheStatus(result: RequestResult, ttlSeconds: number): string {
  if (result === "hit") return `spillway; hit; ttl=${ttlSeconds}`;
  if (result === "stale") return `spillway; hit; ttl=${Math.min(-1, ttlSeconds)}; detail=stale`;
  return result === "collapsed" ? "spillway; fwd=miss; collapsed" : "spillway; fwd=miss; stored";
}

/** True when a list of encodings allows gzip: named or by `*`, and not with `q=0`. */
export function acceptsGzip(header: string | null): boolean {
  if (header === null) return false;
  let isAllowed = false;
  for (const item of header.toLowerCase().split(",")) {
    const match = /^\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([\d.]+))?\s*$/.exec(item);
    if (match === null) continue;
    const isPositive = match[2] === undefined || Number(match[2]) > 0;
    if (match[1] !== "*") return isPositive;
    isAllowed = isPositive;
  }
  return isAllowed;
}

function gzipTag(etag: string): string {
  return etag === "" ? "" : etag.replace(/"$/, '-gzip"');
}

/** `If-None-Match` by weak comparison (RFC 9110 13.1.2). */
function matches(header: string | null, etag: string): boolean {
  if (header === null) return false;
  if (header.trim() === "*") return true;
  return header.split(",").some((candidate) => candidate.trim().replace(/^W\//, "") === etag);
}

/** `If-Range` must name this very representation; dates are not compared, so they mean the whole. */
function mayRange(request: Request, stored: Stored): boolean {
  const condition = request.headers.get("if-range");
  return condition === null || (stored.etag !== "" && condition.trim() === stored.etag);
}

/** Reads one range. `undefined` for what is to be ignored: another unit, bad syntax, several ranges. */
export function readRange(header: string, size: number): ByteRange | "unsatisfiable" | undefined {
  const match = /^\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i.exec(header);
  if (match === null) return undefined;
  const [, firstText = "", lastText = ""] = match;
  if (firstText === "" && lastText === "") return undefined;
  if (firstText === "") {
    const suffix = Number(lastText);
    if (suffix === 0 || size === 0) return "unsatisfiable";
    return { first: Math.max(0, size - suffix), last: size - 1 };
  }
  const first = Number(firstText);
  const last = lastText === "" ? size - 1 : Math.min(Number(lastText), size - 1);
  if (lastText !== "" && Number(lastText) < first) return undefined;
  return first >= size ? "unsatisfiable" : { first, last };
}
