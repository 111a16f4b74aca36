/** What rate a stream has: as it claims, or as its times say where that cannot be. */
import type { VideoTiming } from "#common/formats/h264-parameters.ts";
import { TICKS_PER_SECOND } from "#common/units.ts";

/** Rates in use, some of which are no whole numbers. */
const RATES = [24_000 / 1001, 24, 25, 30_000 / 1001, 30, 48, 50, 60_000 / 1001, 60, 100, 120];
const RATE_MAX = 120;
const RATE_MIN = 1;
/** A measured rate is taken for one in use where it differs by no more than this. */
const TOLERANCE = 0.02;
/** Frames may come less often than claimed, and this much more often, by rounding. */
const FASTER_MAX = 1.1;

/** Frames a second of a stream whose first frame lasts `durationTicks`. */
export function frameRateOf(timing: VideoTiming | undefined, durationTicks: number): number {
  const measured = TICKS_PER_SECOND / durationTicks;
  const claimed = timing === undefined ? undefined : timing.timeScale / (2 * timing.unitsInTick);
  const isPossible = claimed !== undefined && claimed >= RATE_MIN && claimed <= RATE_MAX;
  if (isPossible && measured <= claimed * FASTER_MAX) return claimed;
  const nearest = RATES.reduce((best, rate) =>
    errorOf(rate, measured) < errorOf(best, measured) ? rate : best,
  );
  if (errorOf(nearest, measured) <= TOLERANCE) return nearest;
  return Math.min(RATE_MAX, Math.max(RATE_MIN, measured));
}

function errorOf(rate: number, measured: number): number {
  return Math.abs(rate / measured - 1);
}
