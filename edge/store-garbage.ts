/**
 * Frees what is stored no more. The bytes of a `Blob`, and of the pieces that it was made of, are free when JavaScript's
 * collector has run, which knows nothing of how many they are: an edge that answers many different things would grow to
 * several times its bound. So the collector is called after so many bytes.
 */
import type { Clock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";

/** Stored between two collections. What they leave behind is twice that: the pieces, and whole answers that others displaced. */
const STORED_BYTES_MAX = 8 * MEBIBYTE;
/** Stored without a collection at most, however little rest there was: garbage is the one memory that nobody else bounds. */
const STORED_BYTES_LIMIT = 12 * MEBIBYTE;
/** Not at once: parts are stored when viewers wait for them, and the collector stops everything for 10 ms and more. */
const DELAY_MS = 20;
/** A collection may come after so many times what the one before took, so that it takes a fifth of the time; see {@link STORED_BYTES_LIMIT}. */
const PAUSE_FACTOR = 4;

export interface StoreGarbageOptions {
  readonly clock: Clock;
  /** Default: the collector of this process. */
  readonly collect?: () => void;
}

/** Counts what is stored and collects. */
export class StoreGarbage {
  readonly #clock: Clock;
  readonly #collect: () => void;
  #storedBytes = 0;
  #isDue = false;
  #cancel: (() => void) | undefined;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor({ clock, collect = () => Bun.gc(true) }: StoreGarbageOptions) {
    this.#clock = clock;
    this.#collect = collect;
  }

  /** So many bytes have been stored. */
  note(bytes: number): void {
    this.#storedBytes += bytes;
    if (this.#storedBytes >= STORED_BYTES_LIMIT) this.#run();
    if (this.#isDue || this.#storedBytes < STORED_BYTES_MAX) return;
    this.#isDue = true;
    const restMs = this.#restUntilMs - this.#clock.monotonicMs();
    this.#cancel = this.#clock.after(Math.max(DELAY_MS, restMs), () => this.#run());
  }

  #run(): void {
    this.#cancel?.();
    this.#isDue = false;
    this.#storedBytes = 0;
    const startMs = this.#clock.monotonicMs();
    this.#collect();
    const endMs = this.#clock.monotonicMs();
    this.#restUntilMs = endMs + PAUSE_FACTOR * (endMs - startMs);
  }
}
