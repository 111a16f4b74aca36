/** What each text command does, once its line is whole. Lines of the commonest shapes never get here (`pixels.ts`). */
import { pixelAt, setPixel } from "./canvas.ts";
import {
  HELP_WINDOW_MS,
  HELPS_PER_WINDOW,
  PHASE_CLOSING,
  STATE_HELP_COUNT,
  STATE_HELP_WINDOW_MS,
  STATE_OFFSET_X,
  STATE_OFFSET_Y,
  STATE_PHASE,
} from "./layout.ts";
import {
  alpha,
  beginLine,
  isAtEnd,
  numberEnd,
  numberStart,
  readColour,
  readCoordinate,
  readOffset,
  readWord,
  rgb,
  value,
} from "./line.ts";
import {
  appendBlack,
  appendHelp,
  appendPixel,
  appendSize,
  appendStats,
  appendStopHelp,
  appendStrict,
  hasRoom,
} from "./replies.ts";
import {
  answersOutsideGets,
  countGets,
  countInvalidLine,
  countOutsideGet,
  countPixels,
  countRefusedHelp,
  flushCounters,
  height,
  isStrict,
  width,
} from "./state.ts";

// Words as their bytes lie in memory.
const PX: u64 = 0x5850;
const OFFSET: u64 = 0x5445_5346_464f;
const STATS: u64 = 0x53_5441_5453;
const QUIT: u64 = 0x5449_5551;

// Each of these either is carried out and returns true, or finds no room for its reply, does nothing and returns false.

/** A line: not empty, without leading blanks and line end. */
export function runLine(record: usize, from: usize, to: usize): bool {
  beginLine(from, to);
  if (readWord(PX, 2)) return runPx(record);
  if (readWord(OFFSET, 6)) return runOffset(record);
  if (readWord(STATS, 5) && isAtEnd()) return runStats();
  if (readWord(QUIT, 4) && isAtEnd()) {
    store<i32>(record, PHASE_CLOSING, STATE_PHASE);
    return true;
  }
  return refuse(record);
}

export function runSize(): bool {
  if (!hasRoom()) return false;
  appendSize();
  return true;
}

export function runHelp(record: usize, nowMs: f64): bool {
  if (!hasRoom()) return false;
  let count = load<i32>(record, STATE_HELP_COUNT);
  if (nowMs - load<f64>(record, STATE_HELP_WINDOW_MS) >= HELP_WINDOW_MS) {
    store<f64>(record, nowMs, STATE_HELP_WINDOW_MS);
    count = 0;
  }
  count += 1;
  store<i32>(record, count, STATE_HELP_COUNT);
  if (count <= HELPS_PER_WINDOW) {
    appendHelp();
    return true;
  }
  countRefusedHelp();
  if (count === HELPS_PER_WINDOW + 1) appendStopHelp();
  return true;
}

function runPx(record: usize): bool {
  if (!readCoordinate()) return refuse(record);
  const x = value;
  const xStart = numberStart;
  const xEnd = numberEnd;
  if (!readCoordinate()) return refuse(record);
  const y = value;
  if (isAtEnd()) {
    if (!hasRoom()) return false;
    if (!get(record, x, y)) answerOutside(xStart, xEnd);
    return true;
  }
  if (!readColour()) return refuse(record);
  if (x < 0 || y < 0) countPixels(0, 1);
  else setPixel(x + load<i32>(record, STATE_OFFSET_X), y + load<i32>(record, STATE_OFFSET_Y), rgb, alpha);
  return true;
}

/** Answers with the pixel. False where it is outside the canvas. */
function get(record: usize, sentX: i32, sentY: i32): bool {
  if (sentX < 0 || sentY < 0) return false;
  const x = sentX + load<i32>(record, STATE_OFFSET_X);
  const y = sentY + load<i32>(record, STATE_OFFSET_Y);
  if (<u32>x >= <u32>width || <u32>y >= <u32>height) return false;
  countGets(1);
  appendPixel(sentX, sentY, pixelAt(x, y));
  return true;
}

/** A get outside the canvas, whose y is the line's last number. */
function answerOutside(xStart: usize, xEnd: usize): void {
  countOutsideGet();
  if (answersOutsideGets) appendBlack(xStart, xEnd, numberStart, numberEnd);
}

function runOffset(record: usize): bool {
  if (!readOffset()) return refuse(record);
  const x = value;
  if (!readOffset() || !isAtEnd()) return refuse(record);
  store<i32>(record, x, STATE_OFFSET_X);
  store<i32>(record, value, STATE_OFFSET_Y);
  return true;
}

function runStats(): bool {
  if (!hasRoom()) return false;
  flushCounters();
  appendStats();
  return true;
}

/** A line that is no command. */
function refuse(record: usize): bool {
  if (isStrict) {
    if (!hasRoom()) return false;
    appendStrict();
    store<i32>(record, PHASE_CLOSING, STATE_PHASE);
  }
  countInvalidLine();
  return true;
}
