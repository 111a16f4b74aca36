/**
 * How durations are spread, counted in plain numbers where they arise; `observedHistogram` in `metrics.ts` shows them. One
 * observation is a look through a dozen bounds and allocates nothing.
 */

/** Counts durations by size. */
export class DurationHistogram {
  /** Upper bounds of the buckets, included, ascending; above the last one there is one more. */
  readonly boundsMs: readonly number[];
  /** Observations of each bucket alone. */
  readonly counts: number[];
  sumMs = 0;

  constructor(boundsMs: readonly number[]) {
    this.boundsMs = boundsMs;
    this.counts = Array.from({ length: boundsMs.length + 1 }, () => 0);
  }

  /** Counts `durationMs` as often as it was observed. */
  observe(durationMs: number, times = 1): void {
    const found = this.boundsMs.findIndex((boundMs) => durationMs <= boundMs);
    const bucket = found < 0 ? this.boundsMs.length : found;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + times;
    this.sumMs += durationMs * times;
  }
}
