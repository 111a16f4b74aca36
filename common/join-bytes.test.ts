/** Pieces of bytes as one array, copied or not. */
import { expect, test } from "bun:test";
import { joinBytes, wholeOf } from "#common/join-bytes.ts";

const AB = Uint8Array.of(1, 2);
const C = Uint8Array.of(3);

test("joinBytes() copies, however many pieces there are", () => {
  expect([joinBytes([]), joinBytes([AB, C])]).toEqual([new Uint8Array(0), Uint8Array.of(1, 2, 3)]);
  const copy = joinBytes([AB]);
  expect([copy === AB, copy]).toEqual([false, AB]);
});

test("wholeOf() takes a single piece as it is, unless it lies in memory of others", () => {
  expect(wholeOf([AB])).toBe(AB);
  const part = AB.subarray(1);
  expect([wholeOf([part]) === part, wholeOf([part]), wholeOf([AB, C])]).toEqual([
    false,
    Uint8Array.of(2),
    Uint8Array.of(1, 2, 3),
  ]);
});
