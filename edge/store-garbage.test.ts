/** When what is stored no more is collected. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import { StoreGarbage } from "./store-garbage.ts";

test("StoreGarbage collects a moment after 12 MiB, and rests four times as long as that took", () => {
  const clock = new FakeClock();
  let collections = 0;
  // What the collector takes.
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
  garbage.note(11 * MEBIBYTE);
  clock.advance(1_000);
  expect(collections).toBe(0);
  garbage.note(MEBIBYTE);
  garbage.note(MEBIBYTE);
  clock.advance(19);
  expect(collections).toBe(0);
  clock.advance(1);
  expect(collections).toBe(1);
  garbage.note(100 * MEBIBYTE);
  clock.advance(119);
  expect(collections).toBe(1);
  clock.advance(1);
  expect(collections).toBe(2);
  clock.advance(10_000);
  expect(collections).toBe(2);
});
