/**
 * Reads what an H.264 stream says of itself: sequence and picture parameter sets, and the first fields of slice headers.
 * Everything takes a NAL unit with its header byte and without a start code or length, and gives `undefined` for what
 * cannot be read.
 */
// ITU-T H.264 7.3.2.1.1 (SPS), 7.3.2.2 (PPS), 7.3.3 (slice header), E.1.1 (VUI)
import { BitReader, removeEmulationPrevention } from "#common/formats/bit-reader.ts";

/** `nal_unit_type` (table 7-1). */
export const NAL_SLICE = 1;
export const NAL_IDR_SLICE = 5;
export const NAL_SEI = 6;
export const NAL_SEQUENCE_PARAMETERS = 7;
export const NAL_PICTURE_PARAMETERS = 8;
export const NAL_DELIMITER = 9;

/** Profiles whose sequence parameter sets tell of chroma and depth. */
const PROFILES_WITH_CHROMA = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const CHROMA_420 = 1;
const CHROMA_444 = 3;
const MACROBLOCK_PIXELS = 16;
/** Most macroblocks of a picture at any level (6 to 6.2, table A-1), such as 8192x4352 pixels. */
export const MACROBLOCKS_MAX = 139_264;
/** Of its longest side: the root of eight times as many (A.3.1). */
const MACROBLOCKS_SIDE_MAX = 1055;
/** Highest `chroma_format_idc`, and bits a sample (7.4.2.1.1). */
const CHROMA_FORMAT_MAX = 3;
const SAMPLE_BITS_MAX = 14;
/** Numbers of bits and of identifiers in one set (7.4.2.1.1). */
const LOG2_MAX = 16;
const SEQUENCE_ID_MAX = 31;
const PICTURE_ID_MAX = 255;
const CYCLE_FRAMES_MAX = 255;
/** `aspect_ratio_idc` that says the ratio is given in full. */
const ASPECT_EXTENDED = 255;
const CODED_PICTURE_BUFFERS_MAX = 32;
/** Slice types repeat: 5 to 9 say that all slices of the picture are of that type. */
const SLICE_TYPES = 5;
const SLICE_TYPE_MAX = 9;

/** The type of a NAL unit. */
export function nalType(unit: Uint8Array): number {
  return (unit[0] ?? 0) & 0x1f;
}

/** How fast pictures follow each other, as the stream claims. */
export interface VideoTiming {
  /** A frame lasts two ticks of `unitsInTick / timeScale` seconds. */
  readonly unitsInTick: number;
  readonly timeScale: number;
  /** True where all frames last equally long. */
  readonly isFixedRate: boolean;
}

export interface SequenceParameters {
  readonly id: number;
  readonly profile: number;
  readonly compatibility: number;
  readonly level: number;
  /** `chroma_format_idc`: 1 is 4:2:0. */
  readonly chromaFormat: number;
  readonly hasSeparatePlanes: boolean;
  /** Bits a sample. */
  readonly lumaBits: number;
  readonly chromaBits: number;
  /** Bits of `frame_num` in slice headers. */
  readonly frameNumberBits: number;
  readonly pictureOrder: {
    readonly type: number;
    /** Bits of `pic_order_cnt_lsb`; 0 where it is not sent. */
    readonly lsbBits: number;
    /** True where type 1 sends no differences. */
    readonly isDeltaZero: boolean;
  };
  readonly referenceFramesMax: number;
  readonly allowsFrameNumberGaps: boolean;
  /** Of a frame, in macroblocks. */
  readonly widthMacroblocks: number;
  readonly heightMacroblocks: number;
  /** True where no picture is interlaced. */
  readonly isFrameOnly: boolean;
  /** As shown, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Absent where the stream does not tell. */
  readonly timing?: VideoTiming;
  /** How many frames come before one that is shown earlier; absent where the stream does not tell. */
  readonly reorderFramesMax?: number;
}

