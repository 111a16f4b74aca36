/**
 * A mutex between threads in one word of shared memory, for critical sections of less than a microsecond: those that
 * find it taken spin for a moment, then sleep (the futex mutex of Drepper's "Futexes Are Tricky", with the owner in the
 * word so that the lock of a thread that died can be given back). Uncontended it costs two atomic instructions.
 */

/** Set in the word while somebody sleeps or is about to. */
const CONTENDED = 1 << 30;
/** Attempts before sleeping: longer than a critical section takes, far shorter than putting a thread to sleep. */
const SPINS = 200;
/** A sleeper looks again after this long, whatever happens: the owner may have died without waking it. */
const SLEEP_MS = 10;

export class SharedLock {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #owner: number;

  /**
   * @param words words of shared memory
   * @param index the word of the lock: 0 is free
   * @param thread who locks: a whole number from 0, unique among the threads of the process
   */
  constructor(words: Int32Array, index: number, thread: number) {
    this.#words = words;
    this.#index = index;
    this.#owner = thread + 1;
  }

  /** Waits until it is free and takes it. Not reentrant. */
  lock(): void {
    if (Atomics.compareExchange(this.#words, this.#index, 0, this.#owner) !== 0) this.#lockSlowly();
  }

  unlock(): void {
    const word = Atomics.exchange(this.#words, this.#index, 0);
    if ((word & CONTENDED) !== 0) Atomics.notify(this.#words, this.#index, 1);
  }

  /** True while a thread has it. Where that thread is gone, nobody else can get it before {@link releaseOf}. */
  isHeldBy(thread: number): boolean {
    return (Atomics.load(this.#words, this.#index) & ~CONTENDED) === thread + 1;
  }

  /** Gives back the lock of a thread that is gone, if it had it: what the lock guards has to be put right before. */
  releaseOf(thread: number): boolean {
    if (!this.isHeldBy(thread)) return false;
    this.unlock();
    return true;
  }

  #lockSlowly(): void {
    for (let spin = 0; spin < SPINS; spin += 1) {
      if (
        Atomics.load(this.#words, this.#index) === 0 &&
        Atomics.compareExchange(this.#words, this.#index, 0, this.#owner) === 0
      ) {
        return;
      }
    }
    for (;;) {
      const word = Atomics.load(this.#words, this.#index);
      if (word === 0) {
        // Taken as contended: others may still sleep, and nobody else would wake them.
        if (Atomics.compareExchange(this.#words, this.#index, 0, this.#owner | CONTENDED) === 0) return;
        continue;
      }
      const contended = word | CONTENDED;
      if (word === contended || Atomics.compareExchange(this.#words, this.#index, word, contended) === word) {
        Atomics.wait(this.#words, this.#index, contended, SLEEP_MS);
      }
    }
  }
}
