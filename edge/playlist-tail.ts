/**
 * One media playlist at its live end: the newest version and the viewers that wait for the next, held in
 * `common/held-playlist.ts`, and the one held upstream request that brings it. Versions are adopted in one place.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2, B.1
import type { Clock } from "#common/clock.ts";
import type { Directives } from "#common/delivery-directives.ts";
import { HeldPlaylist, HOLD_TARGET_DURATIONS, type PlaylistVersion } from "#common/held-playlist.ts";
import type { HeldBudget, HeldOutcome, HoldOptions } from "#common/held-requests.ts";
import { standingOf, wantedPosition } from "#common/playlist-reach.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";
import { compareReach, nextQuery, readPlaylistFacts, type PlaylistFacts } from "./playlist-facts.ts";
import { ageMsOf, FAILURE_MS, freshMsOf, readStored, type Stored } from "./stored.ts";
import type { RequestResult } from "./counters.ts";
import { readTarget } from "./targets.ts";
import { fetchWithRetry } from "./upstream-retry.ts";
import { UpstreamError, type Upstream, type UpstreamAnswer } from "./upstream.ts";

/** Lifetimes in target durations: B.1. */
const BLOCKING_FRESH_TARGETS = 6;
const STALE_TARGETS = 1.5;
/** Beyond the upstream's own hold, so that its 503 arrives before our timeout. */
const HOLD_MARGIN_MS = 2_000;
/** Before the first version is read: the longest hold that a first request could meet. */
const HOLD_MS_UNKNOWN = 8_000;
/** A version older than this is looked up again before a position is refused as too far. */
const REFUSE_AGE_MS_MAX = 500;
/** Pause before asking an upstream again that answered a held request with what we have. */
const UNCHANGED_PAUSE_MS = 200;

/** What a request gets. `stored` is absent where nothing but a status can be said. */
export interface TailAnswer {
  readonly status: number;
  readonly stored?: Stored;
  /** `Cache-Control` for this kind of request. */
  readonly cacheControl: string;
  readonly result: RequestResult;
}

/** Who asks, and may have to wait. */
export type TailAsker<Answer> = Omit<HoldOptions<TailAnswer, Answer>, "holdMsMax">;

interface Version extends PlaylistVersion {
  readonly stored: Stored;
  readonly facts: PlaylistFacts;
}

export interface TailOptions {
  readonly path: string;
  readonly upstream: Upstream;
  readonly clock: Clock;
  /** Bounds those who wait, of all playlists together. */
  readonly budget: HeldBudget;
  /** Called with the path of the part that comes next, while somebody watches. */
  readonly onHint: (path: string) => void;
  /** What viewers get instead of the upstream's text of a version: the same text where nothing changes. */
  readonly rewrite?: (text: string, path: string) => string;
}

/** The live end of one playlist. */
export class PlaylistTail {
  readonly #options: TailOptions;
  /** Those who wait are told of a failure by the answer that they get. */
  readonly #playlist: HeldPlaylist<Version, TailAnswer>;
  #plainFill: Promise<TailAnswer | undefined> | undefined;
  #isHolding = false;
  /** Versions adopted since start. */
  #versions = 0;
  /** The newest failure and until when it is the answer to all: the upstream is not asked once per viewer. */
  #failure: { readonly answer: TailAnswer; readonly untilMs: number } | undefined;

