/** Parameter sets and slice headers against what x264 was told to write, and against what ffprobe reads of it. */
import { describe, expect, test } from "bun:test";
import { BitReader, removeEmulationPrevention } from "#common/formats/bit-reader.ts";
import { BitWriter } from "#common/formats/bit-writer.ts";
import {
  NAL_IDR_SLICE,
  NAL_PICTURE_PARAMETERS,
  NAL_SEQUENCE_PARAMETERS,
  NAL_SLICE,
  nalType,
  readPictureParameters,
  readSequenceParameters,
  readSliceHeader,
} from "./h264-parameters.ts";

/** NAL units of 20 frames of a test picture, as the `ffmpeg` program encodes it with `options`. */
function encode(size: string, rate: string, options: readonly string[]): Uint8Array[] {
  const input = ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}`, "-frames:v", "20"];
  const { stdout, exitCode } = Bun.spawnSync([
    "ffmpeg",
    "-v",
    "error",
    ...input,
    "-c:v",
    "libx264",
    ...options,
    "-f",
    "h264",
    "-",
  ]);
  expect(exitCode).toBe(0);
  return splitAnnexB(new Uint8Array(stdout));
}

function splitAnnexB(bytes: Uint8Array): Uint8Array[] {
  const units: Uint8Array[] = [];
  let from: number | undefined;
  for (let at = 0; at + 3 <= bytes.length; at++) {
    if (bytes[at] !== 0 || bytes[at + 1] !== 0 || bytes[at + 2] !== 1) continue;
    if (from !== undefined) units.push(bytes.subarray(from, bytes[at - 1] === 0 ? at - 1 : at));
    from = at + 3;
  }
  if (from !== undefined) units.push(bytes.subarray(from));
  return units;
}

const ofType = (units: readonly Uint8Array[], type: number): Uint8Array => {
  const unit = units.find((one) => nalType(one) === type);
  if (unit === undefined) throw new Error(`no NAL unit of type ${type}`);
  return unit;
};

interface Encoding {
  readonly name: string;
  readonly size: string;
  readonly rate: string;
  readonly options: readonly string[];
  readonly sequence: object;
  readonly picture: object;
}

const ENCODINGS: readonly Encoding[] = [
  {
    name: "Constrained Baseline",
    size: "320x180",
    rate: "25",
    options: ["-pix_fmt", "yuv420p", "-profile:v", "baseline", "-x264-params", "force-cfr=1"],
    sequence: {
      profile: 66,
      chromaFormat: 1,
      lumaBits: 8,
      width: 320,
      height: 180,
      widthMacroblocks: 20,
      heightMacroblocks: 12,
      isFrameOnly: true,
      reorderFramesMax: 0,
      timing: { unitsInTick: 1, timeScale: 50, isFixedRate: true },
    },
    picture: { isCabac: false, hasTransform8x8: false, isWeighted: false },
  },
  {
    name: "High with B-frames at 29.97",
    size: "1920x1080",
    rate: "30000/1001",
    options: ["-pix_fmt", "yuv420p", "-preset", "veryfast", "-bf", "2"],
    sequence: {
      profile: 100,
      width: 1920,
      height: 1080,
      heightMacroblocks: 68,
      reorderFramesMax: 2,
      timing: { unitsInTick: 1001, timeScale: 60_000, isFixedRate: false },
    },
    picture: { isCabac: true, hasTransform8x8: true, hasDeblockingControl: true },
  },
  {
    name: "High 4:4:4 with a scaling matrix and a reference decoder",
    size: "98x50",
    rate: "24",
    options: [
      "-pix_fmt",
      "yuv444p",
      "-b:v",
      "300k",
      "-maxrate",
      "300k",
      "-bufsize",
      "300k",
      "-x264-params",
      "cqm=jvt:nal-hrd=vbr",
    ],
    sequence: {
      profile: 244,
      chromaFormat: 3,
      width: 98,
      height: 50,
      timing: { unitsInTick: 1, timeScale: 48, isFixedRate: false },
    },
    picture: { isCabac: true },
  },
  {
    name: "High 10 interlaced, sizes that are no whole macroblocks",
    size: "322x184",
    rate: "30",
    options: ["-pix_fmt", "yuv420p10le", "-flags", "+ilme+ildct", "-x264-params", "tff=1", "-aspect", "16:9"],
    sequence: { profile: 110, lumaBits: 10, chromaBits: 10, width: 322, height: 184, isFrameOnly: false },
    picture: { isCabac: true },
  },
];

describe("readSequenceParameters() and readPictureParameters() read what x264 wrote:", () => {
  test.each(ENCODINGS)("$name", ({ size, rate, options, sequence, picture }) => {
    const units = encode(size, rate, options);
    expect(readSequenceParameters(ofType(units, NAL_SEQUENCE_PARAMETERS))).toMatchObject(sequence);
    expect(readPictureParameters(ofType(units, NAL_PICTURE_PARAMETERS))).toMatchObject(picture);
  });
});

test("readSliceHeader() tells frame numbers and the order of showing", () => {
  const units = encode("64x64", "30", ["-pix_fmt", "yuv420p", "-bf", "2", "-b_strategy", "0", "-g", "10"]);
  const sequence = readSequenceParameters(ofType(units, NAL_SEQUENCE_PARAMETERS));
  if (sequence === undefined) throw new Error("x264's sequence parameters were not read");
  const slices = units.filter((unit) => [NAL_SLICE, NAL_IDR_SLICE].includes(nalType(unit)));
  const headers = slices.map((unit) => readSliceHeader(unit, sequence));
  expect(headers.slice(0, 4)).toMatchObject([
    { type: "I", isIdr: true, idrId: 0, frameNumber: 0, orderLsb: 0, firstMacroblock: 0 },
    { type: "P", isIdr: false, idrId: undefined, frameNumber: 1, orderLsb: 6 },
    { type: "B", frameNumber: 2 },
    { type: "B" },
  ]);
  const orders = headers.slice(0, 4).map((header) => header?.orderLsb ?? -1);
  expect(orders.toSorted((a, b) => a - b)).toEqual([0, 2, 4, 6]);
  expect(headers.filter((header) => header?.isIdr === true)).toHaveLength(2);
});

test("whatever cuts or changes a parameter set, reading it ends", () => {
  const [first] = ENCODINGS.slice(2);
  if (first === undefined) throw new Error("no encoding");
  const unit = ofType(encode(first.size, first.rate, first.options), NAL_SEQUENCE_PARAMETERS);
  for (let length = 0; length < 12; length++) {
    expect(readSequenceParameters(unit.subarray(0, length))).toBeUndefined();
  }
  for (let at = 1; at < unit.length; at++) {
    for (const value of [0, 0xff]) {
      const read = readSequenceParameters(unit.with(at, value));
      expect(read === undefined || read.width * read.height > 0).toBeTrue();
    }
  }
});

test.each([
  [480, 270, true],
  [1055, 132, true],
  [1056, 16, false],
  [374, 374, false],
  [1024, 1024, false],
])(
  "readSequenceParameters() of %d x %d macroblocks: no larger than a level allows",
  (width, height, isRead) => {
    expect(readSequenceParameters(writeSequence({ width, height })) !== undefined).toBe(isRead);
  },
);

test("readSequenceParameters() refuses chroma formats and depths that there are not", () => {
  expect(readSequenceParameters(writeSequence({ lumaBits: 14 }))).toMatchObject({ lumaBits: 14 });
  expect(readSequenceParameters(writeSequence({ lumaBits: 15 }))).toBeUndefined();
  expect(readSequenceParameters(writeSequence({ chromaFormat: 4 }))).toBeUndefined();
});

/** A sequence parameter set of High profile that says nothing more than it must. */
function writeSequence({ width = 4, height = 4, chromaFormat = 1, lumaBits = 8 }): Uint8Array {
  const writer = new BitWriter();
  for (const byte of [100, 0, 62]) writer.bits(byte, 8);
  // Its id; chroma, depths and no scaling matrix; frame numbers, order of decoding, one reference, no gaps.
  for (const number of [0, chromaFormat, lumaBits - 8, 0]) writer.unsigned(number);
  writer.bits(0b00, 2);
  for (const number of [0, 2, 1]) writer.unsigned(number);
  writer.bits(0, 1);
  for (const side of [width, height]) writer.unsigned(side - 1);
  // Frames only, direct_8x8_inference, neither cropping nor usability information.
  writer.bits(0b1100, 4);
  return writer.finish(0x67);
}

describe("BitReader", () => {
  test("reads Exp-Golomb codes of either kind, and says when it ran out", () => {
    // 1 | 010 | 011 | 00100 | 00101 |...
    const bits = new BitReader(Uint8Array.of(0b10100110, 0b01000010, 0b10000000));
    expect([bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned()]).toEqual([0, 1, 2, 3]);
    expect(bits.signed()).toBe(-2);
    expect(bits.isOverrun).toBeFalse();
    expect(bits.unsigned()).toBe(0);
    expect(bits.isOverrun).toBeTrue();
  });

  test("hasMore ends before the stop bit", () => {
    const bits = new BitReader(Uint8Array.of(0b10110000, 0));
    bits.bits(3);
    expect(bits.hasMore).toBeFalse();
    expect(new BitReader(Uint8Array.of(0b10110000)).hasMore).toBeTrue();
  });

  test("removeEmulationPrevention() leaves out the third byte behind two zeros", () => {
    expect(removeEmulationPrevention(Uint8Array.of(0, 0, 3, 1, 0, 0, 3, 0, 0, 3))).toEqual(
      Uint8Array.of(0, 0, 1, 0, 0, 0, 0),
    );
    const plain = Uint8Array.of(0, 3, 0, 0, 4);
    expect(removeEmulationPrevention(plain)).toBe(plain);
  });
});
