/** Distributions, tallies and seeded randomness of the load scripts. */
import { describe, expect, test } from "bun:test";
import { Distribution, median, Tally } from "./statistics.ts";

describe("Distribution", () => {
  test("gives percentiles to 0.2 % and extremes exactly", () => {
    const values = new Distribution();
    for (let value = 1000; value >= 1; value -= 1) values.add(value);
    expect(values.count).toBe(1000);
    expect([values.min, values.max, values.mean]).toEqual([1, 1000, 500.5]);
    for (const [fraction, exact] of [
      [0.5, 500],
      [0.95, 950],
      [0.99, 990],
    ] as const) {
      expect(Math.abs(values.percentile(fraction) / exact - 1)).toBeLessThan(0.002);
    }
    expect(values.percentile(1)).toBe(1000);
  });

  test("is all zero while empty", () => {
    const values = new Distribution();
    expect([values.min, values.max, values.mean, values.percentile(0.5)]).toEqual([0, 0, 0, 0]);
  });

  test("keeps one value exactly, zero and huge ones too", () => {
    for (const value of [0, 0.2, 731.4, 1e12]) {
      const values = new Distribution();
      values.add(value);
      expect(values.percentile(0.5)).toBe(value);
    }
  });
});

test("Distribution takes values below zero down to its least value", () => {
  const values = new Distribution(-100);
  for (const value of [-20, -10, 30]) values.add(value);
  expect(Math.abs(values.percentile(0.5) - -10)).toBeLessThan(0.2);
  expect([values.min, values.max]).toEqual([-20, 30]);
});

test("Tally lists kinds by frequency and bounds their number", () => {
  const tally = new Tally();
  expect(tally.toString()).toBe("none");
  tally.add("timeout");
  tally.add("status 404", 3);
  expect(tally.toString()).toBe("3 status 404, 1 timeout");
  for (let kind = 0; kind < 100; kind += 1) tally.add(`kind ${kind}`);
  expect(tally.total).toBe(104);
  expect(tally.get("other")).toBe(38);
});

test("median() takes the middle", () => {
  expect([median([]), median([5]), median([9, 1, 5]), median([4, 1, 3, 2])]).toEqual([0, 5, 5, 2.5]);
});