export interface PictureParameters {
  readonly id: number;
  readonly sequenceId: number;
  readonly isCabac: boolean;
  /** `bottom_field_pic_order_in_frame_present_flag`. */
  readonly hasBottomFieldOrder: boolean;
  readonly sliceGroups: number;
  /** Reference pictures that a slice has unless it says otherwise. */
  readonly references0: number;
  readonly references1: number;
  readonly isWeighted: boolean;
  readonly weightedBipredictive: number;
  /** Quantiser before the slice's own difference, 26 included. */
  readonly quantiser: number;
  readonly chromaQuantiserOffset: number;
  readonly hasDeblockingControl: boolean;
  readonly isConstrainedIntra: boolean;
  readonly hasRedundantPictures: boolean;
  readonly hasTransform8x8: boolean;
}

/** The first fields of a slice header. */
export interface SliceHeader {
  readonly type: "P" | "B" | "I" | "SP" | "SI";
  readonly isIdr: boolean;
  readonly referenceIdc: number;
  /** Address of the first macroblock: 0 begins a picture, unless slices come in any order. */
  readonly firstMacroblock: number;
  readonly pictureParametersId: number;
  readonly frameNumber: number;
  readonly isField: boolean;
  readonly isBottomField: boolean;
  /** `idr_pic_id`; `undefined` unless it is an IDR picture. */
  readonly idrId: number | undefined;
  /** `pic_order_cnt_lsb`; 0 where it is not sent. */
  readonly orderLsb: number;
}

/** Opens the payload of a NAL unit of one of `types`. */
function openUnit(unit: Uint8Array, ...types: readonly number[]): BitReader | undefined {
  if (!types.includes(nalType(unit)) || unit.length < 2) return undefined;
  return new BitReader(removeEmulationPrevention(unit.subarray(1)));
}

/** Reads a sequence parameter set. */
export function readSequenceParameters(unit: Uint8Array): SequenceParameters | undefined {
  const bits = openUnit(unit, NAL_SEQUENCE_PARAMETERS);
  if (bits === undefined) return undefined;
  const profile = bits.bits(8);
  const compatibility = bits.bits(8);
  const level = bits.bits(8);
  const id = bits.unsigned();
  const chroma = readChroma(bits, profile);
  if (chroma === undefined) return undefined;
  const frameNumberBits = bits.unsigned() + 4;
  const pictureOrder = readPictureOrder(bits);
  if (id > SEQUENCE_ID_MAX || frameNumberBits > LOG2_MAX || pictureOrder === undefined) return undefined;
  const referenceFramesMax = bits.unsigned();
  const allowsFrameNumberGaps = bits.flag();
  const size = readSize(bits, chroma);
  const vui = size !== undefined && bits.flag() ? readUsability(bits) : undefined;
  if (size === undefined || bits.isOverrun) return undefined;
  return {
    id,
    profile,
    compatibility,
    level,
    ...chroma,
    frameNumberBits,
    pictureOrder,
    referenceFramesMax,
    allowsFrameNumberGaps,
    ...size,
    ...vui,
  };
}

type Chroma = Pick<SequenceParameters, "chromaFormat" | "hasSeparatePlanes" | "lumaBits" | "chromaBits">;

function readChroma(bits: BitReader, profile: number): Chroma | undefined {
  if (!PROFILES_WITH_CHROMA.has(profile)) {
    return { chromaFormat: CHROMA_420, hasSeparatePlanes: false, lumaBits: 8, chromaBits: 8 };
  }
  const chromaFormat = bits.unsigned();
  const hasSeparatePlanes = chromaFormat === CHROMA_444 && bits.flag();
  const lumaBits = 8 + bits.unsigned();
  const chromaBits = 8 + bits.unsigned();
  if (chromaFormat > CHROMA_FORMAT_MAX || Math.max(lumaBits, chromaBits) > SAMPLE_BITS_MAX) return undefined;
  // qpprime_y_zero_transform_bypass_flag
  bits.flag();
  if (bits.flag()) skipScalingMatrix(bits, chromaFormat === CHROMA_444 ? 12 : 8);
  return { chromaFormat, hasSeparatePlanes, lumaBits, chromaBits };
}

/** Six lists of 16 numbers and then such of 64 (7.3.2.1.1.1). */
function skipScalingMatrix(bits: BitReader, lists: number): void {
  for (let list = 0; list < lists; list++) {
    if (!bits.flag()) continue;
    let last = 8;
    let next = 8;
    for (let index = 0; index < (list < 6 ? 16 : 64); index++) {
      if (next !== 0) next = (last + bits.signed() + 256) % 256;
      last = next === 0 ? last : next;
    }
  }
}

