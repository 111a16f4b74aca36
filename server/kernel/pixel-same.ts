/**
 * The fastest loop: commands of one kind whose spaces stand at the same places, two at a time. They share the steps behind
 * the shuffle, and one test says whether both are what they look like and inside the canvas. Whatever is not ends the
 * loop before anything of it is done.
 */
import { OPAQUE } from "./canvas.ts";
import {
  lettersOf,
  limitsOfTwo,
  offsetOf,
  pairsOf,
  placesOfTwo,
  shapeOf,
  stridesOfTwo,
  wrongLanes,
} from "./decode.ts";
import { ALPHA_NEXT, alphaBytes, ending, endingMask, lengths, readKind, shuffles } from "./pixel-kinds.ts";
import { canvas, countPixels } from "./state.ts";

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
    const places = placesOfTwo(pairsA, pairsB, offset);
    const wrong = v128.or(
      v128.or(wrongLanes(digitsA, lettersA), wrongLanes(digitsB, lettersB)),
      i16x8.sub_sat_u(places, limits),
    );
    const ends = (load<u64>(a + colourEnd) ^ next) | (load<u64>(b + colourEnd) ^ next);
    const indexes = i32x4.dot_i16x8_s(places, strides);
    const colours = v128.or(i8x16.narrow_i16x8_u(pairsA, pairsB), opaque);
    if (v128.any_true(wrong) || ends & nextMask) {
      const wrongA = v128.or(
        wrongLanes(digitsA, lettersA),
        v128.and(i16x8.sub_sat_u(places, limits), i64x2(-1, 0)),
      );
      if (v128.any_true(wrongA) || (load<u64>(a + colourEnd) ^ next) & nextMask) break;
      store<u32>(base + ((<usize>i32x4.extract_lane(indexes, 0)) << 2), i32x4.extract_lane(colours, 1));
      a = b;
      break;
    }
    store<u32>(base + ((<usize>i32x4.extract_lane(indexes, 0)) << 2), i32x4.extract_lane(colours, 1));
    store<u32>(base + ((<usize>i32x4.extract_lane(indexes, 2)) << 2), i32x4.extract_lane(colours, 3));
    a = b + step;
  }
  countPixels(<u32>((a - from) / step), 0);
  return a;
}
