/**
 * Time as an argument: everything that waits or dates something takes a {@link Clock}, so that tests move
 * time by hand and five days pass in a millisecond.
 */

/** A source of time. Both readings are in milliseconds and may have a fraction. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. May step when the system's clock is set. */
  wallMs(): number;
  /** Milliseconds since an arbitrary start, the same in all threads. Never steps, never goes back: use it for durations. */
  monotonicMs(): number;
  /** Calls `callback` once, not before `delayMs` have passed. Returns a function that cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/**
 * The machine's own clock. `performance.now()` begins anew in each thread, hence the thread's beginning: a step of the
 * wall clock between the beginnings of two threads parts their readings by as much.
 */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.timeOrigin + performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock for tests that moves only by {@link FakeClock.advance}. */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #timers = new Set<Timer>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Moves time on by `byMs`, calling each timer at its own moment, earliest first. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers) {
        if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
      }
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
    }
    this.#nowMs = endMs;
  }
}
