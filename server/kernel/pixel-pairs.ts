/**
 * The fastest loops: `PX x y rrggbb`, or all with `ff` behind it, one after the other, two commands at a time. They share
 * the steps behind the shuffle, and one test says whether both are what they look like and inside the canvas. Whatever is
 * not ends the loop before anything of it is done.
 */
import { blendPixel, OPAQUE } from "./canvas.ts";
import {
  lettersOf,
  limitsOfTwo,
  offsetOf,
  pairsOf,
  placeOf,
  shapeOf,
  stridesOfTwo,
  wrongLanes,
} from "./decode.ts";
import { TABLE_GREY_LENGTHS, TABLE_GREY_SHUFFLES, TABLE_LENGTHS, TABLE_SHUFFLES } from "./layout.ts";
import { hexByteAt } from "./line.ts";
import { runSerial } from "./pixel-lines.ts";
import { blends, canvas, countPixels, scratch } from "./state.ts";

/** What stands between the colours of two commands: LF and `PX `, perhaps with the alpha before it. */
const NEXT: u64 = 0x2058_500a;
const NEXT_MASK: u64 = 0xffff_ffff;
const OPAQUE_NEXT: u64 = 0x2058_500a_6666;
const ALPHA_NEXT: u64 = 0x2058_500a_0000;
const ALPHA_NEXT_MASK: u64 = 0xffff_ffff_0000;
const OPAQUE_NEXT_MASK: u64 = 0xffff_ffff_ffff;

const PX_: u32 = 0x20_5850;
const PX_MASK: u32 = 0xff_ffff;
/** No command of these loops is longer. */
const LINE_BYTES_MAX: usize = 22;

/**
 * {@link runChains} works on this many bytes at a time. Two chains that are 1 KiB apart and more were slower by up to a
 * fifth, the more so at multiples of 2 KiB; shorter ones pay more for their ends.
 */
export const BLOCK_BYTES: usize = 1024;
/** {@link runChains} leaves fewer bytes to others. */
const BLOCK_BYTES_MIN: usize = 512;

// What kind of commands the present loop takes, by `readKind`: the tables for their colours, how they end, and the bytes of
// their alpha.
let shuffles: usize = 0;
let lengths: usize = 0;
let ending: u64 = 0;
let endingMask: u64 = 0;
let alphaBytes: usize = 0;

/** Reads of which kind the command at `at` is. False where these loops take none such. */
function readKind(at: usize): bool {
  const shape = <usize>shapeOf(v128.load(at, 3));
  shuffles = TABLE_SHUFFLES;
  lengths = TABLE_LENGTHS;
  const bytes = load<u64>(at + <usize>load<u8>(<usize>TABLE_LENGTHS + shape) - 1);
  if ((bytes & ALPHA_NEXT_MASK) === ALPHA_NEXT) {
    const isOpaque = (bytes & OPAQUE_NEXT_MASK) === OPAQUE_NEXT;
    ending = isOpaque ? OPAQUE_NEXT : ALPHA_NEXT;
    endingMask = isOpaque ? OPAQUE_NEXT_MASK : ALPHA_NEXT_MASK;
    alphaBytes = 2;
    return true;
  }
  ending = NEXT;
  endingMask = NEXT_MASK;
  alphaBytes = 0;
  if ((bytes & NEXT_MASK) === NEXT) return true;
  shuffles = TABLE_GREY_SHUFFLES;
  lengths = TABLE_GREY_LENGTHS;
  const greyBytes = load<u64>(at + <usize>load<u8>(<usize>TABLE_GREY_LENGTHS + shape) - 1);
  return (greyBytes & NEXT_MASK) === NEXT;
}

/**
 * Carries out commands whose spaces stand where the first one's do: as in an image sent row by row. Where they stand
 * need not be searched then.
 *
 * @returns the address behind the last one; all before it were carried out
 */
