/** Numbers that follow from a seed. */
import { expect, test } from "bun:test";
import { createRandom, createRandomBelow } from "#common/random.ts";

test("createRandom() repeats itself for one seed and stays within [0, 1)", () => {
  const take = (seed: number): number[] => {
    const random = createRandom(seed);
    return Array.from({ length: 1000 }, random);
  };
  expect(take(3)).toEqual(take(3));
  expect(take(3)).not.toEqual(take(4));
  expect(take(3).every((value) => value >= 0 && value < 1)).toBeTrue();
});

test("createRandomBelow() gives each whole number below the end that it is asked for", () => {
  const random = createRandomBelow(5);
  const counts = new Map<number, number>();
  for (let turn = 0; turn < 6_000; turn += 1) {
    const value = random(6);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  expect([...counts.keys()].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  expect(Math.min(...counts.values())).toBeGreaterThan(800);
  expect(random(1)).toBe(0);
});
