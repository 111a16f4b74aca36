/**
 * How the bytes behind `PX ` become a place and a colour, in vectors. A shuffle has put the digits of x into lanes 0 to 3
 * and those of y into 4 to 7, with zeros in front, and r g b into 8 to 13; lanes 14 and 15 are zero where they are not
 * wrong. Digits come with `0` taken off. These are small, so that the compiler puts them into the loops that use them: a
 * call there would move all constants to the stack.
 */
import { height, width } from "./state.ts";
import { LINE_FEED } from "./words.ts";

/** The ten bytes of the mask that finds a command's shape. */
export const SHAPE_MASK: i32 = 0x3ff;

/** The places of line ends in the 32 bytes at `at`. */
export function lineFeedsIn(at: usize): u32 {
  const lineFeed = i8x16.splat(<i8>LINE_FEED);
  return (
    i8x16.bitmask(i8x16.eq(v128.load(at), lineFeed)) |
    (i8x16.bitmask(i8x16.eq(v128.load(at, 16), lineFeed)) << 16)
  );
}

/** The places of spaces in the first ten bytes of `text`. */
export function shapeOf(text: v128): i32 {
  return i8x16.bitmask(i8x16.eq(text, i8x16.splat(0x20))) & SHAPE_MASK;
}

/** Values of the colour's letters of either case, from 0 for `a`; lanes of other characters, and those of x and y, are above 5. */
export function lettersOf(digits: v128): v128 {
  const upper = v128.and(digits, i8x16(0, 0, 0, 0, 0, 0, 0, 0, -33, -33, -33, -33, -33, -33, 0, 0));
  return i8x16.sub(upper, i8x16.splat(0x11));
}

/** Zero where all lanes are decimal digits or, in the colour, letters, and the last two lanes are zero. */
export function wrongLanes(digits: v128, letters: v128): v128 {
  return i8x16.min_u(
    i8x16.sub_sat_u(digits, i8x16(9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0)),
    i8x16.sub_sat_u(letters, i8x16.splat(5)),
  );
}

/** Pairs of digits as numbers: x / 100, x % 100, the same of y, r, g, b, 0. Every lane is below 128, so the relaxed form is exact. */
export function pairsOf(digits: v128, letters: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(
    i8x16.min_u(digits, i8x16.add_sat_u(letters, i8x16.splat(10))),
    i8x16(10, 1, 10, 1, 10, 1, 10, 1, 16, 1, 16, 1, 16, 1, 0, 0),
  );
}

/** x and y, from {@link pairsOf}, in lanes 0 and 1. */
export function placeOf(pairs: v128): v128 {
  return i32x4.dot_i16x8_s(pairs, i16x8(100, 1, 100, 1, 0, 0, 0, 0));
}

/** OFFSET, to be added to {@link placeOf}. */
export function offsetOf(x: i32, y: i32): v128 {
  return i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(0), 0, x), 1, y);
}

// Two places in one vector: x and y of the first in lanes 0 and 1 of 16 bits, those of the second in lanes 4 and 5. Numbers
// beyond 16 bits are saturated, which leaves them outside the canvas: no canvas has a side of 32,768.

/** The places of two commands, from {@link pairsOf}, with OFFSET added. */
export function placesOfTwo(pairsA: v128, pairsB: v128, offset: v128): v128 {
  return i16x8.narrow_i32x4_s(i32x4.add(placeOf(pairsA), offset), i32x4.add(placeOf(pairsB), offset));
}

/** What x and y, as numbers without sign, may be at most; the other lanes may be anything. */
export function limitsOfTwo(): v128 {
  return v128.bitselect(
    i16x8.splat(-1),
    i32x4.splat(((height - 1) << 16) | (width - 1)),
    i16x8(0, 0, -1, -1, 0, 0, -1, -1),
  );
}

/** What {@link limitsOfTwo}'s places are multiplied with to be an index into the canvas, in lanes 0 and 2 of 32 bits. */
export function stridesOfTwo(): v128 {
  return v128.and(i32x4.splat((width << 16) | 1), i16x8(-1, -1, 0, 0, -1, -1, 0, 0));
}
