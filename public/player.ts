/**
 * Keeps one video element playing one stream for days: opens the source, waits visibly while there is none, tries
 * again after failures and helps a picture that stands still. How a stream is decoded is an {@link Engine}'s
 * business, when to help is `watchdog.ts`'s.
 */
import type { Clock } from "#common/clock.ts";
import { secondsToMs } from "#common/units.ts";
import type { CreateEngine, Engine, EngineAnswer, EngineFailure } from "./engine.ts";
import { retryDelayMs } from "./retry.ts";
import { nextStep, stateOf, type PlayerState } from "./watchdog.ts";

/** Why there is no picture: nobody streams, the edge does not answer, or the browser wants a tap first. */
export type WaitingReason = "no-stream" | "no-answer" | "needs-tap";

export interface PlayerStatus {
  readonly state: PlayerState;
  /** Of state `waiting`, where it is known. */
  readonly reason: WaitingReason | undefined;
}

/** The parts of a video element that the player looks at. */
export type PlayerVideo = Pick<HTMLVideoElement, "currentTime" | "paused" | "play">;

export interface PlayerOptions {
  readonly video: PlayerVideo;
  readonly createEngine: CreateEngine;
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  readonly isHidden: () => boolean;
  /** Called whenever the status has changed. */
  readonly onStatus: (status: PlayerStatus) => void;
}

/** How often the picture is looked at. */
const TICK_MS = 250;
/** One step alone may be a nudge of hls.js at a picture that stands still. */
const MOVES_MIN = 2;
/** Media time to clock time above which a movement was a seek. */
const MOVE_RATE_MAX = 2;
/** A second media failure within this time of the first is not answered by rebuilding the decoder alone. */
const MEDIA_FAILURE_MS = 5_000;
/** How far trouble counts back to the last answer. Not further: a computer that slept has not listened either. */
const SILENCE_CREDIT_MS = 4_000;
/** Statuses from here on are a server's own failure (RFC 9110 15.6): an edge without its origin. */
const SERVER_FAILURE = 500;

export class Player {
  readonly #options: PlayerOptions;
  #engine: Engine | undefined;
  #url = "";
  #status: PlayerStatus = { state: "waiting", reason: undefined };
  #isLive: boolean | undefined;
  #needsTap = false;
  #failures = 0;
  #lastStatus: number | undefined;
  /** Since when no request has got any answer; `undefined` while they get one. */
  #silentSinceMs: number | undefined;
  /** Since when none has got the stream, but a server's failure or no answer; `undefined` while they get it. */
  #failingSinceMs: number | undefined;
  /** When the last answer of any kind came, and the last that was neither failure nor silence of the server. */
  #answeredMs = Number.NEGATIVE_INFINITY;
  #streamedMs = Number.NEGATIVE_INFINITY;
  #cancelRetry: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;
  #lastTime = 0;
  #lastTickMs = 0;
  /** Ticks in a row at which the picture had moved. */
  #moves = 0;
  #movedMs = 0;
  /** Standing still is forgiven up to here. */
  #excusedMs = Number.NEGATIVE_INFINITY;
  #hasPlayed = false;
  #steps = 0;
  #stepMs = Number.NEGATIVE_INFINITY;
  #mediaFailureMs = Number.NEGATIVE_INFINITY;

  constructor(options: PlayerOptions) {
    this.#options = options;
  }

  get status(): PlayerStatus {
    return this.#status;
  }

  /** How long no request for the stream has got any answer, in milliseconds; 0 while they get one. */
  get silentMs(): number {
    return this.#silentSinceMs === undefined ? 0 : this.#nowMs() - this.#silentSinceMs;
  }

  /** How long requests for the stream have met a failing server (5xx) or none, in milliseconds; else 0. */
  get failingMs(): number {
    return this.#failingSinceMs === undefined ? 0 : this.#nowMs() - this.#failingSinceMs;
  }

  /** When the frame on the screen was captured, by the origin's clock; `undefined` unless it plays. */
  captureMs(): number | undefined {
    return this.#status.state === "playing" ? this.#engine?.captureMs() : undefined;
  }

  /** Plays the multivariant playlist at `url` from now on. */
  open(url: string): void {
    this.#url = url;
    this.#failures = 0;
    this.#steps = 0;
    this.#silentSinceMs = undefined;
    this.#failingSinceMs = undefined;
    this.#answeredMs = this.#nowMs();
    this.#streamedMs = this.#answeredMs;
    this.#recreate();
    if (this.#cancelTick === undefined) this.#scheduleTick();
  }

  /** What the origin says about the stream: whether frames arrive, `undefined` where nothing is known. */
  setLive(isLive: boolean | undefined): void {
    // The time without frames is no reason to lose patience with the player once they are back.
    if (this.#isLive === false && isLive !== false) this.#excusedMs = this.#nowMs();
    this.#isLive = isLive;
  }

  /** The viewer tapped or came back to the tab: play, and forgive the time that nobody looked. */
  wake(): void {
    this.#needsTap = false;
    this.#excusedMs = this.#nowMs();
    this.#play();
  }

  /** Lets go of the source. {@link open} begins anew. */
  close(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#engine?.close();
    this.#engine = undefined;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #createEngine(): Engine {
    const engine: Engine = this.#options.createEngine({
      // A closed engine may still say something; only the present one counts.
      onAnswer: (answer) => this.#engine === engine && this.#onAnswer(answer),
      onTrouble: (status) => this.#engine === engine && this.#onTrouble(status),
      onFailure: (failure) => this.#engine === engine && this.#onFailure(failure),
    });
    return engine;
  }

