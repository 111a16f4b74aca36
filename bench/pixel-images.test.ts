/** Images of the pixel flood: colours, grey rows, alpha, blending, and the orders. */
import { describe, expect, test } from "bun:test";
import { alphaOf, blend, colourOf, grayFromRow, orderPixels, orderRows, orderTiles } from "./pixel-images.ts";

const image = { width: 10, height: 16, image: "noise", seed: 3 } as const;
const pixels = Array.from({ length: 160 }, (_, pixel) => pixel);

function isGray(colour: number): boolean {
  return colour % 0x010101 === 0;
}

describe("colourOf()", () => {
  for (const [format, fromRow] of [
    ["text", 16],
    ["gray", 0],
    ["mixed", 14],
  ] as const) {
    test(`is grey from row ${fromRow} on (${format})`, () => {
      expect(grayFromRow({ format, height: 16 })).toBe(fromRow);
      const colours = pixels.map((pixel) => colourOf({ ...image, format }, pixel));
      expect(colours.slice(fromRow * 10).every(isGray)).toBe(true);
      expect(colours.slice(0, fromRow * 10).some(isGray)).toBe(false);
    });
  }

  test("is another where it is blended", () => {
    const [opaque, blended] = (["text8", "alpha"] as const).map((format) =>
      pixels.map((pixel) => colourOf({ ...image, format }, pixel)),
    );
    expect(opaque?.filter((colour, pixel) => colour === blended?.[pixel])).toEqual([]);
  });

  test("of a gradient rises to the right and downwards", () => {
    const gradient = { ...image, format: "text", image: "gradient" } as const;
    expect([0, 9, 150, 159].map((pixel) => colourOf(gradient, pixel) >> 8)).toEqual([
      0, 0xff00, 0x00ff, 0xffff,
    ]);
  });
});

test("alphaOf() differs from pixel to pixel in the format alpha alone", () => {
  expect(new Set(pixels.map((pixel) => alphaOf({ format: "text8", seed: 3 }, pixel)))).toEqual(
    new Set([255]),
  );
  const alphas = new Set(pixels.map((pixel) => alphaOf({ format: "alpha", seed: 3 }, pixel)));
  expect(alphas.size).toBeGreaterThan(80);
});

describe("blend()", () => {
  for (const [under, colour, alpha, result] of [
    [0x123456, 0xabcdef, 0, 0x123456],
    [0x123456, 0xabcdef, 255, 0xabcdef],
    [0x123456, 0x123456, 100, 0x123456],
    [0x000000, 0xff8001, 128, 0x804000],
    [0xffffff, 0x000000, 1, 0xfefefe],
  ] as const) {
    test(`lays ${colour.toString(16)} over ${under.toString(16)} with ${alpha}`, () => {
      expect(blend(under, colour, alpha)).toBe(result);
    });
  }
});

describe("order", () => {
  const canvas = { width: 130, height: 70, seed: 1 } as const;
  for (const [name, pixelsOf] of [
    ["pixels", orderPixels],
    ["tiles", orderTiles],
    ["rows", orderRows],
  ] as const) {
    test(`of ${name} holds every pixel once`, () => {
      for (const order of ["ordered", "shuffled"] as const) {
        const sorted = pixelsOf({ ...canvas, order }).sort();
        expect(sorted).toEqual(Uint32Array.from({ length: 130 * 70 }, (_, pixel) => pixel));
      }
    });
  }

  test("of squares goes row by row within one", () => {
    const tiles = orderTiles({ ...canvas, order: "ordered" });
    expect([...tiles.subarray(62, 66)]).toEqual([62, 63, 130, 131]);
    expect([...tiles.subarray(64 * 64, 64 * 64 + 2)]).toEqual([64, 65]);
  });

  test("may leave rows out", () => {
    expect([...orderPixels({ width: 2, height: 3, fromRow: 2, order: "ordered", seed: 1 })]).toEqual([4, 5]);
  });
});