export function runSame(from: usize, to: usize, offsetX: i32, offsetY: i32): usize {
  if (!readKind(from) || ending === ALPHA_NEXT) return from;
  const shape = shapeOf(v128.load(from, 3));
  const colourEnd = <usize>load<u8>(lengths + <usize>shape) - 1;
  const step = colourEnd + 1 + alphaBytes;
  const next = ending;
  const nextMask = endingMask;
  const padded = v128.load(shuffles + ((<usize>shape) << 4));
  // The spaces go where only zero is right, and are taken off there.
  const shuffle = i8x16.replace_lane(
    i8x16.replace_lane(padded, 14, <i8>ctz(shape)),
    15,
    <i8>ctz(shape & (shape - 1)),
  );
  const bias = v128.andnot(
    i8x16(48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 32, 32),
    i8x16.shr_s(shuffle, 7),
  );
  const base = canvas;
  const offset = offsetOf(offsetX, offsetY);
  const limits = limitsOfTwo();
  const strides = stridesOfTwo();
  const opaque = i32x4.splat(<i32>OPAQUE);
  const last = <isize>(to - 2 * step);
  let a = from;
  while (<isize>a <= last) {
    const b = a + step;
    const digitsA = i8x16.sub(i8x16.relaxed_swizzle(v128.load(a, 3), shuffle), bias);
    const digitsB = i8x16.sub(i8x16.relaxed_swizzle(v128.load(b, 3), shuffle), bias);
    const lettersA = lettersOf(digitsA);
    const lettersB = lettersOf(digitsB);
    const pairsA = pairsOf(digitsA, lettersA);
    const pairsB = pairsOf(digitsB, lettersB);
    const places = i16x8.narrow_i32x4_s(
      i32x4.add(placeOf(pairsA), offset),
      i32x4.add(placeOf(pairsB), offset),
    );
    const wrong = v128.or(
      v128.or(wrongLanes(digitsA, lettersA), wrongLanes(digitsB, lettersB)),
      i16x8.sub_sat_u(places, limits),
    );
    const ends = (load<u64>(a + colourEnd) ^ next) | (load<u64>(b + colourEnd) ^ next);
    if (v128.any_true(wrong) || ends & nextMask) break;
    const indexes = i32x4.dot_i16x8_s(places, strides);
    const colours = v128.or(i8x16.narrow_i16x8_u(pairsA, pairsB), opaque);
    store<u32>(base + ((<usize>i32x4.extract_lane(indexes, 0)) << 2), i32x4.extract_lane(colours, 1));
    store<u32>(base + ((<usize>i32x4.extract_lane(indexes, 2)) << 2), i32x4.extract_lane(colours, 3));
    a = b + step;
  }
  countPixels(<u32>((a - from) / step), 0);
  return a;
}

/**
 * Carries out commands of changing shapes. Where the next one begins is known only when the spaces of this one are
 * found, a chain of some twenty cycles; so two chains run side by side, one from the beginning of a block and one from its
 * middle. What the second sets waits until the first has come to the middle: later commands win.
 *
 * @returns the address behind the last one; all before it were carried out, nothing behind it
 */
export function runChains(from: usize, to: usize, offsetX: i32, offsetY: i32): usize {
  if (!readKind(from)) return from;
  const base = canvas;
  const deferred = scratch;
  let a = from;
  while (to - a >= BLOCK_BYTES_MIN) {
    const end = a + min(to - a, BLOCK_BYTES) - LINE_BYTES_MAX;
    const middle = findCommand(a + ((end - a) >> 1));
    if (middle === 0) break;
    if (ending === ALPHA_NEXT) {
      a = runAlphaBlock(a, middle, end, offsetX, offsetY);
      if (a < middle) break;
      continue;
    }
    const isRegular = runBlock(a, middle, end, offsetX, offsetY);
    a = blockA;
    if (a < middle) {
      // The other chain came to its end, or to something else: the rest of this one alone.
      a = runSerial(a, middle, offsetX, offsetY);
      if (a !== middle) break;
    }
    countPixels(<u32>((blockDeferred - deferred) >> 3), 0);
    for (let at = deferred; at < blockDeferred; at += 8) {
      store<u32>(base + ((<usize>load<u32>(at)) << 2), load<u32>(at, 4));
    }
    a = blockB;
    if (!isRegular) break;
  }
  return a;
}

