/**
 * From a stored answer to what one viewer gets: not modified, a range, compressed, headers only, or all of it,
 * each with its age and with how the cache came by it. The last step of every cached request.
 */
// RFC 9110 13 (conditional requests), 14 (ranges); RFC 9111 5.1 (Age); RFC 9211
import { acceptsGzip, matchesEtag, readRange, type ByteRange } from "#common/http-conditions.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import { msToSeconds } from "#common/units.ts";
import { cacheStatusOf, staleStatusOf, type Forwarded } from "./cache-status.ts";
import type { Counters, RefusalCause, RequestResult } from "./counters.ts";
import type { Lending } from "./lending.ts";
import { describeRange, notModified, unsatisfiable } from "./partial-answer.ts";
import { ageMsOf, gzipOf, type Stored, type StoredHead } from "./stored.ts";
import type { ViewerConnection } from "./viewer-connection.ts";

/** How the request met the cache, for `Cache-Status` and the counts. */
export interface AnswerOptions {
  readonly request: Request;
  readonly stored: Stored;
  readonly result: RequestResult;
  /** Of a stale answer: see {@link staleStatusOf}. */
  readonly forwarded?: Forwarded | undefined;
  readonly counters: Counters;
  /** Gives large bodies out. */
  readonly lending: Lending;
  readonly connection: ViewerConnection;
  /** What the answer is called in the cache, for `Cache-Status`. */
  readonly key: string;
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** Instead of the stored `Cache-Control`. */
  readonly cacheControl?: string;
}

type HeaderRecord = Record<string, string>;

/** Makes the response to one viewer and counts it. */
export function answerFrom(options: AnswerOptions): Response {
  const { request, stored, result, counters } = options;
  counters.requests[result]++;
  const { text, status } = stored;
  const isGzip = status === 200 && text !== undefined && acceptsGzip(request.headers.get("accept-encoding"));
  const headers = readyHeaders(options, isGzip);
  const condition = status === 200 ? request.headers.get("if-none-match") : null;
  if (condition !== null && matchesEtag(condition, headers.get("etag") ?? "")) {
    return notModified(new Headers(headers));
  }
  const range = status === 200 && text === undefined ? request.headers.get("range") : null;
  // Ranges are defined for GET alone (RFC 9110 14.2).
  if (range !== null && request.method !== "HEAD" && mayRange(request, stored)) {
    return answerRange(options, { headers, range });
  }
  return send(options, { status, headers, body: isGzip ? gzipOf(stored, text) : stored.body });
}

/** An answer whose body is still on its way. */
export interface ComingAnswer {
  readonly request: Request;
  readonly key: string;
  readonly stored: StoredHead;
  /** Of the whole body, where the upstream said it. */
  readonly length: number | undefined;
  readonly result: RequestResult;
  readonly counters: Counters;
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** The body from and up to these bytes, as it comes. */
  readonly stream: (range?: ByteRange) => ReadableStream<Uint8Array>;
}

/**
 * Makes the response to one viewer from what is under way. Bun sends streams without their length; a range needs it,
 * so that where it is not known the whole is sent (RFC 9110 14.2).
 */
export function answerComing(options: ComingAnswer): Response {
  const { request, key, stored, length, result, counters, nowMs, stream } = options;
  counters.requests[result]++;
  const { status, cacheControl } = stored;
  const ageSeconds = Math.floor(msToSeconds(ageMsOf(stored, nowMs)));
  const headers = new Headers(
    wholeHeaders(stored, { key, result, cacheControl, ageSeconds, isGzip: false, length }),
  );
  if (status === 200 && matchesEtag(request.headers.get("if-none-match"), stored.etag)) {
    return notModified(headers);
  }
  if (request.method === "HEAD") return new Response(null, { status, headers });
  if (length === undefined || status !== 200 || !mayRange(request, stored)) {
    return new Response(stream(), { status, headers });
  }
  const range = readRange(request.headers.get("range"), length);
  if (range === undefined) return new Response(stream(), { status, headers });
  if (range === "unsatisfiable") return unsatisfiable(headers, length);
  describeRange(headers, range, length);
  return new Response(stream(range), { status: 206, headers });
}

/** The answer to a request that is refused for `cause`. Never cached. */
export function answerRefusal(options: {
  readonly cause: RefusalCause;
  readonly status: number;
  readonly counters: Counters;
  readonly reason: string;
  readonly retryAfterSeconds?: number;
}): Response {
  options.counters.refuse(options.cause);
  return statusResponse({ ...options, result: "refused" });
}

/** An answer that no stored body stands behind: a failure of ours. Never cached. */
export function answerStatus(options: {
  readonly status: number;
  readonly result: RequestResult;
  readonly counters: Counters;
  readonly reason: string;
  /** Seconds after which asking again makes sense. */
  readonly retryAfterSeconds?: number;
}): Response {
  options.counters.requests[options.result]++;
  return statusResponse(options);
}

