/**
 * How far this device's clock is ahead of the origin's, so that the age of a frame can be told although nobody's
 * phone is set right. Each event says when the origin wrote it; the event that came through fastest is the best
 * measurement, and its own way through the network (a few milliseconds) is the error that stays.
 */

/** The origin's time as one event said it, and this device's clock when it came. Milliseconds. */
export interface ClockSample {
  readonly originMs: number;
  readonly localMs: number;
}

/** Samples looked at: at one a second a minute, after which a stepped clock is forgotten. The oldest is dropped. */
export const CLOCK_SAMPLES_MAX = 60;

/**
 * Local time minus origin time, in milliseconds: the least of the latest {@link CLOCK_SAMPLES_MAX} samples, since
 * delay on the way only ever adds. `undefined` without a sample.
 */
export function estimateOffsetMs(samples: readonly ClockSample[]): number | undefined {
  if (samples.length === 0) return undefined;
  return Math.min(...samples.slice(-CLOCK_SAMPLES_MAX).map(({ localMs, originMs }) => localMs - originMs));
}

/** `samples` and one more, bounded by {@link CLOCK_SAMPLES_MAX}. */
export function withSample(samples: readonly ClockSample[], sample: ClockSample): readonly ClockSample[] {
  return [...samples.slice(1 - CLOCK_SAMPLES_MAX), sample];
}
