/** When history ends and the present begins: by the pace of frames, whatever runs they belong to. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { CatchUp } from "./catch-up.ts";

const FPS = 25;

/** Frames of runs of `runFrames` each, one every `stepMs`, until it is caught up or ten seconds are over. */
function play({ runFrames, stepMs }: { readonly runFrames: number; readonly stepMs: number }): number {
  const clock = new FakeClock();
  const catchUp = new CatchUp(clock);
  let number = 0;
  for (let index = 0; index < 10_000 / stepMs; index++) {
    if (index % runFrames === 0) {
      catchUp.onRun();
      // In the next slot.
      number += 50;
    }
    catchUp.onFrame(number++, FPS);
    if (catchUp.isDone) return index * stepMs;
    clock.advance(stepMs);
  }
  return Number.POSITIVE_INFINITY;
}

describe("CatchUp", () => {
  test.each([1, 2, 25, 1000])("frames at their own pace are the present, in runs of %d", (runFrames) => {
    expect(play({ runFrames, stepMs: 40 })).toBe(1_000);
  });

  test.each([2, 25, 1000])("frames at ten times their pace are history, in runs of %d", (runFrames) => {
    expect(play({ runFrames, stepMs: 4 })).toBe(Number.POSITIVE_INFINITY);
  });

  test("the wait for a connection is not the pace of what comes over it", () => {
    const clock = new FakeClock();
    const catchUp = new CatchUp(clock);
    let number = 0;
    for (let connection = 0; connection < 5; connection++) {
      catchUp.onRun();
      for (let index = 0; index < 5; index++) catchUp.onFrame(number++, FPS);
      clock.advance(900);
    }
    expect(catchUp.isDone).toBe(false);
  });
});
