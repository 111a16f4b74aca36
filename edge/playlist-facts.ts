/**
 * What the edge knows of a media playlist's text: how far it reaches, what media it lists, and what comes next. Read with
 * m3u8-parser, once a version.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.3, 4.4.5.3, 6.2.5.2
import { type Manifest, type ParsedPart, Parser } from "m3u8-parser";
import { endOf, PARTS_MAX, partsAheadMax, placeOf, type PlaylistReach } from "#common/playlist-reach.ts";
import { secondsToMs } from "#common/units.ts";

/** What a version of a media playlist says. */
export interface PlaylistFacts {
  readonly targetDurationMs: number;
  /** `undefined` without parts. */
  readonly partTargetMs: number | undefined;
  readonly reach: PlaylistReach;
  readonly media: ListedMedia;
  /** False when the origin does not hold requests; directives are ignored then. */
  readonly canBlock: boolean;
  /** True when nothing will follow. */
  readonly isEnded: boolean;
}

/** What a playlist lists. URIs are as written; ranges of files, and what it says is missing, are left out. */
export interface ListedMedia {
  /** Whole segments, oldest first. */
  readonly segments: readonly ListedUri[];
  /** Parts by their {@link placeOf places}, oldest first: of the open segment and of those before it that list any. */
  readonly parts: readonly ListedPart[];
  /** Initialization segments of the newest segments and of what is hinted at, in their order. */
  readonly maps: readonly string[];
  /** The part that comes next; `undefined` without a hint. */
  readonly hintedPart: string | undefined;
  /** How far from the end a player begins, milliseconds. */
  readonly holdBackMs: number;
}

export interface ListedUri {
  readonly segmentNumber: number;
  readonly uri: string;
  readonly durationMs: number;
}

export interface ListedPart {
  readonly place: number;
  readonly uri: string;
  readonly durationMs: number;
  /** True where decoding can begin. */
  readonly isIndependent: boolean;
}

const TARGET_DURATION_SECONDS_DEFAULT = 2;
/** How far from the end players begin where the playlist says nothing (4.4.3.8). */
const HOLD_BACK_TARGETS = 3;

/** Shorter ones are taken for this, so that no playlist makes the upstream be asked without a pause. */
const TARGET_DURATION_SECONDS_MIN = 1;
const PART_TARGET_SECONDS_MIN = 0.02;
/** Longer ones are taken for this: timers of more than 24 days run out at once. */
const DURATION_SECONDS_MAX = 3_600;

const KEY_LINE = /^#EXT-X-KEY:.*$/gm;

/** Reads a playlist; `undefined` where the text is no media playlist. Never throws, and all numbers are finite. */
export function readPlaylistFacts(text: string): PlaylistFacts | undefined {
  if (!text.startsWith("#EXTM3U") || !text.includes("#EXT-X-TARGETDURATION")) return undefined;
  const manifest = parse(text);
  if (manifest === undefined) return undefined;
  const { partTargetDuration, serverControl, mediaSequence = 0 } = manifest;
  if (!Number.isSafeInteger(mediaSequence) || mediaSequence < 0) return undefined;
  const partTargetMs =
    partTargetDuration === undefined
      ? undefined
      : readDurationMs(partTargetDuration, PART_TARGET_SECONDS_MIN);
  const isEnded = manifest.endList === true;
  const targetDurationMs = readDurationMs(
    manifest.targetDuration ?? TARGET_DURATION_SECONDS_DEFAULT,
    TARGET_DURATION_SECONDS_MIN,
  );
  return {
    targetDurationMs,
    partTargetMs,
    reach: readReach(manifest, partTargetMs),
    media: readMedia(manifest, HOLD_BACK_TARGETS * targetDurationMs),
    canBlock: serverControl?.canBlockReload === true && !isEnded,
    isEnded,
  };
}

/** A duration of a playlist, which may be none: the least then. */
function readDurationMs(seconds: number, secondsMin = 0): number {
  const known = Number.isFinite(seconds) ? seconds : secondsMin;
  return secondsToMs(Math.min(DURATION_SECONDS_MAX, Math.max(secondsMin, known)));
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

function readMedia(manifest: Manifest, holdBackMsDefault: number): ListedMedia {
  const first = manifest.mediaSequence ?? 0;
  const { preloadSegment, serverControl } = manifest;
  const listed = manifest.segments.map((segment, index) => ({ segment, segmentNumber: first + index }));
  const open = { segment: preloadSegment ?? {}, segmentNumber: first + listed.length };
  const hints = (preloadSegment?.preloadHints ?? []).filter(({ byterange }) => byterange === undefined);
  const hintedMap = hints.find(({ type }) => type === "MAP")?.uri;
  const maps = [...listed.slice(-HOLD_BACK_TARGETS), open].flatMap(({ segment: { map } }) =>
    map?.uri === undefined || map.byterange !== undefined ? [] : map.uri,
  );
  const holdBackSeconds = serverControl?.partHoldBack ?? serverControl?.holdBack;
  return {
    segments: listed.flatMap(({ segment: { uri, duration = 0, byterange }, segmentNumber }) =>
      uri === undefined || byterange !== undefined
        ? []
        : { segmentNumber, uri, durationMs: readDurationMs(duration) },
    ),
    parts: [...listed, open].flatMap(({ segment, segmentNumber }) =>
      readParts(segment.parts ?? [], segmentNumber),
    ),
    maps: [...new Set(hintedMap === undefined ? maps : [...maps, hintedMap])],
    hintedPart: hints.find(({ type }) => type === "PART")?.uri,
    holdBackMs: holdBackSeconds === undefined ? holdBackMsDefault : readDurationMs(holdBackSeconds),
  };
}

function readParts(parts: readonly ParsedPart[], segmentNumber: number): ListedPart[] {
  return parts.flatMap(({ uri, duration = 0, independent = false, gap = false, byterange }, part) =>
    uri === undefined || gap || byterange !== undefined
      ? []
      : {
          place: placeOf({ segmentNumber, part }),
          uri,
          durationMs: readDurationMs(duration),
          isIndependent: independent,
        },
  );
}

function parse(text: string): Manifest | undefined {
  const parser = new Parser();
  // Of no interest here, and m3u8-parser throws at an IV of less than eight digits.
  const keyless = text.replaceAll(KEY_LINE, "");
  try {
    parser.push(keyless.endsWith("\n") ? keyless : `${keyless}\n`);
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
