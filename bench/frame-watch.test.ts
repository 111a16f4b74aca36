/** Frames and the times between them. */
import { expect, test } from "bun:test";
import { createFrameWatch } from "./frame-watch.ts";

test("createFrameWatch() tells of a player that has not begun", () => {
  const nothing = { frames: 0, playedMs: 0, stills: 0, stillMs: 0, gapMs: 0, sinceFrameMs: 0 };
  expect(createFrameWatch(100, 500).figures(9_000)).toEqual({ startMs: null, ...nothing });
});

test("createFrameWatch() counts what is longer than a still, the one that lasts too", () => {
  const watch = createFrameWatch(100, 500);
  watch.shown(1, 1_100);
  watch.shown(2, 1_600);
  // The same number again is no new frame.
  watch.shown(2, 1_900);
  watch.shown(30, 2_300);
  watch.shown(31, 2_333);
  const played = { startMs: 1_000, frames: 31, playedMs: 1_233, stills: 1, stillMs: 700, gapMs: 700 };
  expect(watch.figures(2_433)).toEqual({ ...played, sinceFrameMs: 100 });
  const stopped = { stills: 2, stillMs: 1_700, gapMs: 1_000, sinceFrameMs: 1_000 };
  expect(watch.figures(3_333)).toEqual({ ...played, ...stopped });
});

test("createFrameWatch() runs from its text alone, as pages have it", () => {
  // The text is that of the function above.
  const create = new Function(`return (${createFrameWatch.toString()})`)() as typeof createFrameWatch;
  const watch = create(0, 500);
  watch.shown(3, 40);
  expect(watch.figures(50)).toMatchObject({ startMs: 40, frames: 3, sinceFrameMs: 10 });
});
