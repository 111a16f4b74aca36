/** The loops for commands that set pixels and are not all alike: one at a time, with any alpha and outside the canvas. */
import { blendPixel, OPAQUE } from "./canvas.ts";
import { lettersOf, offsetOf, pairsOf, placeOf, shapeOf, wrongLanes } from "./decode.ts";
import { TABLE_LENGTHS, TABLE_SHUFFLES } from "./layout.ts";
import { hexByteAt } from "./line.ts";
import { blends, canvas, countPixels, height, width } from "./state.ts";
import { LINE_FEED, PB, PX_, PX_MASK } from "./words.ts";

const PB_BYTES: usize = 10;

/**
 * Carries out whole `PB` commands.
 *
 * @returns the address of the first command that is another or incomplete
 */
export function runBinary(from: usize, to: usize): usize {
  const columns = <u32>width;
  const rows = <u32>height;
  const base = canvas;
  const mixes = blends;
  let at = from;
  let inside: u32 = 0;
  let outside: u32 = 0;
  while (to - at >= PB_BYTES && <u32>load<u16>(at) === PB) {
    const x = <u32>load<u16>(at, 2);
    const y = <u32>load<u16>(at, 4);
    const colour = load<u32>(at, 6);
    at += PB_BYTES;
    if (x >= columns || y >= rows) {
      outside += 1;
      continue;
    }
    inside += 1;
    const pixel = base + ((<usize>(y * columns + x)) << 2);
    if (colour >= OPAQUE || !mixes) store<u32>(pixel, colour | OPAQUE);
    else store<u32>(pixel, blendPixel(colour, load<u32>(pixel), colour >> 24));
  }
  countPixels(inside, outside);
  return at;
}

/**
 * Carries out `PX x y rrggbb` and `PX x y rrggbbaa` with single spaces, up to four digits a number, and LF, that begin
 * before `before`. The bytes of a whole command behind it must be there: the last one may end in them.
 *
 * @returns the address of the first command that is not of this shape, or of the first from `before` on
 */
export function runSerial(from: usize, before: usize, offsetX: i32, offsetY: i32): usize {
  const columns = width;
  const rows = height;
  const base = canvas;
  const mixes = blends;
  const offset = offsetOf(offsetX, offsetY);
  let at = from;
  let inside: u32 = 0;
  let outside: u32 = 0;
  while (at < before && (load<u32>(at) & PX_MASK) === PX_) {
    const text = v128.load(at, 3);
    const shape = <usize>shapeOf(text);
    const shuffle = v128.load(<usize>TABLE_SHUFFLES + (shape << 4));
    const digits = i8x16.relaxed_swizzle(i8x16.sub(text, i8x16.splat(0x30)), shuffle);
    const letters = lettersOf(digits);
    if (v128.any_true(wrongLanes(digits, letters))) break;
    const pairs = pairsOf(digits, letters);
    let end = at + <usize>load<u8>(<usize>TABLE_LENGTHS + shape);
    let alpha: u32 = 255;
    if (<u32>load<u8>(end - 1) !== LINE_FEED) {
      alpha = hexByteAt(end - 1);
      end += 2;
      if (alpha > 255 || <u32>load<u8>(end - 1) !== LINE_FEED) break;
    }
    at = end;
    const place = i32x4.add(placeOf(pairs), offset);
    const x = i32x4.extract_lane(place, 0);
    const y = i32x4.extract_lane(place, 1);
    if (<u32>x >= <u32>columns || <u32>y >= <u32>rows) {
      outside += 1;
      continue;
    }
    inside += 1;
    const rgb = i32x4.extract_lane(i8x16.narrow_i16x8_u(pairs, pairs), 1);
    const pixel = base + ((<usize>(y * columns + x)) << 2);
    if (alpha === 255 || !mixes) store<u32>(pixel, rgb | OPAQUE);
    else store<u32>(pixel, blendPixel(rgb, load<u32>(pixel), alpha));
  }
  countPixels(inside, outside);
  return at;
}
