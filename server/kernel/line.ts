/** Reads the fields of one text line: words, decimal numbers and colours between runs of blanks. */
import { NOT_HEX, TABLE_HEX } from "./layout.ts";
import { MINUS, SPACE, TAB } from "./words.ts";

/** Coordinates stop counting here: far outside any canvas, and no sum with an offset leaves 32 bits. */
const COORDINATE_SATURATED: i32 = 1 << 29;
/** Offsets are exact below this; beyond it no coordinate brings a pixel back into a canvas. */
const OFFSET_EXACT_MAX: i32 = 1 << 28;
const OFFSET_SATURATED: i32 = 1 << 30;

let position: usize = 0;
let end: usize = 0;
/** The last number: a coordinate or an offset, saturated. -1 for every coordinate with a sign. */
export let value: i32 = 0;
/** Where the text of the last number lies. */
export let numberStart: usize = 0;
export let numberEnd: usize = 0;
/** The last colour: `r | g << 8 | b << 16`, and its alpha, 255 where the line gave none. */
export let rgb: u32 = 0;
export let alpha: u32 = 0;

export function isBlank(byte: u32): bool {
  return byte === SPACE || byte === TAB;
}

/** Begins with a line, without its line end; trailing blanks are left out. */
export function beginLine(from: usize, to: usize): void {
  position = from;
  end = to;
  while (end > from && isBlank(load<u8>(end - 1))) end -= 1;
}

export function isAtEnd(): bool {
  return position === end;
}

/** Reads a word of `length` bytes, whose bytes are the lowest of `word`, where blanks or the end follow it. */
export function readWord(word: u64, length: usize): bool {
  const behind = position + length;
  if (behind > end) return false;
  if ((load<u64>(position) ^ word) << (64 - ((<u64>length) << 3))) return false;
  if (behind < end && !isBlank(load<u8>(behind))) return false;
  position = behind;
  return true;
}

/** Reads blanks and a whole number. With a sign it is outside every canvas. */
export function readCoordinate(): bool {
  const isNegative = beginNumber();
  const isNumber = readDigits(COORDINATE_SATURATED);
  if (isNegative) value = -1;
  return isNumber;
}

/** Reads blanks and a whole number, perhaps below 0. */
export function readOffset(): bool {
  const isNegative = beginNumber();
  const isNumber = readDigits(OFFSET_SATURATED);
  if (value >= OFFSET_EXACT_MAX) value = OFFSET_SATURATED;
  if (isNegative) value = -value;
  return isNumber;
}

/** Reads blanks and a colour of 2, 6 or 8 digits that ends the line. */
export function readColour(): bool {
  skipBlanks();
  const length = end - position;
  if (length !== 2 && length !== 6 && length !== 8) return false;
  const red = readHexByte();
  const isGrey = length === 2;
  const green = isGrey ? red : readHexByte();
  const blue = isGrey ? red : readHexByte();
  alpha = length === 8 ? readHexByte() : 255;
  rgb = red | (green << 8) | (blue << 16);
  return (red | green | blue | alpha) < <u32>NOT_HEX;
}

/** Two digits, or a value with a bit from NOT_HEX up. */
export function hexByteAt(at: usize): u32 {
  return (valueOfHex(load<u8>(at)) << 4) | valueOfHex(load<u8>(at + 1));
}

/** Skips blanks and a minus sign, and says whether there was one. */
function beginNumber(): bool {
  skipBlanks();
  numberStart = position;
  if (isAtEnd() || load<u8>(position) !== MINUS) return false;
  position += 1;
  return true;
}

/** Reads digits, at least one, up to a blank or the end. */
function readDigits(saturated: i32): bool {
  const start = position;
  let sum: i64 = 0;
  while (position < end) {
    const digit = <u32>load<u8>(position) - 0x30;
    if (digit > 9) break;
    sum = min(sum * 10 + <i64>digit, <i64>saturated);
    position += 1;
  }
  value = <i32>sum;
  numberEnd = position;
  return position > start && (isAtEnd() || isBlank(load<u8>(position)));
}

function skipBlanks(): void {
  while (position < end && isBlank(load<u8>(position))) position += 1;
}

function readHexByte(): u32 {
  position += 2;
  return hexByteAt(position - 2);
}

function valueOfHex(byte: u32): u32 {
  return load<u16>(TABLE_HEX + (byte << 1));
}
