/**
 * Reads the fields of one text line of Pixelflut: words, decimal numbers and colours between runs of blanks. Used for
 * every line that the parser's fast path leaves over; one scanner serves all connections of a thread.
 */

import { NOT_HEX } from "./kernel/layout.ts";

/** Coordinates stop counting here: far outside any canvas, and no sum with an offset leaves 32 bits. */
const COORDINATE_SATURATED = 2 ** 29;
/** Offsets are exact below this; beyond it no coordinate brings a pixel back into a canvas. */
const OFFSET_EXACT_MAX = 2 ** 28;
const OFFSET_SATURATED = 2 ** 30;

const TAB = 0x09;
const SPACE = 0x20;
const MINUS = 0x2d;
const ZERO = 0x30;

/** Values of hexadecimal digits of either case by byte; {@link NOT_HEX} for all others. */
export const HEX_VALUES = new Uint16Array(256).fill(NOT_HEX);
for (let digit = 0; digit < 16; digit += 1) {
  const text = digit.toString(16);
  HEX_VALUES[text.charCodeAt(0)] = digit;
  HEX_VALUES[text.toUpperCase().charCodeAt(0)] = digit;
}

/** `bytes[index]` where the caller knows that it is inside. */
export function byteAt(bytes: Uint8Array, index: number): number {
  // The index is inside the array, so the value is no `undefined`; a default would be a branch in the hottest loop.
  return bytes[index] as number;
}

export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/** A colour as the line gave it. */
export interface ScannedColour {
  /** `r | g << 8 | b << 16`. */
  rgb: number;
  /** 0 to 255; 255 where the line gave none. */
  alpha: number;
}

/** A position in one line. Each `read` moves on and says whether it found what it looked for. */
export class LineScanner {
  #bytes: Uint8Array = new Uint8Array(0);
  #position = 0;
  #end = 0;
  /** The last number: a coordinate or an offset, saturated. -1 for every coordinate with a sign. */
  value = 0;
  /** Where the text of the last number lies. */
  numberStart = 0;
  numberEnd = 0;
  readonly colour: ScannedColour = { rgb: 0, alpha: 255 };

  /** Begins with the line `bytes[start..end)`, without its line end; trailing blanks are left out. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    while (this.#end > start && isBlank(byteAt(bytes, this.#end - 1))) this.#end -= 1;
  }

  get isAtEnd(): boolean {
    return this.#position === this.#end;
  }

  /** Reads `word` where blanks or the end follow it. Does not move where it is another word. */
  readWord(word: Uint8Array): boolean {
    const end = this.#position + word.length;
    if (end > this.#end) return false;
    for (let index = 0; index < word.length; index += 1) {
      if (byteAt(this.#bytes, this.#position + index) !== byteAt(word, index)) return false;
    }
    if (end < this.#end && !isBlank(byteAt(this.#bytes, end))) return false;
    this.#position = end;
    return true;
  }

  /** Reads blanks and a whole number. With a sign it is outside every canvas. */
  readCoordinate(): boolean {
    const isNegative = this.#beginNumber();
    const isNumber = this.#readDigits(COORDINATE_SATURATED);
    if (isNegative) this.value = -1;
    return isNumber;
  }

  /** Reads blanks and a whole number, perhaps below 0. */
  readOffset(): boolean {
    const isNegative = this.#beginNumber();
    const isNumber = this.#readDigits(OFFSET_SATURATED);
    if (this.value >= OFFSET_EXACT_MAX) this.value = OFFSET_SATURATED;
    if (isNegative) this.value = -this.value;
    return isNumber;
  }

  /** Reads blanks and a colour of 2, 6 or 8 digits that ends the line. */
  readColour(): boolean {
    this.#skipBlanks();
    const length = this.#end - this.#position;
    if (length !== 2 && length !== 6 && length !== 8) return false;
    const first = this.#readHexByte();
    const isGrey = length === 2;
    const green = isGrey ? first : this.#readHexByte();
    const blue = isGrey ? first : this.#readHexByte();
    const alpha = length === 8 ? this.#readHexByte() : 255;
    this.colour.rgb = first | (green << 8) | (blue << 16);
    this.colour.alpha = alpha;
    return (first | green | blue | alpha) < NOT_HEX;
  }

  /** The digits of a number whose place was kept from {@link numberStart} and {@link numberEnd}. */
  textOf(start: number, end: number): string {
    return String.fromCharCode(...this.#bytes.subarray(start, end));
  }

  /** Skips blanks and a minus sign, and says whether there was one. */
  #beginNumber(): boolean {
    this.#skipBlanks();
    this.numberStart = this.#position;
    if (this.isAtEnd || byteAt(this.#bytes, this.#position) !== MINUS) return false;
    this.#position += 1;
    return true;
  }

  /** Reads digits, at least one, up to a blank or the end. */
  #readDigits(saturated: number): boolean {
    const start = this.#position;
    let value = 0;
    while (this.#position < this.#end) {
      const digit = byteAt(this.#bytes, this.#position) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = Math.min(value * 10 + digit, saturated);
      this.#position += 1;
    }
    this.value = value;
    this.numberEnd = this.#position;
    return this.#position > start && (this.isAtEnd || isBlank(byteAt(this.#bytes, this.#position)));
  }

  #skipBlanks(): void {
    while (this.#position < this.#end && isBlank(byteAt(this.#bytes, this.#position))) this.#position += 1;
  }

  /** Two digits, or a value with a bit from {@link NOT_HEX} up. */
  #readHexByte(): number {
    const high = HEX_VALUES[byteAt(this.#bytes, this.#position)] ?? NOT_HEX;
    const low = HEX_VALUES[byteAt(this.#bytes, this.#position + 1)] ?? NOT_HEX;
    this.#position += 2;
    return (high << 4) | low;
  }
}
