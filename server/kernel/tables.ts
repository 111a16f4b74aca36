/** Fills the kernel's tables: once for each instance, always with the same bytes. */
import {
  NOT_HEX,
  TABLE_GREY_LENGTHS,
  TABLE_GREY_SHUFFLES,
  TABLE_HEX,
  TABLE_HEX_DIGITS,
  TABLE_LENGTHS,
  TABLE_SHUFFLES,
} from "./layout.ts";

/** Bytes behind `PX ` in which both spaces of a usual command lie. */
const MASK_BITS: u32 = 10;
/** Most digits of a coordinate that a shuffle takes. */
const DIGITS_MAX: u32 = 4;
/** A shuffle's index for a zero. */
const NO_BYTE: u32 = 0x80;
/** The length of masks that are no command: then the byte where its LF should be is the space behind `PX`. */
const NO_COMMAND_LENGTH: u8 = 3;

export function fillTables(): void {
  fillHex();
  for (let mask: u32 = 0; mask < 1 << MASK_BITS; mask++) fillShape(mask);
}

function fillHex(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value: u32 = NOT_HEX;
    if (byte >= 0x30 && byte <= 0x39) value = byte - 0x30;
    else if ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66) value = (byte | 0x20) - 0x61 + 10;
    store<u16>(TABLE_HEX + (byte << 1), <u16>value);
    store<u16>(TABLE_HEX_DIGITS + (byte << 1), <u16>(hexDigit(byte >> 4) | (hexDigit(byte & 15) << 8)));
  }
}

function hexDigit(value: u32): u32 {
  return value < 10 ? 0x30 + value : 0x61 - 10 + value;
}

/**
 * The shuffles for `x y rrggbb` and `x y gg` whose spaces are where `mask` has bits: x in bytes 0 to 3 and y in 4 to 7,
 * with zeros in front, r g b in 8 to 13.
 */
function fillShape(mask: u32): void {
  const rest: u32 = mask & (mask - 1);
  const xLength: u32 = ctz(mask);
  const second: u32 = ctz(rest);
  const yLength: u32 = second - xLength - 1;
  const hasNumbers = isLength(xLength) && isLength(yLength);
  // Behind a grey the space of the next command may be in sight. Any other belongs to no command of the usual shape.
  const further: u32 = rest & (rest - 1);
  const isColour = hasNumbers && further === 0;
  const isGrey = hasNumbers && (further === 0 || further === 1 << (second + 6));
  store<u8>(<usize>TABLE_LENGTHS + <usize>mask, isColour ? <u8>(second + 11) : NO_COMMAND_LENGTH);
  store<u8>(<usize>TABLE_GREY_LENGTHS + <usize>mask, isGrey ? <u8>(second + 7) : NO_COMMAND_LENGTH);
  const place = (<usize>mask) << 4;
  for (let lane: u32 = 0; lane < 16; lane++) {
    let from: u32 = NO_BYTE;
    let greyFrom: u32 = NO_BYTE;
    if (lane < DIGITS_MAX) {
      from = digitFrom(lane, xLength, 0);
      greyFrom = from;
    } else if (lane < 2 * DIGITS_MAX) {
      from = digitFrom(lane - DIGITS_MAX, yLength, xLength + 1);
      greyFrom = from;
    } else if (lane < 2 * DIGITS_MAX + 6) {
      from = second + 1 + lane - 2 * DIGITS_MAX;
      greyFrom = second + 1 + (lane & 1);
    }
    store<u8>(<usize>TABLE_SHUFFLES + place + <usize>lane, isColour ? <u8>from : <u8>NO_BYTE);
    store<u8>(<usize>TABLE_GREY_SHUFFLES + place + <usize>lane, isGrey ? <u8>greyFrom : <u8>NO_BYTE);
  }
}

function isLength(length: u32): bool {
  return length >= 1 && length <= DIGITS_MAX;
}

/** Where lane `lane` of a number of four digits comes from, whose `length` digits begin at `start`. */
function digitFrom(lane: u32, length: u32, start: u32): u32 {
  const padding = DIGITS_MAX - length;
  return lane < padding ? NO_BYTE : start + lane - padding;
}
