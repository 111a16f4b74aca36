/**
 * Writes H.264 pictures that need no encoder: one that repeats the picture before it, and one of flat blocks (text in
 * large letters). They go into the stream of any encoder of progressive 4:2:0 video of 8 bits, under its own sequence
 * parameter set and a picture parameter set of theirs, and decode to exactly what was asked for.
 */
// ITU-T H.264 7.3.2.1.1 (sequence parameter set), 7.3.2.2 (picture parameter set), 7.3.3 (slice header), 7.3.5 (macroblock), 8.3.3 (Intra_16x16), 8.5 (transform)
import assert from "node:assert";
import { BitWriter } from "#common/formats/bit-writer.ts";
import { writeChromaLevels, writeLumaLevels } from "#common/formats/h264-cavlc.ts";

/** What slices take from the sequence parameter set. */
export interface SequenceFormat {
  readonly id: number;
  /** Size of a frame. */
  readonly widthMacroblocks: number;
  readonly heightMacroblocks: number;
  /** Bits of `frame_num`. */
  readonly frameNumberBits: number;
  /** Bits of `pic_order_cnt_lsb`; 0 where it is not sent. */
  readonly pictureOrder: { readonly lsbBits: number };
}

/** What is shown of a frame, in pixels: even numbers. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** The place of a picture in its sequence. */
export interface PictureOrder {
  /** `frame_num`, not yet wrapped. */
  readonly frameNumber: number;
  /** `pic_order_cnt_lsb`, not yet wrapped; of no account where it is not sent. */
  readonly orderLsb: number;
}

/**
 * A picture of flat blocks. Luma is a grid of blocks of 4 x 4 pixels, each a multiple of 16; chroma one of blocks of
 * 8 x 8 pixels, each a multiple of 8. Both cover whole macroblocks.
 */
export interface FlatPicture {
  readonly luma: Uint8Array;
  readonly blue: Uint8Array;
  readonly red: Uint8Array;
}

/** Pixels on a side of a macroblock, and of the blocks of a {@link FlatPicture}. */
export const MACROBLOCK_PIXELS = 16;
export const LUMA_BLOCK_PIXELS = 4;
export const CHROMA_BLOCK_PIXELS = 8;

/** NAL unit headers: reference picture of the highest and the lowest rank, and a picture parameter set. */
const HEADER_IDR = 0x65;
const HEADER_NOT_IDR = 0x21;
const HEADER_SEQUENCE_PARAMETERS = 0x67;
const HEADER_PICTURE_PARAMETERS = 0x68;
/** Constrained Baseline: what decodes everywhere. */
const PROFILE_BASELINE = 66;
const CONSTRAINTS = 0xc0;
/** Levels for 60 frames a second and more, and the macroblocks that a frame of each has at most (Table A-1). */
const LEVELS = [
  [42, 8_704],
  [52, 36_864],
  [62, 139_264],
] as const;
/** Of {@link sequenceFormatOf}. */
const FRAME_NUMBER_BITS = 8;
/** `pic_order_cnt_type`: sent with each picture, or that of decoding. */
const ORDER_SENT = 0;
const ORDER_OF_DECODING = 2;
/** Types of slices where the picture has no others. */
const SLICE_P = 5;
const SLICE_I = 7;
/** Of {@link writePictureParameters}, whose quantizer is 26. */
const QUANTIZER = 28;
const QUANTIZER_DELTA = QUANTIZER - 26;
/** `disable_deblocking_filter_idc`: no edge is filtered. */
const NO_DEBLOCKING = 1;

/** Intra_16x16 prediction modes, those of chroma, and what a macroblock without neighbours is predicted to be. */
const LUMA_VERTICAL = 0;
const LUMA_HORIZONTAL = 1;
const LUMA_MEAN = 2;
const CHROMA_MEAN = 0;
const CHROMA_HORIZONTAL = 1;
const CHROMA_VERTICAL = 2;
const UNPREDICTED = 128;
/** `mb_type` of Intra_16x16 without coefficients; four more with the DC of chroma. */
const MB_INTRA_16X16 = 1;
const MB_CHROMA_DC = 4;

