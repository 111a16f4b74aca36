/** The page's texts, case by case. */
import { describe, expect, test } from "bun:test";
import { formatBitRate, formatCount, formatDelay, formatPaintLine, readStreamName } from "./format.ts";

test.each([
  [0, "0"],
  [987, "987"],
  [1_387, "1.4K"],
  [34_000_000, "34M"],
  [1_240_000_000, "1.2B"],
])("formatCount(%p) is short", (count, text) => {
  expect(formatCount(count)).toBe(text);
});

test.each([
  [0, "0 bit/s"],
  [950, "950 bit/s"],
  [999.4, "999 bit/s"],
  [999.6, "1 kbit/s"],
  [183_400_000, "183 Mbit/s"],
  [3_444_000, "3.44 Mbit/s"],
  [999_900_000, "1 Gbit/s"],
  [2e15, "2000 Tbit/s"],
])("formatBitRate(%p) takes the unit that suits", (bitsPerSecond, text) => {
  expect(formatBitRate(bitsPerSecond)).toBe(text);
});

test.each([
  [-80, "0.0 s"],
  [812, "0.8 s"],
  [9_949, "9.9 s"],
  [9_950, "10 s"],
  [61_000, "61 s"],
])("formatDelay(%p) shows tenths while they matter", (delayMs, text) => {
  expect(formatDelay(delayMs)).toBe(text);
});

test.each([
  ["canvas.example.org", 'echo "PX 10 10 ff0000" | nc -w 1 canvas.example.org 1234'],
  ["[::1]", 'echo "PX 10 10 ff0000" | nc -w 1 ::1 1234'],
])("formatPaintLine() names %s as nc wants it", (hostname, line) => {
  expect(formatPaintLine({ hostname, port: 1234 })).toBe(line);
});

describe("readStreamName()", () => {
  test.each([
    ["", "canvas"],
    ["?stream=wall-2", "wall-2"],
    ["?other=1&stream=B_1", "B_1"],
    ["?stream=", "canvas"],
    ["?stream=../../secret", "canvas"],
    ["?stream=a%2Fb", "canvas"],
    [`?stream=${"a".repeat(65)}`, "canvas"],
  ])("reads %p as %s", (search, name) => {
    expect(readStreamName(search)).toBe(name);
  });
});
