/** Pictures written without an encoder, decoded by ffmpeg: every block is what was asked for. */
import { describe, expect, test } from "bun:test";
import { BitWriter } from "#common/formats/bit-writer.ts";
import { decodeH264 } from "#common/formats/fixtures/decode-h264.ts";
import { plainSps } from "#common/formats/fixtures/plain-sps.ts";
import {
  type FlatPicture,
  type PictureContext,
  writeFlatPicture,
  writePictureParameters,
  writeRepeat,
} from "#common/formats/h264-writer.ts";
import { createRandomBelow } from "#common/random.ts";

const WIDTH = 64;
const HEIGHT = 48;

/** From few levels in few blocks to as many as there can be. */
function randomPicture(seed: number): FlatPicture {
  const random = createRandomBelow(seed);
  const luma = [
    () => 16 * (1 + random(14)),
    () => (random(2) === 0 ? 32 : 224),
    () => (random(9) === 0 ? 224 : 32),
    () => 16 * random(16),
  ][seed % 4];
  const chroma = seed % 3 === 0 ? () => 128 : () => 8 * random(32);
  return {
    luma: Uint8Array.from({ length: (WIDTH * HEIGHT) / 16 }, luma ?? (() => 32)),
    blue: Uint8Array.from({ length: (WIDTH * HEIGHT) / 64 }, chroma),
    red: Uint8Array.from({ length: (WIDTH * HEIGHT) / 64 }, chroma),
  };
}

/** The picture as planes of pixels, 4:2:0. */
function planesOf({ luma, blue, red }: FlatPicture): number[] {
  const enlarge = (plane: Uint8Array, width: number, height: number): number[] =>
    Array.from(
      { length: width * height },
      (_, at) => plane[(Math.floor(at / width) >> 2) * (width / 4) + ((at % width) >> 2)] ?? 0,
    );
  return [
    ...enlarge(luma, WIDTH, HEIGHT),
    ...enlarge(blue, WIDTH / 2, HEIGHT / 2),
    ...enlarge(red, WIDTH / 2, HEIGHT / 2),
  ];
}

describe.each([
  ["in the order of decoding", false],
  ["with an order of their own", true],
])("pictures %s", (_, hasOrder) => {
  const { sps, format } = plainSps({ width: WIDTH, height: HEIGHT, hasOrder });
  const context: PictureContext = { format, pictureId: 3 };

  test("writeFlatPicture() decodes to exactly its blocks, and writeRepeat() shows them again", async () => {
    const units: Uint8Array[] = [sps, writePictureParameters(3, 0)];
    const expected: number[] = [];
    for (let seed = 0; seed < 24; seed++) {
      const picture = randomPicture(seed);
      units.push(writeFlatPicture(context, picture, seed % 2));
      // Longer than frame_num and the order go without wrapping.
      const repeats = seed === 0 ? 40 : 1;
      for (let frameNumber = 1; frameNumber <= repeats; frameNumber++) {
        units.push(writeRepeat(context, { frameNumber, orderLsb: 2 * frameNumber }));
      }
      for (let shown = 0; shown <= repeats; shown++) expected.push(...planesOf(picture));
    }
    expect(Buffer.from(await decodeH264(units)).equals(Uint8Array.from(expected))).toBe(true);
  });
});

test("a repeat is a few bytes, whatever the size", () => {
  const { format } = plainSps({ width: 1920, height: 1080 });
  expect(writeRepeat({ format, pictureId: 1 }, { frameNumber: 1, orderLsb: 0 }).length).toBeLessThan(12);
});

test("writeFlatPicture() refuses a step that is not the quantizer's", () => {
  const { format } = plainSps({ width: WIDTH, height: HEIGHT });
  const picture = randomPicture(1);
  picture.luma[5] = 33;
  expect(() => writeFlatPicture({ format, pictureId: 1 }, picture, 0)).toThrow("multiple of 16");
});

test("BitWriter.finish() leaves no start code inside a unit", () => {
  const writer = new BitWriter();
  for (const byte of [0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4]) writer.bits(byte, 8);
  expect(writer.finish(0x68).toHex()).toBe("6800000300000300010000030300000480");
});
