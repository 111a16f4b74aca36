/**
 * Odd lines between commands of a usual shape: gets, garbage, and pixels that are written another way. The loops for
 * commands that are alike step over a few of them and go on, in place of returning to the framing.
 */
import { runLine } from "./commands.ts";
import { lettersOf, lineFeedsIn, shapeOf, wrongLanes } from "./decode.ts";
import { TABLE_LENGTHS, TABLE_SHUFFLES } from "./layout.ts";
import { runSerial } from "./pixel-lines.ts";
import { hasRoomForMany } from "./replies.ts";
import { runShort } from "./short-lines.ts";
import { countInvalidLine, countPixels, isStrict } from "./state.ts";
import { CARRIAGE_RETURN, GET_BYTES_MAX, LINE_FEED, MINUS, PX_, PX_MASK, SPACE } from "./words.ts";

const LETTER_F: u32 = 0x46;
const LETTER_P: u32 = 0x50;
const LETTER_S: u32 = 0x53;

/** So many are passed at once. */
const LINES_MAX: i32 = 4;
/** A line is looked at where so many bytes are there, which the loops that try it may read. */
export const ODD_READ_BYTES: usize = 64;

/**
 * Where the command behind the line at `from` begins, and behind further lines that do not begin as a command in bytes or
 * about a pixel does. They change nothing but pixels, counters and replies, for which there is room.
 *
 * @returns 0 where this cannot be said, or `to` is near
 */
export function findBehindOdd(from: usize, to: usize): usize {
  if (isStrict) return 0;
  let at = from;
  for (let line = 0; line < LINES_MAX; line++) {
    if (<isize>(to - at) < <isize>ODD_READ_BYTES) return 0;
    if ((load<u32>(at) & PX_MASK) !== PX_ && !isGarbage(load<u8>(at))) return 0;
    const found = lineFeedsIn(at);
    if (found === 0) return 0;
    at += <usize>ctz(found) + 1;
    if (<u32>load<u8>(at) === LETTER_P) return at;
  }
  return 0;
}

/**
 * True where a line that begins with `first` is empty or no command whatever follows: not so for blanks, CR and the
 * letters of commands, from `G` to `S`.
 */
function isGarbage(first: u32): bool {
  return first > LETTER_S || (first > SPACE && first <= LETTER_F) || first === LINE_FEED;
}

/** True where the line at `at` is too short to set a colour of six digits, or the next is not about a pixel. */
export function isOdd(at: usize): bool {
  const length = <usize>ctz(lineFeedsIn(at));
  return length < GET_BYTES_MAX || (load<u32>(at + length + 1) & PX_MASK) !== PX_;
}

/** Carries out the lines from `from` to `until`, an address that {@link findBehindOdd} has found. */
export function runOdd(record: usize, from: usize, until: usize, offsetX: i32, offsetY: i32): void {
  let at = from;
  while (at < until) {
    const lineFeed = at + <usize>ctz(lineFeedsIn(at));
    if (<u32>load<u8>(at) !== LETTER_P) {
      if (lineFeed > at) countInvalidLine();
    } else {
      const isShort = lineFeed - at < GET_BYTES_MAX;
      const behind = isShort
        ? runShort(at, at + 1, offsetX, offsetY)
        : runSerial(at, at + 1, offsetX, offsetY);
      if (behind === at && !runWrong(at))
        runLine(record, at, <u32>load<u8>(lineFeed - 1) === CARRIAGE_RETURN ? lineFeed - 1 : lineFeed);
    }
    at = lineFeed + 1;
  }
}

/**
 * Carries out a line about a pixel that is wrong as lines often are: no hexadecimal digit begins its colour, or x is below
 * 0. False where it is another.
 */
function runWrong(at: usize): bool {
  const sign: usize = <u32>load<u8>(at, 3) === MINUS ? 1 : 0;
  const text = v128.load(at + sign, 3);
  const shape = <usize>shapeOf(text);
  const digits = i8x16.relaxed_swizzle(
    i8x16.sub(text, i8x16.splat(0x30)),
    v128.load(<usize>TABLE_SHUFFLES + (shape << 4)),
  );
  const letters = lettersOf(digits);
  const wrong = wrongLanes(digits, letters);
  // Shapes that are none have an empty shuffle, of which nothing is wrong.
  const end = <usize>load<u8>(<usize>TABLE_LENGTHS + shape);
  if (!v128.any_true(wrong)) {
    if (sign === 0 || <u32>load<u8>(at + end) !== LINE_FEED) return false;
    countPixels(0, 1);
    return true;
  }
  // The numbers are right, and what is wrong is neither a blank nor a line end, which are left out at a line's end.
  if (i64x2.extract_lane(wrong, 0) !== 0 || <u32>load<u8>(at + sign + end - 7) <= SPACE) return false;
  if (<u32>i8x16.extract_lane_u(wrong, 8) === 0) return false;
  countInvalidLine();
  return true;
}

/**
 * Carries out odd lines from `from` on.
 *
 * @returns the address behind them, `from` where there are none that can be passed
 */
export function passOdd(record: usize, from: usize, to: usize, offsetX: i32, offsetY: i32): usize {
  if (!hasRoomForMany()) return from;
  const behind = findBehindOdd(from, to);
  if (behind === 0) return from;
  runOdd(record, from, behind, offsetX, offsetY);
  return behind;
}
