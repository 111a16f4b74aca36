/**
 * Keeps one video element playing one stream for days: opens the source, waits visibly while there is none, tries
 * again after failures and helps a picture that stands still. How a stream is decoded is an {@link Engine}'s
 * business, when to help is `watchdog.ts`'s.
 */
import type { Clock } from "#common/clock.ts";
import { secondsToMs } from "#common/units.ts";
import type { CreateEngine, Engine, EngineFailure } from "./engine.ts";
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

export class Player {
  readonly #options: PlayerOptions;
  #engine: Engine | undefined;
  #url = "";
  #status: PlayerStatus = { state: "waiting", reason: undefined };
  #isLive: boolean | undefined;
  #needsTap = false;
  #failures = 0;
  #lastStatus: number | undefined;
  /** When requests began to get no answer at all; `undefined` while they get one. */
  #silentSinceMs: number | undefined;
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

  /** When the frame on the screen was captured, by the origin's clock; `undefined` unless it plays. */
  captureMs(): number | undefined {
    return this.#status.state === "playing" ? this.#engine?.captureMs() : undefined;
  }

  /** Plays the multivariant playlist at `url` from now on. */
  open(url: string): void {
    this.#url = url;
    this.#failures = 0;
    this.#silentSinceMs = undefined;
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

  close(): void {
    this.#cancelTick?.();
    this.#cancelRetry?.();
    this.#engine?.close();
    this.#engine = undefined;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #createEngine(): Engine {
    const engine: Engine = this.#options.createEngine({
      // A closed engine may still say something; only the present one counts.
      onAnswer: () => this.#engine === engine && this.#onAnswer(),
      onTrouble: (status) => this.#engine === engine && this.#onTrouble(status),
      onFailure: (failure) => this.#engine === engine && this.#onFailure(failure),
    });
    return engine;
  }

  #onAnswer(): void {
    this.#silentSinceMs = undefined;
    this.#lastStatus = undefined;
  }

  #onTrouble(status: number): void {
    this.#lastStatus = status;
    if (status !== 0) this.#silentSinceMs = undefined;
    else this.#silentSinceMs ??= this.#nowMs();
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
