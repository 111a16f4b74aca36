/** How many frames a part of low-latency HLS has: what `--part-duration` becomes at the rate of a run. */
import { framesToMs, MILLISECONDS_PER_SECOND, msToFrames, msToUnits } from "#common/units.ts";

/** hls.js takes a part of exactly this length for the one after it: its tolerance in looking parts up (hls.js #5028). */
const AVOIDED_MS = 250;

/**
 * Frames of a part: as near to `partDurationMs` as a divisor of the rate comes, so that every part is as long as the
 * others and no key frame, one a second, stands inside one. Where that is not within half and twice as long (the rate is
 * a prime number), the nearest number of frames. Never exactly {@link AVOIDED_MS}.
 */
export function partFramesOf(partDurationMs: number, fps: number): number {
  const wanted = msToFrames(partDurationMs, fps);
  const exact = (partDurationMs * fps) / MILLISECONDS_PER_SECOND;
  let best = 1;
  for (let frames = 2; frames <= fps; frames++) {
    const isAllowed = fps % frames === 0 && framesToMs(frames, fps) !== AVOIDED_MS;
    if (isAllowed && Math.abs(frames - exact) < Math.abs(best - exact)) best = frames;
  }
  return best >= wanted / 2 && best <= wanted * 2 ? best : wanted;
}

/** Times that were rounded to milliseconds on their way differ by so much from a constant rate. */
const JITTER_MS = 2;

/**
 * The longest part of a run off the grid, in units of its timescale: the number of frames nearest to `partDurationMs` at
 * the rate that the stream claims, and {@link JITTER_MS}. Never just {@link AVOIDED_MS}.
 */
export function partUnitsOf(
  partDurationMs: number,
  { frameRate, timescale }: { readonly frameRate: number; readonly timescale: number },
): number {
  let frames = msToFrames(partDurationMs, frameRate);
  if (framesToMs(frames, frameRate) === AVOIDED_MS && frames > 1) frames--;
  return Math.ceil((frames * timescale) / frameRate) + msToUnits(JITTER_MS, timescale);
}
