/**
 * The bytes that `bench pixels` sends: one canvas of whole commands in a seeded order, made once before the run so
 * that sending costs nothing but the copy into the kernel.
 */
import type { PixelFormat, PixelImage, PixelOrder } from "./config.ts";
import { createRandom } from "./statistics.ts";

/** Longest PX line: `PX 65535 65535 rrggbbaa` and its newline. */
const TEXT_COMMAND_BYTES_MAX = 24;
/** `PB`, two coordinates of two bytes, four bytes of colour. */
const BINARY_COMMAND_BYTES = 10;
/** A canvas may not be larger: coordinates of PB have 16 bits, and the commands must fit into one buffer. */
export const PATTERN_PIXELS_MAX = 40_000_000;

export interface PatternOptions {
  /** Size of the canvas in pixels. */
  readonly width: number;
  readonly height: number;
  readonly format: PixelFormat;
  readonly order: PixelOrder;
  readonly image: PixelImage;
  readonly seed: number;
}

/** One canvas of commands. */
export interface Pattern {
  /** The commands, one behind the other. */
  readonly bytes: Uint8Array;
  /** Where command i begins in `bytes`; one more entry holds the end. */
  readonly starts: Uint32Array;
  /** Which pixel command i sets: `y * width + x`. */
  readonly pixels: Uint32Array;
}

/** Colour of a pixel, `0xrrggbb`: a function of its place and the seed. */
export function colourOf(
  { width, height, image, seed }: Pick<PatternOptions, "width" | "height" | "image" | "seed">,
  pixel: number,
): number {
  const x = pixel % width;
  const y = (pixel - x) / width;
  if (image === "noise") return mix(pixel, seed) & 0xffffff;
  const red = Math.floor((x * 255) / Math.max(1, width - 1));
  const green = Math.floor((y * 255) / Math.max(1, height - 1));
  return (red << 16) | (green << 8) | (mix(0, seed) & 0xff);
}

/** A hash of two whole numbers (the finaliser of MurmurHash3). */
function mix(value: number, seed: number): number {
  let hash = (value ^ Math.imul(seed + 1, 0x9e3779b1)) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Every pixel once, row by row or shuffled (Fisher and Yates) by the seed. */
export function orderPixels({
  width,
  height,
  order,
  seed,
}: Pick<PatternOptions, "width" | "height" | "order" | "seed">): Uint32Array {
  const pixels = new Uint32Array(width * height);
  for (let index = 0; index < pixels.length; index += 1) pixels[index] = index;
  if (order === "ordered") return pixels;
  const random = createRandom(seed);
  for (let index = pixels.length - 1; index > 0; index -= 1) {
    const other = Math.floor(random() * (index + 1));
    const kept = pixels[index] ?? 0;
    pixels[index] = pixels[other] ?? 0;
    pixels[other] = kept;
  }
  return pixels;
}

/** Makes one canvas of commands. */
export function buildPattern(options: PatternOptions): Pattern {
  const pixels = orderPixels(options);
  const commandBytesMax = options.format === "pb" ? BINARY_COMMAND_BYTES : TEXT_COMMAND_BYTES_MAX;
  const bytes = new Uint8Array(pixels.length * commandBytesMax);
  const starts = new Uint32Array(pixels.length + 1);
  const write = options.format === "pb" ? writeBinary : options.format === "text8" ? writeText8 : writeText;
  let offset = 0;
  for (let index = 0; index < pixels.length; index += 1) {
    const pixel = pixels[index] ?? 0;
    const x = pixel % options.width;
    const y = (pixel - x) / options.width;
    starts[index] = offset;
    offset = write(bytes, offset, x, y, colourOf(options, pixel));
  }
  starts[pixels.length] = offset;
  return { bytes: bytes.subarray(0, offset), starts, pixels };
}

/** Number of commands that begin before `offset`, so those that are sent whole if `offset` is a boundary. */
export function commandsBefore(starts: Uint32Array, offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Writes one command at `offset` and returns where it ends. Arguments one by one: called for every pixel of a canvas. */
type WriteCommand = (bytes: Uint8Array, offset: number, x: number, y: number, colour: number) => number;

const writeBinary: WriteCommand = (bytes, offset, x, y, colour) => {
  bytes[offset] = 0x50;
  bytes[offset + 1] = 0x42;
  bytes[offset + 2] = x & 0xff;
  bytes[offset + 3] = x >> 8;
  bytes[offset + 4] = y & 0xff;
  bytes[offset + 5] = y >> 8;
  bytes[offset + 6] = colour >> 16;
  bytes[offset + 7] = (colour >> 8) & 0xff;
  bytes[offset + 8] = colour & 0xff;
  bytes[offset + 9] = 0xff;
  return offset + BINARY_COMMAND_BYTES;
};

const writeText: WriteCommand = (bytes, offset, x, y, colour) => {
  const end = writeLine(bytes, offset, x, y, colour);
  bytes[end] = 0x0a;
  return end + 1;
};

const writeText8: WriteCommand = (bytes, offset, x, y, colour) => {
  const end = writeLine(bytes, offset, x, y, colour);
  bytes[end] = 0x66;
  bytes[end + 1] = 0x66;
  bytes[end + 2] = 0x0a;
  return end + 3;
};

/** `PX x y rrggbb` without its end. */
const writeLine: WriteCommand = (bytes, offset, x, y, colour) => {
  bytes[offset] = 0x50;
  bytes[offset + 1] = 0x58;
  bytes[offset + 2] = 0x20;
  let end = writeDecimal(bytes, offset + 3, x);
  bytes[end] = 0x20;
  end = writeDecimal(bytes, end + 1, y);
  bytes[end] = 0x20;
  end += 1;
  for (let shift = 20; shift >= 0; shift -= 4) {
    const digit = (colour >> shift) & 0xf;
    bytes[end] = digit + (digit < 10 ? 0x30 : 0x57);
    end += 1;
  }
  return end;
};

function writeDecimal(bytes: Uint8Array, offset: number, value: number): number {
  let power = 1;
  while (power * 10 <= value) power *= 10;
  let end = offset;
  for (; power >= 1; power /= 10) {
    bytes[end] = 0x30 + (Math.floor(value / power) % 10);
    end += 1;
  }
  return end;
}
