/** The picture of the canvas, read back pixel by pixel. */
import { expect, test } from "bun:test";
import { inflateSync } from "node:zlib";
import { createRandomBelow } from "#common/random.ts";
import { CanvasImage } from "./canvas-image.ts";
import { createFramebuffer, OPAQUE } from "./framebuffer.ts";

/** Decodes a PNG of 8-bit RGBA, not interlaced: enough to read our own back. */
// PNG (W3C Recommendation, third edition) 9.2 filter types
function decodePng(png: Uint8Array): {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
} {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  expect([...png.subarray(24, 29)]).toEqual([8, 6, 0, 0, 0]);
  const parts: Uint8Array[] = [];
  for (let at = 8; at < png.length; at += 12 + view.getUint32(at)) {
    const type = new TextDecoder().decode(png.subarray(at + 4, at + 8));
    if (type === "IDAT") parts.push(png.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const rows = inflateSync(Buffer.concat(parts));
  const stride = width * 4;
  const rgba = new Uint8Array(height * stride);
  for (let y = 0; y < height; y += 1) {
    const filter = rows[y * (stride + 1)] ?? 0;
    for (let x = 0; x < stride; x += 1) {
      const left = x >= 4 ? (rgba[y * stride + x - 4] ?? 0) : 0;
      const up = y > 0 ? (rgba[(y - 1) * stride + x] ?? 0) : 0;
      const upLeft = x >= 4 && y > 0 ? (rgba[(y - 1) * stride + x - 4] ?? 0) : 0;
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, upLeft)][filter] ?? 0;
      rgba[y * stride + x] = (rows[y * (stride + 1) + 1 + x] ?? 0) + predicted;
    }
  }
  return { width, height, rgba };
}

function paeth(left: number, up: number, upLeft: number): number {
  const estimate = left + up - upLeft;
  const distances = [left, up, upLeft].map((value) => Math.abs(estimate - value));
  return [left, up, upLeft][distances.indexOf(Math.min(...distances))] ?? 0;
}

test.each([
  [33, 17],
  [1, 1],
])("png() shows a canvas of %d x %d to the pixel", async (width, height) => {
  const framebuffer = createFramebuffer({ width, height });
  const random = createRandomBelow(5);
  for (let index = 0; index < framebuffer.pixels.length; index += 1) {
    framebuffer.pixels[index] = random(0x100_0000) | OPAQUE;
  }
  const expected = framebuffer.bytes.slice();
  expect(decodePng(await new CanvasImage(framebuffer).png())).toEqual({ width, height, rgba: expected });
});

test("png() shares encodings among requests, and never answers with an older canvas", async () => {
  const framebuffer = createFramebuffer({ width: 2, height: 2 });
  const image = new CanvasImage(framebuffer);
  const first = image.png();
  framebuffer.pixels[0] = 0xff03_0201;
  const others = [image.png(), image.png(), image.png()];
  expect(new Set(others).size).toBe(1);
  expect((await decoded(first)).slice(0, 4)).toEqual([0, 0, 0, 255]);
  for (const other of others) expect((await decoded(other)).slice(0, 4)).toEqual([1, 2, 3, 255]);
  framebuffer.pixels[0] = 0xff06_0504;
  expect((await decoded(image.png())).slice(0, 4)).toEqual([4, 5, 6, 255]);
});

async function decoded(png: Promise<Uint8Array>): Promise<number[]> {
  return [...decodePng(await png).rgba];
}
