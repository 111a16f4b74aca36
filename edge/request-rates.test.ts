/** Requests of prefixes over time, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { RequestRates } from "./request-rates.ts";

function admitted(rates: RequestRates, prefix: string, requests: number): number {
  return Array.from({ length: requests }, () => rates.admits(prefix)).filter(Boolean).length;
}

test("RequestRates admits those of two seconds at once, then as many a second as configured", () => {
  const clock = new FakeClock();
  const rates = new RequestRates({ clock, requestsPerSecond: 10 });
  expect([admitted(rates, "a", 100), admitted(rates, "b", 100)]).toEqual([20, 20]);
  clock.advance(1_000);
  expect(admitted(rates, "a", 100)).toBe(10);
  clock.advance(60_000);
  expect(admitted(rates, "a", 100)).toBe(20);
});

test("RequestRates lets who keeps the rate alone for ever", () => {
  const clock = new FakeClock();
  const rates = new RequestRates({ clock, requestsPerSecond: 10 });
  let refused = 0;
  for (let count = 0; count < 1_000; count++) {
    clock.advance(100);
    if (!rates.admits("a")) refused++;
  }
  expect(refused).toBe(0);
});

test("RequestRates remembers so many prefixes and no more, those that ask rather than the others", () => {
  const clock = new FakeClock();
  const rates = new RequestRates({ clock, requestsPerSecond: 1, prefixesMax: 3 });
  for (const prefix of ["a", "b", "c"]) admitted(rates, prefix, 2);
  clock.advance(3_000);
  admitted(rates, "b", 2);
  expect([rates.admits("d"), rates.prefixes]).toEqual([true, 2]);
  expect([rates.admits("e"), rates.admits("f"), rates.prefixes]).toEqual([true, true, 3]);
});
