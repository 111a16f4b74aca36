/**
 * How often one prefix of addresses may ask: a leaky bucket for each, kept as one number, the time at which it would be
 * empty (the "generic cell rate algorithm" of ATM, ITU-T I.371). One look-up a request.
 */
import type { Clock } from "#common/clock.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";

/** Requests may come at once that are allowed within this long: a page loads many files, a player joins with several. */
const BURST_MS = 2_000;
/** What each process admits is told to the others about this often. */
const TELL_MS = 1_000;
/** Prefixes remembered at once. Past it, those are forgotten that have asked for nothing of late, and then the oldest. */
const PREFIXES_MAX = 65_536;

export interface RequestRatesOptions {
  readonly clock: Clock;
  /** For each prefix. */
  readonly requestsPerSecond: number;
  /** How many processes share the limit, told of each other by {@link RequestRates.heavy}. Default: this one alone. */
  readonly processes?: number;
  /** Default {@link PREFIXES_MAX}. */
  readonly prefixesMax?: number;
}

/** Requests of each prefix over time. */
export class RequestRates {
  /** Requests a second that the other processes together admit, by prefix. */
  elsewhere: ReadonlyMap<string, number> = new Map();
  readonly #clock: Clock;
  readonly #requestsPerSecond: number;
  /** What each process may admit whatever the others do. */
  readonly #ownPerSecond: number;
  readonly #prefixesMax: number;
  /** When the bucket is empty, on the monotonic clock, by prefix. */
  readonly #emptyMs = new Map<string, number>();
  /** Requests admitted since {@link #toldMs}, by prefix; only where others are to hear of them. */
  readonly #admitted = new Map<string, number>();
  #toldMs: number;
  #heavy: ReadonlyMap<string, number> = new Map();

  constructor({ clock, requestsPerSecond, processes = 1, prefixesMax = PREFIXES_MAX }: RequestRatesOptions) {
    this.#clock = clock;
    this.#requestsPerSecond = requestsPerSecond;
    this.#ownPerSecond = requestsPerSecond / processes;
    this.#prefixesMax = prefixesMax;
    this.#toldMs = clock.monotonicMs();
  }

  /** Prefixes remembered now. */
  get prefixes(): number {
    return this.#emptyMs.size;
  }

  /** Counts a request of `prefix`. False when it is one too many; such a one costs the prefix nothing. */
  admits(prefix: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#emptyMs.get(prefix);
    const costMs = MILLISECONDS_PER_SECOND / this.#perSecondFor(prefix);
    const emptyMs = Math.max(nowMs, known ?? 0) + costMs;
    if (emptyMs - nowMs > Math.max(BURST_MS, costMs)) return false;
    if (known === undefined && this.#emptyMs.size >= this.#prefixesMax) this.#makeRoom(nowMs);
    this.#emptyMs.set(prefix, emptyMs);
    if (this.#ownPerSecond < this.#requestsPerSecond) this.#note(prefix);
    return true;
  }

  /**
   * Requests a second, over the last second or so, that were admitted of prefixes which take a process's share of the limit or
   * more. What is left out is less than that in each process: all together admit less than twice the limit, and the limit
   * itself where the kernel spreads a prefix's connections evenly.
   */
  get heavy(): ReadonlyMap<string, number> {
    const elapsedMs = this.#clock.monotonicMs() - this.#toldMs;
    if (elapsedMs < TELL_MS) return this.#heavy;
    const perSecond = MILLISECONDS_PER_SECOND / elapsedMs;
    const rates = this.#admitted.entries().map(([prefix, count]) => [prefix, count * perSecond] as const);
    this.#heavy = new Map(rates.filter(([, rate]) => rate >= this.#ownPerSecond));
    this.#toldMs += elapsedMs;
    this.#admitted.clear();
    return this.#heavy;
  }

  #perSecondFor(prefix: string): number {
    const elsewhere = this.elsewhere.get(prefix);
    return elsewhere === undefined
      ? this.#requestsPerSecond
      : Math.max(this.#requestsPerSecond - elsewhere, this.#ownPerSecond);
  }

  #note(prefix: string): void {
    const count = this.#admitted.get(prefix);
    if (count !== undefined || this.#admitted.size < this.#prefixesMax) {
      this.#admitted.set(prefix, (count ?? 0) + 1);
    }
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
