/**
 * Those who wait for one fill. They are answered in slices: for each the answer is made and the runtime writes it before
 * the next slice's turn, so that the first of thousands does not wait until the last is made.
 */

/** Waiters answered before others get their turn; see `common/held-requests.ts`. */
const SLICE_WAITERS = 64;

/** One who waits. */
export interface FillWaiter {
  /** False for those who joined a fill that another one began. */
  readonly isFirst: boolean;
  /** Hands over an answer, a failure or the way elsewhere, whatever holds now. Called once. */
  readonly end: () => void;
}

/** A line of waiters. */
export class FillLine {
  readonly #waiters = new Set<FillWaiter>();

  add(waiter: FillWaiter): void {
    this.#waiters.add(waiter);
  }

  /** Takes out one who has left; false where it has had its turn. */
  delete(waiter: FillWaiter): boolean {
    return this.#waiters.delete(waiter);
  }

  /** Ends the wait of all. */
  wakeAll(): void {
    this.#wake([...this.#waiters]);
  }

  /** Ends the wait of those who only joined. */
  wakeJoined(): void {
    this.#wake([...this.#waiters].filter(({ isFirst }) => !isFirst));
  }

  #wake(woken: readonly FillWaiter[], from = 0): void {
    for (const waiter of woken.slice(from, from + SLICE_WAITERS)) {
      if (this.#waiters.delete(waiter)) waiter.end();
    }
    const next = from + SLICE_WAITERS;
    if (next < woken.length) queueMicrotask(() => this.#wake(woken, next));
  }
}
