/** What the chaser reads from a video element and does to it, with a fake one and a clock moved by hand. */
import { beforeEach, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { STALL_SECONDS, TARGET_SECONDS_MIN } from "./chase.ts";
import { type ChasedVideo, Chaser } from "./chaser.ts";

const LOOK_MS = 50;
/** Until the buffer is judged, and a little more. */
const JUDGED_MS = 2_600;

/** A video whose buffer is always `aheadSeconds` before the playhead. */
class FakeVideo extends EventTarget {
  currentTime = 100;
  playbackRate = 1;
  paused = false;
  seeking = false;
  readyState = 4;
  aheadSeconds = TARGET_SECONDS_MIN;

  get buffered(): TimeRanges {
    const ranges = [
      [10, 20],
      [this.currentTime - 3, this.currentTime + this.aheadSeconds],
    ] as const;
    return {
      length: ranges.length,
      start: (range) => ranges[range]?.[0] ?? 0,
      end: (range) => ranges[range]?.[1] ?? 0,
    };
  }
}

let clock: FakeClock;
let video: FakeVideo;
let isHidden: boolean;
let chaser: Chaser;

beforeEach(() => {
  clock = new FakeClock();
  video = new FakeVideo();
  isHidden = false;
  const chased: ChasedVideo = video;
  chaser = new Chaser({ video: chased, clock, isHidden: () => isHidden });
});

function wait(durationMs: number): void {
  for (let passedMs = 0; passedMs < durationMs; passedMs += LOOK_MS) clock.advance(LOOK_MS);
}

test("Chaser seeks within the range that is played", () => {
  video.aheadSeconds = 0.7;
  wait(JUDGED_MS);
  expect(video.currentTime).toBeCloseTo(100.7 - TARGET_SECONDS_MIN);
});

test("Chaser plays faster, and normally again once it is there or closed", () => {
  video.aheadSeconds = TARGET_SECONDS_MIN + 0.08;
  wait(JUDGED_MS);
  expect(video.playbackRate).toBe(1.05);
  video.aheadSeconds = TARGET_SECONDS_MIN;
  wait(LOOK_MS);
  expect(video.playbackRate).toBe(1);
  video.aheadSeconds = TARGET_SECONDS_MIN + 0.08;
  wait(JUDGED_MS);
  expect(video.playbackRate).toBe(1.05);
  chaser.close();
  expect(video.playbackRate).toBe(1);
  video.aheadSeconds = 5;
  wait(JUDGED_MS);
  expect([video.currentTime, video.playbackRate]).toEqual([100, 1]);
});

test.each<[string, () => void]>([
  ["paused", () => (video.paused = true)],
  ["seeking", () => (video.seeking = true)],
  ["not shown", () => (isHidden = true)],
])("Chaser leaves a video alone that is %s", (_, rest) => {
  rest();
  video.aheadSeconds = 5;
  wait(2 * JUDGED_MS);
  expect([video.currentTime, video.playbackRate]).toEqual([100, 1]);
});

test.each<[string, () => void]>([
  ["shorter than the time between two looks", () => video.dispatchEvent(new Event("waiting"))],
  ["that lasts", () => (video.readyState = 2)],
])("Chaser keeps further away after a stall %s", (_, stall) => {
  wait(JUDGED_MS);
  stall();
  wait(LOOK_MS);
  video.readyState = 4;
  wait(JUDGED_MS);
  // The buffer is as before, but now too short by what the stall has added.
  expect(STALL_SECONDS).toBeGreaterThan(0.03);
  expect(video.playbackRate).toBe(0.97);
});
