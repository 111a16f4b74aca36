/**
 * Writes transform coefficients as CAVLC, as far as the slate's pictures need it: blocks whose neighbours have no
 * coefficients of their own (Intra16x16DCLevel without AC levels), and the DC of chroma.
 */
// ITU-T H.264 9.2 (CAVLC), tables 9-5 and 9-7 to 9-10
import type { BitWriter } from "#common/formats/bit-writer.ts";

/** A code word for each row and column: its length and its bits. */
interface CodeTable {
  readonly lengths: readonly (readonly number[])[];
  readonly bits: readonly (readonly number[])[];
}

/** What differs between blocks of sixteen coefficients and of four. */
interface BlockKind {
  /** By the number of coefficients, then by that of trailing ones (table 9-5). */
  readonly tokens: CodeTable;
  /** By the number of coefficients less one, then by that of zeros before the last (tables 9-7 to 9-9). */
  readonly zeros: CodeTable;
}

const LUMA: BlockKind = {
  tokens: {
    lengths: [
      [1],
      [6, 2],
      [8, 6, 3],
      [9, 8, 7, 5],
      [10, 9, 8, 6],
      [11, 10, 9, 7],
      [13, 11, 10, 8],
      [13, 13, 11, 9],
      [13, 13, 13, 10],
      [14, 14, 13, 11],
      [14, 14, 14, 13],
      [15, 15, 14, 14],
      [15, 15, 15, 14],
      [16, 15, 15, 15],
      [16, 16, 16, 15],
      [16, 16, 16, 16],
      [16, 16, 16, 16],
    ],
    bits: [
      [1],
      [5, 1],
      [7, 4, 1],
      [7, 6, 5, 3],
      [7, 6, 5, 3],
      [7, 6, 5, 4],
      [15, 6, 5, 4],
      [11, 14, 5, 4],
      [8, 10, 13, 4],
      [15, 14, 9, 4],
      [11, 10, 13, 12],
      [15, 14, 9, 12],
      [11, 10, 13, 8],
      [15, 1, 9, 12],
      [11, 14, 13, 8],
      [7, 10, 9, 12],
      [4, 6, 5, 8],
    ],
  },
  zeros: {
    lengths: [
      [1, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 9],
      [3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 6, 6],
      [4, 3, 3, 3, 4, 4, 3, 3, 4, 5, 5, 6, 5, 6],
      [5, 3, 4, 4, 3, 3, 3, 4, 3, 4, 5, 5, 5],
      [4, 4, 4, 3, 3, 3, 3, 3, 4, 5, 4, 5],
      [6, 5, 3, 3, 3, 3, 3, 3, 4, 3, 6],
      [6, 5, 3, 3, 3, 2, 3, 4, 3, 6],
      [6, 4, 5, 3, 2, 2, 3, 3, 6],
      [6, 6, 4, 2, 2, 3, 2, 5],
      [5, 5, 3, 2, 2, 2, 4],
      [4, 4, 3, 3, 1, 3],
      [4, 4, 2, 1, 3],
      [3, 3, 1, 2],
      [2, 2, 1],
      [1, 1],
    ],
    bits: [
      [1, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 1],
      [7, 6, 5, 4, 3, 5, 4, 3, 2, 3, 2, 3, 2, 1, 0],
      [5, 7, 6, 5, 4, 3, 4, 3, 2, 3, 2, 1, 1, 0],
      [3, 7, 5, 4, 6, 5, 4, 3, 3, 2, 2, 1, 0],
      [5, 4, 3, 7, 6, 5, 4, 3, 2, 1, 1, 0],
      [1, 1, 7, 6, 5, 4, 3, 2, 1, 1, 0],
      [1, 1, 5, 4, 3, 3, 2, 1, 1, 0],
      [1, 1, 1, 3, 3, 2, 2, 1, 0],
      [1, 0, 1, 3, 2, 1, 1, 1],
      [1, 0, 1, 3, 2, 1, 1],
      [0, 1, 1, 2, 1, 3],
      [0, 1, 1, 1, 1],
      [0, 1, 1, 1],
      [0, 1, 1],
      [0, 1],
    ],
  },
};

const CHROMA_DC: BlockKind = {
  tokens: {
    lengths: [[2], [6, 1], [6, 6, 3], [6, 7, 7, 6], [6, 8, 8, 7]],
    bits: [[1], [7, 1], [4, 6, 1], [3, 3, 2, 5], [2, 3, 2, 0]],
  },
  zeros: {
    lengths: [
      [1, 2, 3, 3],
      [1, 2, 2],
      [1, 1],
    ],
    bits: [
      [1, 1, 1, 0],
      [1, 1, 0],
      [1, 0],
    ],
  },
};

