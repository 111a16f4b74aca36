/** Whether an answer may be kept and shared, what of it is kept, and what a later answer changes of that. */
// RFC 9111 3 (storing), 3.1 (fields), 3.2 and 4.3.4 (updating), 3.5 (Authorization), 4.3.5 (HEAD), 5.2.2.3 (must-understand)
import { fieldNamesOf, readCacheControl, type Directives } from "./policy-directives.ts";
import { ageMsAt, lifetimeOf } from "./policy-freshness.ts";
import { varyNamesOf } from "./policy-vary.ts";
import { isFieldName, type ResponseHead } from "./response-head.ts";

/** Statuses whose meaning for a cache is known here, as `must-understand` asks: those of RFC 9110 but partial content. */
const UNDERSTOOD_STATUSES = new Set([
  200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407,
  408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505,
]);
/** Never complete or never an answer to everyone, whatever their headers say. */
const UNSTORABLE_STATUSES = new Set([206, 304, 416]);
/** Fields that describe the stored bytes themselves: an answer without those bytes does not change them. */
const KEPT_FIELDS = new Set(["content-length", "content-encoding", "content-range", "transfer-encoding"]);
/** Fields of the moment: those of the newer answer only, or none. */
const MOMENTARY_FIELDS = ["age", "cache-status", "warning"];

/** The request that an answer is for. */
export interface AskedWith {
  readonly method: string;
  readonly headers: Headers;
  /** The request was one that upstreams hold, so that the wait does not count as age. */
  readonly isHeld: boolean;
}

/** What may be done with an answer beside handing it to the one who asked. */
export interface Verdict {
  /** May be given to all who asked for it meanwhile. */
  readonly isShared: boolean;
  /** May be kept for later: to be given out, or to be asked about with its validators. */
  readonly isStored: boolean;
}

const ALONE: Verdict = { isShared: false, isStored: false };

/** Judges an answer by its head. */
export function judge(request: AskedWith, head: ResponseHead): Verdict {
  const lifetime = lifetimeOf(head);
  if (!isStorable(request, head)) return ALONE;
  // A cookie is one client's, unless the upstream says in so many words that the answer is everyone's (7.3).
  if (head.headers.has("set-cookie") && !isForAll(head)) return ALONE;
  // Without a lifetime of its own, what may be about one client is taken to be.
  if (request.headers.has("cookie") && !lifetime.isExplicit) return ALONE;
  const { freshMs, staleWhileRevalidateMs, isExplicit } = lifetime;
  const isUsable = (isHeld: boolean): boolean =>
    ageMsAt(head, { nowMs: head.receivedMs, isHeld }) < freshMs + staleWhileRevalidateMs;
  const isStored = isUsable(request.isHeld) || (head.status === 200 && hasValidator(head.headers));
  // Those who have waited all the while get nothing newer by asking again: an upstream that takes longer to answer than
  // its answers live must not be asked once for each of them.
  const isNews = isUsable(true);
  // Where nothing is said, those who ask at the same moment want the same: a file server's playlist has no lifetime.
  return { isShared: isNews || (isStored && !isExplicit), isStored };
}

function isStorable({ method, headers: asked }: AskedWith, { status, headers }: ResponseHead): boolean {
  if (method !== "GET" || UNSTORABLE_STATUSES.has(status)) return false;
  const directives = readCacheControl(headers.get("cache-control"));
  const isUnderstood = UNDERSTOOD_STATUSES.has(status);
  if (directives.has("must-understand") ? !isUnderstood : directives.has("no-store")) return false;
  if (directives.get("private") === true || varyNamesOf(headers) === "*") return false;
  return !asked.has("authorization") || allowsAuthorized(directives);
}

function isForAll({ headers }: ResponseHead): boolean {
  const directives = readCacheControl(headers.get("cache-control"));
  return directives.has("public") || directives.has("s-maxage");
}

function allowsAuthorized(directives: Directives): boolean {
  return directives.has("public") || directives.has("must-revalidate") || directives.has("s-maxage");
}

/** True where a stored answer may be given to a request with credentials: the upstream has said that it is the same for all. */
export function isForAuthorized(head: ResponseHead): boolean {
  return allowsAuthorized(readCacheControl(head.headers.get("cache-control")));
}

function hasValidator(headers: Headers): boolean {
  return headers.has("etag") || headers.has("last-modified");
}

/** The head as it is kept and as others than the one who asked get it: without the fields that it says are not for them. */
export function storedHeadOf(head: ResponseHead): ResponseHead {
  const directives = readCacheControl(head.headers.get("cache-control"));
  const named = [...fieldNamesOf(directives, "no-cache"), ...fieldNamesOf(directives, "private")];
  if (named.length === 0) return head;
  const headers = new Headers(head.headers);
  for (const name of named) if (isFieldName(name)) headers.delete(name);
  return { ...head, headers };
}

/**
 * The stored head after an upstream has confirmed it with a 304, or with the answer to HEAD. `undefined` where that was
 * about another representation: what is stored is of no more use then.
 */
export function updatedHeadOf(stored: ResponseHead, newer: ResponseHead): ResponseHead | undefined {
  if (!isSameRepresentation(stored.headers, newer)) return undefined;
  const headers = new Headers(stored.headers);
  for (const name of MOMENTARY_FIELDS) headers.delete(name);
  const changed = storedHeadOf(newer).headers;
  for (const name of new Set(changed.keys())) {
    if (KEPT_FIELDS.has(name)) continue;
    if (name === "set-cookie") {
      headers.delete(name);
      for (const cookie of changed.getSetCookie()) headers.append(name, cookie);
    } else headers.set(name, changed.get(name) ?? "");
  }
  return { ...newer, status: stored.status, headers };
}

/** A 304 that names no validator confirms what it was asked about; HEAD also tells the length. */
function isSameRepresentation(stored: Headers, { status, headers }: ResponseHead): boolean {
  const isSame = (name: string): boolean =>
    !headers.has(name) || !stored.has(name) || headers.get(name) === stored.get(name);
  const etag = headers.get("etag");
  if (status === 304)
    return etag === null || !stored.has("etag") || opaqueOf(etag) === opaqueOf(stored.get("etag"));
  return status === 200 && isSame("etag") && isSame("last-modified") && isSame("content-length");
}

function opaqueOf(etag: string | null): string | undefined {
  return etag?.replace(/^W\//, "");
}
