/** Decoder configurations and NAL units of H.264. */
import { describe, expect, test } from "bun:test";
import {
  addPictureParameters,
  avcCodecs,
  prefixLength,
  readAvcConfig,
  splitNalUnits,
} from "#common/formats/h264.ts";

/** What x264 says of 1280x720 in High profile, with the extension for its chroma format at the end. */
const HIGH = Uint8Array.fromHex(
  "0164001fffe1001c6764001facb402802dd350101014000003000400000300f23c60ca8001000468ef3cb0fdf8f800",
);

describe("readAvcConfig()", () => {
  test("reads profile, level and parameter sets", () => {
    const config = readAvcConfig(HIGH);
    expect(config).toEqual({
      profile: 0x64,
      compatibility: 0,
      level: 0x1f,
      lengthBytes: 4,
      sequenceParameterSets: [Uint8Array.fromHex("6764001facb402802dd350101014000003000400000300f23c60ca80")],
      pictureParameterSets: [Uint8Array.fromHex("68ef3cb0")],
    });
    expect(config === undefined ? "" : avcCodecs(config)).toBe("avc1.64001f");
  });

  test("refuses what is cut short or of another version", () => {
    // The last four bytes are the extension, which may be missing.
    for (let length = 0; length < HIGH.length - 4; length++) {
      expect(readAvcConfig(HIGH.subarray(0, length))).toBeUndefined();
    }
    expect(readAvcConfig(HIGH.with(0, 2))).toBeUndefined();
    expect(readAvcConfig(HIGH.with(5, 0xe0))).toBeUndefined();
  });
});

test("addPictureParameters() keeps all that was there", () => {
  const added = addPictureParameters(HIGH, Uint8Array.of(0x68, 1, 2, 3));
  const config = readAvcConfig(added);
  expect(config).toMatchObject({
    profile: 0x64,
    lengthBytes: 4,
    sequenceParameterSets: readAvcConfig(HIGH)?.sequenceParameterSets ?? [],
    pictureParameterSets: [Uint8Array.fromHex("68ef3cb0"), Uint8Array.of(0x68, 1, 2, 3)],
  });
  expect(added.toHex()).toBe(HIGH.toHex().replace("01000468ef3cb0", "02000468ef3cb0000468010203"));
  expect(() => addPictureParameters(new Uint8Array(8), Uint8Array.of(0x68))).toThrow(TypeError);
});

test("prefixLength() makes a frame of one unit", () => {
  expect(prefixLength(Uint8Array.of(0x65, 7)).toHex()).toBe("000000026507");
});

test.each([
  ["0000000165", ["65"]],
  ["00000002090a000000036501ff", ["090a", "6501ff"]],
  ["", undefined],
  ["000000", undefined],
  ["00000000", undefined],
  ["0000000265", undefined],
  ["00000001650000", undefined],
  ["ffffffff65", undefined],
])("splitNalUnits() of %p", (hex, units) => {
  expect(splitNalUnits(Uint8Array.fromHex(hex))?.map((unit) => unit.toHex())).toEqual(units);
});
