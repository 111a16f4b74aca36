/** What a canvas must show after a flood, blended colours included. */
import { describe, expect, test } from "bun:test";
import { checkPainting, timesPainted } from "./pixel-verification.ts";
import type { SentByConnection } from "./pixel-sender.ts";
import type { Pattern } from "./pixel-patterns.ts";

describe("checkPainting()", () => {
  // 128/255 of white over black, again and again.
  const painting = { before: 0, colour: 0xffffff, alpha: 128, times: 3, isExact: true };
  for (const [name, found, change, isRight] of [
    ["blended as often as it was sent", 0xdfdfdf, {}, true],
    ["one blend short", 0xbfbfbf, {}, false],
    ["one blend short where threads may lose one", 0xbfbfbf, { isExact: false }, true],
    ["not blended at all", 0, { isExact: false }, false],
    ["of a colour between two blends", 0xc0c0c0, { isExact: false }, false],
    ["opaque", 0xffffff, { alpha: 255 }, true],
    ["transparent", 0x123456, { alpha: 0, before: 0x123456 }, true],
  ] as const) {
    test(`${isRight ? "accepts" : "refuses"} a pixel ${name}`, () => {
      expect(checkPainting(found, { ...painting, ...change }).isRight).toBe(isRight);
    });
  }

  test("ends where rounding does, however often it was sent", () => {
    const { wanted, isRight } = checkPainting(0xfefefe, { ...painting, times: 1e9 });
    expect([wanted, isRight]).toEqual([0xfefefe, true]);
  });
});

test("timesPainted() counts what was sent whole and answered", () => {
  const pattern: Pattern = {
    bytes: new Uint8Array(3),
    starts: Uint32Array.of(0, 1, 2, 3),
    pixels: Uint32Array.of(5, 0, 1, 2),
    pixelStarts: Uint32Array.of(0, 1, 3, 4),
    entries: new Uint32Array(0),
  };
  const sent = (
    connection: number,
    firstCommand: number,
    commands: number,
    isConfirmed = true,
  ): SentByConnection => ({
    connection,
    firstCommand,
    commands,
    isConfirmed,
    pixels: 0,
    bytes: 0,
    receivedBytes: 0,
    failure: "",
  });
  const times = timesPainted({
    patterns: [pattern, { ...pattern, pixels: Uint32Array.of(3, 3, 3, 3) }],
    sent: [sent(0, 2, 5), sent(1, 0, 3), sent(2, 0, 9, false)],
    canvasPixels: 6,
  });
  // Connection 0 sends the commands 2, 0, 1, 2, 0; connection 1 the other pattern once.
  expect([...times]).toEqual([1, 1, 2, 4, 0, 2]);
});
