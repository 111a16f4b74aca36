/**
 * From an upstream's answer, stored or on its way, to what one client of the caching proxy gets: its status and headers
 * as they came, the age, how the cache came by it, and of the body what the request asks for.
 */
// RFC 9110 15.4.5 (304), 15.3.7 (206), RFC 9111 5.1 (Age), RFC 9211
import { COPIED_BYTES_MAX } from "#common/late-body.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import { msToSeconds } from "#common/units.ts";
import { cacheStatusOf, type CacheStatus } from "./cache-status.ts";
import type { Counters, RequestResult } from "./counters.ts";
import type { Fill } from "./fill.ts";
import type { Lending } from "./lending.ts";
import { describeRange, notModified, unsatisfiable } from "./partial-answer.ts";
import { select, type Selection } from "./policy-conditions.ts";
import { ageMsAt, lifetimeOf } from "./policy-freshness.ts";
import type { ResponseHead } from "./response-head.ts";
import type { Stored } from "./stored.ts";
import type { ViewerConnection } from "./viewer-connection.ts";

/** Statuses that never have a body. */
const BODILESS_STATUSES = new Set([204, 205, 304]);

/** One client's request, and how the cache met it. */
export interface ProxyAnswerOptions {
  readonly request: Request;
  readonly connection: ViewerConnection;
  /** What the answer is called in the cache. */
  readonly key: string;
  readonly head: ResponseHead;
  readonly result: RequestResult;
  readonly status: CacheStatus;
  readonly counters: Counters;
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** The request is one that upstreams hold, so that the wait does not count as age. */
  readonly isHeld: boolean;
  /** Base URLs of the upstreams, in whose place this edge stands in redirects. */
  readonly upstreamUrls: readonly string[];
}

/** The same from memory. */
export interface StoredAnswerOptions extends ProxyAnswerOptions {
  /** Gives large bodies out. */
  readonly lending: Lending;
}

/** Answers from an object that is all in memory. */
export function answerStored(options: StoredAnswerOptions, stored: Stored): Response {
  const { request, head } = options;
  const { body } = stored;
  options.counters.requests[options.result]++;
  const headers = storedHeaders(options, stored);
  const selection = select(request, { head, size: body.size });
  // The commonest answer by far: `Response` copies the headers itself.
  if (selection === "whole" && request.method === "GET" && !BODILESS_STATUSES.has(head.status)) {
    return new Response(options.lending.bodyOf(stored, body, options), { status: head.status, headers });
  }
  const own = new Headers(headers);
  return send(options, {
    selection,
    headers: own,
    size: body.size,
    bodyOf: (from, to) => options.lending.bodyOf(stored, body.slice(from, to), options),
  });
}

/** Answers from a fill: its whole body, or the one that is on its way. */
export function answerFill(options: ProxyAnswerOptions, fill: Fill): Response {
  const { request, connection, head, counters } = options;
  const { length } = fill;
  const whole = wholeOf(fill);
  const headers = headersOf(options);
  const selection = select(request, { head, size: length });
  const { signal } = request;
  if (selection === "whole" && whole !== undefined) headers.set("content-length", String(whole.size));
  return send(options, {
    selection,
    headers,
    size: length ?? 0,
    bodyOf: (from, to) =>
      whole === undefined
        ? fill.stream({
            signal,
            counters,
            connection,
            range: to === undefined ? undefined : { start: from, end: to },
          })
        : counted(options, cut(whole, from, to)),
  });
}

/** Passes on an answer that is for this client alone, as it is. */
export function answerAlone(options: ProxyAnswerOptions, fill: Fill): Response {
  const { request, connection, counters, head } = options;
  const headers = headersOf(options);
  const { signal } = request;
  if (request.method === "HEAD" || BODILESS_STATUSES.has(head.status)) return bodiless(options, headers);
  const whole = wholeOf(fill);
  if (whole !== undefined) headers.set("content-length", String(whole.size));
  const body = whole === undefined ? fill.stream({ signal, counters, connection }) : counted(options, whole);
  return new Response(body, { status: head.status, headers });
}

/** The body of a fill where it is all there and small: see {@link COPIED_BYTES_MAX}. */
function wholeOf({ stored }: Fill): Blob | undefined {
  return stored !== undefined && stored.body.size <= COPIED_BYTES_MAX ? stored.body : undefined;
}

