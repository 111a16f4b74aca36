/**
 * Fills that pass an answer on to one client each: what is not for everyone, and what is too large to be kept. They last as
 * long as their clients like, so they have places of their own beside those of other fills, and where room is short the
 * one whose client is slowest gives way.
 */
import type { Clock } from "#common/clock.ts";
import type { Fill } from "./fill.ts";
import type { Store } from "./store.ts";

/** How many have a place of their own. Those past it take the places of other fills. */
const PLACES_MAX = 1_024;
/**
 * Share of the memory that they may keep; what they have beyond it goes to whoever needs room. Together with what is lent
 * as it is, to readers whom nobody can let go, it is less than all.
 */
const MEMORY_SHARE = 0.25;
/** Nobody is slow who has just begun. */
const AGE_MS_MIN = 1_000;

export interface PassedFillsOptions {
  readonly store: Store;
  readonly clock: Clock;
}

/** Those under way. */
export class PassedFills {
  readonly #options: PassedFillsOptions;
  readonly #fills = new Set<Fill>();

  constructor(options: PassedFillsOptions) {
    this.#options = options;
  }

  /** How many are under way. */
  get size(): number {
    return this.#fills.size;
  }

  /** How many of them are in nobody's way. */
  get placed(): number {
    return Math.min(PLACES_MAX, this.#fills.size);
  }

  add(fill: Fill): void {
    this.#fills.add(fill);
  }

  delete(fill: Fill): void {
    this.#fills.delete(fill);
  }

  /** Ends the slowest where there are more than have places. False where there are not, or all go as fast as the upstream. */
  freePlace(): boolean {
    return this.#fills.size > PLACES_MAX && this.#endSlowest();
  }

  /** Takes room of the store, for which the slowest are ended, as many as need be. False where they cannot make so much. */
  reserve(bytes: number): boolean {
    const { store } = this.#options;
    if (bytes > store.roomBytes + this.#excessBytes()) return false;
    while (!store.reserve(bytes)) if (!this.#endSlowest()) return false;
    return true;
  }

  /** What of their memory is beyond their share, and held by slow clients. */
  #excessBytes(): number {
    let [bytes, slowBytes] = [0, 0];
    for (const fill of this.#fills) {
      if (fill.body?.isWindow !== true) continue;
      bytes += fill.body.reservedBytes;
      if (this.#paceOf(fill) !== undefined) slowBytes += fill.body.reservedBytes;
    }
    return Math.min(slowBytes, Math.max(0, bytes - MEMORY_SHARE * this.#options.store.bytesMax));
  }

  #endSlowest(): boolean {
    let slowest: Fill | undefined;
    let leastPace = Infinity;
    for (const fill of this.#fills) {
      const pace = this.#paceOf(fill) ?? Infinity;
      if (pace >= leastPace) continue;
      leastPace = pace;
      slowest = fill;
    }
    slowest?.body?.dropReaders();
    // Most end with their last reader.
    slowest?.abandon();
    return slowest !== undefined;
  }

  /** What its client has taken since the head came, in bytes a millisecond; `undefined` where nothing waits for it. */
  #paceOf({ body, head }: Fill): number | undefined {
    const ageMs = this.#options.clock.monotonicMs() - head.receivedMs;
    return body?.isHeldBack === true && ageMs >= AGE_MS_MIN ? body.takenBytes / ageMs : undefined;
  }
}
