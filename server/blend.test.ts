/** Every possible blend against the protocol's formula. */
import { expect, test } from "bun:test";
import { blendPixel } from "./blend.ts";

test("blendPixel() is floor((a*s + (255-a)*d) / 255) for every alpha, source and destination", () => {
  let wrong = 0;
  for (let alpha = 0; alpha < 256; alpha += 1) {
    for (let source = 0; source < 256; source += 1) {
      for (let below = 0; below < 256; below += 1) {
        const expected = Math.floor((alpha * source + (255 - alpha) * below) / 255);
        if ((blendPixel(source, below, alpha) & 0xff) !== expected) wrong += 1;
      }
    }
  }
  expect(wrong).toBe(0);
});

test("blendPixel() keeps channels apart and the canvas opaque", () => {
  expect(blendPixel(0x00ff_8000, 0xff10_2030, 0x80).toString(16)).toBe("ff875017");
});
