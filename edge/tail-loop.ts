/**
 * One upstream loop a playlist: it holds one request for the next version, adopts what comes, and asks again, as long as
 * somebody watches and a while longer. So what viewers ask for is in memory or on its way, and the upstream sees the same
 * requests whether one viewer watches or thousands. A playlist that does not block is looked at as the stream goes on.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload), 6.3.4 (reloading)
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "#common/clock.ts";
import { HeldPlaylist, HOLD_TARGET_DURATIONS } from "#common/held-playlist.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import { pause } from "#common/pause.ts";
import { secondsToMs } from "#common/units.ts";
import { compareReach, nextQuery, type PlaylistFacts } from "./playlist-facts.ts";
import { withDirectives } from "./playlist-key.ts";
import { type Keeper, readVersion, type Rewrite, type TailVersion } from "./playlist-version.ts";
import { FAILURE_MS, readStored } from "./stored.ts";
import { answerWith, ASKED_PLAIN, failed, type TailAnswer } from "./tail-answer.ts";
import type { TailRoom } from "./tail-memory.ts";
import { isNewRun } from "./tail-restart.ts";
import { UnexpectedStatusError, type UpstreamAnswer, UpstreamError } from "./upstream.ts";

/** How long a loop goes on after the last request of a viewer: in target durations, and at least. */
export const IDLE_TARGETS = 3;
export const IDLE_MS_MIN = secondsToMs(10);
/** Beyond the upstream's own hold, so that its 503 arrives before our timeout. */
const HOLD_MARGIN_MS = 2_000;
/** Before the first version is read: the longest hold that a first request could meet. */
const HOLD_MS_UNKNOWN = 8_000;
/** How long a plain request may take: the upstream has no reason to hold it. */
const PLAIN_MS_MIN = 2_000;
/** Pause before asking an upstream again that answered a held request with what we have. */
const UNCHANGED_PAUSE_MS = 200;
/** An upstream that has something new at each request is asked four times a part, or segment, and not more often. */
const REQUEST_SHARE = 1 / 4;
const REQUEST_MS_MIN = 10;
/** Where nothing is held: how far before the next segment is due the looking begins, in shares of a segment. */
const POLL_SHARE = 1 / 8;

/** What they get who waited for the next version when there will be none. */
const ENDED = { ...ASKED_PLAIN, result: "collapsed" } as const;

interface Failure {
  readonly answer: TailAnswer;
  readonly untilMs: number;
  /** True where the playlist was asked for as it is. */
  readonly isPlain: boolean;
}

/** How asking for a version ended. */
interface Step {
  readonly isChanged: boolean;
  readonly failure: TailAnswer | undefined;
}

type Fetched =
  | { readonly version: TailVersion; readonly failure?: undefined; readonly isOther?: undefined }
  | { readonly version?: undefined; readonly failure: TailAnswer; readonly isOther?: boolean };

/** Fetches a playlist whole; may ask twice. Rejects with {@link UpstreamError}. */
export type FetchPlaylist = (key: string, holdMsMax: number) => Promise<UpstreamAnswer>;

export interface TailLoopOptions {
  /** Path and content parameters of the playlist. */
  readonly key: string;
  readonly fetch: FetchPlaylist;
  readonly clock: Clock;
  /** Bounds those who wait, of all playlists together. */
  readonly budget: HeldBudget;
  /** Where its newest version is counted, … */
  readonly room: TailRoom;
  /** … and one before it that is still being sent. */
  readonly keeper: Keeper;
  /** Told of each version, while somebody watches, once the request for the next one is on its way. */
  readonly onVersion: (facts: PlaylistFacts) => void;
  readonly rewrite?: Rewrite | undefined;
  /** Told that the upstream has something else now in the playlist's place: a page, a redirect, a refusal. */
  readonly onOther?: (() => void) | undefined;
}

/** Statuses that say that there is no playlist, which may come back: an origin that begins anew. */
const ABSENT_STATUSES = new Set([404, 410]);

/** How long an upstream may hold a request for what is next in a playlist, and some. */
export function holdMsMaxOf(facts: PlaylistFacts | undefined): number {
  return facts === undefined
    ? HOLD_MS_UNKNOWN
    : HOLD_TARGET_DURATIONS * facts.targetDurationMs + HOLD_MARGIN_MS;
}

