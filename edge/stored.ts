/**
 * One answer of the upstream as the edge keeps it: body, the headers that viewers get again, and the clock
 * readings that freshness is computed from. Fills make them, the store and the playlist tails hold them.
 */
// RFC 9111 4.2 (freshness), RFC 5861 (stale-while-revalidate), RFC 8246 (immutable)
import { gzipSync } from "node:zlib";
import { secondsToMs } from "#common/units.ts";
import { Loan } from "./loan.ts";
import { type Directives, readCacheControl, secondsOf } from "./policy-directives.ts";
import { ownAgeMsOf } from "./policy-freshness.ts";
import type { ResponseHead } from "./response-head.ts";
import type { UpstreamAnswer } from "./upstream.ts";

/** Failures and refusals are kept this long: what is missing now may be published in the next instant. */
export const FAILURE_MS = 250;
/** What an entry costs beside its body, its key and its headers. */
const OVERHEAD_BYTES = 1_024;
/** What a header costs beside its text, together with its copy that is ready to be sent. */
const FIELD_OVERHEAD_BYTES = 128;
/** Room for the bytes of a text beside its Blob, and for its compressed twin. */
const TEXT_FACTOR = 2.5;
/** An answer with one of these is not given out unasked, whatever else they say. */
const UNKEPT_DIRECTIVES = ["no-store", "no-cache", "private"];
const TEXT_TYPE = /^(?:text\/|application\/(?:json|vnd\.apple\.))/;

/** What the edge makes of an answer's head. */
export interface StoredHead {
  readonly status: number;
  /** All that came before the body. */
  readonly head: ResponseHead;
  readonly contentType: string;
  readonly cacheControl: string;
  /** Strong entity tag of the plain body, in its quotes; empty without one. */
  readonly etag: string;
  /** The upstream's `Date`, passed on unchanged. */
  readonly date: string;
  readonly retryAfter: string;
  /** When it arrived, on the monotonic clock. */
  readonly receivedMs: number;
  /** The `Age` that it arrived with: not 0 where the upstream is an edge. Time that a request was held does not count. */
  readonly ageAtArrivalMs: number;
  /** How long after its birth it may be given out unasked. */
  readonly freshMs: number;
  /** How much longer it may be given out while a newer one is asked for (RFC 5861 3). */
  readonly revalidateMs: number;
  /** True for what is offered compressed. */
  readonly isText: boolean;
}

/** A stored answer. Bodies are shared by all who send them: Bun sends a Blob's bytes without copying them first. */
export interface Stored extends StoredHead {
  readonly body: Blob;
  /** The body once more where it is text; `undefined` for media. */
  readonly text: Uint8Array | undefined;
  /** The compressed body, made when first asked for. */
  gzip: Blob | undefined;
  /** Headers ready to be sent, by the kind of answer; see `answer.ts`. */
  readonly ready: Map<string, ReadyHeaders>;
  /** Who is being sent the body. */
  readonly loan: Loan;
}

/** Headers of one kind of answer, right while its `Age` is. */
export interface ReadyHeaders {
  readonly ageSeconds: number;
  readonly headers: Headers;
}

/** An upstream's whole answer. */
export interface WholeAnswer {
  readonly head: ResponseHead;
  readonly body: Blob;
  /** The body's bytes once more; called for texts only. */
  readonly bytes: () => Uint8Array;
}

/**
 * Reads a head. `Set-Cookie` and every header not named here stay behind.
 *
 * @param freshMsMin keeps a 200 at least this long whatever its header says
 */
export function readHead(head: ResponseHead, freshMsMin = 0): StoredHead {
  const { headers, status, receivedMs } = head;
  const contentType = headers.get("content-type") ?? "application/octet-stream";
  const cacheControl = headers.get("cache-control") ?? "";
  const directives = readCacheControl(cacheControl);
  return {
    status,
    head,
    contentType,
    cacheControl,
    etag: headers.get("etag") ?? "",
    date: headers.get("date") ?? new Date(head.receivedWallMs).toUTCString(),
    retryAfter: headers.get("retry-after") ?? "",
    receivedMs,
    ageAtArrivalMs: ownAgeMsOf(headers),
    freshMs: status === 200 ? Math.max(freshMsMin, freshMsOf(directives)) : FAILURE_MS,
    revalidateMs: status === 200 ? secondsToMs(secondsOf(directives, "stale-while-revalidate") ?? 0) : 0,
    isText: TEXT_TYPE.test(contentType),
  };
}

/** Takes over an upstream's answer; see {@link readHead}. */
export function storedOf({ head, body, bytes }: WholeAnswer, freshMsMin = 0): Stored {
  const read = readHead(head, freshMsMin);
  const text = read.isText ? bytes() : undefined;
  return { ...read, body, text, gzip: undefined, ready: new Map(), loan: new Loan() };
}

/** The same of an answer that was fetched whole. */
export function readStored(answer: UpstreamAnswer): Stored {
  // Never shared memory: it comes from the network.
  const body = new Blob([answer.body as Uint8Array<ArrayBuffer>]);
  return storedOf({ head: answer, body, bytes: () => answer.body });
}

/** Age on the monotonic clock, in milliseconds. */
export function ageMsOf(stored: StoredHead, nowMs: number): number {
  return Math.max(0, nowMs - stored.receivedMs) + stored.ageAtArrivalMs;
}

export function isFresh(stored: StoredHead, nowMs: number): boolean {
  return isFreshEnough(stored, nowMs, 0);
}

/** True for what is fresh or has not been stale for more than `staleMsMax`. */
export function isFreshEnough(stored: StoredHead, nowMs: number, staleMsMax: number): boolean {
  return ageMsOf(stored, nowMs) < stored.freshMs + staleMsMax;
}

/** What an entry weighs in the store, in bytes: clients and upstreams choose the length of URLs and headers. */
export function sizeOf({ body, text, head }: Stored, key: string): number {
  let bytes = Math.ceil(body.size * (text === undefined ? 1 : TEXT_FACTOR)) + OVERHEAD_BYTES + key.length;
  for (const [name, value] of head.headers) bytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
  return bytes;
}

/** The compressed body of a text, made once however many ask. */
export function gzipOf(stored: Stored, text: Uint8Array): Blob {
  stored.gzip ??= new Blob([gzipSync(text, { level: 6 })]);
  return stored.gzip;
}

/** How long a shared cache may keep a response of these directives (RFC 9111 5.2.2), in milliseconds; 0 where they do not say. */
function freshMsOf(directives: Directives): number {
  if (UNKEPT_DIRECTIVES.some((name) => directives.has(name))) return 0;
  return secondsToMs(secondsOf(directives, "s-maxage") ?? secondsOf(directives, "max-age") ?? 0);
}
