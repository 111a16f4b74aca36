/** What the live end of a playlist gives to one who asks, and what it says where there is nothing to give. */
// draft-pantos-hls-rfc8216bis-22 B.1 (caching)
import { msToSeconds, secondsToMs } from "#common/units.ts";
import type { Forwarded } from "./cache-status.ts";
import type { RequestResult } from "./counters.ts";
import type { PlaylistFacts } from "./playlist-facts.ts";
import type { TailVersion } from "./playlist-version.ts";
import type { Stored } from "./stored.ts";
import type { Directives } from "#common/delivery-directives.ts";

/** Lifetime of an answer to a blocking reload, in target durations. */
export const BLOCKING_FRESH_TARGETS = 6;

/** What a request gets. `stored` is absent where nothing but a status can be said. */
export interface TailAnswer {
  readonly status: number;
  readonly stored?: Stored;
  /** `Cache-Control` for this kind of request. */
  readonly cacheControl: string;
  readonly result: RequestResult;
  /** What came of asking the upstream, where that is a failure. */
  readonly forwarded?: Forwarded;
}

/** What a request asks of a playlist. */
export interface Asked {
  readonly directives: Directives | undefined;
  /** True for a delta update, where one is offered. */
  readonly isDelta: boolean;
}

/** The playlist as it is, whole. */
export const ASKED_PLAIN: Asked = { directives: undefined, isDelta: false };

/** How long the answer to a plain request is fresh: half a target duration in whole seconds, at least one. */
export function plainFreshMs(facts: PlaylistFacts): number {
  return secondsToMs(Math.max(1, Math.floor(msToSeconds(facts.targetDurationMs) / 2)));
}

/** The answer that `version` is to a request. */
export function answerWith(
  version: TailVersion,
  { directives, isDelta, result }: Asked & { readonly result: RequestResult },
): TailAnswer {
  const { facts } = version;
  const stored = isDelta ? version.delta : version.whole;
  const isHeld = directives !== undefined && facts.canBlock;
  // Both kinds of request share one stored version.
  return { status: 200, stored, cacheControl: cacheControlOf(facts, isHeld), result };
}

let latest: { readonly facts: PlaylistFacts | undefined; readonly held: string; readonly plain: string } = {
  facts: undefined,
  held: "",
  plain: "",
};

function maxAge(freshMs: number): string {
  return `max-age=${msToSeconds(freshMs)}`;
}

/** `Cache-Control` of answers from a version with these facts: made once, for all who ask for the same version. */
function cacheControlOf(facts: PlaylistFacts, isHeld: boolean): string {
  if (latest.facts !== facts) {
    const heldMs = BLOCKING_FRESH_TARGETS * facts.targetDurationMs;
    latest = { facts, held: maxAge(heldMs), plain: maxAge(plainFreshMs(facts)) };
  }
  return isHeld ? latest.held : latest.plain;
}

/** Refused by this edge. */
export function refused(status: number): TailAnswer {
  return { status, cacheControl: "no-store", result: "refused" };
}

/** Failed at or before the upstream. */
export function failed(status: number, forwarded: Forwarded = "unanswered"): TailAnswer {
  return { status, cacheControl: "no-store", result: "error", forwarded };
}