  #onAnswer(answer: EngineAnswer): void {
    this.#silentSinceMs = undefined;
    this.#answeredMs = this.#nowMs();
    this.#lastStatus = undefined;
    if (answer !== "stream") return;
    this.#failingSinceMs = undefined;
    this.#streamedMs = this.#answeredMs;
  }

  #onTrouble(status: number): void {
    this.#lastStatus = status;
    // Both count from the last answer, not from the trouble: a request that timed out had been silent all the time.
    const creditMs = this.#nowMs() - SILENCE_CREDIT_MS;
    if (status === 0) this.#silentSinceMs ??= Math.max(this.#answeredMs, creditMs);
    else {
      this.#silentSinceMs = undefined;
      this.#answeredMs = this.#nowMs();
    }
    if (status === 0 || status >= SERVER_FAILURE)
      this.#failingSinceMs ??= Math.max(this.#streamedMs, creditMs);
    else {
      this.#failingSinceMs = undefined;
      this.#streamedMs = this.#nowMs();
    }
  }

  #onFailure({ kind, status }: EngineFailure): void {
    if (kind === "network") {
      this.#onTrouble(status);
      this.#retry();
      return;
    }
    const nowMs = this.#nowMs();
    const isFirst = nowMs - this.#mediaFailureMs > MEDIA_FAILURE_MS;
    this.#mediaFailureMs = nowMs;
    if (kind === "media" && isFirst) this.#engine?.recoverMedia();
    else this.#retry();
  }

  /** Opens the source again after a while. While that is waiting, further failures change nothing. */
  #retry(): void {
    if (this.#cancelRetry !== undefined) return;
    this.#failures += 1;
    this.#hasPlayed = false;
    const { clock, random } = this.#options;
    const delayMs = retryDelayMs({ failures: this.#failures, random: random() });
    this.#cancelRetry = clock.after(delayMs, () => this.#recreate());
    this.#publish();
  }

  /** A new engine each time: one that has met a failure remembers fragments of the source it lost. */
  #recreate(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#engine?.close();
    this.#hasPlayed = false;
    this.#moves = 0;
    this.#movedMs = this.#nowMs();
    this.#engine = this.#createEngine();
    this.#engine.load(this.#url);
    this.#publish();
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#options.clock.after(TICK_MS, () => {
      this.#tick();
      this.#scheduleTick();
    });
  }

  #tick(): void {
    const { video, isHidden } = this.#options;
    const nowMs = this.#nowMs();
    this.#moves = this.#hasMoved(nowMs) ? this.#moves + 1 : 0;
    if (this.#moves >= MOVES_MIN) {
      this.#movedMs = nowMs;
      this.#hasPlayed = true;
      this.#steps = 0;
      this.#failures = 0;
    }
    if (this.#cancelRetry === undefined) this.#help(nowMs);
    if (video.paused && !isHidden() && !this.#needsTap) this.#play();
    this.#publish();
  }

  /** Whether the picture moved on since the last tick, and no further than by playing: a seek is no movement. */
  #hasMoved(nowMs: number): boolean {
    const playedMs = secondsToMs(this.#options.video.currentTime - this.#lastTime);
    const elapsedMs = nowMs - this.#lastTickMs;
    this.#lastTime = this.#options.video.currentTime;
    this.#lastTickMs = nowMs;
    return playedMs > 0 && playedMs < MOVE_RATE_MAX * elapsedMs + TICK_MS;
  }

  #help(nowMs: number): void {
    const step = nextStep({
      stillMs: nowMs - Math.max(this.#movedMs, this.#excusedMs),
      hasPlayed: this.#hasPlayed,
      stepsTaken: this.#steps,
      sinceStepMs: nowMs - this.#stepMs,
      behindSeconds: this.#engine?.behindSeconds(),
      isLive: this.#isLive,
      isHidden: this.#options.isHidden(),
    });
    if (step === "none") return;
    this.#steps += 1;
    this.#stepMs = nowMs;
    if (step === "jump") this.#engine?.jumpToLive();
    else this.#recreate();
  }

  #play(): void {
    this.#options.video.play().then(
      () => {
        this.#needsTap = false;
      },
      (error: unknown) => {
        // Any other failure (no data yet, replaced source) passes by itself.
        if (error instanceof Error && error.name === "NotAllowedError") this.#needsTap = true;
      },
    );
  }

  #publish(): void {
    const state = stateOf({ stillMs: this.#nowMs() - this.#movedMs, hasPlayed: this.#hasPlayed });
    const reason = state === "waiting" ? this.#reason() : undefined;
    if (state === this.#status.state && reason === this.#status.reason) return;
    this.#status = { state, reason };
    this.#options.onStatus(this.#status);
  }

  #reason(): WaitingReason | undefined {
    if (this.#lastStatus === 0) return "no-answer";
    if (this.#lastStatus !== undefined || this.#isLive === false) return "no-stream";
    return this.#needsTap ? "needs-tap" : undefined;
  }
}
