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
  /** Where the present measurement began. */
  #fromMs = 0;
  #fromNumber: number | undefined;

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

  /** A run begins. */
  onRun(): void {
    this.#latestMs = this.#clock.monotonicMs();
    this.#fromNumber = undefined;
  }

  /** A frame has come. */
  onFrame(number: number, fps: number): void {
    if (this.#isDone) return;
    const nowMs = this.#clock.monotonicMs();
    this.#latestMs = nowMs;
    if (this.#fromNumber === undefined) {
      this.#fromNumber = number;
      this.#fromMs = nowMs;
    }
    const passedMs = nowMs - this.#fromMs;
    if (passedMs < PACE_MS) return;
    this.#isDone = framesToMs(number - this.#fromNumber, fps) <= LIVE_PACE_MAX * passedMs;
    this.#fromNumber = number;
    this.#fromMs = nowMs;
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
