/** Patterns of the pixel flood: every pixel once, whole commands, the seeded order. */
import { describe, expect, test } from "bun:test";
import { PIXEL_FORMATS, PIXEL_ORDERS } from "./config.ts";
import { buildPattern, colourOf, commandsBefore, type PatternOptions } from "./pixel-patterns.ts";

const base: PatternOptions = {
  width: 12,
  height: 11,
  format: "text",
  order: "ordered",
  image: "gradient",
  seed: 7,
};

describe("buildPattern()", () => {
  for (const format of PIXEL_FORMATS) {
    for (const order of PIXEL_ORDERS) {
      test(`sets each pixel once with whole commands (${format}, ${order})`, () => {
        const options = { ...base, format, order, image: "noise" as const };
        const { bytes, starts, pixels } = buildPattern(options);
        const seen = new Set<number>();
        for (const [index, pixel] of pixels.entries()) {
          const command = Buffer.from(bytes.subarray(starts[index], starts[index + 1]));
          expect(readCommand(command)).toEqual({
            x: pixel % 12,
            y: Math.floor(pixel / 12),
            colour: colourOf(options, pixel),
          });
          seen.add(pixel);
        }
        expect(seen.size).toBe(12 * 11);
        expect(starts.at(-1)).toBe(bytes.length);
      });
    }
  }

  test("writes the documented forms", () => {
    const first = (format: PatternOptions["format"]): Buffer => {
      const { bytes, starts } = buildPattern({ ...base, format, width: 2, height: 1, seed: 0 });
      return Buffer.from(bytes.subarray(starts[1], starts[2]));
    };
    expect(first("text").toString()).toMatch(/^PX 1 0 ff00[0-9a-f]{2}\n$/);
    expect(first("text8").toString()).toMatch(/^PX 1 0 ff00[0-9a-f]{2}ff\n$/);
    expect(first("pb").toString("hex")).toMatch(/^504201000000ff00..ff$/);
  });

  test("shuffles by the seed alone", () => {
    const order = (seed: number): Uint32Array => buildPattern({ ...base, order: "shuffled", seed }).pixels;
    expect(order(1)).toEqual(order(1));
    expect(order(1)).not.toEqual(order(2));
    expect(buildPattern(base).pixels).toEqual(order(1).sort());
  });
});

describe("commandsBefore()", () => {
  const starts = Uint32Array.of(0, 10, 25, 40);
  for (const [offset, commands] of [
    [0, 0],
    [1, 1],
    [10, 1],
    [11, 2],
    [25, 2],
    [39, 3],
    [40, 3],
  ] as const) {
    test(`finds ${commands} commands begun before byte ${offset}`, () => {
      expect(commandsBefore(starts, offset)).toBe(commands);
    });
  }
});

function readCommand(command: Buffer): { x: number; y: number; colour: number } {
  if (command.toString("latin1", 0, 2) === "PB") {
    expect(command.length).toBe(10);
    return { x: command.readUInt16LE(2), y: command.readUInt16LE(4), colour: command.readUIntBE(6, 3) };
  }
  const match = /^PX (\d+) (\d+) ([0-9a-f]{6})(ff)?\n$/.exec(command.toString("latin1"));
  expect(match).not.toBeNull();
  return { x: Number(match?.[1]), y: Number(match?.[2]), colour: Number.parseInt(match?.[3] ?? "", 16) };
}
