/** How many frames a part of low-latency HLS has: what `--part-duration` becomes at the rate of a run. */
import { framesToMs, MILLISECONDS_PER_SECOND, msToFrames } from "#common/units.ts";

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
