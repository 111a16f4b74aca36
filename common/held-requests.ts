/**
 * Requests that wait for something to be published: a blocking playlist reload, a hinted part. One room a playlist;
 * waking costs the same for each waiter however many there are, and goes out in slices, so that the first answer does
 * not wait until ten thousand promises are resolved.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload)
import type { Clock } from "#common/clock.ts";
import { DurationHistogram } from "#common/histogram.ts";

/**
 * How a wait ended. `ready`: what was asked for is published. `overdue`: not within the longest hold. `gone`: it will
 * not come, or the client has left. `full`: too many wait already.
 */
export type HeldOutcome = "ready" | "overdue" | "gone" | "full";

/** Waiters woken before others get their turn: small enough that answers flow from the start. */
const SLICE_WAITERS = 64;
/** Buckets of {@link HeldBudget.wakes}. */
const WAKE_BOUNDS_MS = [1, 2.5, 5, 10, 15, 25, 60, 100, 150, 200, 500];

/** Bounds the waiters of several rooms together. */
export class HeldBudget {
  readonly countMax: number;
  count = 0;
  /** Totals for metrics. */
  refused = 0;
  overdue = 0;
  /** From the publication of what they waited for until waiters were woken. */
  readonly wakes = new DurationHistogram(WAKE_BOUNDS_MS);

  constructor(countMax: number) {
    this.countMax = countMax;
  }
}

interface Waiter<Outcome> {
  readonly dueMs: number;
  /** Makes its answer and hands it over. */
  readonly end: (outcome: Outcome) => void;
}

interface Woken<Outcome> {
  readonly waiters: readonly Waiter<Outcome>[];
  readonly outcome: Outcome;
  readonly sinceMs: number;
  next: number;
}

/** How one request waits. */
export interface HoldOptions<Outcome, Answer> {
  readonly holdMsMax: number;
  /** Whoever waits, such as its request: one that leaves frees its place. The signal is looked at only where it has to wait. */
  readonly client: { readonly signal: AbortSignal };
  /**
   * Makes the answer, once: when it is this request's turn, so that it is on its way before the next slice is woken. What
   * it throws, the wait rejects with.
   */
  readonly answer: (outcome: Outcome) => Answer;
}

export interface HeldRequestsOptions {
  readonly clock: Clock;
  readonly budget: HeldBudget;
}

/**
 * The waiters of one playlist, by position: numbers that grow as things are published.
 *
 * @typeParam Ended what waiters may be told by {@link HeldRequests.end}
 */
export class HeldRequests<Ended = never> {
  readonly #clock: Clock;
  readonly #budget: HeldBudget;
  /** By position; within one, in the order of arrival. */
  readonly #waiting = new Map<number, Set<Waiter<HeldOutcome | Ended>>>();
  readonly #woken: Woken<HeldOutcome | Ended>[] = [];
  #count = 0;
  #published = Number.NEGATIVE_INFINITY;
  #cancelSweep: (() => void) | undefined;
  #sweepDueMs = Number.POSITIVE_INFINITY;

  constructor({ clock, budget }: HeldRequestsOptions) {
    this.#clock = clock;
    this.#budget = budget;
  }

  /** Requests that wait here. */
  get count(): number {
    return this.#count;
  }

