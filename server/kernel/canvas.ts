/** Sets and mixes single pixels, and whole rows of PXMULTI. The fast loops do the same in place. */
import { blends, canvas, countPixels, height, width } from "./state.ts";

/** Alpha of every pixel of the canvas. */
export const OPAQUE: u32 = 0xff00_0000;

/** Sets a pixel as PX does: bounds, alpha, count. */
export function setPixel(x: i32, y: i32, rgb: u32, alpha: u32): void {
  if (<u32>x >= <u32>width || <u32>y >= <u32>height) {
    countPixels(0, 1);
    return;
  }
  countPixels(1, 0);
  const at = canvas + ((<usize>(y * width + x)) << 2);
  if (alpha === 255 || !blends) store<u32>(at, rgb | OPAQUE);
  else store<u32>(at, blendPixel(rgb, load<u32>(at), alpha));
}

/** The canvas's word at a place inside it. */
export function pixelAt(x: i32, y: i32): u32 {
  return load<u32>(canvas + ((<usize>(y * width + x)) << 2));
}

/**
 * `floor((a*s + (255-a)*d) / 255)` for each channel at once, exact for every input: for t up to 65,535 that is
 * `(t + 1) * 257 >> 16`.
 */
export function blendPixel(rgb: u32, below: u32, alpha: u32): u32 {
  const both = i64x2.splat(((<i64>below) << 32) | (<i64>(rgb & 0xff_ffff)));
  // s and d of each channel beside each other, as 16 bits.
  const channels = i8x16.relaxed_swizzle(
    both,
    i8x16(0, -128, 4, -128, 1, -128, 5, -128, 2, -128, 6, -128, -128, -128, -128, -128),
  );
  const weights = i32x4.splat(<i32>(0xff_0000 - alpha * 0xffff));
  const sums = i32x4.add(i32x4.dot_i16x8_s(channels, weights), i32x4.splat(1));
  const quotients = i8x16.relaxed_swizzle(
    i32x4.mul(sums, i32x4.splat(257)),
    i8x16(2, 6, 10, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128),
  );
  return i32x4.extract_lane(quotients, 0) | OPAQUE;
}

/**
 * As {@link blendPixel}, of two pixels: those of `below` in lanes 0 and 1 of 32 bits, the colours over them in lanes 1 and 3, with
 * alpha.
 */
export function blendTwo(over: v128, below: v128): v128 {
  const zero = i16x8.splat(0);
  // Channels as 16 bits: r g b a of the one, then of the other.
  const s = v128.shuffle<u8>(over, zero, 4, 16, 5, 16, 6, 16, 7, 16, 12, 16, 13, 16, 14, 16, 15, 16);
  const alpha = v128.shuffle<u8>(over, zero, 7, 16, 7, 16, 7, 16, 7, 16, 15, 16, 15, 16, 15, 16, 15, 16);
  const d = i16x8.extend_low_i8x16_u(below);
  const rest = i16x8.sub(i16x8.splat(255), alpha);
  const sums = i16x8.add(i16x8.add(i16x8.mul(s, alpha), i16x8.mul(d, rest)), i16x8.splat(1));
  const quotients = i16x8.shr_u(i16x8.add(sums, i16x8.shr_u(sums, 8)), 8);
  return v128.or(i8x16.narrow_i16x8_u(quotients, quotients), i32x4.splat(<i32>OPAQUE));
}

/**
 * Sets `count` pixels as PXMULTI does, from four bytes each, of which the last means nothing.
 *
 * @param index the first one's place in the canvas, or -1 to count them as outside
 */
export function setRow(from: usize, index: i32, count: u32): void {
  if (index < 0) {
    countPixels(0, count);
    return;
  }
  countPixels(count, 0);
  const opaque = i32x4.splat(<i32>OPAQUE);
  let source = from;
  let target = canvas + ((<usize>index) << 2);
  const end = target + ((<usize>count) << 2);
  while (target + 16 <= end) {
    v128.store(target, v128.or(v128.load(source), opaque));
    source += 16;
    target += 16;
  }
  while (target < end) {
    store<u32>(target, load<u32>(source) | OPAQUE);
    source += 4;
    target += 4;
  }
}
