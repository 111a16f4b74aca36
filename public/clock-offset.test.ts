/** The clock's offset from events that came late by different amounts. */
import { expect, test } from "bun:test";
import { CLOCK_SAMPLES_MAX, estimateOffsetMs, withSample, type ClockSample } from "./clock-offset.ts";

test("estimateOffsetMs() knows nothing without a sample", () => {
  expect(estimateOffsetMs([])).toBeUndefined();
});

test.each([
  ["a device that is ahead", [1_500, 1_230, 1_900], 1_230],
  ["a device that is behind", [-59_000, -59_700, -58_000], -59_700],
])("estimateOffsetMs() takes the fastest event: %s", (_, offsetsMs, expected) => {
  const samples = offsetsMs.map((offsetMs, index) => ({
    originMs: index * 1_000,
    localMs: index * 1_000 + offsetMs,
  }));
  expect(estimateOffsetMs(samples)).toBe(expected);
});

test("withSample() forgets a stepped clock after CLOCK_SAMPLES_MAX events", () => {
  let samples: readonly ClockSample[] = [{ originMs: 0, localMs: -3_600_000 }];
  for (let index = 1; index < CLOCK_SAMPLES_MAX; index++) {
    samples = withSample(samples, { originMs: index, localMs: index + 20 });
  }
  expect(estimateOffsetMs(samples)).toBe(-3_600_000);
  samples = withSample(samples, { originMs: 0, localMs: 20 });
  expect(estimateOffsetMs(samples)).toBe(20);
  expect(samples).toHaveLength(CLOCK_SAMPLES_MAX);
});
