/** Frames of a player as they come, and the time in which none came: in this process, and by its text in pages. */

/** What counts as standing still: no new frame for longer than this. A program tells of its frames in small groups. */
export const STILL_MS = 500;

/** Frames of one player from its start on. Times are milliseconds of any one clock. */
export interface FrameFigures {
  /** From the start to the first frame; null where none came. */
  readonly startMs: number | null;
  readonly frames: number;
  /** From the first frame to the last. */
  readonly playedMs: number;
  /** Times that it stood still after its first frame, how long in all, and the longest time between two frames. */
  readonly stills: number;
  readonly stillMs: number;
  readonly gapMs: number;
  /** Since its last frame, which is part of the three above; 0 where none came. */
  readonly sinceFrameMs: number;
}

export interface FrameWatch {
  /** There have been `total` frames at `atMs`. */
  readonly shown: (total: number, atMs: number) => void;
  readonly figures: (nowMs: number) => FrameFigures;
}

/** Begins at `startMs`. It may use nothing from outside its own text. */
export function createFrameWatch(startMs: number, stillMsMin: number): FrameWatch {
  let frames = 0;
  let firstMs: number | null = null;
  let lastMs = startMs;
  let [stills, stillMs, gapMs] = [0, 0, 0];
  return {
    shown(total, atMs) {
      if (total <= frames) return;
      frames = total;
      if (firstMs === null) {
        firstMs = atMs;
      } else {
        const sinceMs = atMs - lastMs;
        gapMs = Math.max(gapMs, sinceMs);
        if (sinceMs > stillMsMin) {
          stills += 1;
          stillMs += sinceMs;
        }
      }
      lastMs = atMs;
    },
    figures(nowMs) {
      const sinceFrameMs = firstMs === null ? 0 : Math.max(0, nowMs - lastMs);
      const isStill = sinceFrameMs > stillMsMin;
      return {
        startMs: firstMs === null ? null : firstMs - startMs,
        frames,
        playedMs: firstMs === null ? 0 : lastMs - firstMs,
        stills: stills + (isStill ? 1 : 0),
        stillMs: stillMs + (isStill ? sinceFrameMs : 0),
        gapMs: Math.max(gapMs, sinceFrameMs),
        sinceFrameMs,
      };
    },
  };
}
