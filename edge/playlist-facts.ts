/**
 * What the edge knows of a media playlist's text: how far it reaches, and what comes next. Read with m3u8-parser; the
 * text itself is passed on untouched.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.3, 6.2.5.2
import { Parser, type Manifest } from "m3u8-parser";
import { endOf, PARTS_MAX, partsAheadMax, type PlaylistReach } from "#common/playlist-reach.ts";
import { secondsToMs } from "#common/units.ts";

/** What a version of a media playlist says. */
export interface PlaylistFacts {
  readonly targetDurationMs: number;
  /** `undefined` without parts. */
  readonly partTargetMs: number | undefined;
  readonly reach: PlaylistReach;
  /** URI of the part that comes next, as written; `undefined` without a hint. */
  readonly hintedPart: string | undefined;
  /** False when the origin does not hold requests; directives are ignored then. */
  readonly canBlock: boolean;
}

const TARGET_DURATION_SECONDS_DEFAULT = 2;

/** Reads a playlist; `undefined` where the text is no media playlist. Never throws. */
export function readPlaylistFacts(text: string): PlaylistFacts | undefined {
  if (!text.startsWith("#EXTM3U") || !text.includes("#EXT-X-TARGETDURATION")) return undefined;
  const manifest = parse(text);
  if (manifest === undefined) return undefined;
  const { partTargetDuration, serverControl, preloadSegment } = manifest;
  const partTargetMs = partTargetDuration === undefined ? undefined : secondsToMs(partTargetDuration);
  return {
    targetDurationMs: secondsToMs(manifest.targetDuration ?? TARGET_DURATION_SECONDS_DEFAULT),
    partTargetMs,
    reach: readReach(manifest, partTargetMs),
    hintedPart: preloadSegment?.preloadHints?.find(({ type }) => type === "PART")?.uri,
    canBlock: serverControl?.canBlockReload === true && manifest.endList !== true,
  };
}

function readReach(manifest: Manifest, partTargetMs: number | undefined): PlaylistReach {
  const lastSegment = (manifest.mediaSequence ?? 0) + manifest.segments.length - 1;
  const lastParts = manifest.segments.at(-1)?.parts?.length ?? 0;
  const openParts = manifest.preloadSegment?.parts?.length ?? 0;
  // Of a whole segment whose parts are not listed, or not any more, all are there.
  const lastPart = lastParts === 0 ? PARTS_MAX - 1 : lastParts - 1;
  const newest =
    openParts === 0
      ? { segmentNumber: lastSegment, part: lastPart }
      : { segmentNumber: lastSegment + 1, part: openParts - 1 };
  if (partTargetMs === undefined) return { lastSegment, newest };
  const perSegment = Math.max(lastParts, openParts);
  return { lastSegment, newest, parts: { perSegment, aheadMax: partsAheadMax(partTargetMs) } };
}

function parse(text: string): Manifest | undefined {
  const parser = new Parser();
  try {
    parser.push(text.endsWith("\n") ? text : `${text}\n`);
    parser.end();
  } catch {
    // The upstream's bad text is its failure: the caller answers 502.
    return undefined;
  }
  return parser.manifest;
}

/** The request that the next version of the playlist will answer: the same for every viewer. */
export function nextQuery({ reach: { lastSegment, newest, parts } }: PlaylistFacts): string {
  const part = newest.segmentNumber > lastSegment ? newest.part + 1 : 0;
  const msn = `_HLS_msn=${lastSegment + 1}`;
  return parts === undefined ? msn : `${msn}&_HLS_part=${part}`;
}

/** Less than 0 when `a` ends before `b`, 0 when both end at the same part. */
export function compareReach(a: PlaylistReach, b: PlaylistReach): number {
  return a.lastSegment - b.lastSegment || endOf(a) - endOf(b);
}
