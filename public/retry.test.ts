/** The wait before the next try, case by case. */
import { expect, test } from "bun:test";
import { retryDelayMs } from "./retry.ts";

test.each([
  [1, 0, 500],
  [1, 1, 1_000],
  [2, 1, 2_000],
  [3, 0.5, 1_750],
  [3, 1, 3_000],
  [5_000, 1, 3_000],
])("retryDelayMs() after %p failures, random %p, is %p", (failures, random, delayMs) => {
  expect(retryDelayMs({ failures, random })).toBe(delayMs);
});
