/** The fake clock that other tests rely on, and the conversions of units. */
import { describe, expect, spyOn, test } from "bun:test";
import { clockInStep, FakeClock, readClock, systemClock, type ClockReading } from "#common/clock.ts";
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

describe("clockInStep()", () => {
  const NEAR_MS = 1_000;

  test.each([-3_600_000, 0, 3_600_000])("is in step after the wall clock was set by %d ms", (stepMs) => {
    const { wallMs, monotonicMs } = readClock(systemClock);
    const reading = { wallMs: wallMs + stepMs, monotonicMs };
    const clock = clockInStep(reading, performance.timeOrigin + stepMs);
    expect(Math.abs(clock.monotonicMs() - systemClock.monotonicMs())).toBeLessThan(NEAR_MS);
  });

  test("is in step in a thread of its own", async () => {
    const source = `
      import { clockInStep } from ${JSON.stringify(new URL("./clock.ts", import.meta.url).pathname)};
      self.onmessage = ({ data }) => self.postMessage(clockInStep(data).monotonicMs());`;
    const clock = new FakeClock(5_000);
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
    try {
      const reading: ClockReading = { ...readClock(clock), wallMs: Date.now() };
      const beganMs = performance.now();
      const answer = Promise.withResolvers<number>();
      worker.addEventListener("message", ({ data }: MessageEvent<number>) => answer.resolve(data));
      worker.addEventListener("error", ({ message }) => answer.reject(new Error(message)));
      worker.postMessage(reading, []);
      const threadMs = (await answer.promise) - 5_000;
      expect(threadMs).toBeGreaterThan(-NEAR_MS);
      expect(threadMs).toBeLessThan(performance.now() - beganMs + NEAR_MS);
    } finally {
      worker.terminate();
    }
  });
});

test("units convert frames without accumulating error", () => {
  expect(framesToTicks(30 * 3600 * 24 * 5, 30)).toBe(90_000 * 3600 * 24 * 5);
  expect(framesToTicks(1, 7)).toBe(12_857);
  expect(framesToMs(60, 30)).toBe(2_000);
  expect(msToFrames(200, 30)).toBe(6);
  expect(msToFrames(1, 30)).toBe(1);
});