function readPictureOrder(bits: BitReader): SequenceParameters["pictureOrder"] | undefined {
  const type = bits.unsigned();
  if (type === 0) {
    const lsbBits = bits.unsigned() + 4;
    return lsbBits > LOG2_MAX ? undefined : { type, lsbBits, isDeltaZero: false };
  }
  if (type === 2) return { type, lsbBits: 0, isDeltaZero: false };
  if (type !== 1) return undefined;
  const isDeltaZero = bits.flag();
  // offset_for_non_ref_pic, offset_for_top_to_bottom_field
  bits.signed();
  bits.signed();
  const frames = bits.unsigned();
  if (frames > CYCLE_FRAMES_MAX) return undefined;
  for (let frame = 0; frame < frames; frame++) bits.signed();
  return { type, lsbBits: 0, isDeltaZero };
}

type Size = Pick<
  SequenceParameters,
  "widthMacroblocks" | "heightMacroblocks" | "isFrameOnly" | "width" | "height"
>;

/** The coded size, and what is left of it behind the cropping (7.4.2.1.1). */
function readSize(bits: BitReader, { chromaFormat, hasSeparatePlanes }: Chroma): Size | undefined {
  const widthMacroblocks = bits.unsigned() + 1;
  const heightUnits = bits.unsigned() + 1;
  const isFrameOnly = bits.flag();
  // mb_adaptive_frame_field_flag
  if (!isFrameOnly) bits.flag();
  // direct_8x8_inference_flag
  bits.flag();
  const heightMacroblocks = heightUnits * (isFrameOnly ? 1 : 2);
  if (widthMacroblocks > MACROBLOCKS_SIDE_MAX || heightMacroblocks > MACROBLOCKS_SIDE_MAX) return undefined;
  if (widthMacroblocks * heightMacroblocks > MACROBLOCKS_MAX) return undefined;
  const isSubsampled = !hasSeparatePlanes && (chromaFormat === 1 || chromaFormat === 2);
  const unitX = isSubsampled ? 2 : 1;
  const unitY = (!hasSeparatePlanes && chromaFormat === CHROMA_420 ? 2 : 1) * (isFrameOnly ? 1 : 2);
  const hasCrop = bits.flag();
  const cropX = hasCrop ? (bits.unsigned() + bits.unsigned()) * unitX : 0;
  const cropY = hasCrop ? (bits.unsigned() + bits.unsigned()) * unitY : 0;
  const width = widthMacroblocks * MACROBLOCK_PIXELS - cropX;
  const height = heightMacroblocks * MACROBLOCK_PIXELS - cropY;
  if (width <= 0 || height <= 0) return undefined;
  return { widthMacroblocks, heightMacroblocks, isFrameOnly, width, height };
}

/** Video usability information: the timing and how far pictures are reordered. */
function readUsability(bits: BitReader): Pick<SequenceParameters, "timing" | "reorderFramesMax"> {
  if (bits.flag() && bits.bits(8) === ASPECT_EXTENDED) bits.bits(32);
  // overscan
  if (bits.flag()) bits.flag();
  // video_format and range, colours
  if (bits.flag()) {
    bits.bits(4);
    if (bits.flag()) bits.bits(24);
  }
  // place of chroma samples
  if (bits.flag()) {
    bits.unsigned();
    bits.unsigned();
  }
  const timing = bits.flag() ? readTiming(bits) : undefined;
  const hasNalReference = bits.flag();
  if (hasNalReference) skipReferenceDecoder(bits);
  const hasVclReference = bits.flag();
  if (hasVclReference) skipReferenceDecoder(bits);
  // low_delay_hrd_flag
  if (hasNalReference || hasVclReference) bits.flag();
  // pic_struct_present_flag
  bits.flag();
  const reorderFramesMax = bits.flag() ? readReorder(bits) : undefined;
  return {
    ...(timing !== undefined && { timing }),
    ...(reorderFramesMax !== undefined && { reorderFramesMax }),
  };
}

