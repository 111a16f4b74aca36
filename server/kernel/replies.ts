/**
 * The thread's reply buffer, as the kernel appends to it; the host sends and empties it between calls. While it has no
 * room for the longest reply, no command that answers is begun.
 */
import {
  COUNTER_ACCEPTED,
  COUNTER_CLOSED,
  COUNTER_PIXELS,
  REPLY_BYTES_MAX,
  TABLE_HEX_DIGITS,
} from "./layout.ts";
import { sumCounter } from "./state.ts";
import { LINE_FEED, MINUS, SPACE } from "./words.ts";

const ZERO: u32 = 0x30;

let begin: usize = 0;
let end: usize = 0;
let capacity: usize = 0;

// Texts that the host has written: address and length.
let help: usize = 0;
let helpLength: usize = 0;
let size: usize = 0;
let sizeLength: usize = 0;
let stopHelp: usize = 0;
let stopHelpLength: usize = 0;
let strict: usize = 0;
let strictLength: usize = 0;

export function configureReplies(at: usize, bytes: usize): void {
  begin = at;
  end = at;
  capacity = bytes;
}

export function configureHelp(at: usize, bytes: usize): void {
  help = at;
  helpLength = bytes;
}
export function configureSize(at: usize, bytes: usize): void {
  size = at;
  sizeLength = bytes;
}
export function configureStopHelp(at: usize, bytes: usize): void {
  stopHelp = at;
  stopHelpLength = bytes;
}
export function configureStrict(at: usize, bytes: usize): void {
  strict = at;
  strictLength = bytes;
}

/** Bytes that wait to be sent. */
export function repliesLength(): usize {
  return end - begin;
}

export function clearReplies(): void {
  end = begin;
}

/** Bytes of replies to the commands of a stretch for which {@link hasRoomForMany} asks: 1 KiB of the shortest gets. */
const MANY_BYTES: usize = 4096;

/** True while any one reply fits behind those to the commands of a whole block. */
export function hasRoomForMany(): bool {
  return capacity - (end - begin) >= <usize>REPLY_BYTES_MAX + MANY_BYTES;
}

/** True while any one reply fits. */
export function hasRoom(): bool {
  return capacity - (end - begin) >= <usize>REPLY_BYTES_MAX;
}

export function appendHelp(): void {
  appendBytes(help, helpLength);
}
export function appendSize(): void {
  appendBytes(size, sizeLength);
}
export function appendStopHelp(): void {
  appendBytes(stopHelp, stopHelpLength);
}
export function appendStrict(): void {
  appendBytes(strict, strictLength);
}

/** `PX x y rrggbb` and LF. `pixel` is the canvas's word. */
export function appendPixel(x: u32, y: u32, pixel: u32): void {
  appendPx();
  appendDecimal(x);
  appendByte(SPACE);
  appendDecimal(y);
  appendByte(SPACE);
  appendColour(pixel);
  appendByte(LINE_FEED);
}

/** The `length` bytes `PX x y` at `from`, at most 16, with ` rrggbb` and LF. */
export function appendGet(from: usize, length: usize, pixel: u32): void {
  v128.store(end, v128.load(from));
  end += length;
  appendByte(SPACE);
  appendColour(pixel);
  appendByte(LINE_FEED);
}

/** `PX x y 000000` and LF, with the numbers as the line gave them between the addresses, but no leading zeros. */
export function appendBlack(xStart: usize, xEnd: usize, yStart: usize, yEnd: usize): void {
  appendPx();
  appendCanonical(xStart, xEnd);
  appendByte(SPACE);
  appendCanonical(yStart, yEnd);
  appendByte(SPACE);
  store<u32>(end, 0x30303030);
  store<u16>(end + 4, 0x3030);
  end += 6;
  appendByte(LINE_FEED);
}

/** `STATS px:<sets> conn:<connections>` and LF. */
export function appendStats(): void {
  const closed = sumCounter(COUNTER_CLOSED);
  const accepted = sumCounter(COUNTER_ACCEPTED);
  store<u32>(end, 0x5441_5453); // "STAT"
  store<u32>(end, 0x7870_2053, 4); // "S px"
  store<u8>(end, 0x3a, 8);
  end += 9;
  appendDecimal(<u64>sumCounter(COUNTER_PIXELS));
  store<u32>(end, 0x6e6f_6320); // " con"
  store<u16>(end + 4, 0x3a6e); // "n:"
  end += 6;
  appendDecimal(<u64>max(accepted - closed, 0));
  appendByte(LINE_FEED);
}

function appendPx(): void {
  store<u16>(end, 0x5850);
  store<u8>(end + 2, <u8>SPACE);
  end += 3;
}

function appendColour(pixel: u32): void {
  store<u16>(end, hexDigits(pixel & 0xff));
  store<u16>(end, hexDigits((pixel >> 8) & 0xff), 2);
  store<u16>(end, hexDigits((pixel >> 16) & 0xff), 4);
  end += 6;
}

function hexDigits(byte: u32): u16 {
  return load<u16>(<usize>TABLE_HEX_DIGITS + ((<usize>byte) << 1));
}

function appendByte(byte: u32): void {
  store<u8>(end, <u8>byte);
  end += 1;
}

function appendBytes(from: usize, length: usize): void {
  memory.copy(end, from, length);
  end += length;
}

function appendDecimal(value: u64): void {
  let length: usize = 1;
  for (let rest = value / 10; rest > 0; rest /= 10) length += 1;
  let at = end + length;
  end = at;
  if (value < 0x8000_0000) {
    let small = <u32>value;
    do {
      const tenth = small / 10;
      at -= 1;
      store<u8>(at, <u8>(ZERO + small - tenth * 10));
      small = tenth;
    } while (small > 0);
    return;
  }
  do {
    const tenth = value / 10;
    at -= 1;
    store<u8>(at, <u8>(ZERO + <u32>(value - tenth * 10)));
    value = tenth;
  } while (value > 0);
}

function appendCanonical(from: usize, to: usize): void {
  let at = from;
  if (<u32>load<u8>(at) === MINUS) {
    appendByte(MINUS);
    at += 1;
  }
  while (at + 1 < to && load<u8>(at) === <u8>ZERO) at += 1;
  appendBytes(at, to - at);
}
