/**
 * Playlist delta updates: which segments a reload may leave out because the player has them from before. A segment is
 * left out if all of it lies further back than the skip boundary; the rest of the text is that of the whole playlist.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.3.8 (CAN-SKIP-UNTIL), 4.4.5.2 (EXT-X-SKIP), 6.2.5.1
import type { ListedSegment } from "#common/formats/playlist.ts";

/** The skip boundary in target durations: the least that is allowed. */
const SKIP_UNTIL_TARGET_DURATIONS = 6;
/** What sums of durations may lose in floating point, in seconds. */
const ROUNDING_SECONDS = 1e-6;

/** The skip boundary of a playlist, in whole seconds. */
export function skipUntilSeconds(targetDurationSeconds: number): number {
  return SKIP_UNTIL_TARGET_DURATIONS * targetDurationSeconds;
}

/** How many of the oldest segments a delta update leaves out. Counted from the end of the newest whole segment. */
export function countSkipped(
  segments: readonly Pick<ListedSegment, "isComplete" | "durationUnits" | "timescale">[],
  boundarySeconds: number,
): number {
  let behindSeconds = 0;
  for (let index = segments.length - 1; index >= 0; index--) {
    if (behindSeconds >= boundarySeconds - ROUNDING_SECONDS) return index + 1;
    const segment = segments[index];
    if (segment?.isComplete === true) behindSeconds += segment.durationUnits / segment.timescale;
  }
  return 0;
}

/** Lines that belong to the segment whose URI comes next (4.4.4), and so leave the text together with it. */
const SEGMENT_TAG =
  /^#(?:EXTINF:|EXT-X-(?:BYTERANGE|DISCONTINUITY$|KEY|MAP|PROGRAM-DATE-TIME|GAP$|BITRATE|PART:))/;
const DATE_RANGE_TAG = "#EXT-X-DATERANGE:";
const EXTINF_PATTERN = /^#EXTINF:(\d+(?:\.\d+)?)/;
const SKIP_UNTIL_PATTERN = /^#EXT-X-SERVER-CONTROL:(?:.*,)?CAN-SKIP-UNTIL=(\d+(?:\.\d+)?)/m;
const VERSION_PATTERN = /^#EXT-X-VERSION:(\d+)/m;
/** The version that `EXT-X-SKIP` needs (8). */
const VERSION_SKIP = 9;

/**
 * The delta update of a playlist as it stands, with the skip boundary that it names: the text without its oldest
 * segments. Date ranges are kept, whatever was asked for. Every other line is as it was, line ends included.
 *
 * @returns `undefined` where none is offered, or nothing would be left out
 */
export function deltaOf(text: string): string | undefined {
  const boundarySeconds = Number(SKIP_UNTIL_PATTERN.exec(text)?.[1] ?? 0);
  if (!(boundarySeconds > 0) || /^#EXT-X-(?:ENDLIST|SKIP:)/m.test(text)) return undefined;
  const lines = text.split("\n");
  const { firstLine, segments } = readSegments(lines);
  const skipped = countSkipped(segments, boundarySeconds);
  const last = segments[skipped - 1];
  if (last === undefined) return undefined;
  const lineEnd = lines[0]?.endsWith("\r") === true ? "\r" : "";
  const kept = lines.slice(firstLine, last.endLine).filter((line) => line.startsWith(DATE_RANGE_TAG));
  return [
    ...lines.slice(0, firstLine).map(withVersion),
    `#EXT-X-SKIP:SKIPPED-SEGMENTS=${skipped}${lineEnd}`,
    ...kept,
    ...lines.slice(last.endLine),
  ].join("\n");
}

interface TextSegment {
  readonly isComplete: true;
  readonly durationUnits: number;
  readonly timescale: 1;
  /** Index of the line behind its URI. */
  readonly endLine: number;
}

/** Whole segments of a text, and the line where the first one's tags begin. */
function readSegments(lines: readonly string[]): {
  readonly firstLine: number;
  readonly segments: readonly TextSegment[];
} {
  const segments: TextSegment[] = [];
  let firstLine = -1;
  let durationUnits = 0;
  for (const [index, line] of lines.entries()) {
    const words = line.trimEnd();
    if (words === "") continue;
    const isTag = words.startsWith("#");
    if (firstLine < 0 && (!isTag || SEGMENT_TAG.test(words))) firstLine = index;
    durationUnits = Number(EXTINF_PATTERN.exec(words)?.[1] ?? durationUnits);
    if (isTag) continue;
    segments.push({ isComplete: true, durationUnits, timescale: 1, endLine: index + 1 });
    durationUnits = 0;
  }
  return { firstLine, segments };
}

/** A line of the header, with the version raised where that is too low for a delta update. */
function withVersion(line: string): string {
  const version = Number(VERSION_PATTERN.exec(line)?.[1] ?? VERSION_SKIP);
  return version >= VERSION_SKIP ? line : line.replace(VERSION_PATTERN, `#EXT-X-VERSION:${VERSION_SKIP}`);
}
