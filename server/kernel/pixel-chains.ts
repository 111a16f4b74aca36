/**
 * The loop for commands of one kind whose spaces stand at changing places. As in `pixel-same.ts` two commands share the
 * steps behind the shuffle, here of two chains.
 */
import { OPAQUE } from "./canvas.ts";
import {
  lettersOf,
  limitsOfTwo,
  lineFeedsIn,
  offsetOf,
  pairsOf,
  placeOf,
  placesOfTwo,
  shapeOf,
  stridesOfTwo,
  wrongLanes,
} from "./decode.ts";
import { findBehindOdd, isOdd, ODD_READ_BYTES, passOdd, runOdd } from "./odd-lines.ts";
import { runAlphaBlock } from "./pixel-blends.ts";
import { ALPHA_NEXT, alphaBytes, ending, endingMask, lengths, readKind, shuffles } from "./pixel-kinds.ts";
import { runSerial } from "./pixel-lines.ts";
import { hasRoomForMany } from "./replies.ts";
import { canvas, countPixels, height, scratch, width } from "./state.ts";
import { PX_, PX_MASK, SET_BYTES_MAX } from "./words.ts";

/**
 * {@link runChains} works on this many bytes at a time. Two chains that are 1 KiB apart and more were slower by up to a
 * fifth, the more so at multiples of 2 KiB; shorter ones pay more for their ends.
 */
export const BLOCK_BYTES: usize = 1024;
/** {@link runChains} leaves fewer bytes to others. */
const BLOCK_BYTES_MIN: usize = 512;

/**
 * Carries out commands of changing shapes. Where the next one begins is known only when the spaces of this one are
 * found, a chain of some twenty cycles; so two chains run side by side, one from the beginning of a block and one from its
 * middle. What the second sets waits until the first has come to the middle: later commands win.
 *
 * @returns the address behind the last one; all before it were carried out, nothing behind it
 */
export function runChains(record: usize, from: usize, to: usize, offsetX: i32, offsetY: i32): usize {
  if (!readKind(from)) return from;
  const deferred = scratch;
  let a = from;
  while (to - a >= BLOCK_BYTES_MIN) {
    const end = a + min(to - a, BLOCK_BYTES) - SET_BYTES_MAX;
    const middle = findCommand(a + ((end - a) >> 1));
    if (middle === 0) break;
    if (ending === ALPHA_NEXT) {
      a = runAlphaBlock(a, middle, end, offsetX, offsetY);
      if (a < middle) break;
      continue;
    }
    blockDeferred = deferred;
    blockNotes = deferred + NOTES;
    const isRegular =
      runBlock(a, middle, middle, end, offsetX, offsetY) ||
      finishBlock(record, middle, end, to, offsetX, offsetY);
    a = blockA;
    if (a < middle) {
      // The other chain came to its end, or to something else: the rest of this one alone.
      a = runRest(record, a, middle, offsetX, offsetY);
      if (a !== middle) break;
    }
    let at = deferred;
    for (let note = deferred + NOTES; note < blockNotes; note += NOTE_BYTES) {
      at = setDeferred(at, <usize>load<u32>(note));
      runOdd(record, <usize>load<u32>(note, 4), <usize>load<u32>(note, 8), offsetX, offsetY);
    }
    setDeferred(at, blockDeferred);
    a = blockB;
    if (!isRegular) break;
  }
  return a;
}

/**
 * Goes on with a block behind odd lines: those of the first chain are carried out at once, those of the second noted. False
 * where one of them cannot be passed, or there are many.
 */