export class TailLoop {
  /** The newest version, and those who wait for a later one; a failure is told them by the answer that they get. */
  readonly playlist: HeldPlaylist<TailVersion, TailAnswer>;
  readonly #options: TailLoopOptions;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** When the newest held request was sent. */
  #heldMs = Number.NEGATIVE_INFINITY;
  #isRunning = false;
  /** True of a loop that has looked what came before it began. */
  #isCaughtUp = false;
  readonly #closing = new AbortController();
  #plainFill: Promise<TailAnswer | undefined> | undefined;
  /** Versions adopted that reach further or less far than the one before. */
  #versions = 0;
  #followed: TailVersion | undefined;
  /** The newest failure and until when it is the answer to all: the upstream is not asked once per viewer. */
  #failure: Failure | undefined;

  constructor(options: TailLoopOptions) {
    this.#options = options;
    this.playlist = new HeldPlaylist({
      clock: options.clock,
      budget: options.budget,
      targetDurationMs: () => this.newest?.facts.targetDurationMs ?? 0,
    });
  }

  get newest(): TailVersion | undefined {
    return this.playlist.newest;
  }

  /** True while the newest version is kept the newest. */
  get isRunning(): boolean {
    return this.#isCaughtUp;
  }

  /** True while a plain request is under way. */
  get isRefreshing(): boolean {
    return this.#plainFill !== undefined;
  }

  /** A failure of a moment ago: what everybody gets whose reload would have to wait. */
  get failure(): TailAnswer | undefined {
    const failure = this.#failure;
    return failure !== undefined && this.#nowMs() < failure.untilMs ? failure.answer : undefined;
  }

  /** The same for those who want the playlist as it is: that nothing new came in time is none. */
  get plainFailure(): TailAnswer | undefined {
    return this.#failure?.isPlain === true ? this.failure : undefined;
  }

