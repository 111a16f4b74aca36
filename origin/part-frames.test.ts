/** Parts are as long as asked for, as far as the frame rate allows. */
import { expect, test } from "bun:test";
import { partFramesOf } from "./part-frames.ts";

test.each([
  [24, 200, 4],
  [25, 200, 5],
  [30, 200, 6],
  [48, 200, 8],
  [50, 200, 10],
  [60, 200, 12],
  [30, 250, 6],
  [24, 250, 4],
  [28, 200, 4],
  [60, 250, 12],
  [29, 200, 6],
])("20: partFramesOf() at %d fps and %d ms is %d", (fps, partDurationMs, frames) => {
  expect(partFramesOf(partDurationMs, fps)).toBe(frames);
});
