/**
 * Figures gathered while a load script runs, in bounded memory however long it does: a distribution keeps counts
 * in logarithmic buckets, and seeded randomness makes two runs the same.
 */

/** Width of a bucket, as a factor: percentiles are exact to 0.2 %. Least and greatest value are exact. */
const BUCKET_FACTOR = 1.002;
/** Values at or below this share the first bucket. */
const VALUE_MIN = 0.01;
/** Values above this share the last one. */
const VALUE_MAX = 1e8;
const BUCKETS = Math.ceil(Math.log(VALUE_MAX / VALUE_MIN) / Math.log(BUCKET_FACTOR)) + 1;

/** Values of one unit, such as milliseconds, at or above zero or above another least value. */
export class Distribution {
  readonly #least: number;
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #min = Infinity;
  #max = -Infinity;

  /** @param least least value; percentiles are exact to 0.2 % of the distance from it */
  constructor(least = 0) {
    this.#least = least;
  }

  get count(): number {
    return this.#count;
  }

  /** 0 where nothing was added; so are the others. */
  get max(): number {
    return this.#count === 0 ? 0 : this.#max;
  }

  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }

  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  add(value: number): void {
    const ratio = Math.log(Math.max(value - this.#least, VALUE_MIN) / VALUE_MIN) / Math.log(BUCKET_FACTOR);
    const index = Math.min(BUCKETS - 1, Math.max(0, Math.round(ratio)));
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count += 1;
    this.#sum += value;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** The value that a share of `fraction` (0 to 1) of all values does not exceed. */
  percentile(fraction: number): number {
    const wanted = Math.max(1, Math.ceil(this.#count * fraction));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index += 1) {
      seen += this.#counts[index] ?? 0;
      if (seen === this.#count) return this.max;
      if (seen >= wanted) {
        return Math.min(this.max, Math.max(this.min, this.#least + VALUE_MIN * BUCKET_FACTOR ** index));
      }
    }
    return this.max;
  }
}

/** How often each of a few kinds of thing happened. */
export class Tally {
  readonly #counts = new Map<string, number>();

  get total(): number {
    let total = 0;
    for (const count of this.#counts.values()) total += count;
    return total;
  }

  /** A kind beyond {@link TALLY_KINDS_MAX} counts as `other`. */
  add(kind: string, count = 1): void {
    const key = this.#counts.has(kind) || this.#counts.size < TALLY_KINDS_MAX ? kind : "other";
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  get(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** `3 timeout, 1 status 404`, most frequent first; `none` where nothing was counted. */
  toString(): string {
    const entries = [...this.#counts].sort((a, b) => b[1] - a[1]);
    return entries.length === 0 ? "none" : entries.map(([kind, count]) => `${count} ${kind}`).join(", ");
  }
}

const TALLY_KINDS_MAX = 64;

/** The middle value, 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
