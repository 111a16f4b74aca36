/**
 * How often one prefix of addresses may ask: a leaky bucket for each, kept as one number, the time at which it would be
 * empty (the "generic cell rate algorithm" of ATM, ITU-T I.371). One look-up a request.
 */
import type { Clock } from "#common/clock.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";

/** Requests may come at once that are allowed within this long: a page loads many files, a player joins with several. */
const BURST_MS = 2_000;
/** Prefixes remembered at once. Past it, those are forgotten that have asked for nothing of late, and then the oldest. */
const PREFIXES_MAX = 65_536;

export interface RequestRatesOptions {
  readonly clock: Clock;
  /** For each prefix. */
  readonly requestsPerSecond: number;
  /** Default {@link PREFIXES_MAX}. */
  readonly prefixesMax?: number;
}

/** Requests of each prefix over time. */
export class RequestRates {
  readonly #clock: Clock;
  readonly #costMs: number;
  readonly #prefixesMax: number;
  /** When the bucket is empty, on the monotonic clock, by prefix. */
  readonly #emptyMs = new Map<string, number>();

  constructor({ clock, requestsPerSecond, prefixesMax = PREFIXES_MAX }: RequestRatesOptions) {
    this.#clock = clock;
    this.#costMs = MILLISECONDS_PER_SECOND / requestsPerSecond;
    this.#prefixesMax = prefixesMax;
  }

  /** Prefixes remembered now. */
  get prefixes(): number {
    return this.#emptyMs.size;
  }

  /** Counts a request of `prefix`. False when it is one too many; such a one costs the prefix nothing. */
  admits(prefix: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#emptyMs.get(prefix);
    const emptyMs = Math.max(nowMs, known ?? 0) + this.#costMs;
    if (emptyMs - nowMs > Math.max(BURST_MS, this.#costMs)) return false;
    if (known === undefined && this.#emptyMs.size >= this.#prefixesMax) this.#makeRoom(nowMs);
    this.#emptyMs.set(prefix, emptyMs);
    return true;
  }

  #makeRoom(nowMs: number): void {
    for (const [prefix, emptyMs] of this.#emptyMs) if (emptyMs <= nowMs) this.#emptyMs.delete(prefix);
    if (this.#emptyMs.size < this.#prefixesMax) return;
    for (const prefix of this.#emptyMs.keys()) {
      this.#emptyMs.delete(prefix);
      break;
    }
  }
}
