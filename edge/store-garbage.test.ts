/** When what is stored no more is collected. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import { StoreGarbage } from "./store-garbage.ts";

/** A collector that takes 30 ms each time, on a clock moved by hand. */
function start() {
  const clock = new FakeClock();
  let collections = 0;
  let takenMs = 0;
  const garbage = new StoreGarbage({
    clock: {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs() + takenMs,
      after: (delayMs, callback) => clock.after(delayMs, callback),
    },
    collect() {
      collections++;
      takenMs += 30;
    },
  });
  return { clock, garbage, count: () => collections };
}

test("StoreGarbage collects a moment after 8 MiB, and rests four times as long as that took", () => {
  const { clock, garbage, count } = start();
  garbage.note(7 * MEBIBYTE);
  clock.advance(1_000);
  expect(count()).toBe(0);
  garbage.note(MEBIBYTE);
  garbage.note(MEBIBYTE);
  clock.advance(19);
  expect(count()).toBe(0);
  clock.advance(1);
  expect(count()).toBe(1);
  garbage.note(9 * MEBIBYTE);
  clock.advance(119);
  expect(count()).toBe(1);
  clock.advance(1);
  expect(count()).toBe(2);
  clock.advance(10_000);
  expect(count()).toBe(2);
});

test("StoreGarbage never lets more than 12 MiB gather, rest or not", () => {
  const { clock, garbage, count } = start();
  for (let stored = 0; stored < 48; stored++) garbage.note(MEBIBYTE);
  expect(count()).toBe(4);
  // What was planned meanwhile is not done once more.
  clock.advance(10_000);
  expect(count()).toBe(4);
  garbage.note(8 * MEBIBYTE);
  clock.advance(200);
  expect(count()).toBe(5);
});