/** The address of a command that begins behind the next LF, or 0 where none is near. */
function findCommand(at: usize): usize {
  const lineFeed = i8x16.splat(0x0a);
  const found =
    i8x16.bitmask(i8x16.eq(v128.load(at), lineFeed)) |
    (i8x16.bitmask(i8x16.eq(v128.load(at, 16), lineFeed)) << 16);
  if (found === 0) return 0;
  const next = at + <usize>ctz(found) + 1;
  return (load<u32>(next) & PX_MASK) === PX_ ? next : 0;
}

// Where runBlock left its chains, and the end of what the second has to set.
let blockA: usize = 0;
let blockB: usize = 0;
let blockDeferred: usize = 0;

/** Both chains of a block: from `from` to `middle`, and from there to `end`. False where something else was met. */
function runBlock(from: usize, middle: usize, end: usize, offsetX: i32, offsetY: i32): bool {
  const base = canvas;
  const offset = offsetOf(offsetX, offsetY);
  const limits = limitsOfTwo();
  const strides = stridesOfTwo();
  const opaque = i32x4.splat(<i32>OPAQUE);
  const next = ending;
  const nextMask = endingMask;
  const extra = alphaBytes;
  const lengthsAt = lengths;
  const shufflesAt = shuffles;
  let deferred = scratch;
  let a = from;
  let b = middle;
  let isRegular = true;
  while (a < middle && b < end) {
    const textA = v128.load(a, 3);
    const textB = v128.load(b, 3);
    const shapeA = <usize>shapeOf(textA);
    const shapeB = <usize>shapeOf(textB);
    const endA = a + <usize>load<u8>(lengthsAt + shapeA);
    const endB = b + <usize>load<u8>(lengthsAt + shapeB);
    const shuffleA = v128.load(shufflesAt + (shapeA << 4));
    const shuffleB = v128.load(shufflesAt + (shapeB << 4));
    const digitsA = i8x16.relaxed_swizzle(i8x16.sub(textA, i8x16.splat(0x30)), shuffleA);
    const digitsB = i8x16.relaxed_swizzle(i8x16.sub(textB, i8x16.splat(0x30)), shuffleB);
    const lettersA = lettersOf(digitsA);
    const lettersB = lettersOf(digitsB);
    const pairsA = pairsOf(digitsA, lettersA);
    const pairsB = pairsOf(digitsB, lettersB);
    const places = i16x8.narrow_i32x4_s(
      i32x4.add(placeOf(pairsA), offset),
      i32x4.add(placeOf(pairsB), offset),
    );
    const wrong = v128.or(
      v128.or(wrongLanes(digitsA, lettersA), wrongLanes(digitsB, lettersB)),
      i16x8.sub_sat_u(places, limits),
    );
    const ends = (load<u64>(endA - 1) ^ next) | (load<u64>(endB - 1) ^ next);
    if (v128.any_true(wrong) || ends & nextMask) {
      isRegular = false;
      break;
    }
    const indexes = i32x4.dot_i16x8_s(places, strides);
    const colours = v128.or(i8x16.narrow_i16x8_u(pairsA, pairsB), opaque);
    store<u32>(base + ((<usize>i32x4.extract_lane(indexes, 0)) << 2), i32x4.extract_lane(colours, 1));
    store<u32>(deferred, i32x4.extract_lane(indexes, 2));
    store<u32>(deferred, i32x4.extract_lane(colours, 3), 4);
    deferred += 8;
    a = endA + extra;
    b = endB + extra;
  }
  // As many of the first chain as of the second.
  countPixels(<u32>((deferred - scratch) >> 3), 0);
  blockA = a;
  blockB = b;
  blockDeferred = deferred;
  return isRegular;
}

