/**
 * How long a stored answer may be given out without asking, how long after that, and how old it is: from its own
 * headers, as a shared cache has to read them. Pure: the clock is an argument.
 */
// RFC 9111 4.2 (freshness, age), 5.2.2 (directives); RFC 5861 (stale-while-revalidate, stale-if-error)
import { secondsToMs } from "#common/units.ts";
import { readHttpDate } from "./policy-dates.ts";
import { readCacheControl, readSeconds, secondsOf, splitList, type Directives } from "./policy-directives.ts";
import type { ResponseHead } from "./response-head.ts";

/** Without a lifetime of its own an answer is fresh for this share of the time since it was last modified. */
const HEURISTIC_SHARE = 0.1;
const HEURISTIC_MS_MAX = 24 * 3_600_000;
/** An answer that says nothing else may be given out this long past its time while the upstream cannot be reached. */
const DISCONNECTED_STALE_MS = 24 * 3_600_000;
/**
 * A playlist without a lifetime may be a live one, whatever it was last modified: file servers send them so. Half a
 * second is below what players wait between two looks, and makes one request of a crowd's.
 */
const PLAYLIST_FRESH_MS = 500;
/** A playlist of the past is soon worth nothing: a player would start where no segment is left. */
const PLAYLIST_STALE_MS = 10_000;
const PLAYLIST_TYPE = /^(?:application|audio)\/(?:vnd\.apple\.|x-)?mpegurl\b/i;
/** Statuses that may be reused without a lifetime of their own (RFC 9110 15.1); partial content is not stored here. */
const HEURISTIC_STATUSES = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);

/** What an answer's headers allow, each counted in milliseconds from the end of the one before. */
export interface Lifetime {
  /** May be given out unasked until its age is this. 0: never. */
  readonly freshMs: number;
  /** True where the upstream itself gave a lifetime. */
  readonly isExplicit: boolean;
  /** After that: given out at once while it is asked for anew. */
  readonly staleWhileRevalidateMs: number;
  /** Or given out where the upstream fails with a 5xx or not at all. */
  readonly staleIfErrorMs: number;
  /** Or given out where the upstream cannot be reached. */
  readonly staleIfDisconnectedMs: number;
}

const NEVER: Lifetime = {
  freshMs: 0,
  isExplicit: true,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
  staleIfDisconnectedMs: 0,
};

/** What is read out of a head for each request that it is stored for: once. */
interface Reading {
  readonly lifetime: Lifetime;
  /** The age that it says it came with, milliseconds. */
  readonly ownAgeMs: number;
  /** Its age by the clocks alone, or 0 where those do not count. */
  readonly apparentAgeMs: number;
}

const readings = new WeakMap<ResponseHead, Reading>();

function readingOf(head: ResponseHead): Reading {
  let reading = readings.get(head);
  if (reading === undefined) {
    const { headers, receivedWallMs } = head;
    reading = {
      lifetime: readLifetime(head),
      ownAgeMs: ownAgeMsOf(headers),
      apparentAgeMs: hasOldHop(headers.get("via")) ? receivedWallMs - dateMsOf(head) : 0,
    };
    readings.set(head, reading);
  }
  return reading;
}

/** The age that an answer says it came with: the first that it names. 0 where it says nothing that can be read. */
export function ownAgeMsOf(headers: Headers): number {
  const [first = ""] = splitList(headers.get("age") ?? "");
  return secondsToMs(readSeconds(first) ?? 0);
}

/** What an answer's headers allow. */
export function lifetimeOf(head: ResponseHead): Lifetime {
  return readingOf(head).lifetime;
}

