/**
 * The Pixelflut protocol as a WebAssembly kernel: one call a TCP read takes its bytes to pixels in the shared canvas
 * and to replies. Here is what its host calls, and the framing: where each command begins and ends. It does exactly what
 * `plain-parser.ts` does, which is its specification; a differential fuzz holds the two together. Nothing is allocated
 * and nothing imported but the memory.
 */
import { setRow } from "./canvas.ts";
import { runHelp, runLine, runSize } from "./commands.ts";
import {
  LINE_BYTES_MAX,
  PHASE_CLOSING,
  PHASE_HTTP,
  PHASE_OPEN,
  STATE_HELP_WINDOW_MS,
  STATE_IS_DROPPING,
  STATE_IS_FRESH,
  STATE_MULTI_INDEX,
  STATE_MULTI_REMAINING,
  STATE_OFFSET_X,
  STATE_OFFSET_Y,
  STATE_PHASE,
  STATE_TAIL,
  STATE_TAIL_LENGTH,
} from "./layout.ts";
import { isBlank } from "./line.ts";
import { runBinary, runSerial } from "./pixel-lines.ts";
import { findBehindOdd, isOdd, passOdd, runOdd } from "./odd-lines.ts";
import { runPixels } from "./pixels.ts";
import { runShort } from "./short-lines.ts";
import {
  clearReplies,
  configureHelp,
  configureReplies,
  configureSize,
  configureStopHelp,
  configureStrict,
  repliesLength,
} from "./replies.ts";
import {
  configureCanvas,
  configureCounters,
  configureScratch,
  countLongLine,
  flushCounters,
  height,
  width,
} from "./state.ts";
import { fillTables } from "./tables.ts";
import { CARRIAGE_RETURN, LINE_FEED, PB, PX_, PX_MASK } from "./words.ts";

// The loops at the end are exported only so that the compiler leaves them functions of their own: inside a large one their
// variables lose their registers, and some a third of their speed.
export {
  clearReplies,
  configureCanvas,
  configureCounters,
  configureHelp,
  configureReplies,
  configureScratch,
  configureSize,
  configureStopHelp,
  configureStrict,
  repliesLength,
  runBinary,
  runPixels,
  runShort,
  runSerial,
  runOdd,
  findBehindOdd,
  isOdd,
};

const PXMULTI_HEADER_BYTES: usize = 15;

// Words as their bytes lie in memory.
const SIZE: u32 = 0x455a_4953;
const HELP: u32 = 0x504c_4548;
const HTTP_GET: u32 = 0x2054_4547;
const PXMULTI: u64 = 0x0049_544c_554d_5850;

/** True when the last command waits for room in the reply buffer rather than for bytes. */
let isOutOfRoom: bool = false;
let now: f64 = 0;

/** To be called once, before anything else. */
export function start(): void {
  fillTables();
}

/** Makes the record of a new connection. */
export function resetRecord(record: usize): void {
  memory.fill(record, 0, STATE_TAIL);
  store<i32>(record, 1, STATE_IS_FRESH);
  store<f64>(record, -Infinity, STATE_HELP_WINDOW_MS);
}

/**
 * Takes the bytes at `[from, to)`, the next ones of the connection whose record is at `record`. Free bytes before them
 * take its tail, and some behind them may be read.
 *
 * @returns the address behind the last byte taken: less than `to` where the replies have no room, or where a browser's
 * request follows
 */
export function parse(record: usize, from: usize, to: usize, nowMs: f64): usize {
  const phase = load<i32>(record, STATE_PHASE);
  if (phase === PHASE_CLOSING) return to;
  if (phase === PHASE_HTTP) return from;
  const tailLength = load<u32>(record, STATE_TAIL_LENGTH);
  const begin = from - <usize>tailLength;
  if (tailLength > 0) memory.copy(begin, record + STATE_TAIL, tailLength);
  now = nowMs;
  isOutOfRoom = false;
  const position = run(record, begin, to);
  flushCounters();
  return finish(record, position, from, to);
}

/** Keeps what is incomplete. */
function finish(record: usize, position: usize, from: usize, to: usize): usize {
  const phase = load<i32>(record, STATE_PHASE);
  // The tail's own command found no room: nothing of the read is taken, and the tail stays.
  if (position < from && phase === PHASE_OPEN && isOutOfRoom) return from;
  store<u32>(record, 0, STATE_TAIL_LENGTH);
  if (phase === PHASE_CLOSING) return to;
  if (phase === PHASE_HTTP || isOutOfRoom) return position;
  const rest = to - position;
  if (rest > 0) {
    memory.copy(record + STATE_TAIL, position, rest);
    store<u32>(record, <u32>rest, STATE_TAIL_LENGTH);
  }
  return to;
}

/** Carries out commands until one is incomplete, has no room for its reply, or ends the connection's text. */
function run(record: usize, from: usize, to: usize): usize {
  let position = from;
  while (position < to) {
    const next = runOne(record, position, to);
    if (next === position) break;
    position = next;
    store<i32>(record, 0, STATE_IS_FRESH);
    if (load<i32>(record, STATE_PHASE) !== PHASE_OPEN) break;
  }
  return position;
}