function readTiming(bits: BitReader): VideoTiming | undefined {
  const unitsInTick = bits.bits(32);
  const timeScale = bits.bits(32);
  const isFixedRate = bits.flag();
  return unitsInTick === 0 || timeScale === 0 ? undefined : { unitsInTick, timeScale, isFixedRate };
}

/** Hypothetical reference decoder (E.1.2). */
function skipReferenceDecoder(bits: BitReader): void {
  const buffers = Math.min(bits.unsigned() + 1, CODED_PICTURE_BUFFERS_MAX);
  bits.bits(8);
  for (let buffer = 0; buffer < buffers; buffer++) {
    bits.unsigned();
    bits.unsigned();
    bits.flag();
  }
  bits.bits(20);
}

function readReorder(bits: BitReader): number {
  // motion_vectors_over_pic_boundaries_flag, then four limits
  bits.flag();
  for (let limit = 0; limit < 4; limit++) bits.unsigned();
  return bits.unsigned();
}

/** Reads a picture parameter set. */
export function readPictureParameters(unit: Uint8Array): PictureParameters | undefined {
  const bits = openUnit(unit, NAL_PICTURE_PARAMETERS);
  if (bits === undefined) return undefined;
  const id = bits.unsigned();
  const sequenceId = bits.unsigned();
  const isCabac = bits.flag();
  const hasBottomFieldOrder = bits.flag();
  const sliceGroups = bits.unsigned() + 1;
  // Flexible macroblock ordering belongs to Extended profile and to Baseline that nobody sends.
  if (id > PICTURE_ID_MAX || sequenceId > SEQUENCE_ID_MAX || sliceGroups > 1) return undefined;
  const references0 = bits.unsigned() + 1;
  const references1 = bits.unsigned() + 1;
  const isWeighted = bits.flag();
  const weightedBipredictive = bits.bits(2);
  const quantiser = 26 + bits.signed();
  // pic_init_qs_minus26
  bits.signed();
  const chromaQuantiserOffset = bits.signed();
  const hasDeblockingControl = bits.flag();
  const isConstrainedIntra = bits.flag();
  const hasRedundantPictures = bits.flag();
  const hasTransform8x8 = bits.hasMore && bits.flag();
  if (bits.isOverrun) return undefined;
  return {
    id,
    sequenceId,
    isCabac,
    hasBottomFieldOrder,
    sliceGroups,
    references0,
    references1,
    isWeighted,
    weightedBipredictive,
    quantiser,
    chromaQuantiserOffset,
    hasDeblockingControl,
    isConstrainedIntra,
    hasRedundantPictures,
    hasTransform8x8,
  };
}

/** Longest start of a slice that its first fields can be in. */
const SLICE_HEADER_BYTES_MAX = 32;

/** Reads the first fields of a slice's header. `sequence` is the one that the picture's parameters name. */
export function readSliceHeader(unit: Uint8Array, sequence: SequenceParameters): SliceHeader | undefined {
  const bits = openUnit(unit.subarray(0, SLICE_HEADER_BYTES_MAX), NAL_SLICE, NAL_IDR_SLICE);
  if (bits === undefined) return undefined;
  const isIdr = nalType(unit) === NAL_IDR_SLICE;
  const firstMacroblock = bits.unsigned();
  const typeNumber = bits.unsigned();
  const type = (["P", "B", "I", "SP", "SI"] as const)[typeNumber % SLICE_TYPES];
  const pictureParametersId = bits.unsigned();
  if (typeNumber > SLICE_TYPE_MAX || type === undefined || pictureParametersId > PICTURE_ID_MAX) {
    return undefined;
  }
  // colour_plane_id
  if (sequence.hasSeparatePlanes) bits.bits(2);
  const frameNumber = bits.bits(sequence.frameNumberBits);
  const isField = !sequence.isFrameOnly && bits.flag();
  const isBottomField = isField && bits.flag();
  const idrId = isIdr ? bits.unsigned() : undefined;
  const orderLsb = bits.bits(sequence.pictureOrder.lsbBits);
  if (bits.isOverrun) return undefined;
  return {
    type,
    isIdr,
    referenceIdc: ((unit[0] ?? 0) >> 5) & 3,
    firstMacroblock,
    pictureParametersId,
    frameNumber,
    isField,
    isBottomField,
    idrId,
    orderLsb,
  };
}