interface Body {
  readonly selection: Selection;
  readonly headers: Headers;
  readonly size: number;
  readonly bodyOf: (from: number, to: number | undefined) => Blob | ReadableStream<Uint8Array>;
}

function send(options: ProxyAnswerOptions, { selection, headers, size, bodyOf }: Body): Response {
  const { head, request } = options;
  if (selection === "not-modified") return notModified(headers);
  if (selection === "unsatisfiable") return unsatisfiable(headers, size);
  if (request.method === "HEAD" || BODILESS_STATUSES.has(head.status)) return bodiless(options, headers);
  if (selection === "whole") return new Response(bodyOf(0, undefined), { status: head.status, headers });
  describeRange(headers, selection, size);
  return new Response(bodyOf(selection.start, selection.end), { status: 206, headers });
}

function bodiless({ head }: ProxyAnswerOptions, headers: Headers): Response {
  if (BODILESS_STATUSES.has(head.status)) headers.delete("content-length");
  return new Response(null, { status: head.status, headers });
}

/** A small body from a fill. Streams, and what is lent from memory, are counted where they come from. */
function counted({ counters }: ProxyAnswerOptions, body: Blob): Blob {
  counters.sentBytes += body.size;
  return body;
}

function cut(body: Blob, from: number, to: number | undefined): Blob {
  return from === 0 && (to === undefined || to === body.size) ? body : body.slice(from, to);
}

/** The headers of a stored answer with its length, made once a second for all who get the same. Not to be changed. */
function storedHeaders(options: ProxyAnswerOptions, stored: Stored): Headers {
  const { result } = options;
  const ageSeconds = ageSecondsOf(options);
  const known = stored.ready.get(result);
  if (result === "hit" && known?.ageSeconds === ageSeconds) return known.headers;
  const headers = makeHeaders(options, ageSeconds);
  headers.set("content-length", String(stored.body.size));
  if (result === "hit") stored.ready.set(result, { ageSeconds, headers });
  return headers;
}

/** The headers of an answer that has just come. */
function headersOf(options: ProxyAnswerOptions): Headers {
  options.counters.requests[options.result]++;
  return makeHeaders(options, ageSecondsOf(options));
}

function ageSecondsOf({ head, nowMs, isHeld }: ProxyAnswerOptions): number {
  return Math.floor(msToSeconds(ageMsAt(head, { nowMs, isHeld })));
}

function makeHeaders(
  { head, key, result, status, upstreamUrls }: ProxyAnswerOptions,
  ageSeconds: number,
): Headers {
  const headers = new Headers(head.headers);
  for (const [name, value] of Object.entries(CORS_HEADERS)) if (!headers.has(name)) headers.set(name, value);
  // Bun adds the header to GET but not to HEAD.
  if (!headers.has("date")) headers.set("date", new Date(head.receivedWallMs).toUTCString());
  const location = headers.get("location");
  if (location !== null) headers.set("location", withoutUpstream(location, upstreamUrls));
  // What has come just now is as old as the upstream says.
  if (result !== "miss" && result !== "error") headers.set("age", String(ageSeconds));
  const ttlSeconds = Math.floor(msToSeconds(lifetimeOf(head).freshMs)) - ageSeconds;
  const leftSeconds = result === "stale" ? Math.min(-1, ttlSeconds) : ttlSeconds;
  const own = status.isHit === true || result === "stale" ? { ...status, ttlSeconds: leftSeconds } : status;
  headers.set("cache-status", cacheStatusOf({ ...own, key }, head.headers.get("cache-status")));
  if (head.status === 200 && !headers.has("accept-ranges")) headers.set("accept-ranges", "bytes");
  return headers;
}

/** What begins with two slashes, or what browsers take for them, would be another host: a dot keeps it a path. */
function pathReference(path: string): string {
  return /^\/\t*[/\\]/.test(path) ? `/.${path}` : path;
}

/** A redirect to another place of the upstream, as one of this edge: by its path alone. Others stay as they are. */
function withoutUpstream(location: string, upstreamUrls: readonly string[]): string {
  for (const url of upstreamUrls) {
    const base = url.replace(/\/+$/, "");
    if (location.startsWith(`${base}/`)) return pathReference(location.slice(base.length));
  }
  return location;
}
