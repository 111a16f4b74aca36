/**
 * The caching policy for any upstream: from a request, what is stored for it, and the clock, to what is to be done. Pure:
 * it neither asks nor stores. A client's own `Cache-Control` is not looked at: whoever could demand a fresh answer could
 * flood the upstream.
 */
// RFC 9111 4 (constructing responses), 4.2.4 (stale), 4.3 (validation); RFC 5861; RFC 8246 (immutable)
import { hasOwnConditions, isForUpstreamOnly } from "./policy-conditions.ts";
import { ageMsAt, lifetimeOf, type Lifetime } from "./policy-freshness.ts";
import { isForAuthorized } from "./policy-storing.ts";
import type { ResponseHead } from "./response-head.ts";

/** One range of bytes (RFC 9110 14.1.2). */
const RANGE_PATTERN = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i;

/** A client's request as the policy reads it. */
export interface PolicyRequest {
  /** `GET` or `HEAD`; others are refused before. */
  readonly method: string;
  readonly headers: Headers;
  /** The request is one that upstreams hold, so that the wait does not count as age. */
  readonly isHeld: boolean;
}

/** What to do with a request. */
export type Decision =
  /** Answer from what is stored. */
  | { readonly kind: "hit" }
  /** Answer from what is stored, and ask for it anew meanwhile. */
  | { readonly kind: "stale-while-revalidate"; readonly conditions: Conditions }
  /** Ask with these conditions; a 304 confirms what is stored. */
  | { readonly kind: "revalidate"; readonly conditions: Conditions }
  /** Ask for the whole, together with all who want the same. */
  | { readonly kind: "miss" }
  /** Ask for the whole and cut the part out that begins here (counted from the end: `undefined`), or for it alone. */
  | { readonly kind: "part"; readonly start: number | undefined }
  /** Ask for this client alone, with its own conditions and range, and keep nothing. */
  | { readonly kind: "alone"; readonly why: AloneReason };

/** Conditional request headers, by lower-case name. */
export type Conditions = Readonly<Record<string, string>>;

/** Why a request is nobody else's: the words of RFC 9211's `fwd`. */
export type AloneReason = "method" | "request" | "partial";

/** Decides about one request. */
export function decide(request: PolicyRequest, stored: ResponseHead | undefined, nowMs: number): Decision {
  const { headers, method } = request;
  if (isForUpstreamOnly(headers)) return { kind: "alone", why: "request" };
  const usable = stored !== undefined && isUsable(headers, stored) ? stored : undefined;
  if (headers.has("authorization") && usable === undefined) return { kind: "alone", why: "request" };
  const lifetime = usable === undefined ? undefined : lifetimeOf(usable);
  if (usable !== undefined && lifetime !== undefined) {
    const staleMs = staleMsOf(request, { head: usable, lifetime, nowMs });
    if (staleMs < 0) return { kind: "hit" };
    if (staleMs < lifetime.staleWhileRevalidateMs) {
      return { kind: "stale-while-revalidate", conditions: conditionsOf(usable) };
    }
  }
  if (method === "HEAD") return { kind: "alone", why: "method" };
  if (usable === undefined && isPartial(headers)) return decidePart(headers);
  const conditions = usable === undefined ? {} : conditionsOf(usable);
  return Object.keys(conditions).length > 0 ? { kind: "revalidate", conditions } : { kind: "miss" };
}

/** How the upstream failed: with a status of 500, 502, 503 or 504, or without any answer. */
export type UpstreamFailure = "error" | "disconnected";

/** True where a stored answer may stand in for an upstream that has failed. */
export function mayServeStale(
  request: PolicyRequest,
  stored: ResponseHead,
  { nowMs, failure }: { readonly nowMs: number; readonly failure: UpstreamFailure },
): boolean {
  if (!isUsable(request.headers, stored)) return false;
  const lifetime = lifetimeOf(stored);
  const { staleIfErrorMs, staleIfDisconnectedMs } = lifetime;
  const leaveMs = failure === "error" ? staleIfErrorMs : staleIfDisconnectedMs;
  return staleMsOf(request, { head: stored, lifetime, nowMs }) < leaveMs;
}

/** How long ago its time was over, in milliseconds; below 0 while it is fresh. */
function staleMsOf(
  { isHeld }: PolicyRequest,
  {
    head,
    lifetime,
    nowMs,
  }: { readonly head: ResponseHead; readonly lifetime: Lifetime; readonly nowMs: number },
): number {
  return ageMsAt(head, { nowMs, isHeld }) - lifetime.freshMs;
}

/** Credentials get only what is said to be the same for all. */
function isUsable(request: Headers, stored: ResponseHead): boolean {
  return !request.has("authorization") || isForAuthorized(stored);
}

/** One range of bytes can be cut from a whole. Conditions, several ranges and what is none are for the upstream to read. */
function decidePart(headers: Headers): Decision {
  const [range, first = "", last = ""] = RANGE_PATTERN.exec(headers.get("range") ?? "") ?? [];
  const isRange = range !== undefined && (first === "" || last === "" || Number(first) <= Number(last));
  if (!isRange || first + last === "" || headers.has("if-range") || hasOwnConditions(headers)) {
    return { kind: "alone", why: "partial" };
  }
  return { kind: "part", start: first === "" ? undefined : Number(first) };
}

/** A range from the first byte to the last is the whole, which others want as well. */
function isPartial(request: Headers): boolean {
  const range = request.get("range");
  return range !== null && !/^\s*bytes\s*=\s*0+\s*-\s*$/i.test(range);
}

/** What asks whether a stored answer is still right. An answer that is not 200 has no validators that upstreams look at. */
function conditionsOf({ headers }: ResponseHead): Conditions {
  const etag = headers.get("etag");
  const modified = headers.get("last-modified");
  return {
    ...(etag !== null && { "if-none-match": etag }),
    ...(modified !== null && { "if-modified-since": modified }),
  };
}