/** Bytes of scratch for what one of {@link runAlphaBlock}'s chains sets. */
const ALPHA_BYTES: usize = 1024;

/**
 * A block of commands with any alpha, in two chains too; what both set waits until the block is read. Mixing then is a
 * loop so short that the processor has many pixels on their way from memory at a time.
 *
 * @returns the address behind the last command carried out
 */
function runAlphaBlock(from: usize, middle: usize, end: usize, offsetX: i32, offsetY: i32): usize {
  const offset = offsetOf(offsetX, offsetY);
  const limits = limitsOfTwo();
  const strides = stridesOfTwo();
  let deferredA = scratch;
  let deferredB = scratch + ALPHA_BYTES;
  let a = from;
  let b = middle;
  while (a < middle && b < end) {
    const textA = v128.load(a, 3);
    const textB = v128.load(b, 3);
    const shapeA = <usize>shapeOf(textA);
    const shapeB = <usize>shapeOf(textB);
    const endA = a + <usize>load<u8>(<usize>TABLE_LENGTHS + shapeA);
    const endB = b + <usize>load<u8>(<usize>TABLE_LENGTHS + shapeB);
    const shuffleA = v128.load(<usize>TABLE_SHUFFLES + (shapeA << 4));
    const shuffleB = v128.load(<usize>TABLE_SHUFFLES + (shapeB << 4));
    const digitsA = i8x16.relaxed_swizzle(i8x16.sub(textA, i8x16.splat(0x30)), shuffleA);
    const digitsB = i8x16.relaxed_swizzle(i8x16.sub(textB, i8x16.splat(0x30)), shuffleB);
    const lettersA = lettersOf(digitsA);
    const lettersB = lettersOf(digitsB);
    const pairsA = pairsOf(digitsA, lettersA);
    const pairsB = pairsOf(digitsB, lettersB);
    const places = i16x8.narrow_i32x4_s(
      i32x4.add(placeOf(pairsA), offset),
      i32x4.add(placeOf(pairsB), offset),
    );
    const wrong = v128.or(
      v128.or(wrongLanes(digitsA, lettersA), wrongLanes(digitsB, lettersB)),
      i16x8.sub_sat_u(places, limits),
    );
    const alphaA = hexByteAt(endA - 1);
    const alphaB = hexByteAt(endB - 1);
    const ends = ((load<u64>(endA - 1) ^ ALPHA_NEXT) | (load<u64>(endB - 1) ^ ALPHA_NEXT)) & ALPHA_NEXT_MASK;
    if (v128.any_true(wrong) || ends !== 0 || (alphaA | alphaB) > 255) break;
    const indexes = i32x4.dot_i16x8_s(places, strides);
    const colours = i8x16.narrow_i16x8_u(pairsA, pairsB);
    store<u32>(deferredA, i32x4.extract_lane(indexes, 0));
    store<u32>(deferredA, i32x4.extract_lane(colours, 1) | (alphaA << 24), 4);
    store<u32>(deferredB, i32x4.extract_lane(indexes, 2));
    store<u32>(deferredB, i32x4.extract_lane(colours, 3) | (alphaB << 24), 4);
    deferredA += 8;
    deferredB += 8;
    a = endA + 2;
    b = endB + 2;
  }
  mix(scratch, deferredA);
  if (a < middle) a = runSerial(a, middle, offsetX, offsetY);
  if (a < middle) return a;
  mix(scratch + ALPHA_BYTES, deferredB);
  return b;
}

/** Sets the pixels of the list in `[from, to)`: index, colour with alpha. */
function mix(from: usize, to: usize): void {
  const base = canvas;
  const mixes = blends;
  for (let at = from; at < to; at += 8) {
    const pixel = base + ((<usize>load<u32>(at)) << 2);
    const colour = load<u32>(at, 4);
    store<u32>(pixel, mixes ? blendPixel(colour, load<u32>(pixel), colour >> 24) : colour | OPAQUE);
  }
  countPixels(<u32>((to - from) >> 3), 0);
}
