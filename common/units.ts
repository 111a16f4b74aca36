/**
 * The only place where one unit of time or size becomes another. Inside, times are milliseconds; playlists and
 * metrics show seconds; MPEG-TS counts 90 kHz ticks, CMAF microseconds; frames count in the timescale of their run.
 */
// ISO/IEC 13818-1 2.4.3.7 (90 kHz time stamps of 33 bits)

export const MEBIBYTE = 1024 * 1024;
export const BITS_PER_BYTE = 8;
export const MILLISECONDS_PER_SECOND = 1000;

/** MPEG-TS presentation and decoding time stamps per second. */
export const TICKS_PER_SECOND = 90_000;
/** Time stamps of MPEG-TS wrap here. */
export const TICKS_WRAP = 2 ** 33;

/** Media time units in one frame of a canvas: with `fps * 1000` units a second, every whole frame rate is exact. */
export const MEDIA_UNITS_PER_FRAME = 1000;

/** The time stamp of frame `index` counted from the start of a run, not yet wrapped to 33 bits. */
export function framesToTicks(index: number, fps: number): number {
  return Math.round((index * TICKS_PER_SECOND) / fps);
}

/** Length of `frames` frames, in milliseconds with a fraction. */
export function framesToMs(frames: number, fps: number): number {
  return (frames * MILLISECONDS_PER_SECOND) / fps;
}

/** Units a second of CMAF. */
export const MICROSECONDS_PER_SECOND = 1_000_000;

/**
 * `units`, of which a second has `timescale`, to the nearest whole microsecond. Exact for weeks: the whole seconds are
 * counted apart.
 */
export function unitsToMicroseconds(units: number, timescale: number): number {
  const seconds = Math.floor(units / timescale);
  const rest = units - seconds * timescale;
  return seconds * MICROSECONDS_PER_SECOND + Math.round((rest * MICROSECONDS_PER_SECOND) / timescale);
}

/** Length of `units`, of which a second has `timescale`, in milliseconds with a fraction. */
export function unitsToMs(units: number, timescale: number): number {
  return (units * MILLISECONDS_PER_SECOND) / timescale;
}

/** The whole number of units nearest to `durationMs`, where a second has `timescale` of them. */
export function msToUnits(durationMs: number, timescale: number): number {
  return Math.round((durationMs * timescale) / MILLISECONDS_PER_SECOND);
}

/** The whole number of frames nearest to `durationMs`, at least 1. */
export function msToFrames(durationMs: number, fps: number): number {
  return Math.max(1, Math.round((durationMs * fps) / MILLISECONDS_PER_SECOND));
}

export function msToSeconds(durationMs: number): number {
  return durationMs / MILLISECONDS_PER_SECOND;
}

export function secondsToMs(seconds: number): number {
  return seconds * MILLISECONDS_PER_SECOND;
}
