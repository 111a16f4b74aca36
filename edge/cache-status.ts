/** How the cache came by an answer, in the words of the standard: behind what the caches before this one have said. */
// RFC 9211 (Cache-Status)

const CACHE_NAME = "spillway";
/** Longer keys are left out: whoever asked knows what for. */
const KEY_CHARACTERS_MAX = 512;

/** One member of `Cache-Status`. */
export interface CacheStatus {
  /** Answered from what was stored. */
  readonly isHit?: boolean;
  /** Why the upstream was asked. */
  readonly forward?:
    "uri-miss" | "vary-miss" | "miss" | "stale" | "method" | "request" | "partial" | "bypass";
  /** What the upstream answered with, where that is not what the client gets. */
  readonly forwardStatus?: number;
  readonly isStored?: boolean;
  /** Answered from a request that somebody else had begun. */
  readonly isCollapsed?: boolean;
  /** Seconds of freshness left; below 0 for what is stale. */
  readonly ttlSeconds?: number;
  readonly detail?: string;
  /** What the answer is called in the cache: its path, of a caching proxy with its query. */
  readonly key?: string;
}

/** What came of asking the upstream, where a stale answer is given instead: its status, or nothing. */
export type Forwarded = number | "unanswered";

/** Of a stale answer: given at once, or since the upstream failed, which is no hit (RFC 9211 2.1). */
export function staleStatusOf(forwarded?: Forwarded): CacheStatus {
  if (forwarded === undefined) return { isHit: true, detail: "stale" };
  const forwardStatus = forwarded === "unanswered" ? {} : { forwardStatus: forwarded };
  return { forward: "stale", ...forwardStatus, detail: "stale" };
}

/**
 * The header's value.
 *
 * @param before what the upstream's own caches said, if anything
 */
export function cacheStatusOf(status: CacheStatus, before: string | null = null): string {
  const parameters = [CACHE_NAME];
  if (status.isHit === true) parameters.push("hit");
  if (status.forward !== undefined) parameters.push(`fwd=${status.forward}`);
  if (status.forwardStatus !== undefined) parameters.push(`fwd-status=${status.forwardStatus}`);
  if (status.isStored === true) parameters.push("stored");
  if (status.isCollapsed === true) parameters.push("collapsed");
  if (status.ttlSeconds !== undefined) parameters.push(`ttl=${status.ttlSeconds}`);
  if (status.detail !== undefined) parameters.push(`detail=${status.detail}`);
  const { key = "" } = status;
  if (key !== "" && key.length <= KEY_CHARACTERS_MAX) parameters.push(`key=${quote(key)}`);
  const own = parameters.join("; ");
  return before === null ? own : `${before}, ${own}`;
}

/** As a string of structured fields (RFC 9651 3.3.3). */
function quote(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}