/**
 * Carries out one command or many of the commonest shapes, or what there is of PXMULTI's pixels or of a line to be
 * dropped.
 *
 * @returns the address behind it, or `from` where it is incomplete or has no room for its reply
 */
function runOne(record: usize, from: usize, to: usize): usize {
  if (load<i32>(record, STATE_IS_DROPPING)) return dropLine(record, from, to);
  if (load<u32>(record, STATE_MULTI_REMAINING)) return runMulti(record, from, to);
  // Behind `to` is readable memory, whose bytes decide nothing where the length says that they are not ours.
  const word = load<u32>(from);
  if ((word & PX_MASK) === PX_) {
    const behind = runPixels(
      record,
      from,
      to,
      load<i32>(record, STATE_OFFSET_X),
      load<i32>(record, STATE_OFFSET_Y),
    );
    if (behind !== from) return behind;
  } else if ((word & 0xffff) === PB && to - from >= 2) {
    const behind = runBinary(from, to);
    return passOdd(record, behind, to, load<i32>(record, STATE_OFFSET_X), load<i32>(record, STATE_OFFSET_Y));
  } else if (load<u64>(from) << 8 === PXMULTI << 8 && to - from >= 7) {
    return beginMulti(record, from, to);
  } else if (word === HTTP_GET && to - from >= 4 && load<i32>(record, STATE_IS_FRESH)) {
    store<i32>(record, PHASE_HTTP, STATE_PHASE);
    return from + 4;
  }
  return runText(record, from, to);
}

/** The header of `PXMULTI`. Where its range leaves the canvas, none of it is painted. */
function beginMulti(record: usize, from: usize, to: usize): usize {
  if (to - from < PXMULTI_HEADER_BYTES) return from;
  const x = <u32>load<u16>(from, 7);
  const y = <u32>load<u16>(from, 9);
  const count = load<u32>(from, 11);
  const index = <u64>y * width + x;
  const isInside = x < <u32>width && y < <u32>height && index + <u64>count <= <u64>width * height;
  store<u32>(record, count, STATE_MULTI_REMAINING);
  store<i32>(record, isInside ? <i32>index : -1, STATE_MULTI_INDEX);
  return from + PXMULTI_HEADER_BYTES;
}

/** The pixels of `PXMULTI` that are here whole. */
function runMulti(record: usize, from: usize, to: usize): usize {
  const remaining = load<u32>(record, STATE_MULTI_REMAINING);
  const index = load<i32>(record, STATE_MULTI_INDEX);
  const count = min(<u32>((to - from) >> 2), remaining);
  setRow(from, index, count);
  store<u32>(record, remaining - count, STATE_MULTI_REMAINING);
  if (index >= 0) store<i32>(record, index + <i32>count, STATE_MULTI_INDEX);
  return from + ((<usize>count) << 2);
}

/** A text line; or SIZE and HELP, which need no end of line. */
function runText(record: usize, from: usize, to: usize): usize {
  const limit = min(to, from + LINE_BYTES_MAX + 1);
  let first = from;
  while (first < limit && isBlank(load<u8>(first))) first += 1;
  if (first + 4 <= min(to, from + LINE_BYTES_MAX)) {
    const word = load<u32>(first);
    if (word === SIZE) return runSize() ? first + 4 : wait(from);
    if (word === HELP) return runHelp(record, now) ? first + 4 : wait(from);
  }
  const lineFeed = findLineFeed(first, limit);
  if (lineFeed === limit) {
    if (limit - from <= <usize>LINE_BYTES_MAX) return from;
    store<i32>(record, 1, STATE_IS_DROPPING);
    countLongLine();
    return limit;
  }
  const hasReturn = lineFeed > first && <u32>load<u8>(lineFeed - 1) === CARRIAGE_RETURN;
  const end = hasReturn ? lineFeed - 1 : lineFeed;
  return end === first || runLine(record, first, end) ? lineFeed + 1 : wait(from);
}

/** Notes that the command at `from` waits for room in the reply buffer. */
function wait(from: usize): usize {
  isOutOfRoom = true;
  return from;
}

/** Skips up to and with the next LF. */
function dropLine(record: usize, from: usize, to: usize): usize {
  const lineFeed = findLineFeed(from, to);
  if (lineFeed === to) return to;
  store<i32>(record, 0, STATE_IS_DROPPING);
  return lineFeed + 1;
}

/** The address of the first LF in `[from, to)`, or `to`. */
function findLineFeed(from: usize, to: usize): usize {
  const wanted = i8x16.splat(<i8>LINE_FEED);
  for (let at = from; at < to; at += 16) {
    const found = i8x16.bitmask(i8x16.eq(v128.load(at), wanted));
    if (found) return min(at + <usize>ctz(found), to);
  }
  return to;
}
