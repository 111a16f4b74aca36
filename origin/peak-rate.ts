/** The highest bit rate of any segment so far: what `BANDWIDTH` says of a source that does not tell its own bound. */
// draft-pantos-hls-rfc8216bis-22 4.4.6.2 (BANDWIDTH)
import { BITS_PER_BYTE, msToSeconds } from "#common/units.ts";

/** Segments shorter than this count as so long: a key frame alone says nothing of the rate. */
const SEGMENT_MS_MIN = 1000;
/** What the next segments may have more than any before. */
const HEADROOM = 1.1;

export class PeakRate {
  #bytes = 0;
  #durationMs = 0;
  #peak = 0;

  /** Bits a second, with some room; 0 before the first whole segment. */
  get bitsPerSecond(): number {
    return Math.ceil(this.#peak * HEADROOM);
  }

  /** Takes the next part. */
  add({
    bytes,
    durationMs,
    isLast,
  }: {
    readonly bytes: number;
    readonly durationMs: number;
    readonly isLast: boolean;
  }): void {
    this.#bytes += bytes;
    this.#durationMs += durationMs;
    if (!isLast) return;
    const seconds = msToSeconds(Math.max(this.#durationMs, SEGMENT_MS_MIN));
    this.#peak = Math.max(this.#peak, (this.#bytes * BITS_PER_BYTE) / seconds);
    this.#bytes = 0;
    this.#durationMs = 0;
  }
}
