/** Times of cutting, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import type { DurationHistogram } from "#common/histogram.ts";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { CutTimes } from "./cut-times.ts";
import type { NewPart } from "./window.ts";

const run = testsrcRun();

function partOf(seconds: number, isLast = false): NewPart {
  const durationUnits = seconds * run.timescale;
  const bytes = new Uint8Array();
  return {
    run,
    segmentNumber: 1,
    startUnits: 0,
    durationUnits,
    isIndependent: false,
    isSlate: false,
    isLast,
    bytes,
  };
}

/** Upper bounds of the buckets that have something, with the count. */
function bucketsOf({ boundsMs, counts }: DurationHistogram): [number, number][] {
  return counts.flatMap((count, index) => (count === 0 ? [] : [[boundsMs[index] ?? Infinity, count]]));
}

test("11: CutTimes tells how late a part is published, and how far from the cadence", () => {
  const clock = new FakeClock();
  const times = new CutTimes(clock);
  const cadence = times.createCadence();
  for (const [waitMs, delayMs, isLast] of [
    [0, 1, false],
    [199, 1, true],
    [199, 1, false],
    [188, 14, true],
  ] as const) {
    clock.advance(waitMs);
    const arrivalMs = clock.monotonicMs();
    clock.advance(delayMs);
    cadence.add(partOf(0.2, isLast), arrivalMs);
  }
  expect(bucketsOf(times.publication)).toEqual([
    [1, 3],
    [15, 1],
  ]);
  expect(bucketsOf(times.partJitter)).toEqual([
    [0.25, 2],
    [2, 1],
  ]);
  expect(bucketsOf(times.segmentJitter)).toEqual([[2, 1]]);
  cadence.reset();
  clock.advance(60_000);
  cadence.add(partOf(0.2, true), clock.monotonicMs());
  expect(times.partJitter.counts.at(-1)).toBe(0);
});

test("CutTimes tells how long frames were under way, and never less than nothing", () => {
  const clock = new FakeClock();
  const times = new CutTimes(clock);
  times.addFrame(clock.wallMs() - 7);
  times.addFrame(clock.wallMs() + 9);
  expect(bucketsOf(times.frameLag)).toEqual([
    [0.25, 1],
    [8, 1],
  ]);
});
