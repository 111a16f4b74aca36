/**
 * Writes Pixelflut commands one behind the other into memory that threads share, and keeps where each begins and
 * which pixels it paints. Called for every pixel of a canvas before a flood, so arguments stand one by one.
 */

/** Longest text command: `PX 65535 65535 rrggbbaa` and its newline. */
export const TEXT_COMMAND_BYTES_MAX = 24;
/** `PB`, two coordinates of two bytes, four bytes of colour. */
export const BINARY_COMMAND_BYTES = 10;
/** `PXMULTI`, two coordinates of two bytes, a count of four; then four bytes for each pixel. */
export const MULTI_HEADER_BYTES = 15;

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const encoder = new TextEncoder();
const OFFSET = encoder.encode("OFFSET ");
const PXMULTI = encoder.encode("PXMULTI");

/** Commands in memory shared between threads. */
export class CommandWriter {
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #pixels: Uint32Array;
  readonly #pixelStarts: Uint32Array;
  #end = 0;
  #commandCount = 0;
  #pixelCount = 0;

  constructor(max: { readonly bytes: number; readonly commands: number; readonly pixels: number }) {
    this.#bytes = new Uint8Array(new SharedArrayBuffer(max.bytes));
    this.#starts = sharedWords(max.commands + 1);
    this.#pixelStarts = sharedWords(max.commands + 1);
    this.#pixels = sharedWords(max.pixels);
  }

  /** Commands so far. */
  get commandCount(): number {
    return this.#commandCount;
  }

  /** What was written, without the room that is left. */
  finish(): {
    readonly bytes: Uint8Array;
    readonly starts: Uint32Array;
    readonly pixels: Uint32Array;
    readonly pixelStarts: Uint32Array;
  } {
    this.#starts[this.#commandCount] = this.#end;
    this.#pixelStarts[this.#commandCount] = this.#pixelCount;
    return {
      bytes: this.#bytes.subarray(0, this.#end),
      starts: this.#starts.subarray(0, this.#commandCount + 1),
      pixels: this.#pixels.subarray(0, this.#pixelCount),
      pixelStarts: this.#pixelStarts.subarray(0, this.#commandCount + 1),
    };
  }

  /** A command that paints nothing, or nothing that is known. */
  line(bytes: Uint8Array): void {
    this.#begin();
    this.#put(bytes);
  }

  /** `PX x y`, a get. */
  get(x: number, y: number): void {
    this.#begin();
    this.#coordinates(x, y);
    this.#byte(LINE_FEED);
  }

  /** `OFFSET x y`. */
  offset(x: number, y: number): void {
    this.#begin();
    this.#put(OFFSET);
    this.#decimal(x);
    this.#byte(SPACE);
    this.#decimal(y);
    this.#byte(LINE_FEED);
  }

  /** `PX x y` and the lowest `digits` hexadecimal digits of `colour`. */
  set(pixel: number, x: number, y: number, colour: number, digits: number): void {
    this.#begin();
    this.#paint(pixel);
    this.#coordinates(x, y);
    this.#byte(SPACE);
    for (let shift = digits * 4 - 4; shift >= 0; shift -= 4) {
      const digit = (colour >>> shift) & 0xf;
      this.#byte(digit + (digit < 10 ? 0x30 : 0x57));
    }
    this.#byte(LINE_FEED);
  }

  /** `PB`, opaque. */
  setBinary(pixel: number, x: number, y: number, colour: number): void {
    this.#begin();
    this.#paint(pixel);
    this.#byte(0x50);
    this.#byte(0x42);
    this.#short(x);
    this.#short(y);
    this.#colour(colour);
  }

  /** `PXMULTI` of the neighbours `pixel`, `pixel + 1` and so on, `count` of them. */
  setMany(pixel: number, count: number, x: number, y: number, colourOf: (pixel: number) => number): void {
    this.#begin();
    this.#put(PXMULTI);
    this.#short(x);
    this.#short(y);
    this.#short(count & 0xffff);
    this.#short(count >>> 16);
    for (let index = 0; index < count; index += 1) {
      this.#paint(pixel + index);
      this.#colour(colourOf(pixel + index));
    }
  }

  #begin(): void {
    this.#starts[this.#commandCount] = this.#end;
    this.#pixelStarts[this.#commandCount] = this.#pixelCount;
    this.#commandCount += 1;
  }

  #paint(pixel: number): void {
    this.#pixels[this.#pixelCount] = pixel;
    this.#pixelCount += 1;
  }

  #byte(value: number): void {
    this.#bytes[this.#end] = value;
    this.#end += 1;
  }

  #short(value: number): void {
    this.#byte(value & 0xff);
    this.#byte(value >> 8);
  }

  /** Red, green, blue and an alpha of 255. */
  #colour(colour: number): void {
    this.#byte(colour >> 16);
    this.#byte((colour >> 8) & 0xff);
    this.#byte(colour & 0xff);
    this.#byte(0xff);
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** `PX x y` without an end. */
  #coordinates(x: number, y: number): void {
    this.#byte(0x50);
    this.#byte(0x58);
    this.#byte(SPACE);
    this.#decimal(x);
    this.#byte(SPACE);
    this.#decimal(y);
  }

  #decimal(value: number): void {
    let power = 1;
    while (power * 10 <= value) power *= 10;
    for (; power >= 1; power /= 10) this.#byte(0x30 + (Math.floor(value / power) % 10));
  }
}

function sharedWords(count: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(count * Uint32Array.BYTES_PER_ELEMENT));
}
