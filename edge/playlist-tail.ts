/**
 * One media playlist at its live end, as viewers meet it: what the newest version answers is answered from memory, what
 * a later one will answer waits for it, and what nobody may ask is refused. `tail-loop.ts` brings the versions.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2, B.1, appendix C
import type { Directives } from "#common/delivery-directives.ts";
import type { HeldOutcome, HoldOptions } from "#common/held-requests.ts";
import { standingOf, wantedPosition } from "#common/playlist-reach.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";
import type { PlaylistFacts } from "./playlist-facts.ts";
import { readVersion, type TailVersion } from "./playlist-version.ts";
import {
  type Asked,
  answerWith,
  BLOCKING_FRESH_TARGETS,
  failed,
  plainFreshMs,
  refused,
  type TailAnswer,
} from "./tail-answer.ts";
import { TailLoop, type TailLoopOptions } from "./tail-loop.ts";
import type { TailRoom } from "./tail-memory.ts";
import { STALE_TARGETS } from "./tail-restart.ts";
import type { UpstreamAnswer } from "./upstream.ts";

/** A version that came longer ago is looked up again before a position is refused as too far. */
const REFUSE_SINCE_MS_MAX = 500;
/** The next part or segment may be this late before the newest version counts as old: in parts or segments (6.2.1). */
const LATE_INTERVALS = 1.5;

/** Who asks, and may have to wait. */
export type TailAsker<Answer> = Omit<HoldOptions<TailAnswer, Answer>, "holdMsMax">;

/** The live end of one playlist. */
export class PlaylistTail {
  readonly #options: TailLoopOptions;
  readonly #loop: TailLoop;

  constructor(options: TailLoopOptions) {
    this.#options = options;
    this.#loop = new TailLoop(options);
  }

  /** What the newest version says; `undefined` before the first. */
  get facts(): PlaylistFacts | undefined {
    return this.#loop.newest?.facts;
  }

  /** What its newest version takes. */
  get room(): TailRoom {
    return this.#options.room;
  }

  /** True while the newest version is kept the newest, because somebody watches. */
  get isRunning(): boolean {
    return this.#loop.isRunning;
  }

