/**
 * When to capture: frame `index` is due at `start + index * 1000 / fps` on the monotonic clock, for ever, so nothing
 * adds up. Whoever comes late by whole frames does not queue them: their numbers are filled by the previous picture,
 * and the clock goes on with the frame that is due now. Runs inside the encoder's thread.
 */
import type { Clock } from "#common/clock.ts";
import { framesToMs, MILLISECONDS_PER_SECOND } from "#common/units.ts";

/** Further behind than this, filling would last too long: the run ends and another begins. */
export const BEHIND_MS_MAX = 5_000;

/** One number to fill. */
export interface Tick {
  /** Counts from 0 without holes. */
  readonly index: number;
  /** Never at index 0. True where its moment was missed: encode the previous picture again. */
  readonly isRepeat: boolean;
  /** How long after its due time the clock woke. */
  readonly lagMs: number;
}

export interface FrameClockOptions {
  readonly clock: Clock;
  readonly fps: number;
  /** Called for each index in order; may take its time, later ticks then come late. */
  readonly onTick: (tick: Tick) => void;
  /** Called once, instead of a tick, when more than {@link BEHIND_MS_MAX} behind; the clock has stopped. `missed` counts frames. */
  readonly onBehind: (missed: number) => void;
}

/** Ticks from {@link FrameClock.start} until {@link FrameClock.close}. */
export class FrameClock {
  readonly #options: FrameClockOptions;
  #startMs = 0;
  #nextIndex = 0;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: FrameClockOptions) {
    this.#options = options;
  }

  /** Begins with tick 0, at once. */
  start(): void {
    this.#startMs = this.#options.clock.monotonicMs();
    // One reading for both: had time passed between two, tick 0 would be a repeat of nothing.
    this.#wake(this.#startMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  #dueMs(index: number): number {
    return this.#startMs + framesToMs(index, this.#options.fps);
  }

  #wake(nowMs: number): void {
    const { fps, onTick, onBehind } = this.#options;
    // The newest index whose moment has come; less than the next one where the timer was early.
    const dueIndex = Math.floor(((nowMs - this.#startMs) * fps) / MILLISECONDS_PER_SECOND);
    if (nowMs - this.#dueMs(this.#nextIndex) > BEHIND_MS_MAX) {
      this.close();
      onBehind(dueIndex - this.#nextIndex + 1);
      return;
    }
    while (this.#nextIndex <= dueIndex && !this.#isClosed) {
      const index = this.#nextIndex++;
      onTick({ index, isRepeat: index < dueIndex, lagMs: nowMs - this.#dueMs(index) });
    }
    this.#sleep();
  }

  #sleep(): void {
    if (this.#isClosed) return;
    const { clock } = this.#options;
    // Whole milliseconds, rounded up: a timer that fires early would only be set again.
    const delayMs = Math.max(0, Math.ceil(this.#dueMs(this.#nextIndex) - clock.monotonicMs()));
    this.#cancel = clock.after(delayMs, () => this.#wake(clock.monotonicMs()));
  }
}
