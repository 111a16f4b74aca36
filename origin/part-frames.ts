/** How many frames a part of low-latency HLS has: what `--part-duration` becomes at the rate of a run. */
import { MILLISECONDS_PER_SECOND, msToFrames } from "#common/units.ts";

/**
 * Frames of a part: as near to `partDurationMs` as a divisor of the rate comes, so that every part is as long as the
 * others and no key frame, one a second, stands inside one. Where that is not within half and twice as long (the rate is
 * a prime number), the nearest number of frames.
 */
export function partFramesOf(partDurationMs: number, fps: number): number {
  const wanted = msToFrames(partDurationMs, fps);
  const exact = (partDurationMs * fps) / MILLISECONDS_PER_SECOND;
  let best = 1;
  for (let frames = 2; frames <= fps; frames++) {
    if (fps % frames === 0 && Math.abs(frames - exact) < Math.abs(best - exact)) best = frames;
  }
  return best >= wanted / 2 && best <= wanted * 2 ? best : wanted;
}
