/**
 * Where the reads of the differential fuzz end: from one byte a read to one read for all, and just before, inside and
 * behind commands. Each side of a comparison gets cuts of its own.
 */
import { LINE_FEED, pick, pickSize, type Random } from "./pixelflut-fuzz-writer.ts";

/** Most cuts of one step: single bytes of a long one would only cost time. */
const CUTS_MAX = 8_000;
/** Positions around a line's end that are tried. */
const NEAR_BYTES = 14;

/** Ends of reads inside `bytes`: ascending, without 0 and its length. */
export function makeCuts(bytes: Uint8Array, random: Random): readonly number[] {
  const { length } = bytes;
  const kind = random(13);
  if (length < 2 || kind < 3) return [];
  if (kind === 12) return everyByte({ start: 0, end: Math.min(length, 1 + random(30)) });
  if (kind === 3) return [1 + random(length - 1)];
  if (kind === 4) return everyByte({ start: 0, end: length });
  if (kind === 5) {
    const start = random(length);
    return everyByte({ start, end: Math.min(length, start + pickSize(random, 3_000)) });
  }
  if (kind < 8) return nearLineEnds(bytes, random);
  const readBytesMax = pick(
    random,
    [2, 3, 16, 17, 48, 64, 65, 70, 300, 1_030, 1_500, 16_384, 65_536, 262_144],
  );
  return inSteps(length, () => (kind < 10 ? readBytesMax : 1 + random(readBytesMax)));
}

function everyByte({ start, end }: { readonly start: number; readonly end: number }): readonly number[] {
  const count = Math.min(CUTS_MAX, end - start - 1);
  return Array.from({ length: Math.max(0, count) }, (_, index) => start + 1 + index);
}

function inSteps(length: number, next: () => number): readonly number[] {
  const cuts: number[] = [];
  for (let at = next(); at < length && cuts.length < CUTS_MAX; at += next()) cuts.push(at);
  return cuts;
}

function nearLineEnds(bytes: Uint8Array, random: Random): readonly number[] {
  const { length } = bytes;
  const cuts = new Set<number>();
  const count = 1 + random(60);
  for (let index = 0; index < count; index += 1) {
    const lineFeed = bytes.indexOf(LINE_FEED, random(length));
    const at = lineFeed + 1 - NEAR_BYTES + random(2 * NEAR_BYTES);
    if (lineFeed >= 0 && at > 0 && at < length) cuts.add(at);
  }
  return [...cuts].sort((a, b) => a - b);
}
