/**
 * How the plain parser sets pixels: bounds, alpha and the count of both outcomes, and loops over the commonest commands
 * that take them from the bytes to the canvas without an allocation. One writer a thread. Guarded by
 * `bench/micro/pixelflut-parser.bench.ts`.
 */
import { blendPixel } from "./blend.ts";
import type { CounterSlot } from "./counters.ts";
import { OPAQUE, type Framebuffer } from "./framebuffer.ts";
import { NOT_HEX } from "./kernel/layout.ts";
import { byteAt, HEX_VALUES } from "./line-scanner.ts";

/** The loop reads within this many bytes: `PX 12345 12345 rrggbbaa` with its line end. */
const FAST_COMMAND_BYTES_MAX = 26;
/** `PB`, two coordinates of two bytes, r g b a. */
const PB_BYTES = 10;
/** Digits of a coordinate that the loop reads; longer ones are outside anyway. */
const FAST_DIGITS_MAX = 5;

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const ZERO = 0x30;
const LETTER_B = 0x42;
const LETTER_P = 0x50;
const LETTER_X = 0x58;

export interface CanvasWriterOptions {
  readonly framebuffer: Framebuffer;
  /** Where this thread counts. */
  readonly counters: CounterSlot;
  /** False to paint every colour opaque. */
  readonly blends: boolean;
}

export class CanvasWriter {
  readonly #framebuffer: Framebuffer;
  readonly #counters: CounterSlot;
  readonly #blends: boolean;
  // Counted here while a read is parsed, added to the shared slot by flushCounters.
  #inside = 0;
  #outside = 0;

  constructor({ framebuffer, counters, blends }: CanvasWriterOptions) {
    this.#framebuffer = framebuffer;
    this.#counters = counters;
    this.#blends = blends;
  }