function statusResponse(options: {
  readonly status: number;
  readonly result: RequestResult;
  readonly reason: string;
  readonly retryAfterSeconds?: number;
}): Response {
  const headers: HeaderRecord = {
    ...CORS_HEADERS,
    // Bun adds the header to GET but not to HEAD.
    date: new Date().toUTCString(),
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    // What is refused is not sent on.
    "cache-status": cacheStatusOf({
      ...(options.result === "error" && { forward: "miss" }),
      detail: options.result,
    }),
  };
  if (options.retryAfterSeconds !== undefined) headers["retry-after"] = String(options.retryAfterSeconds);
  return new Response(`${options.reason}\n`, { status: options.status, headers });
}

function answerRange(
  options: AnswerOptions,
  { headers: whole, range }: { readonly headers: Headers; readonly range: string },
): Response {
  const { body } = options.stored;
  const read = readRange(range, body.size);
  if (read === undefined) return send(options, { status: 200, headers: whole, body });
  const headers = new Headers(whole);
  if (read === "unsatisfiable") return unsatisfiable(headers, body.size);
  describeRange(headers, read, body.size);
  return send(options, { status: 206, headers, body: body.slice(read.start, read.end) });
}

function send(
  { request, stored, counters, lending, connection }: AnswerOptions,
  answer: { readonly status: number; readonly headers: Headers; readonly body: Blob },
): Response {
  const { status, headers, body } = answer;
  if (request.method === "HEAD") return new Response(null, { status, headers });
  const sent = lending.bodyOf(stored, body, { request, connection, counters });
  return new Response(sent, { status, headers });
}

/** The headers of a whole answer. Made once a second for all who get the same; `Response` copies them. */
function readyHeaders(options: AnswerOptions, isGzip: boolean): Headers {
  const { stored, result, forwarded = "", nowMs, cacheControl = stored.cacheControl } = options;
  // The commonest answers need no text made for the look-up.
  const kind =
    result === "hit" && !isGzip ? cacheControl : `${result} ${forwarded} ${isGzip} ${cacheControl}`;
  const ageSeconds = Math.floor(msToSeconds(ageMsOf(stored, nowMs)));
  const known = stored.ready.get(kind);
  if (known !== undefined && known.ageSeconds === ageSeconds) return known.headers;
  const body = isGzip && stored.text !== undefined ? gzipOf(stored, stored.text) : stored.body;
  const { size: length } = body;
  const headers = new Headers(wholeHeaders(stored, { ...options, cacheControl, ageSeconds, isGzip, length }));
  stored.ready.set(kind, { ageSeconds, headers });
  return headers;
}

interface WholeOptions extends Pick<AnswerOptions, "key" | "result" | "forwarded"> {
  readonly cacheControl: string;
  readonly ageSeconds: number;
  readonly isGzip: boolean;
  /** Bytes of the body as sent; `undefined` where they are not known yet. */
  readonly length: number | undefined;
}

function wholeHeaders(
  stored: StoredHead,
  { key, result, forwarded, cacheControl, ageSeconds, isGzip, length }: WholeOptions,
): HeaderRecord {
  const headers: HeaderRecord = {
    ...CORS_HEADERS,
    date: stored.date,
    age: String(ageSeconds),
    "cache-status": cacheStatus(stored, { key, result, forwarded, ageSeconds }),
    "content-type": stored.contentType,
  };
  if (length !== undefined) headers["content-length"] = String(length);
  if (cacheControl !== "") headers["cache-control"] = cacheControl;
  if (stored.status !== 200) {
    if (stored.retryAfter !== "") headers["retry-after"] = stored.retryAfter;
    return headers;
  }
  const etag = isGzip ? gzipTag(stored.etag) : stored.etag;
  if (etag !== "") headers["etag"] = etag;
  if (isGzip) headers["content-encoding"] = "gzip";
  if (!stored.isText) headers["accept-ranges"] = "bytes";
  else headers["vary"] = "Accept-Encoding";
  return headers;
}

/** `hit` for what was in memory, `fwd=miss` for what was asked for, `collapsed` for who joined in. */
function cacheStatus(
  { freshMs, head, status }: StoredHead,
  { key, result, forwarded, ageSeconds }: Pick<WholeOptions, "key" | "result" | "forwarded" | "ageSeconds">,
): string {
  const ttlSeconds = Math.floor(msToSeconds(freshMs)) - ageSeconds - 1;
  const before = head.headers.get("cache-status");
  switch (result) {
    case "hit":
      return cacheStatusOf({ isHit: true, ttlSeconds: Math.max(0, ttlSeconds), key }, before);
    case "stale":
      return cacheStatusOf(
        { ...staleStatusOf(forwarded), ttlSeconds: Math.min(-1, ttlSeconds), key },
        before,
      );
    case "error":
      return cacheStatusOf({ forward: "miss", forwardStatus: status, key }, before);
    case "collapsed":
      return cacheStatusOf({ forward: "miss", isCollapsed: true, key }, before);
    default:
      return cacheStatusOf({ forward: "miss", isStored: freshMs > 0, key }, before);
  }
}

function gzipTag(etag: string): string {
  return etag === "" ? "" : etag.replace(/"$/, '-gzip"');
}

/** `If-Range` must name this very representation; dates are not compared, so they mean the whole. */
function mayRange(request: Request, stored: StoredHead): boolean {
  const condition = request.headers.get("if-range");
  return condition === null || (stored.etag !== "" && condition.trim() === stored.etag);
}
