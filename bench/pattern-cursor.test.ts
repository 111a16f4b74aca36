/** Where a connection stands in its pattern: what it has sent whole, and what is missing to a boundary. */
import { describe, expect, test } from "bun:test";
import { passesOf, PatternCursor } from "./pattern-cursor.ts";
import type { Pattern } from "./pixel-patterns.ts";

/** Three commands of 10, 15 and 5 bytes that paint 1, 0 and 4 pixels. */
const pattern: Pattern = {
  bytes: new Uint8Array(30),
  starts: Uint32Array.of(0, 10, 25, 30),
  pixels: Uint32Array.of(9, 1, 2, 3, 4),
  pixelStarts: Uint32Array.of(0, 1, 1, 5),
  entries: new Uint32Array(0),
};

describe("PatternCursor", () => {
  for (const [first, sent, count, rest] of [
    [0, [], [0, 0], 0],
    [0, [9], [0, 0], 1],
    [0, [10], [1, 1], 0],
    [0, [20], [1, 1], 5],
    [0, [30], [3, 5], 0],
    [0, [30, 11], [4, 6], 14],
    [2, [], [0, 0], 0],
    [2, [3], [0, 0], 2],
    [2, [5], [1, 4], 0],
    [2, [5, 9], [1, 4], 1],
    [2, [5, 30, 25], [6, 10], 0],
  ] as const) {
    test(`counts what is whole of ${JSON.stringify(sent)} bytes from command ${first}`, () => {
      const cursor = new PatternCursor(pattern, first);
      for (const bytes of sent) cursor.advance(bytes);
      expect(cursor.count).toEqual({ firstCommand: first, commands: count[0], pixels: count[1] });
      expect(cursor.restOfCommand().length).toBe(rest);
    });
  }

  test("begins where a connection may", () => {
    const cursor = new PatternCursor({ ...pattern, entries: Uint32Array.of(0, 1) }, 2);
    expect([cursor.count.firstCommand, cursor.offset, cursor.left]).toEqual([1, 10, 20]);
  });
});

describe("passesOf()", () => {
  for (const [firstCommand, commands, passes, ranges] of [
    [0, 0, 0, [[0, 0]]],
    [0, 2, 0, [[0, 2]]],
    [1, 3, 1, [[1, 1]]],
    [1, 5, 1, [[1, 3]]],
    [
      2,
      8,
      2,
      [
        [2, 3],
        [0, 1],
      ],
    ],
  ] as const) {
    test(`splits ${commands} commands from ${firstCommand}`, () => {
      expect(passesOf({ firstCommand, commands }, 3)).toEqual({
        passes,
        ranges: ranges.map(([from, to]) => [from, to]),
      });
    });
  }
});