  constructor(options: TailOptions) {
    this.#options = options;
    this.#playlist = new HeldPlaylist({
      clock: options.clock,
      budget: options.budget,
      targetDurationMs: () => this.#newest?.facts.targetDurationMs ?? 0,
    });
  }

  /** How long the next version takes: a part, or a segment where there are none. `undefined` before the first. */
  get intervalMs(): number | undefined {
    const facts = this.#newest?.facts;
    return facts === undefined ? undefined : (facts.partTargetMs ?? facts.targetDurationMs);
  }

  /** The answer if no upstream request and no wait is needed. */
  answerNow(directives: Directives | undefined): TailAnswer | undefined {
    const version = this.#usable();
    if (version === undefined) return undefined;
    const { stored, facts } = version;
    if (directives !== undefined && facts.canBlock) {
      const isListed = standingOf(version.reach, directives) === "listed";
      return isListed ? this.#answer(version, { directives, result: "hit" }) : undefined;
    }
    const isFresh = ageMsOf(stored, this.#nowMs()) < this.#newestMs(facts);
    return isFresh ? this.#answer(version, { directives: undefined, result: "hit" }) : undefined;
  }

  /**
   * Holds a request that a later version answers, and resolves with what `answer` makes of it in its turn; `undefined`
   * where more than a wait is needed: then {@link ask}.
   */
  hold<Answer>(directives: Directives, asker: TailAsker<Answer>): Promise<Answer> | undefined {
    const version = this.#usable();
    if (version?.facts.canBlock !== true || this.#recentFailure() !== undefined) return undefined;
    const isAhead = standingOf(version.reach, directives) === "ahead";
    return isAhead ? this.#wait(directives, asker) : undefined;
  }

  /** Answers as soon as can be. Never rejects. */
  async ask(directives: Directives | undefined, signal: AbortSignal): Promise<TailAnswer> {
    const now = this.answerNow(directives);
    if (now !== undefined) return now;
    let version = this.#usable();
    if (version === undefined || directives === undefined || !version.facts.canBlock) {
      const answer = await this.#refresh();
      version = this.#newest;
      const isAnswered = directives === undefined || version === undefined || !version.facts.canBlock;
      if (isAnswered || answer.status !== 200) return answer;
    }
    if (directives === undefined || version === undefined) return refused(503);
    const isFar = standingOf(version.reach, directives) === "far";
    if (isFar && !this.#isHolding) version = await this.#lookAgain(version);
    const standing = standingOf(version.reach, directives);
    if (standing === "listed") return this.#answer(version, { directives, result: "collapsed" });
    if (standing === "far") return refused(400);
    return (
      this.#recentFailure() ?? this.#wait(directives, { client: { signal }, answer: (answer) => answer })
    );
  }

  /** Fetches the playlist as it is now, once for all who ask meanwhile; a little staleness beats an error. */
  async #refresh(): Promise<TailAnswer> {
    const recent = this.#recentFailure();
    const part = this.#plainFill === undefined && recent === undefined ? "miss" : "collapsed";
    if (recent === undefined)
      this.#plainFill ??= this.#fetch("").finally(() => {
        this.#plainFill = undefined;
      });
    const failure = recent ?? (await this.#plainFill);
    const version = this.#newest;
    if (failure === undefined && version !== undefined) {
      return this.#answer(version, { directives: undefined, result: part });
    }
    if (version !== undefined && failure !== undefined && failure.status >= 500) {
      const staleMsMax = plainFreshMs(version.facts) + STALE_TARGETS * version.facts.targetDurationMs;
      if (ageMsOf(version.stored, this.#nowMs()) <= staleMsMax) {
        return this.#answer(version, { directives: undefined, result: "stale" });
      }
    }
    return failure ?? refused(502);
  }

  /** Before a refusal: perhaps the origin is ahead of what we have. */
  async #lookAgain(version: Version): Promise<Version> {
    if (ageMsOf(version.stored, this.#nowMs()) < REFUSE_AGE_MS_MAX) return version;
    await this.#refresh();
    return this.#newest ?? version;
  }

  #wait<Answer>(directives: Directives, { client, answer }: TailAsker<Answer>): Promise<Answer> {
    const result = this.#isHolding ? "collapsed" : "miss";
    const held = this.#playlist.hold(wantedPosition(directives), {
      client,
      answer: (outcome) => answer(this.#answerWaiter(outcome, { directives, result })),
    });
    if (!this.#isHolding) void this.#hold();
    return held;
  }

  #answerWaiter(
    outcome: HeldOutcome | TailAnswer,
    kind: { readonly directives: Directives; readonly result: TailAnswer["result"] },
  ): TailAnswer {
    if (typeof outcome === "object") return outcome;
    if (outcome === "full") return refused(503);
    const version = this.#newest;
    const isListed = version !== undefined && standingOf(version.reach, kind.directives) === "listed";
    return isListed ? this.#answer(version, kind) : errorAnswer(503);
  }

  /** Brings version after version while somebody waits. Ends all waiters on failure; never rejects. */
  async #hold(): Promise<void> {
    this.#isHolding = true;
    try {
      while (this.#playlist.waiting > 0 && this.#newest !== undefined) {
        const before = this.#versions;
        const { facts } = this.#newest;
        const fetching = this.#fetch(`?${nextQuery(facts)}`);
        // The playlist first: the origin answers in this order, and viewers wait for the playlist most.
        this.#followHint(facts);
        const failure = await fetching;
        if (failure !== undefined) this.#playlist.end(failure);
        else if (this.#versions === before) await this.#pause(facts);
      }
    } finally {
      this.#isHolding = false;
    }
  }

  /** Hints are written relative to the playlist; one that leads anywhere else than to media beside it is ignored. */
  #followHint({ hintedPart }: PlaylistFacts): void {
    const { path, onHint } = this.#options;
    if (hintedPart === undefined) return;
    const hinted = path.slice(0, path.lastIndexOf("/") + 1) + hintedPart;
    if (readTarget(hinted)?.kind === "media") onHint(hinted);
  }

  #recentFailure(): TailAnswer | undefined {
    const failure = this.#failure;
    return failure !== undefined && this.#nowMs() < failure.untilMs ? failure.answer : undefined;
  }

  /** Fetches one version and adopts it; a failure is returned as what its askers get, and remembered. */
  async #fetch(query: string): Promise<TailAnswer | undefined> {
    const answer = await this.#fetchVersion(query);
    this.#failure = answer === undefined ? undefined : { answer, untilMs: this.#nowMs() + FAILURE_MS };
    return answer;
  }

  async #fetchVersion(query: string): Promise<TailAnswer | undefined> {
    const { upstream, clock, path } = this.#options;
    const startMs = this.#nowMs();
    const facts = this.#newest?.facts;
    const holdMsMax =
      facts === undefined ? HOLD_MS_UNKNOWN : HOLD_TARGET_DURATIONS * facts.targetDurationMs + HOLD_MARGIN_MS;
    try {
      const answer = await fetchWithRetry({ upstream, clock, path: `${path}${query}`, holdMsMax });
      if (answer.status !== 200) return { ...errorAnswer(answer.status), stored: readStored(answer) };
      const text = new TextDecoder().decode(answer.body);
      const facts = readPlaylistFacts(text);
      if (facts === undefined) return errorAnswer(502);
      const stored = readStored(this.#rewritten(answer, text));
      this.#adopt({ stored, facts, reach: facts.reach }, startMs);
      return undefined;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      return errorAnswer(error.status === 504 ? 504 : 503);
    }
  }

  /** The upstream's answer with the text that viewers get; its tag is of that text. */
  #rewritten(answer: UpstreamAnswer, text: string): UpstreamAnswer {
    const { path, rewrite } = this.#options;
    const written = rewrite?.(text, path) ?? text;
    if (written === text) return answer;
    const body = new TextEncoder().encode(written);
    const headers = new Headers(answer.headers);
    headers.set("etag", `"${Bun.hash(body).toString(16)}"`);
    return { ...answer, headers, body };
  }

  /**
   * Takes a version as the newest. One that ends earlier than ours is late news if it was asked for before ours
   * arrived; asked for after, it means that the origin began anew, and ours is void.
   */
  #adopt(version: Version, askedMs: number): void {
    const current = this.#newest;
    if (current !== undefined) {
      const order = compareReach(version.reach, current.reach);
      if (order < 0 && askedMs <= current.stored.receivedMs) return;
      if (order !== 0) this.#versions++;
    } else {
      this.#versions++;
    }
    this.#playlist.publish(version);
    // Of a stream that is over, what they wait for will not come.
    if (!version.facts.canBlock) {
      this.#playlist.end(this.#answer(version, { directives: undefined, result: "collapsed" }));
    }
  }

  /**
   * How long a version is taken for the newest, milliseconds. While nobody waits for the next one, that comes by itself
   * only for those who ask plainly: to begin with a list of a second ago is to be a second late for good.
   */
  #newestMs(facts: PlaylistFacts): number {
    return this.#isHolding
      ? plainFreshMs(facts)
      : Math.min(plainFreshMs(facts), facts.partTargetMs ?? Infinity);
  }

  get #newest(): Version | undefined {
    return this.#playlist.newest;
  }

  #pause(facts: PlaylistFacts): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(facts.partTargetMs ?? UNCHANGED_PAUSE_MS, resolve);
    });
  }

  /** The newest version, unless it is older than any answer may be given out. */
  #usable(): Version | undefined {
    const version = this.#newest;
    if (version === undefined) return undefined;
    const ageMsMax = BLOCKING_FRESH_TARGETS * version.facts.targetDurationMs;
    return ageMsOf(version.stored, this.#nowMs()) < ageMsMax ? version : undefined;
  }

  #answer(
    { stored, facts }: Version,
    kind: { readonly directives: Directives | undefined; readonly result: TailAnswer["result"] },
  ): TailAnswer {
    const isHeld = kind.directives !== undefined && facts.canBlock;
    const freshMs = isHeld ? BLOCKING_FRESH_TARGETS * facts.targetDurationMs : plainFreshMs(facts);
    // The origin's own words where it set the same lifetime; both kinds of request share one stored version.
    const cacheControl =
      freshMsOf(stored.cacheControl) === freshMs ? stored.cacheControl : `max-age=${msToSeconds(freshMs)}`;
    return { status: 200, stored, cacheControl, result: kind.result };
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

/** Half a target duration in whole seconds, at least one (B.1). */
function plainFreshMs(facts: PlaylistFacts): number {
  return secondsToMs(Math.max(1, Math.floor(msToSeconds(facts.targetDurationMs) / 2)));
}

function refused(status: number): TailAnswer {
  return { status, cacheControl: "no-store", result: "refused" };
}

function errorAnswer(status: number): TailAnswer {
  return { status, cacheControl: "no-store", result: "error" };
}