  /** Somebody asks: begins the loop if there is something to follow, or keeps it going. */
  touch(): void {
    this.#askedMs = this.#nowMs();
    if (!this.#isRunning && this.#isWatched()) void this.#run();
  }

  /** Fetches the playlist as it is now, once for all who want it meanwhile. Resolves with the failure, if it is one. */
  refresh(): Promise<TailAnswer | undefined> {
    this.#plainFill ??= this.#fetch("").finally(() => {
      this.#plainFill = undefined;
    });
    return this.#plainFill;
  }

  /**
   * Takes a version as the newest, unless it is late news: one that ends earlier than ours and was asked for before ours
   * arrived, or comes from an upstream that lags a little behind another. False where there is no room for it.
   */
  adopt(version: TailVersion, askedMs: number): boolean {
    if (this.#closing.signal.aborted) return true;
    const current = this.newest;
    const order = current === undefined ? 1 : compareReach(version.reach, current.reach);
    const isBack = current !== undefined && order < 0;
    if (isBack && askedMs <= current.whole.receivedMs) return true;
    if (isBack && !isNewRun(version.facts, current.facts, current.ageMs(this.#nowMs()))) return true;
    if (!this.#options.room.fit(version.bytes(this.#options.key))) return false;
    if (order !== 0) this.#versions++;
    this.#failure = undefined;
    const newest = order === 0 && current !== undefined ? version.since(current) : version;
    newest.keep(this.#options.keeper);
    this.playlist.publish(newest);
    current?.letGo();
    // Of a stream that is over, or holds no requests any more, what they wait for will not come.
    if (!version.facts.canBlock) this.playlist.end(answerWith(version, ENDED));
    if (!this.#isRunning && this.#isWatched()) void this.#run();
    return true;
  }

  /** Ends the loop and all waits for good. */
  close(): void {
    this.#closing.abort();
    this.#options.room.close();
    this.newest?.letGo();
    this.playlist.close();
  }

  /**
   * Brings version after version while somebody watches. What fails is told to those who wait, and tried again. Rejects
   * by our own mistake only.
   */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      const failure = await this.#catchUp();
      this.#isCaughtUp = true;
      // Where nothing is held, it is not known yet when segments come: as if the newest had been there for a while.
      let last: Step = { isChanged: this.newest?.facts.canBlock === true, failure };
      while (this.#isWatched()) last = await this.#step(last);
    } finally {
      this.#isRunning = false;
      this.#isCaughtUp = false;
    }
  }

  /** A loop that begins again looks what has come since, as the viewer does who began it. */
  async #catchUp(): Promise<TailAnswer | undefined> {
    const version = this.newest;
    if (version === undefined) return undefined;
    const { facts, whole } = version;
    const isNew = this.#nowMs() - whole.receivedMs <= (facts.partTargetMs ?? facts.targetDurationMs);
    const failure = isNew ? undefined : await this.refresh();
    if (failure !== undefined) this.playlist.end(failure);
    return failure;
  }

  async #step(last: Step): Promise<Step> {
    // Those who waited first: their answers are written before anything more is asked for.
    await nextTurn();
    if (!this.#isWatched()) return last;
    const before = this.#versions;
    const pauseMs = this.#pauseMs(last);
    if (pauseMs > 0) {
      this.#follow();
      await pause(this.#options.clock, pauseMs, this.#closing.signal);
      if (!this.#isWatched()) return last;
    }
    // The playlist first: an origin answers in this order, and viewers wait for the playlist most.
    const next = this.#next(last.failure !== undefined);
    this.#follow();
    const failure = await next;
    if (failure !== undefined) this.playlist.end(failure);
    return { isChanged: this.#versions !== before, failure };
  }

  #isWatched(): boolean {
    const facts = this.newest?.facts;
    if (this.#closing.signal.aborted || facts === undefined || facts.isEnded) return false;
    const idleMs = Math.max(IDLE_MS_MIN, IDLE_TARGETS * facts.targetDurationMs);
    return this.playlist.waiting > 0 || this.#nowMs() - this.#askedMs < idleMs;
  }

  /** How long to wait before the upstream is asked for the version after the newest. */
  #pauseMs(last: Step): number {
    const version = this.newest;
    if (last.failure !== undefined || version === undefined) return FAILURE_MS;
    const { facts } = version;
    if (facts.canBlock) {
      if (!last.isChanged) return facts.partTargetMs ?? UNCHANGED_PAUSE_MS;
      const intervalMs = REQUEST_SHARE * (facts.partTargetMs ?? facts.targetDurationMs);
      return Math.max(0, this.#heldMs + Math.max(REQUEST_MS_MIN, intervalMs) - this.#nowMs());
    }
    const segmentMs = facts.media.segments.at(-1)?.durationMs ?? facts.targetDurationMs;
    const dueMs = (1 - POLL_SHARE) * segmentMs - version.ageMs(this.#nowMs());
    return Math.max(UNCHANGED_PAUSE_MS, last.isChanged ? dueMs : POLL_SHARE * segmentMs);
  }

  /** Asks for the next version: held, where we are up to date and the upstream holds. */
  async #next(hasFailed: boolean): Promise<TailAnswer | undefined> {
    const facts = this.newest?.facts;
    if (facts?.canBlock !== true || hasFailed) return this.refresh();
    this.#heldMs = this.#nowMs();
    const failure = await this.#fetch(nextQuery(facts));
    // Too far ahead, or unknown: perhaps the upstream began anew.
    return failure !== undefined && failure.status < 500 ? this.refresh() : failure;
  }

  #follow(): void {
    const version = this.newest;
    if (version === undefined || version === this.#followed) return;
    this.#followed = version;
    this.#options.onVersion(version.facts);
  }

  /** Fetches one version and adopts it. A failure is remembered and returned as what its askers get. */
  async #fetch(directives: string): Promise<TailAnswer | undefined> {
    const askedMs = this.#nowMs();
    const { version, failure = failed(503), isOther } = await this.#fetchVersion(directives);
    if (version !== undefined && this.adopt(version, askedMs)) return undefined;
    if (directives === "" && isOther === true) this.#options.onOther?.();
    // A position that an upstream refuses says nothing about the playlist.
    if (directives === "" || failure.status >= 500) {
      const untilMs = this.#nowMs() + FAILURE_MS;
      this.#failure = { answer: failure, untilMs, isPlain: directives === "" };
    }
    return failure;
  }

  async #fetchVersion(directives: string): Promise<Fetched> {
    const { key, fetch, rewrite } = this.#options;
    try {
      const answer = await fetch(withDirectives(key, directives), this.#timeoutMs(directives));
      if (answer.status >= 500) return { failure: failed(503, answer.status) };
      if (answer.status !== 200) {
        const isOther = !ABSENT_STATUSES.has(answer.status);
        return { failure: { ...failed(answer.status, answer.status), stored: readStored(answer) }, isOther };
      }
      const version = readVersion(answer, rewrite);
      return version === undefined ? { failure: failed(502, answer.status), isOther: true } : { version };
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const isOther = error instanceof UnexpectedStatusError;
      return { failure: failed(error.status === 504 ? 504 : 503), isOther };
    }
  }

  #timeoutMs(directives: string): number {
    const facts = this.newest?.facts;
    if (facts === undefined || directives !== "") return holdMsMaxOf(facts);
    return Math.max(PLAIN_MS_MIN, facts.targetDurationMs);
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
