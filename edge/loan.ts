/** One body that is lent: who has it. */

/** Borrowers remembered before each is looked at, and how many times those who are left before the next time: one who has not ended costs 2 us. */
const PRUNE_MIN = 64;
const PRUNE_FACTOR = 4;

/** True while a request has not been answered to its end. */
export type IsOpen = () => boolean;

/** The requests that one body in memory was lent to. */
export class Loan {
  /** Entries of the store that have the body: two, for a moment, where one is renewed. */
  holders = 0;
  /** What it takes, in bytes. Set while it is lent. */
  bytes = 0;
  /** Lent as it is to somebody, who cannot be let go. Set while it is lent. */
  isWhole = false;
  #borrowers: IsOpen[] = [];
  #pruneAt = PRUNE_MIN;

  add(isOpen: IsOpen): void {
    if (this.#borrowers.length >= this.#pruneAt) {
      this.#borrowers = this.#borrowers.filter((each) => each());
      this.#pruneAt = Math.max(PRUNE_MIN, PRUNE_FACTOR * this.#borrowers.length);
    }
    this.#borrowers.push(isOpen);
  }

  /** True while somebody has it. Forgets who has ended, the latest first, up to one who has not. */
  get isLent(): boolean {
    for (let last = this.#borrowers.at(-1); last !== undefined; last = this.#borrowers.at(-1)) {
      if (last()) return true;
      this.#borrowers.pop();
    }
    return false;
  }
}
