/**
 * How long frames take to the origin, how long parts take from there to the playlists, and how evenly parts and segments
 * come. Nothing is counted while the history of a source is read, which comes at once.
 */
import type { Clock } from "#common/clock.ts";
import { DurationHistogram } from "#common/histogram.ts";
import { unitsToMs } from "#common/units.ts";
import type { NewPart } from "./window.ts";

/** Upper bounds of buckets, in milliseconds: one is the 15 ms that a part may take. */
const BOUNDS_MS = [0.25, 0.5, 1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1_000, 5_000];

/** Of all renditions and both formats. */
export class CutTimes {
  /** From a frame's capture to its arrival; both by the clocks of their machines. */
  readonly frameLag = new DurationHistogram(BOUNDS_MS);
  /** From the arrival of the last frame of a part, or of a segment of MPEG-TS, to its publication. */
  readonly publication = new DurationHistogram(BOUNDS_MS);
  /** Between two publications: how far that is from the duration of what is published. */
  readonly partJitter = new DurationHistogram(BOUNDS_MS);
  readonly segmentJitter = new DurationHistogram(BOUNDS_MS);
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called when a frame arrives that was captured at `captureTimeMs`, since 1970. */
  addFrame(captureTimeMs: number): void {
    this.frameLag.observe(Math.max(0, this.#clock.wallMs() - captureTimeMs));
  }

  /** The cadence of one playlist. */
  createCadence(): Cadence {
    return new Cadence(this, this.#clock);
  }
}

/** Watches one playlist. */
export class Cadence {
  readonly #times: CutTimes;
  readonly #clock: Clock;
  #partMs: number | undefined;
  #segmentMs: number | undefined;
  /** Of the segment that is open. */
  #segmentDurationMs = 0;

  constructor(times: CutTimes, clock: Clock) {
    this.#times = times;
    this.#clock = clock;
  }

  /** To be called when `part`, whose last frame came at `arrivalMs` of the steady clock, is published. */
  add(part: NewPart, arrivalMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const durationMs = unitsToMs(part.durationUnits, part.run.timescale);
    this.#segmentDurationMs += durationMs;
    this.#times.publication.observe(nowMs - arrivalMs);
    if (this.#partMs !== undefined) {
      this.#times.partJitter.observe(Math.abs(nowMs - this.#partMs - durationMs));
    }
    this.#partMs = nowMs;
    if (!part.isLast) return;
    if (this.#segmentMs !== undefined) {
      this.#times.segmentJitter.observe(Math.abs(nowMs - this.#segmentMs - this.#segmentDurationMs));
    }
    this.#segmentMs = nowMs;
    this.#segmentDurationMs = 0;
  }

  /** What comes next is not measured against what came before: there was another run or a hole. */
  reset(): void {
    this.#partMs = undefined;
    this.#segmentMs = undefined;
    this.#segmentDurationMs = 0;
  }
}