  /** Waits until `position` is published, for `holdMsMax` at the longest, and resolves with what `answer` makes of it. */
  hold<Answer>(position: number, options: HoldOptions<HeldOutcome | Ended, Answer>): Promise<Answer> {
    const { holdMsMax, client, answer } = options;
    const refusal = this.#refusal(position);
    if (refusal !== undefined) return Promise.try(answer, refusal);
    const { signal } = client;
    if (signal.aborted) return Promise.try(answer, "gone" as const);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const waiter: Waiter<HeldOutcome | Ended> = {
      dueMs: this.#clock.monotonicMs() + holdMsMax,
      end(outcome) {
        try {
          resolve(answer(outcome));
        } catch (error) {
          reject(error);
        }
      },
    };
    let bucket = this.#waiting.get(position);
    if (bucket === undefined) this.#waiting.set(position, (bucket = new Set()));
    bucket.add(waiter);
    this.#budget.count++;
    this.#count++;
    const home = bucket;
    signal.addEventListener("abort", () => this.#leave(position, home, waiter));
    this.#sweepAt(waiter.dueMs);
    return promise;
  }

  /** Why a request need not or may not wait, if so. */
  #refusal(position: number): HeldOutcome | undefined {
    if (position <= this.#published) return "ready";
    if (this.#budget.count < this.#budget.countMax) return undefined;
    this.#budget.refused++;
    return "full";
  }

  /** Wakes everyone who waits for `position` or less. One that is lower than the one before wakes nobody. */
  publish(position: number): void {
    this.#published = position;
    for (const waited of this.#waiting.keys()) if (waited <= position) this.#release(waited, "ready");
  }

  /** Positions begin anew: whoever waits is told that it will not come. */
  reset(): void {
    this.#published = Number.NEGATIVE_INFINITY;
    this.giveUp(() => true);
  }

  /** Tells those who wait for a position that `isLost` is true of that it will not come. */
  giveUp(isLost: (position: number) => boolean): void {
    for (const waited of this.#waiting.keys()) if (isLost(waited)) this.#release(waited, "gone");
  }

  /** Tells everyone who waits the same, whatever was asked for. */
  end(ended: Ended): void {
    for (const waited of this.#waiting.keys()) this.#release(waited, ended);
  }

  /** Ends all waits and the timer. */
  close(): void {
    this.reset();
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
    this.#sweepDueMs = Number.POSITIVE_INFINITY;
  }

  #leave(
    position: number,
    bucket: Set<Waiter<HeldOutcome | Ended>>,
    waiter: Waiter<HeldOutcome | Ended>,
  ): void {
    if (!bucket.delete(waiter)) return;
    this.#budget.count--;
    this.#count--;
    if (bucket.size === 0 && this.#waiting.get(position) === bucket) this.#waiting.delete(position);
    waiter.end("gone");
  }

  #release(position: number, outcome: HeldOutcome | Ended): void {
    const bucket = this.#waiting.get(position);
    if (bucket === undefined) return;
    this.#waiting.delete(position);
    this.#wake([...bucket], outcome);
    bucket.clear();
  }

  #wake(waiters: readonly Waiter<HeldOutcome | Ended>[], outcome: HeldOutcome | Ended): void {
    this.#budget.count -= waiters.length;
    this.#count -= waiters.length;
    this.#woken.push({ waiters, outcome, sinceMs: this.#clock.monotonicMs(), next: 0 });
    // Not at once: whoever publishes goes on with the playlists beside this one first.
    if (this.#woken.length === 1) queueMicrotask(() => this.#wakeSlice());
  }

  #wakeSlice(): void {
    const woken = this.#woken[0];
    if (woken === undefined) return;
    const end = Math.min(woken.next + SLICE_WAITERS, woken.waiters.length);
    if (woken.outcome === "ready") {
      this.#budget.wakes.observe(this.#clock.monotonicMs() - woken.sinceMs, end - woken.next);
    }
    for (; woken.next < end; woken.next++) woken.waiters[woken.next]?.end(woken.outcome);
    if (woken.next === woken.waiters.length) this.#woken.shift();
    // A microtask, not a turn of the event loop: in that, those who have their answer ask again before others have theirs.
    if (this.#woken.length > 0) queueMicrotask(() => this.#wakeSlice());
  }

  #sweepAt(dueMs: number): void {
    if (dueMs >= this.#sweepDueMs) return;
    this.#cancelSweep?.();
    this.#sweepDueMs = dueMs;
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs());
    this.#cancelSweep = this.#clock.after(delayMs, () => this.#sweep());
  }

  /** Releases who has waited too long. All of a room hold equally long, so the first of each position are the oldest. */
  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#sweepDueMs = Number.POSITIVE_INFINITY;
    this.#cancelSweep = undefined;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [position, bucket] of this.#waiting) {
      const overdue: Waiter<HeldOutcome | Ended>[] = [];
      for (const waiter of bucket) {
        if (waiter.dueMs > nowMs) {
          nextMs = Math.min(nextMs, waiter.dueMs);
          break;
        }
        overdue.push(waiter);
      }
      for (const waiter of overdue) bucket.delete(waiter);
      if (bucket.size === 0) this.#waiting.delete(position);
      this.#budget.overdue += overdue.length;
      if (overdue.length > 0) this.#wake(overdue, "overdue");
    }
    if (nextMs !== Number.POSITIVE_INFINITY) this.#sweepAt(nextMs);
  }
}
