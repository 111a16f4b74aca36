/** Keys that something was found out about, for a while: clients choose them, so there is a bound. */
import { LRUCache } from "lru-cache";
import type { Clock } from "#common/clock.ts";

export interface RememberedKeysOptions {
  readonly clock: Clock;
  /** How long each is remembered, in milliseconds. */
  readonly forMs: number;
  /** Past either the one looked up longest ago is forgotten. Bytes of the keys' texts; default: no bound. */
  readonly countMax: number;
  readonly bytesMax?: number;
}

/** A set whose members leave by themselves. */
export class RememberedKeys {
  readonly #clock: Clock;
  readonly #forMs: number;
  /** Until when, on the monotonic clock. */
  readonly #untilMs: LRUCache<string, number>;

  constructor({ clock, forMs, countMax, bytesMax }: RememberedKeysOptions) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#untilMs = new LRUCache<string, number>({
      max: countMax,
      ...(bytesMax !== undefined && { maxSize: bytesMax, sizeCalculation: (_untilMs, key) => key.length }),
    });
  }

  /** Remembers it from now on. */
  add(key: string): void {
    this.#untilMs.set(key, this.#clock.monotonicMs() + this.#forMs);
  }

  has(key: string): boolean {
    const untilMs = this.#untilMs.get(key);
    return untilMs !== undefined && this.#clock.monotonicMs() < untilMs;
  }

  delete(key: string): void {
    this.#untilMs.delete(key);
  }
}
