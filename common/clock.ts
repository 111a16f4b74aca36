/**
 * Time as an argument: everything that waits or dates something takes a {@link Clock}, so that tests move
 * time by hand and five days pass in a millisecond.
 */

/** A source of time. Both readings are in milliseconds and may have a fraction. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. May step when the system's clock is set. */
  wallMs(): number;
  /**
   * Milliseconds since an arbitrary start. Never steps, never goes back: use it for durations. To be compared with
   * another thread's only where one of both clocks is {@link clockInStep}.
   */
  monotonicMs(): number;
  /** Calls `callback` once, not before `delayMs` have passed. Returns a function that cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** When this thread's `performance.now()` began. Read once: the getter costs as much as the clock itself. */
const originMs = performance.timeOrigin;

/** The machine's own clock, of this thread: `performance.now()` begins anew in each. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => originMs + performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Both readings of a clock at one moment. Passes through `postMessage`. */
export interface ClockReading {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** The readings of now, for a thread that is started next: {@link clockInStep}. */
export function readClock(clock: Clock): ClockReading {
  return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
}

/**
 * The machine's clock in step with that of the thread which started this one: monotonic readings of both are the same
 * to about a millisecond, however the wall clock was set before or is set later. Only a step in the milliseconds
 * between the reading and this thread's beginning would part them.
 *
 * @param reading of the other thread, right before it started this one
 * @param beganMs when this thread began, by the wall clock
 */
export function clockInStep(reading: ClockReading, beganMs = performance.timeOrigin): Clock {
  const startMs = reading.monotonicMs + beganMs - reading.wallMs;
  return { ...systemClock, monotonicMs: () => startMs + performance.now() };
}

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

/** Calls `action` every `periodMs` until the function returned is called. */
export function every(clock: Clock, periodMs: number, action: () => void): () => void {
  let cancel: () => void;
  const schedule = (): void => {
    cancel = clock.after(periodMs, () => {
      action();
      schedule();
    });
  };
  schedule();
  return () => cancel();
}