/** By the number of zeros that are left, 7 for more, less one; then by the length of the run (table 9-10). */
const RUNS: CodeTable = {
  lengths: [
    [1, 1],
    [1, 2, 2],
    [2, 2, 2, 2],
    [2, 2, 2, 3, 3],
    [2, 2, 3, 3, 3, 3],
    [2, 3, 3, 3, 3, 3, 3],
    [3, 3, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  ],
  bits: [
    [1, 0],
    [1, 1, 0],
    [3, 2, 1, 0],
    [3, 2, 1, 1, 0],
    [3, 2, 3, 2, 1, 0],
    [3, 0, 1, 3, 2, 5, 4],
    [7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1],
  ],
};

const TRAILING_ONES_MAX = 3;
/** Of these many coefficients on, levels are taken to be large (9.2.2). */
const LARGE_LEVELS_COUNT = 10;
/** A level whose prefix is this long has a suffix of twelve bits (9.2.2.1). */
const ESCAPE_PREFIX = 15;
const ESCAPE_BITS = 12;
const SUFFIX_BITS_MAX = 6;

/** Writes sixteen levels in the order of their scan; no neighbour has coefficients. */
export function writeLumaLevels(writer: BitWriter, levels: readonly number[]): void {
  writeBlock(writer, levels, LUMA);
}

/** Writes the four DC levels of a chroma component. */
export function writeChromaLevels(writer: BitWriter, levels: readonly number[]): void {
  writeBlock(writer, levels, CHROMA_DC);
}

function writeBlock(writer: BitWriter, levels: readonly number[], { tokens, zeros }: BlockKind): void {
  // Coded from the highest frequency down.
  const places = [...levels.keys()].filter((place) => levels[place] !== 0).toReversed();
  const values = places.map((place) => levels[place] ?? 0);
  const otherThanOne = values.findIndex((value) => Math.abs(value) !== 1);
  const ones = Math.min(TRAILING_ONES_MAX, otherThanOne === -1 ? values.length : otherThanOne);
  writeCode(writer, tokens, [values.length, ones]);
  const last = places[0];
  if (last === undefined) return;
  for (const value of values.slice(0, ones)) writer.bits(value < 0 ? 1 : 0, 1);
  writeLevels(writer, values.slice(ones), values.length, ones);
  const zeroCount = last + 1 - values.length;
  if (values.length < levels.length) writeCode(writer, zeros, [values.length - 1, zeroCount]);
  writeRuns(writer, places, zeroCount);
}

function writeLevels(writer: BitWriter, values: readonly number[], count: number, ones: number): void {
  let suffixBits = count > LARGE_LEVELS_COUNT && ones < TRAILING_ONES_MAX ? 1 : 0;
  for (const [index, value] of values.entries()) {
    const size = Math.abs(value);
    let code = 2 * size - (value > 0 ? 2 : 1);
    // With fewer than three trailing ones, the next level cannot be a one.
    if (index === 0 && ones < TRAILING_ONES_MAX) code -= 2;
    writeLevel(writer, code, suffixBits);
    if (suffixBits === 0) suffixBits = 1;
    if (size > 3 << (suffixBits - 1) && suffixBits < SUFFIX_BITS_MAX) suffixBits++;
  }
}

function writeLevel(writer: BitWriter, code: number, suffixBits: number): void {
  const prefixMax = suffixBits === 0 ? ESCAPE_PREFIX - 1 : ESCAPE_PREFIX;
  const prefix = code >> suffixBits;
  if (prefix < prefixMax) {
    writePrefix(writer, prefix);
    writer.bits(code, suffixBits);
  } else if (suffixBits === 0 && code < 2 * ESCAPE_PREFIX) {
    writePrefix(writer, prefixMax);
    writer.bits(code - prefixMax, 4);
  } else {
    writePrefix(writer, ESCAPE_PREFIX);
    writer.bits(code - (suffixBits === 0 ? 2 * ESCAPE_PREFIX : ESCAPE_PREFIX << suffixBits), ESCAPE_BITS);
  }
}

function writePrefix(writer: BitWriter, zeros: number): void {
  writer.bits(1, zeros + 1);
}

/** The zeros before each level, but those before the first, which are what is left. */
function writeRuns(writer: BitWriter, places: readonly number[], zeroCount: number): void {
  let left = zeroCount;
  for (const [index, place] of places.entries()) {
    const next = places[index + 1];
    if (left === 0 || next === undefined) return;
    const run = place - next - 1;
    writeCode(writer, RUNS, [Math.min(left, RUNS.lengths.length) - 1, run]);
    left -= run;
  }
}

function writeCode(writer: BitWriter, { lengths, bits }: CodeTable, [row, column]: [number, number]): void {
  writer.bits(bits[row]?.[column] ?? 0, lengths[row]?.[column] ?? 0);
}
