/** The frame clock by a fake clock: no drift, missed frames filled, too far behind given up. */
import { describe, expect, test } from "bun:test";
import { type Clock, FakeClock } from "#common/clock.ts";
import { BEHIND_MS_MAX, FrameClock, type Tick } from "./frame-clock.ts";

const FPS = 30;
const TEN_MINUTES_MS = 600_000;

/** A clock whose timers come late by up to `lateMs`, the same ones each time. */
function lateClock(fake: FakeClock, lateMs: number): Clock {
  let state = 1;
  return {
    wallMs: () => fake.wallMs(),
    monotonicMs: () => fake.monotonicMs(),
    after(delayMs, callback) {
      state = (state * 48_271) % 0x7fffffff;
      return fake.after(delayMs + (state / 0x7fffffff) * lateMs, callback);
    },
  };
}

function run(clock: Clock, onTick: (tick: Tick) => void = () => {}) {
  const ticks: Tick[] = [];
  const missed: number[] = [];
  const frameClock = new FrameClock({
    clock,
    fps: FPS,
    onTick(tick) {
      ticks.push(tick);
      onTick(tick);
    },
    onBehind: (count) => missed.push(count),
  });
  frameClock.start();
  return { ticks, missed, frameClock };
}

describe("FrameClock", () => {
  test.each([0, 5, 30])("does not drift in ten minutes with timers up to %d ms late", (lateMs) => {
    const fake = new FakeClock();
    const { ticks } = run(lateClock(fake, lateMs));
    fake.advance(TEN_MINUTES_MS + lateMs);
    const expected = (TEN_MINUTES_MS * FPS) / 1000;
    expect(ticks.length).toBeGreaterThanOrEqual(expected);
    expect(ticks.length).toBeLessThanOrEqual(expected + 2);
    expect(ticks.every(({ index }, position) => index === position)).toBe(true);
    expect(Math.max(...ticks.map(({ lagMs }) => lagMs))).toBeLessThan(lateMs + 1 + 1e-3);
    expect(ticks.some(({ isRepeat }) => isRepeat)).toBe(false);
  });

  test("begins with tick 0 at once", () => {
    expect(run(new FakeClock()).ticks).toEqual([{ index: 0, isRepeat: false, lagMs: 0 }]);
  });

  test("does not call tick 0 a repeat where time passes within start()", () => {
    const fake = new FakeClock();
    const pausing: Clock = {
      wallMs: () => fake.wallMs(),
      monotonicMs() {
        fake.advance(100);
        return fake.monotonicMs();
      },
      after: () => () => {},
    };
    expect(run(pausing).ticks[0]).toEqual({ index: 0, isRepeat: false, lagMs: 0 });
  });

  test("fills what it missed with repeats and goes on with the frame that is due", () => {
    const fake = new FakeClock(0);
    const { ticks } = run(fake, ({ index }) => {
      // Encoding frame 1 takes as long as three and a half frames.
      if (index === 1) fake.advance(3.5 * (1000 / FPS));
    });
    fake.advance(300);
    expect(ticks.map(({ index, isRepeat }) => `${index}${isRepeat ? " again" : ""}`)).toEqual([
      "0",
      "1",
      "2 again",
      "3 again",
      "4",
      "5",
      "6",
      "7",
      "8",
    ]);
  });

  test("stops and tells when it is further behind than it may fill", () => {
    const fake = new FakeClock(0);
    const { ticks, missed } = run(fake, ({ index }) => {
      if (index === 0) fake.advance(BEHIND_MS_MAX + 1000);
    });
    fake.advance(10_000);
    expect(ticks.length).toBe(1);
    expect(missed).toEqual([6 * FPS]);
  });

  test("close() ends it, also from inside a tick", () => {
    const fake = new FakeClock();
    const { ticks, frameClock } = run(fake, ({ index }) => {
      if (index === 5) frameClock.close();
    });
    fake.advance(1000);
    expect(ticks.length).toBe(6);
  });
});
