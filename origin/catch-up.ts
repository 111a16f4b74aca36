/**
 * Knows when an origin that has just started is through the history that a source sends first. Until then its playlists
 * would show viewers a stream of a minute ago: sequence numbers would go back, and what they ask for be refused.
 */
import type { Clock } from "#common/clock.ts";
import { framesToMs } from "#common/units.ts";

/** Frames that come no faster than this, measured against their own duration, are no history. */
const LIVE_PACE_MAX = 1.25;
/** Over so long the pace is measured; and so long after the latest frame nothing more is waited for. */
const PACE_MS = 1_000;
const SILENCE_MS_MAX = 2_000;

/** Caught up at the first figures after the first run: a source sends them behind its history. Or else by the pace. */
export class CatchUp {
  readonly #clock: Clock;
  #isDone = false;
  #latestMs: number | undefined;
  /** When the latest frame came. */
  #frameMs: number | undefined;
  /** Of the present measurement: how long frames were coming, and how long they are shown. */
  #passedMs = 0;
  #shownMs = 0;
  /** Of the latest frame of the present run. */
  #number: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False before the first run, and until its history is read. */
  get isDone(): boolean {
    if (!this.#isDone && this.#latestMs !== undefined) {
      this.#isDone = this.#clock.monotonicMs() - this.#latestMs >= SILENCE_MS_MAX;
    }
    return this.#isDone;
  }

  /** A run begins. What it took to come says nothing of the pace, and its numbers go on from no others. */
  onRun(): void {
    this.#latestMs = this.#clock.monotonicMs();
    this.#number = undefined;
  }

  /** A frame has come. Runs may be as short as that. */
  onFrame(number: number, fps: number): void {
    if (this.#isDone) return;
    const nowMs = this.#clock.monotonicMs();
    if (this.#frameMs !== undefined) {
      const sinceMs = nowMs - this.#frameMs;
      const shownMs = framesToMs(number - (this.#number ?? number - 1), fps);
      this.#passedMs += this.#number === undefined ? Math.min(sinceMs, shownMs) : sinceMs;
      this.#shownMs += shownMs;
    }
    this.#latestMs = nowMs;
    this.#frameMs = nowMs;
    this.#number = number;
    if (this.#passedMs < PACE_MS) return;
    this.#isDone = this.#shownMs <= LIVE_PACE_MAX * this.#passedMs;
    this.#passedMs = 0;
    this.#shownMs = 0;
  }

  /** No more will come. */
  onEnd(): void {
    this.#isDone = true;
  }

  /** Figures have come. */
  onFigures(): void {
    if (this.#latestMs !== undefined) this.#isDone = true;
  }
}