/** Blocks in a row of a macroblock. */
const LUMA_BLOCKS = MACROBLOCK_PIXELS / LUMA_BLOCK_PIXELS;
const CHROMA_BLOCKS = MACROBLOCK_PIXELS / CHROMA_BLOCK_PIXELS;
/** Row and column of each coefficient in the order of the scan (8.5.6). */
const SCAN = [
  [0, 0],
  [0, 1],
  [1, 0],
  [2, 0],
  [1, 1],
  [0, 2],
  [0, 3],
  [1, 2],
  [2, 1],
  [3, 0],
  [3, 1],
  [2, 2],
  [1, 3],
  [2, 3],
  [3, 2],
  [3, 3],
] as const;
const NO_LEVELS = SCAN.map(() => 0);
/** Rows of the transform of DC coefficients (8.5.10). */
const HADAMARD = [
  [1, 1, 1, 1],
  [1, 1, -1, -1],
  [1, -1, -1, 1],
  [1, -1, 1, -1],
] as const;
/** At {@link QUANTIZER}, a level of 1 in every DC coefficient changes a block of luma by 1/16, one of chroma by 1/2. */
const LUMA_STEP = 16;
const CHROMA_STEP = 8;

/** What pictures of this size in pixels take that have a sequence of their own: number 0. */
export function sequenceFormatOf({ width, height }: PictureSize): SequenceFormat {
  return {
    id: 0,
    widthMacroblocks: Math.ceil(width / MACROBLOCK_PIXELS),
    heightMacroblocks: Math.ceil(height / MACROBLOCK_PIXELS),
    frameNumberBits: FRAME_NUMBER_BITS,
    // They are shown as they are decoded.
    pictureOrder: { lsbBits: 0 },
  };
}

/** A sequence parameter set that says `format`, of which `size` is shown. */
export function writeSequenceParameters(
  size: PictureSize,
  format = sequenceFormatOf(size),
): Uint8Array<ArrayBuffer> {
  const { id, widthMacroblocks, heightMacroblocks, frameNumberBits, pictureOrder } = format;
  const macroblocks = widthMacroblocks * heightMacroblocks;
  const level = LEVELS.find(([, macroblocksMax]) => macroblocks <= macroblocksMax) ?? LEVELS[2];
  const writer = new BitWriter();
  for (const byte of [PROFILE_BASELINE, CONSTRAINTS, level[0]]) writer.bits(byte, 8);
  writer.unsigned(id);
  writer.unsigned(frameNumberBits - 4);
  writer.unsigned(pictureOrder.lsbBits === 0 ? ORDER_OF_DECODING : ORDER_SENT);
  if (pictureOrder.lsbBits > 0) writer.unsigned(pictureOrder.lsbBits - 4);
  // One reference; no gaps in frame_num.
  writer.unsigned(1);
  writer.bits(0, 1);
  writer.unsigned(widthMacroblocks - 1);
  writer.unsigned(heightMacroblocks - 1);
  // Frames only; direct inference; cropped on the right and below, in pixels of chroma; nothing about its use.
  writer.bits(0b111, 3);
  writer.unsigned(0);
  writer.unsigned((widthMacroblocks * MACROBLOCK_PIXELS - size.width) / 2);
  writer.unsigned(0);
  writer.unsigned((heightMacroblocks * MACROBLOCK_PIXELS - size.height) / 2);
  writer.bits(0, 1);
  return writer.finish(HEADER_SEQUENCE_PARAMETERS);
}

/** The picture parameter set that these pictures refer to: CAVLC, one reference, no deblocking where a slice says so. */
export function writePictureParameters(pictureId: number, sequenceId: number): Uint8Array<ArrayBuffer> {
  const writer = new BitWriter();
  writer.unsigned(pictureId);
  writer.unsigned(sequenceId);
  // CAVLC; no order of fields in slices; one slice group; one reference in each list; no weights.
  writer.bits(0b00, 2);
  writer.unsigned(0);
  writer.unsigned(0);
  writer.unsigned(0);
  writer.bits(0b000, 3);
  // Quantizers 26, and the same for chroma.
  writer.signed(0);
  writer.signed(0);
  writer.signed(0);
  // Slices control deblocking; prediction is not constrained; no redundant slices.
  writer.bits(0b100, 3);
  return writer.finish(HEADER_PICTURE_PARAMETERS);
}

/** What the slices of a picture refer to. */
export interface PictureContext {
  readonly format: SequenceFormat;
  /** Of {@link writePictureParameters}. */
  readonly pictureId: number;
}

/** A picture that shows its predecessor in decoding order again: all of its macroblocks are skipped. */
export function writeRepeat(context: PictureContext, order: PictureOrder): Uint8Array<ArrayBuffer> {
  const { widthMacroblocks, heightMacroblocks } = context.format;
  const writer = new BitWriter();
  writeSliceStart(writer, context, { type: SLICE_P, order });
  // As many references as the parameter set says, in their own order; none is marked in another way than by age.
  writer.bits(0b000, 3);
  writer.signed(QUANTIZER_DELTA);
  writer.unsigned(NO_DEBLOCKING);
  writer.unsigned(widthMacroblocks * heightMacroblocks);
  return writer.finish(HEADER_NOT_IDR);
}

