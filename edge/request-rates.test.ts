/** Requests of prefixes over time, on a clock moved by hand. */
import { describe, expect, test } from "bun:test";
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

describe("RequestRates of several processes", () => {
  /** Two that hear of each other each second, asked as often by a prefix as `demand` says; what each admits in the last. */
  function settle(demand: readonly [number, number], seconds = 10): number[] {
    const clock = new FakeClock();
    const [one, two] = [0, 1].map(() => new RequestRates({ clock, requestsPerSecond: 100, processes: 2 }));
    if (one === undefined || two === undefined) throw new Error("two processes");
    let last: number[] = [];
    for (let second = 0; second < seconds; second++) {
      last = [0, 0];
      for (let step = 0; step < 10; step++) {
        clock.advance(100);
        last[0] = (last[0] ?? 0) + admitted(one, "a", demand[0] / 10);
        last[1] = (last[1] ?? 0) + admitted(two, "a", demand[1] / 10);
      }
      [one.elsewhere, two.elsewhere] = [two.heavy, one.heavy];
    }
    return last;
  }

  test.each([
    ["who asks both gets half of the limit at each", [500, 500], [50, 50]],
    ["who asks one has all of it there", [500, 0], [100, 0]],
    ["each has its half at least, whatever the other admits", [500, 60], [50, 60]],
    ["within the limit nothing is refused", [30, 70], [30, 70]],
  ] as const)("%s", (_, demand, expected) => {
    const last = settle(demand);
    for (const [index, count] of expected.entries()) expect(last[index]).toBeWithin(count - 2, count + 3);
  });

  test("heavy is told once a second, and forgets who asks no more", () => {
    const clock = new FakeClock();
    const rates = new RequestRates({ clock, requestsPerSecond: 10, processes: 2, prefixesMax: 2 });
    admitted(rates, "a", 10);
    expect([...rates.heavy]).toEqual([]);
    clock.advance(2_000);
    admitted(rates, "b", 4);
    expect([...rates.heavy]).toEqual([["a", 5]]);
    clock.advance(500);
    expect([...rates.heavy]).toEqual([["a", 5]]);
    clock.advance(500);
    expect([...rates.heavy]).toEqual([]);
    for (const prefix of ["c", "d", "e"]) admitted(rates, prefix, 9);
    clock.advance(1_000);
    expect([...rates.heavy]).toEqual([
      ["c", 9],
      ["d", 9],
    ]);
  });
});