function readLifetime(head: ResponseHead): Lifetime {
  const directives = readCacheControl(head.headers.get("cache-control"));
  // With field names it is about those fields alone, which are not stored.
  if (directives.get("no-cache") === true) return NEVER;
  const explicitMs = explicitFreshMs(head, directives);
  const freshMs = explicitMs ?? heuristicFreshMs(head, directives);
  const isExplicit = explicitMs !== undefined;
  if (directives.has("must-revalidate") || directives.has("proxy-revalidate")) {
    return { ...NEVER, freshMs, isExplicit };
  }
  const staleIfErrorMs = secondsToMs(secondsOf(directives, "stale-if-error") ?? 0);
  // `s-maxage` takes back what a cache may do of its own accord, not what the same header allows in words.
  const unasked = directives.has("s-maxage") ? 0 : unaskedStaleMs(head.headers);
  return {
    freshMs,
    isExplicit,
    staleWhileRevalidateMs: revalidateMsOf(head.headers, directives),
    staleIfErrorMs,
    staleIfDisconnectedMs: Math.max(staleIfErrorMs, unasked),
  };
}

/** The leave of `stale-while-revalidate`. None for a playlist: a player that joins would begin where the stream was long ago. */
function revalidateMsOf(headers: Headers, directives: Directives): number {
  return isPlaylist(headers) ? 0 : secondsToMs(secondsOf(directives, "stale-while-revalidate") ?? 0);
}

/** How long past its time an answer may be given out, on no more leave than that the upstream cannot be reached. */
function unaskedStaleMs(headers: Headers): number {
  return isPlaylist(headers) ? PLAYLIST_STALE_MS : DISCONNECTED_STALE_MS;
}

/** True for an HLS playlist, by its type. */
export function isPlaylist(headers: Headers): boolean {
  return PLAYLIST_TYPE.test(headers.get("content-type") ?? "");
}

/** What a shared cache goes by, in this order: `s-maxage`, `max-age`, `Expires`. */
function explicitFreshMs(
  { headers, receivedWallMs }: ResponseHead,
  directives: Directives,
): number | undefined {
  const seconds = secondsOf(directives, "s-maxage") ?? secondsOf(directives, "max-age");
  if (seconds !== undefined) return secondsToMs(seconds);
  const expires = headers.get("expires");
  if (expires === null) return undefined;
  const expiresMs = readHttpDate(expires, receivedWallMs);
  return expiresMs === undefined ? 0 : Math.max(0, expiresMs - dateMsOf({ headers, receivedWallMs }));
}

function heuristicFreshMs({ headers, status, receivedWallMs }: ResponseHead, directives: Directives): number {
  if (!HEURISTIC_STATUSES.has(status) && !directives.has("public")) return 0;
  if (isPlaylist(headers)) return PLAYLIST_FRESH_MS;
  const modifiedMs = readHttpDate(headers.get("last-modified"), receivedWallMs);
  if (modifiedMs === undefined) return 0;
  const sinceMs = dateMsOf({ headers, receivedWallMs }) - modifiedMs;
  return Math.min(HEURISTIC_MS_MAX, Math.max(0, sinceMs * HEURISTIC_SHARE));
}

/** The answer's `Date`, or when it arrived. Wall clock, milliseconds. */
export function dateMsOf({
  headers,
  receivedWallMs,
}: Pick<ResponseHead, "headers" | "receivedWallMs">): number {
  return readHttpDate(headers.get("date"), receivedWallMs) ?? receivedWallMs;
}

/**
 * Age of a stored answer, in milliseconds. Its own `Age` counts, and the time that the upstream took to answer, unless
 * it held the request until there was something to say. The clock of `Date` counts only where a cache on the way may
 * know nothing of `Age`: an origin whose clock is slow would else be asked for everything again and again.
 *
 * @param isHeld the request was one that upstreams hold
 */
export function ageMsAt(head: ResponseHead, { nowMs, isHeld }: { nowMs: number; isHeld: boolean }): number {
  const { ownAgeMs, apparentAgeMs } = readingOf(head);
  const delayMs = isHeld ? 0 : Math.max(0, head.receivedMs - head.requestedMs);
  return Math.max(ownAgeMs + delayMs, apparentAgeMs) + Math.max(0, nowMs - head.receivedMs);
}

/** True where an HTTP/1.0 node stands on the way. */
function hasOldHop(via: string | null): boolean {
  return via !== null && splitList(via).some((hop) => /^(?:http\/)?1\.0\s/i.test(hop));
}
