/** The loop for commands with any alpha, whose spaces stand at changing places. */
import { blendPixel, blendTwo, OPAQUE } from "./canvas.ts";
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
import { TABLE_LENGTHS, TABLE_SHUFFLES } from "./layout.ts";
import { hexByteAt } from "./line.ts";
import { ALPHA_NEXT, ALPHA_NEXT_MASK } from "./pixel-kinds.ts";
import { runSerial } from "./pixel-lines.ts";
import { blends, canvas, countPixels, scratch } from "./state.ts";

/** Bytes of scratch for what one of {@link runAlphaBlock}'s chains sets. */
const ALPHA_BYTES: usize = 1024;
/** Place in scratch, behind both lists: neither has more than a command for each 14 bytes of half a block. */
const SEEN: usize = 2040;

/**
 * A block of commands with any alpha, in two chains too; what both set waits until the block is read. Mixing then is a
 * loop so short that the processor has many pixels on their way from memory at a time.
 *
 * @returns the address behind the last command carried out
 */
export function runAlphaBlock(from: usize, middle: usize, end: usize, offsetX: i32, offsetY: i32): usize {
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
    const places = placesOfTwo(pairsA, pairsB, offset);
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
  countPixels(<u32>((to - from) >> 3), 0);
  if (!blends) {
    for (let at = from; at < to; at += 8) {
      store<u32>(base + ((<usize>load<u32>(at)) << 2), load<u32>(at, 4) | OPAQUE);
    }
    return;
  }
  fetch(from, to);
  let at = from;
  for (; at + 16 <= to; at += 16) {
    const first = base + ((<usize>load<u32>(at)) << 2);
    const second = base + ((<usize>load<u32>(at, 8)) << 2);
    // The second is mixed with what the first has left.
    if (first === second) break;
    const mixed = blendTwo(v128.load(at), v128.load32_lane(second, v128.load32_zero(first), 1));
    v128.store32_lane(first, mixed, 0);
    v128.store32_lane(second, mixed, 1);
  }
  for (; at < to; at += 8) {
    const pixel = base + ((<usize>load<u32>(at)) << 2);
    const colour = load<u32>(at, 4);
    store<u32>(pixel, blendPixel(colour, load<u32>(pixel), colour >> 24));
  }
}

/** Has the processor bring the pixels of a list: nothing here waits for one of them before it asks for the next. */
function fetch(from: usize, to: usize): void {
  const base = canvas;
  let seen: u32 = 0;
  for (let at = from; at < to; at += 8) seen |= load<u32>(base + ((<usize>load<u32>(at)) << 2));
  // Kept, else the compiler would leave out the loads.
  store<u32>(scratch + SEEN, seen);
}
