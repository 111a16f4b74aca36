/**
 * What the edge knows of a media playlist's text: how far it reaches, and whether a request for a position is
 * already met by it. Read with m3u8-parser; the text itself is passed on untouched.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.3, 6.2.5.2
import { Parser, type Manifest } from "m3u8-parser";
import { secondsToMs } from "#common/units.ts";
import type { Directives } from "./targets.ts";

/** How far a media playlist reaches. */
export interface PlaylistFacts {
  readonly targetDurationMs: number;
  /** `undefined` without parts. */
  readonly partTargetMs: number | undefined;
  /** Number of the last segment that is complete; first number - 1 while there is none. */
  readonly lastMsn: number;
  /** Parts listed of that last segment; 0 when it has none or they are not listed any more. */
  readonly lastParts: number;
  /** Parts listed of the segment that follows it. */
  readonly openParts: number;
  /** URI of the part that comes next, as written; `undefined` without a hint. */
  readonly hintedPart: string | undefined;
  /** False when the origin does not hold requests; directives are ignored then. */
  readonly canBlock: boolean;
}

/** An origin may refuse what lies further ahead than this many segments, or this long in parts (6.2.5.2). */
const SEGMENTS_AHEAD_MAX = 2;
const PARTS_AHEAD_MS = 3_000;
/** Parts this long or longer are counted and not timed. */
const LONG_PART_MS = 1_000;
const LONG_PARTS_AHEAD_MAX = 3;
const TARGET_DURATION_SECONDS_DEFAULT = 2;

/** Reads a playlist; `undefined` where the text is no media playlist. Never throws. */
export function readPlaylistFacts(text: string): PlaylistFacts | undefined {
  if (!text.startsWith("#EXTM3U") || !text.includes("#EXT-X-TARGETDURATION")) return undefined;
  const manifest = parse(text);
  if (manifest === undefined) return undefined;
  const { partTargetDuration, serverControl } = manifest;
  return {
    targetDurationMs: secondsToMs(manifest.targetDuration ?? TARGET_DURATION_SECONDS_DEFAULT),
    partTargetMs: partTargetDuration === undefined ? undefined : secondsToMs(partTargetDuration),
    lastMsn: (manifest.mediaSequence ?? 0) + manifest.segments.length - 1,
    lastParts: manifest.segments.at(-1)?.parts?.length ?? 0,
    openParts: manifest.preloadSegment?.parts?.length ?? 0,
    hintedPart: manifest.preloadSegment?.preloadHints?.find(({ type }) => type === "PART")?.uri,
    canBlock: serverControl?.canBlockReload === true && manifest.endList !== true,
  };
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

/** True when the playlist already contains what is asked, so that it is the answer. */
export function contains(facts: PlaylistFacts, { msn, part }: Directives): boolean {
  if (msn !== facts.lastMsn && msn !== facts.lastMsn + 1) return msn < facts.lastMsn;
  if (facts.partTargetMs === undefined) return msn === facts.lastMsn;
  const wanted = part ?? 0;
  if (msn === facts.lastMsn + 1) return wanted < facts.openParts;
  // A part past the end of a finished segment means the first part of the next one.
  return facts.lastParts === 0 || wanted < facts.lastParts || facts.openParts > 0;
}

/** True when the position lies so far ahead that it deserves 400 and not a held request. */
export function isTooFar(facts: PlaylistFacts, { msn, part }: Directives): boolean {
  if (msn > facts.lastMsn + SEGMENTS_AHEAD_MAX) return true;
  if (part === undefined || facts.partTargetMs === undefined || msn <= facts.lastMsn) return false;
  const partsAheadMax =
    facts.partTargetMs < LONG_PART_MS ? Math.ceil(PARTS_AHEAD_MS / facts.partTargetMs) : LONG_PARTS_AHEAD_MAX;
  const listed = msn === facts.lastMsn + 1 ? facts.openParts : 0;
  return part - (listed - 1) > partsAheadMax;
}

/** The request that the next version of the playlist will answer: the same for every viewer. */
export function nextQuery(facts: PlaylistFacts): string {
  const msn = `_HLS_msn=${facts.lastMsn + 1}`;
  return facts.partTargetMs === undefined ? msn : `${msn}&_HLS_part=${facts.openParts}`;
}

/** Less than 0 when `a` ends before `b`, 0 when both end at the same part. */
export function comparePositions(a: PlaylistFacts, b: PlaylistFacts): number {
  return a.lastMsn - b.lastMsn || a.openParts - b.openParts;
}