function finishBlock(record: usize, middle: usize, end: usize, to: usize, offsetX: i32, offsetY: i32): bool {
  if (!hasRoomForMany()) return false;
  for (let count = 0; count < ODD_MAX; count++) {
    const isWrongA = blockA < middle && isOther(blockA, offsetX, offsetY);
    if (isWrongA && !isOdd(blockA)) {
      // A pixel of another kind, or outside: there will be more of them.
      const next = runSerial(blockA, blockA + 1, offsetX, offsetY);
      if (next !== blockA) {
        blockA = next;
        return false;
      }
    }
    if (isWrongA) {
      const next = findBehindOdd(blockA, to);
      if (next === 0 || (load<u32>(next) & PX_MASK) !== PX_) return false;
      runOdd(record, blockA, next, offsetX, offsetY);
      blockA = next;
    }
    if (isOther(blockB, offsetX, offsetY)) {
      const next = findBehindOdd(blockB, to);
      if (next === 0 || (load<u32>(next) & PX_MASK) !== PX_) return false;
      store<u32>(blockNotes, <u32>blockDeferred);
      store<u32>(blockNotes, <u32>blockB, 4);
      store<u32>(blockNotes, <u32>next, 8);
      blockNotes += NOTE_BYTES;
      blockB = next;
    }
    if (runBlock(blockA, blockB, middle, end, offsetX, offsetY)) return true;
  }
  return false;
}

/** True where the command at `at` is not of the present kind, outside the canvas, or followed by something else. */
function isOther(at: usize, offsetX: i32, offsetY: i32): bool {
  const text = v128.load(at, 3);
  const shape = <usize>shapeOf(text);
  const end = at + <usize>load<u8>(lengths + shape);
  const shuffle = v128.load(shuffles + (shape << 4));
  const digits = i8x16.relaxed_swizzle(i8x16.sub(text, i8x16.splat(0x30)), shuffle);
  const letters = lettersOf(digits);
  if (v128.any_true(wrongLanes(digits, letters)) || (load<u64>(end - 1) ^ ending) & endingMask) return true;
  const place = i32x4.add(placeOf(pairsOf(digits, letters)), offsetOf(offsetX, offsetY));
  return <u32>i32x4.extract_lane(place, 0) >= <u32>width || <u32>i32x4.extract_lane(place, 1) >= <u32>height;
}

/** The rest of a block's first chain. Returns where it stopped: at `middle` unless it met what cannot be passed. */
function runRest(record: usize, from: usize, middle: usize, offsetX: i32, offsetY: i32): usize {
  let at = runSerial(from, middle, offsetX, offsetY);
  while (at < middle) {
    const next = passOdd(record, at, middle + ODD_READ_BYTES, offsetX, offsetY);
    if (next === at) break;
    at = runSerial(next, middle, offsetX, offsetY);
  }
  return at;
}

/** Sets what a block's second chain has deferred, from `from` to `to`, and returns that. */
function setDeferred(from: usize, to: usize): usize {
  const base = canvas;
  countPixels(<u32>((to - from) >> 3), 0);
  for (let at = from; at < to; at += 8) store<u32>(base + ((<usize>load<u32>(at)) << 2), load<u32>(at, 4));
  return to;
}

/** The address of a command that begins behind one of the next LFs, or 0 where none is near. */
function findCommand(at: usize): usize {
  let found = lineFeedsIn(at);
  while (found !== 0) {
    const next = at + <usize>ctz(found) + 1;
    if ((load<u32>(next) & PX_MASK) === PX_) return next;
    found &= found - 1;
  }
  return 0;
}

// Where runBlock left its chains, the end of what the second has to set, and of the notes of its odd lines.
let blockA: usize = 0;
let blockB: usize = 0;
let blockDeferred: usize = 0;
let blockNotes: usize = 0;

/** Odd lines that a block may have before its rest is carried out one command at a time. */
const ODD_MAX: i32 = 4;
/**
 * The second chain's odd lines wait in scratch behind what it has to set: for each the end of what is set before it, and
 * where its lines begin and end.
 */
const NOTES: usize = 1024;
const NOTE_BYTES: usize = 12;

/**
 * Both chains of a block: from `from` to `middle`, and from `second`, there or behind it, to `end`. False where something else
 * was met.
 */
function runBlock(from: usize, second: usize, middle: usize, end: usize, offsetX: i32, offsetY: i32): bool {
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
  let deferred = blockDeferred;
  const start = deferred;
  let a = from;
  let b = second;
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
    const places = placesOfTwo(pairsA, pairsB, offset);
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
  countPixels(<u32>((deferred - start) >> 3), 0);
  blockA = a;
  blockB = b;
  blockDeferred = deferred;
  return isRegular;
}