  /** How long ago the newest version came that was a new one, milliseconds. */
  get ageMs(): number {
    const sinceMs = this.#loop.newest?.sinceMs;
    return sinceMs === undefined ? 0 : Math.max(0, this.#nowMs() - sinceMs);
  }

  /** The answer if no upstream request and no wait is needed. */
  answerNow(asked: Asked): TailAnswer | undefined {
    this.#loop.touch();
    const version = this.#usable();
    if (version === undefined) return undefined;
    const { directives } = asked;
    const isThere =
      directives !== undefined && version.facts.canBlock
        ? standingOf(version.reach, directives) === "listed"
        : this.#isNewest(version);
    return isThere ? answerWith(version, { ...asked, result: "hit" }) : undefined;
  }

  /**
   * Holds a request that a later version answers, and resolves with what `answer` makes of it in its turn; `undefined`
   * where more than a wait is needed: then {@link ask}.
   */
  hold<Answer>(asked: Asked, asker: TailAsker<Answer>): Promise<Answer> | undefined {
    const version = this.#usable();
    const { directives } = asked;
    if (directives === undefined || version?.facts.canBlock !== true) return undefined;
    if (this.#loop.failure !== undefined) return undefined;
    const isAhead = standingOf(version.reach, directives) === "ahead";
    return isAhead ? this.#wait({ ...asked, directives }, asker) : undefined;
  }

  /** Answers as soon as can be: at the latest after the longest hold. Rejects by our own mistake only. */
  async ask(asked: Asked, signal: AbortSignal): Promise<TailAnswer> {
    const now = this.answerNow(asked);
    if (now !== undefined) return now;
    const { directives } = asked;
    const known = this.#usable();
    if (directives === undefined || known?.facts.canBlock !== true) {
      const answer = await this.#refresh(asked);
      const isAnswered = directives === undefined || this.#loop.newest?.facts.canBlock !== true;
      if (isAnswered || answer.status !== 200) return answer;
    }
    let version = this.#loop.newest;
    if (directives === undefined || version === undefined) return failed(503);
    if (standingOf(version.reach, directives) === "far") version = await this.#lookAgain(version);
    const standing = standingOf(version.reach, directives);
    if (standing === "listed") return answerWith(version, { ...asked, result: "collapsed" });
    const failure = this.#loop.failure;
    if (failure !== undefined) return failure;
    if (standing === "far" && !this.#isToldToAskAhead(version, directives)) return refused(400);
    return this.#wait({ ...asked, directives }, { client: { signal }, answer: (answer) => answer });
  }

  /** Takes over a version that was fetched without this tail, and follows it from now on; false where it cannot. */
  begin(answer: UpstreamAnswer): boolean {
    const version = readVersion(answer, this.#options.rewrite);
    if (version?.facts.canBlock !== true) return false;
    if (!this.#loop.adopt(version, answer.receivedMs)) return false;
    this.#loop.touch();
    return true;
  }

  /** Ends its loop and all waits for good. */
  close(): void {
    this.#loop.close();
  }

  /** Gets the playlist as it is now, once for all who ask meanwhile; a little staleness beats an error. */
  async #refresh(asked: Asked): Promise<TailAnswer> {
    const recent = this.#loop.plainFailure;
    const result = recent === undefined && !this.#loop.isRefreshing ? "miss" : "collapsed";
    const failure = recent ?? (await this.#loop.refresh());
    const version = this.#loop.newest;
    const plain = { ...asked, directives: undefined };
    if (failure === undefined && version !== undefined) return answerWith(version, { ...plain, result });
    if (version !== undefined && failure !== undefined && failure.status >= 500) {
      const { facts } = version;
      const staleMsMax = plainFreshMs(facts) + STALE_TARGETS * facts.targetDurationMs;
      if (version.ageMs(this.#nowMs()) <= staleMsMax) {
        const { forwarded = "unanswered" } = failure;
        return { ...answerWith(version, { ...plain, result: "stale" }), forwarded };
      }
    }
    return failure ?? failed(502);
  }

  /** Before a refusal: perhaps the origin is ahead of what we have. An `Age` that it came with is not younger the next time. */
  async #lookAgain(version: TailVersion): Promise<TailVersion> {
    const isNew = this.#nowMs() - version.whole.receivedMs < REFUSE_SINCE_MS_MAX;
    if (!isNew && this.#loop.failure === undefined) await this.#loop.refresh();
    return this.#loop.newest ?? version;
  }

  /** Players ask for as much more as the `Age` tells them that a playlist is behind (appendix C). */
  #isToldToAskAhead(version: TailVersion, directives: Directives): boolean {
    const { reach, facts } = version;
    const toldSeconds = Math.floor(msToSeconds(version.ageMs(this.#nowMs())));
    const segments = Math.ceil(secondsToMs(toldSeconds) / facts.targetDurationMs);
    const newest = { ...reach.newest, segmentNumber: reach.newest.segmentNumber + segments };
    const told = { ...reach, lastSegment: reach.lastSegment + segments, newest };
    return standingOf(told, directives) !== "far";
  }

  #wait<Answer>(
    asked: Asked & { readonly directives: Directives },
    { client, answer }: TailAsker<Answer>,
  ): Promise<Answer> {
    return this.#loop.playlist.hold(wantedPosition(asked.directives), {
      client,
      answer: (outcome) => answer(this.#answerWaiter(outcome, asked)),
    });
  }

  #answerWaiter(
    outcome: HeldOutcome | TailAnswer,
    asked: Asked & { readonly directives: Directives },
  ): TailAnswer {
    // A blocking reload is answered by what it asked for or by an error, never by a version from before.
    if (typeof outcome === "object") return outcome;
    if (outcome === "full") return refused(503);
    const version = this.#loop.newest;
    const isListed = version !== undefined && standingOf(version.reach, asked.directives) === "listed";
    return isListed ? answerWith(version, { ...asked, result: "collapsed" }) : failed(503);
  }

  /**
   * Whether a version is taken for the newest there is. While the loop runs it is until the next one is late, however old
   * an upstream that is an edge itself says it is. Nobody brings the next one while the loop rests, so that then a player
   * that joins looks: to begin with a list of a second ago is to be a second late for good.
   */
  #isNewest(version: TailVersion): boolean {
    const { facts } = version;
    const freshMs = plainFreshMs(facts);
    const { isRunning } = this.#loop;
    if (!isRunning) return version.ageMs(this.#nowMs()) < Math.min(freshMs, facts.partTargetMs ?? freshMs);
    const lateMs = LATE_INTERVALS * (facts.partTargetMs ?? facts.targetDurationMs);
    return this.#nowMs() - version.whole.receivedMs < Math.max(freshMs, lateMs);
  }

  /** The newest version, unless it is older than any answer may be given out. */
  #usable(): TailVersion | undefined {
    const version = this.#loop.newest;
    if (version === undefined) return undefined;
    const ageMsMax = BLOCKING_FRESH_TARGETS * version.facts.targetDurationMs;
    return version.ageMs(this.#nowMs()) < ageMsMax ? version : undefined;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
