/** The fake clock that other tests rely on, and the conversions of units. */
import { expect, spyOn, test } from "bun:test";
import { FakeClock, systemClock } from "#common/clock.ts";
import { framesToMs, framesToTicks, msToFrames } from "#common/units.ts";

test("FakeClock calls timers in the order of their time, also those set meanwhile", () => {
  const clock = new FakeClock(0);
  const calls: string[] = [];
  clock.after(20, () => calls.push(`b ${clock.monotonicMs()}`));
  clock.after(10, () => {
    calls.push(`a ${clock.monotonicMs()}`);
    clock.after(5, () => calls.push(`c ${clock.monotonicMs()}`));
  });
  const cancel = clock.after(12, () => calls.push("cancelled"));
  cancel();
  clock.advance(30);
  expect(calls).toEqual(["a 10", "c 15", "b 20"]);
  expect(clock.wallMs()).toBe(30);
});

test("systemClock.wallMs() follows the system's clock when that is set, monotonicMs() does not", () => {
  const beforeMs = systemClock.monotonicMs();
  const now = spyOn(Date, "now").mockReturnValue(1_000);
  try {
    expect(systemClock.wallMs()).toBe(1_000);
    expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(beforeMs);
  } finally {
    now.mockRestore();
  }
});

test("units convert frames without accumulating error", () => {
  expect(framesToTicks(30 * 3600 * 24 * 5, 30)).toBe(90_000 * 3600 * 24 * 5);
  expect(framesToTicks(1, 7)).toBe(12_857);
  expect(framesToMs(60, 30)).toBe(2_000);
  expect(msToFrames(200, 30)).toBe(6);
  expect(msToFrames(1, 30)).toBe(1);
});