  /** Sets a pixel as PX does. `rgb` is `r | g << 8 | b << 16`; coordinates are whole numbers of any size. */
  set(pixel: { readonly x: number; readonly y: number; readonly rgb: number; readonly alpha: number }): void {
    const { x, y, rgb, alpha } = pixel;
    const { width, height, pixels } = this.#framebuffer;
    if (x < 0 || y < 0 || x >= width || y >= height) {
      this.#outside += 1;
      return;
    }
    this.#inside += 1;
    const index = y * width + x;
    if (alpha === 255 || !this.#blends) pixels[index] = rgb | OPAQUE;
    else if (alpha > 0) pixels[index] = blendPixel(rgb, this.pixelAt(index), alpha);
  }

  /**
   * Carries out whole `PB` commands, one after the other.
   *
   * @returns the position of the first command that is another or incomplete
   */
  runBinary(bytes: Uint8Array, start: number, end: number): number {
    const { width, height, pixels } = this.#framebuffer;
    let position = start;
    let inside = 0;
    while (end - position >= PB_BYTES) {
      if (byteAt(bytes, position) !== LETTER_P || byteAt(bytes, position + 1) !== LETTER_B) break;
      const x = readUint16(bytes, position + 2);
      const y = readUint16(bytes, position + 4);
      const rgb = readRgb(bytes, position + 6);
      const alpha = byteAt(bytes, position + 9);
      position += PB_BYTES;
      if (x >= width || y >= height) {
        this.#outside += 1;
        continue;
      }
      inside += 1;
      const index = y * width + x;
      if (alpha === 255 || !this.#blends) pixels[index] = rgb | OPAQUE;
      else if (alpha > 0) pixels[index] = blendPixel(rgb, pixels[index] ?? OPAQUE, alpha);
    }
    this.#inside += inside;
    return position;
  }

  /**
   * Sets `count` pixels as PXMULTI does: from four bytes each, of which the last means nothing, always opaque.
   *
   * @param index the first one's place in the canvas, or -1 to count them as outside
   */
  setRow(bytes: Uint8Array, position: number, { index, count }: { index: number; count: number }): void {
    if (index < 0) {
      this.#outside += count;
      return;
    }
    const { pixels } = this.#framebuffer;
    for (let pixel = 0; pixel < count; pixel += 1) {
      pixels[index + pixel] = readRgb(bytes, position + pixel * 4) | OPAQUE;
    }
    this.#inside += count;
  }

  /** The canvas's word at a place inside it. */
  pixelAt(index: number): number {
    return this.#framebuffer.pixels[index] ?? OPAQUE;
  }

  /** A set outside the canvas that has no place at all, such as one below 0. */
  countOutside(): void {
    this.#outside += 1;
  }

  /** Adds what was counted to the thread's slot: once a read, and before STATS. */
  flushCounters(): void {
    if (this.#inside > 0) this.#counters.add("pixels", this.#inside);
    if (this.#outside > 0) this.#counters.add("outsideSets", this.#outside);
    this.#inside = 0;
    this.#outside = 0;
  }

  /**
   * Carries out `PX x y rrggbb` and `PX x y rrggbbaa` with single spaces and LF, one after the other.
   *
   * @returns the position of the first command that is not of this shape, or too near to the end to tell
   */
  runPixels(bytes: Uint8Array, range: PixelRange): number {
    const { width, height, pixels } = this.#framebuffer;
    const { offsetX, offsetY } = range;
    const blends = this.#blends;
    const last = range.end - FAST_COMMAND_BYTES_MAX;
    let start = range.start;
    let outside = 0;
    let inside = 0;
    while (start <= last) {
      if (byteAt(bytes, start) !== LETTER_P || byteAt(bytes, start + 1) !== LETTER_X) break;
      if (byteAt(bytes, start + 2) !== SPACE) break;
      const xStart = start + 3;
      let at = xStart;
      let x = 0;
      let digit = byteAt(bytes, at) - ZERO;
      while (digit >= 0 && digit <= 9 && at < xStart + FAST_DIGITS_MAX) {
        x = x * 10 + digit;
        at += 1;
        digit = byteAt(bytes, at) - ZERO;
      }
      if (at === xStart || digit !== SPACE - ZERO) break;
      const yStart = at + 1;
      at = yStart;
      let y = 0;
      digit = byteAt(bytes, at) - ZERO;
      while (digit >= 0 && digit <= 9 && at < yStart + FAST_DIGITS_MAX) {
        y = y * 10 + digit;
        at += 1;
        digit = byteAt(bytes, at) - ZERO;
      }
      if (at === yStart || digit !== SPACE - ZERO) break;
      const r = readHexByte(bytes, at + 1);
      const g = readHexByte(bytes, at + 3);
      const b = readHexByte(bytes, at + 5);
      at += 7;
      let alpha = 255;
      if (byteAt(bytes, at) !== LINE_FEED) {
        alpha = readHexByte(bytes, at);
        at += 2;
      }
      if ((r | g | b | alpha) >= NOT_HEX || byteAt(bytes, at) !== LINE_FEED) break;
      start = at + 1;
      x += offsetX;
      y += offsetY;
      if (x < 0 || y < 0 || x >= width || y >= height) {
        outside += 1;
        continue;
      }
      inside += 1;
      const index = y * width + x;
      const rgb = r | (g << 8) | (b << 16);
      if (alpha === 255 || !blends) pixels[index] = rgb | OPAQUE;
      else if (alpha > 0) pixels[index] = blendPixel(rgb, pixels[index] ?? OPAQUE, alpha);
    }
    this.#inside += inside;
    this.#outside += outside;
    return start;
  }
}

/** Where {@link CanvasWriter.runPixels} works. */
export interface PixelRange {
  readonly start: number;
  readonly end: number;
  /** The connection's OFFSET. */
  readonly offsetX: number;
  readonly offsetY: number;
}

/** A little-endian number of two bytes. */
export function readUint16(bytes: Uint8Array, position: number): number {
  return byteAt(bytes, position) | (byteAt(bytes, position + 1) << 8);
}

/** Three bytes as `r | g << 8 | b << 16`. */
function readRgb(bytes: Uint8Array, position: number): number {
  return byteAt(bytes, position) | (byteAt(bytes, position + 1) << 8) | (byteAt(bytes, position + 2) << 16);
}

/** Two hexadecimal digits, or a value with a bit from {@link NOT_HEX} up. */
function readHexByte(bytes: Uint8Array, position: number): number {
  return (valueOfHex(byteAt(bytes, position)) << 4) | valueOfHex(byteAt(bytes, position + 1));
}

function valueOfHex(byte: number): number {
  return HEX_VALUES[byte] ?? NOT_HEX;
}
