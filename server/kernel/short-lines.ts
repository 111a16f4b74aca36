/** The loop for gets, `PX x y` as senders write them, and for a grey between them: many in a row are `pixel-chains.ts`'s. */
import { OPAQUE, pixelAt } from "./canvas.ts";
import { offsetOf, pairsOf, placeOf, SHAPE_MASK } from "./decode.ts";
import { TABLE_SHUFFLES } from "./layout.ts";
import { hexByteAt } from "./line.ts";
import { appendGet, hasRoom } from "./replies.ts";
import { canvas, countGets, countPixels, height, width } from "./state.ts";
import { LINE_FEED, PX_, PX_MASK, SPACE, ZERO } from "./words.ts";

/**
 * Carries out gets up to and with the first grey, with single spaces and up to four digits a number, inside the canvas; gets
 * also without leading zeros, so that their answer begins with their own bytes. They begin before `before`; 16 bytes behind
 * it must be there, in which the last one may end.
 *
 * @returns the address of the first command that is another, or has no room for its reply, or of the first from `before` on
 */
export function runShort(from: usize, before: usize, offsetX: i32, offsetY: i32): usize {
  const offset = offsetOf(offsetX, offsetY);
  const base = canvas;
  const columns = <u32>width;
  const rows = <u32>height;
  let at = from;
  let gets: u32 = 0;
  while (at < before && (load<u32>(at) & PX_MASK) === PX_) {
    const text = v128.load(at, 3);
    // Blanks, line ends and what else is not printed: the first two must be the ends of x and y.
    const ends = i8x16.bitmask(i8x16.le_u(text, i8x16.splat(0x20))) & SHAPE_MASK;
    const rest = ends & (ends - 1);
    const shape = ends ^ (rest & (rest - 1));
    const yAt = at + 4 + <usize>ctz(shape);
    const end = at + 3 + <usize>ctz(rest);
    const shuffle = v128.load(<usize>TABLE_SHUFFLES + ((<usize>shape) << 4));
    const digits = v128.and(
      i8x16.relaxed_swizzle(i8x16.sub(text, i8x16.splat(0x30)), shuffle),
      i32x4(-1, -1, 0, 0),
    );
    const isPlace = rest !== 0 && !v128.any_true(i8x16.sub_sat_u(digits, i8x16.splat(9)));
    // Shapes that are none have an empty shuffle, so that nothing of them is wrong: their x or y is missing or too long.
    if (!isPlace || yAt === at + 4 || yAt > at + 8 || end === yAt || end > yAt + 4) break;
    if (<u32>load<u8>(yAt - 1) !== SPACE) break;
    const place = i32x4.add(placeOf(pairsOf(digits, i8x16.splat(-1))), offset);
    const x = i32x4.extract_lane(place, 0);
    const y = i32x4.extract_lane(place, 1);
    if (<u32>x >= columns || <u32>y >= rows) break;
    const last = <u32>load<u8>(end);
    if (last === LINE_FEED) {
      const hasZeros =
        (<u32>load<u8>(at, 3) === ZERO && yAt > at + 5) || (<u32>load<u8>(yAt) === ZERO && end > yAt + 1);
      if (hasZeros || !hasRoom()) break;
      appendGet(at, end - at, pixelAt(x, y));
      gets += 1;
      at = end + 1;
      continue;
    }
    const grey = hexByteAt(end + 1);
    if (last !== SPACE || grey > 255 || <u32>load<u8>(end, 3) !== LINE_FEED) break;
    store<u32>(base + ((<usize>(<u32>y * columns + <u32>x)) << 2), (grey * 0x01_0101) | OPAQUE);
    countPixels(1, 0);
    at = end + 4;
    break;
  }
  countGets(gets);
  return at;
}