/** `picture` as an IDR picture; `idrId` differs from that of an IDR picture right before or behind it. */
export function writeFlatPicture(
  context: PictureContext,
  picture: FlatPicture,
  idrId: number,
): Uint8Array<ArrayBuffer> {
  const { widthMacroblocks, heightMacroblocks } = context.format;
  const writer = new BitWriter();
  writeSliceStart(writer, context, { type: SLICE_I, order: { frameNumber: 0, orderLsb: 0 }, idrId });
  // Earlier pictures may still be shown; this one is no long-term reference.
  writer.bits(0b00, 2);
  writer.signed(QUANTIZER_DELTA);
  writer.unsigned(NO_DEBLOCKING);
  for (let y = 0; y < heightMacroblocks; y++) {
    for (let x = 0; x < widthMacroblocks; x++) writeMacroblock(writer, picture, { x, y, widthMacroblocks });
  }
  return writer.finish(HEADER_IDR);
}

interface SliceStart {
  readonly type: number;
  readonly order: PictureOrder;
  readonly idrId?: number;
}

function writeSliceStart(
  writer: BitWriter,
  { format, pictureId }: PictureContext,
  { type, order, idrId }: SliceStart,
): void {
  const { frameNumberBits, pictureOrder } = format;
  writer.unsigned(0);
  writer.unsigned(type);
  writer.unsigned(pictureId);
  writer.bits(order.frameNumber, frameNumberBits);
  if (idrId !== undefined) writer.unsigned(idrId);
  writer.bits(order.orderLsb, pictureOrder.lsbBits);
}

/** Which macroblock it is. */
interface Place {
  readonly x: number;
  readonly y: number;
  readonly widthMacroblocks: number;
}

/**
 * Predicted from the one above, in the first row from the one before. As blocks are flat and their steps those of the
 * quantizer, the prediction is one of them and the difference exact: nothing adds up over the picture.
 */
function writeMacroblock(writer: BitWriter, { luma, blue, red }: FlatPicture, place: Place): void {
  const lumaLevels = lumaLevelsOf(differences(luma, place, LUMA_BLOCKS));
  const chromaLevels = [blue, red].map((plane) => chromaLevelsOf(differences(plane, place, CHROMA_BLOCKS)));
  const hasChroma = chromaLevels.some((levels) => levels.some((level) => level !== 0));
  const isFirst = place.x === 0 && place.y === 0;
  const lumaMode = isFirst ? LUMA_MEAN : place.y === 0 ? LUMA_HORIZONTAL : LUMA_VERTICAL;
  const chromaMode = isFirst ? CHROMA_MEAN : place.y === 0 ? CHROMA_HORIZONTAL : CHROMA_VERTICAL;
  writer.unsigned(MB_INTRA_16X16 + lumaMode + (hasChroma ? MB_CHROMA_DC : 0));
  writer.unsigned(chromaMode);
  // The quantizer stays.
  writer.signed(0);
  writeLumaLevels(writer, lumaLevels);
  if (hasChroma) for (const levels of chromaLevels) writeChromaLevels(writer, levels);
}

/** What the blocks of a macroblock differ by from their prediction, row by row; `count` of them on a side. */
function differences(plane: Uint8Array, { x, y, widthMacroblocks }: Place, count: number): number[][] {
  const width = widthMacroblocks * count;
  const at = (row: number, column: number): number =>
    plane[(y * count + row) * width + x * count + column] ?? 0;
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: count }, (__, column) => {
      const value = at(row, column);
      if (y > 0) return value - at(-1, column);
      return value - (x > 0 ? at(row, -1) : UNPREDICTED);
    }),
  );
}

/** Levels in the order of the scan: the transform is its own inverse but for a factor. */
function lumaLevelsOf(block: readonly (readonly number[])[]): readonly number[] {
  // Most of a picture is like what is above it.
  if (block.every((row) => row.every((difference) => difference === 0))) return NO_LEVELS;
  return SCAN.map(([row, column]) => {
    let sum = 0;
    for (let y = 0; y < LUMA_BLOCKS; y++) {
      for (let x = 0; x < LUMA_BLOCKS; x++) {
        sum += (HADAMARD[row][y] ?? 0) * (block[y]?.[x] ?? 0) * (HADAMARD[x]?.[column] ?? 0);
      }
    }
    assert(sum % LUMA_STEP === 0, "luma of a flat picture is a multiple of 16");
    return sum / LUMA_STEP;
  });
}

function chromaLevelsOf([
  [a = 0, b = 0] = [],
  [c = 0, d = 0] = [],
]: readonly (readonly number[])[]): number[] {
  return [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d].map((sum) => {
    assert(sum % CHROMA_STEP === 0, "chroma of a flat picture is a multiple of 8");
    return sum / CHROMA_STEP;
  });
}
