/**
 * Writes the playlists of the origin: media playlists with parts (LL-HLS) and without (MPEG-TS), and the multivariant
 * playlists above them. Pure functions of what is listed: two origins with the same newest frame write the same text.
 */
// draft-pantos-hls-rfc8216bis-22, Apple HLS Authoring Specification
import { countSkipped, skipUntilSeconds } from "#common/formats/playlist-delta.ts";

/** Content type of every playlist (section 4). */
export const PLAYLIST_CONTENT_TYPE = "application/vnd.apple.mpegurl";

/** Durations are printed with five decimals, and counted in this unit where they must not fall short. */
const PRINTED_UNITS_PER_SECOND = 100_000;
const PRINTED_DECIMALS = 5;
/** The hold-back in parts: Apple's MUST. */
const HOLD_BACK_PARTS = 3;
/** Whole segments with their parts: with the open one, no part is further than three target durations from the end (4.4.4.9). */
const PARTS_LISTED_SEGMENTS = 2;

/** Highest protocol version that a playlist needs, and a constant 9 with parts: AVPlayer has refused lower ones. */
const VERSION_PARTS = 9;
const VERSION_SEGMENTS = 6;
/** Needed by `EXT-X-SKIP`; of all texts of a playlist that may have it, so that updates merge. */
const VERSION_SKIP = 9;
/** Asked by strict readers of `EXT-X-GAP`. */
const VERSION_GAP = 8;

/** One partial segment. Its duration is in units of its segment's timescale. */
export interface ListedPart {
  /** Relative to the playlist. */
  readonly uri: string;
  readonly durationUnits: number;
  /** True if it contains a key frame. */
  readonly isIndependent: boolean;
}

/** One segment as the playlist sees it. */
export interface ListedSegment {
  readonly mediaSequence: number;
  /** Relative to the playlist. */
  readonly uri: string;
  /** Duration; of an open segment, so far. */
  readonly durationUnits: number;
  /** Units a second of it and of its parts. */
  readonly timescale: number;
  /** Due time of its first frame on the run's own clock, milliseconds since 1970. */
  readonly startTimeMs: number;
  /** Discontinuity sequence number of its run. */
  readonly ordinal: number;
  readonly isFirstOfRun: boolean;
  /** False while frames are still missing; only the last one of a playlist with parts may be so. */
  readonly isComplete: boolean;
  /** True where the media was never made: players are told not to ask for it (4.4.4.7). Default false. */
  readonly isGap?: boolean;
  /** Initialization segment; none in MPEG-TS. */
  readonly mapUri?: string;
  readonly parts: readonly ListedPart[];
}

/** Where another rendition's playlist stands (4.4.5.4). */
export interface RenditionReport {
  /** Relative to this playlist. */
  readonly uri: string;
  readonly lastMediaSequence: number;
  /** Index of its last part. */
  readonly lastPart: number;
}

/** What a media playlist has beyond its segments if it has parts. */
export interface PartsOptions {
  /** Longest duration of a part, in units of which a second has `timescale`. */
  readonly partUnits: number;
  readonly timescale: number;
  /** Name of the next part. */
  readonly preloadHintUri: string;
  /** Initialization segment of the next part, where it is not that of the last one. */
  readonly preloadMapUri?: string;
  readonly reports: readonly RenditionReport[];
}

export interface MediaPlaylist {
  readonly targetDurationSeconds: number;
  /** At least one. */
  readonly segments: readonly ListedSegment[];
  /** Absent in a playlist of whole segments. */
  readonly parts?: PartsOptions;
  /** True where delta updates are offered: they need a long window (Apple: more than two minutes). Default false. */
  readonly canSkip?: boolean;
  /** True where nothing will follow: players need not ask again (4.4.3.4). Default false. */
  readonly isEnded?: boolean;
}

/**
 * The text of a media playlist. Reloads that block are offered by both kinds.
 *
 * @param form `delta` leaves out what is older than the skip boundary, where that is offered and there is any
 */
export function writeMediaPlaylist(playlist: MediaPlaylist, form: "full" | "delta" = "full"): string {
  const { segments, parts, targetDurationSeconds, canSkip = false, isEnded = false } = playlist;
  const first = segments[0];
  if (first === undefined) throw new RangeError("a media playlist lists at least one segment");
  const lines = ["#EXTM3U", `#EXT-X-VERSION:${versionOf(playlist)}`];
  lines.push(`#EXT-X-TARGETDURATION:${targetDurationSeconds}`);
  const boundarySeconds = skipUntilSeconds(targetDurationSeconds);
  lines.push(...controlLines(parts, canSkip ? boundarySeconds : undefined));
  lines.push(`#EXT-X-MEDIA-SEQUENCE:${first.mediaSequence}`);
  // A tag in the list counts for its segment: before it stands the number of the run before.
  lines.push(`#EXT-X-DISCONTINUITY-SEQUENCE:${first.ordinal - (first.isFirstOfRun ? 1 : 0)}`);
  const skipped = canSkip && form === "delta" ? countSkipped(segments, boundarySeconds) : 0;
  if (skipped > 0) lines.push(`#EXT-X-SKIP:SKIPPED-SEGMENTS=${skipped}`);
  const partsFrom = segments.filter((segment) => segment.isComplete).length - PARTS_LISTED_SEGMENTS;
  let mapUri: string | undefined;
  for (const [index, segment] of segments.entries()) {
    const hasNewMap = segment.mapUri !== undefined && segment.mapUri !== mapUri;
    mapUri = segment.mapUri;
    if (index < skipped) continue;
    if (segment.isFirstOfRun) lines.push("#EXT-X-DISCONTINUITY");
    if (hasNewMap) lines.push(`#EXT-X-MAP:URI="${mapUri}"`);
    lines.push(...segmentLines(segment, parts !== undefined && index >= partsFrom));
  }
  if (isEnded) lines.push("#EXT-X-ENDLIST");
  else if (parts !== undefined) lines.push(...partsFooter(parts));
  return `${lines.join("\n")}\n`;
}

function versionOf({ parts, segments, canSkip }: MediaPlaylist): number {
  if (parts !== undefined) return VERSION_PARTS;
  if (canSkip === true) return VERSION_SKIP;
  return segments.some((segment) => segment.isGap === true) ? VERSION_GAP : VERSION_SEGMENTS;
}

function controlLines(parts: PartsOptions | undefined, boundarySeconds: number | undefined): string[] {
  const skip = boundarySeconds === undefined ? "" : `,CAN-SKIP-UNTIL=${boundarySeconds}`;
  const control = `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES${skip}`;
  if (parts === undefined) return [control];
  const { partUnits, timescale } = parts;
  // Rounded up: no part may ever be printed longer than the target.
  const target = Math.ceil((partUnits * PRINTED_UNITS_PER_SECOND) / timescale);
  const holdBack = printDuration(HOLD_BACK_PARTS * target, PRINTED_UNITS_PER_SECOND);
  return [
    `${control},PART-HOLD-BACK=${holdBack}`,
    `#EXT-X-PART-INF:PART-TARGET=${printDuration(target, PRINTED_UNITS_PER_SECOND)}`,
  ];
}

function segmentLines(segment: ListedSegment, withParts: boolean): string[] {
  const lines = [`#EXT-X-PROGRAM-DATE-TIME:${new Date(Math.round(segment.startTimeMs)).toISOString()}`];
  if (withParts) {
    // Each is what lies between two printed times, so that they add up: hls.js takes the sums for the parts' times, and
    // loads nothing more for a while where the end of a segment is off by less than a microsecond.
    let units = 0;
    for (const part of segment.parts) {
      const independent = part.isIndependent ? ",INDEPENDENT=YES" : "";
      const start = printedUnits(units, segment.timescale);
      units += part.durationUnits;
      const end = printedUnits(units, segment.timescale);
      const duration = printDuration(end - start, PRINTED_UNITS_PER_SECOND);
      lines.push(`#EXT-X-PART:DURATION=${duration},URI="${part.uri}"${independent}`);
    }
  }
  if (segment.isGap === true) lines.push("#EXT-X-GAP");
  if (segment.isComplete) {
    lines.push(`#EXTINF:${printDuration(segment.durationUnits, segment.timescale)},`, segment.uri);
  }
  return lines;
}

function partsFooter({ preloadHintUri, preloadMapUri, reports }: PartsOptions): string[] {
  return [
    ...(preloadMapUri === undefined ? [] : [`#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="${preloadMapUri}"`]),
    `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${preloadHintUri}"`,
    ...reports.map(
      (report) =>
        `#EXT-X-RENDITION-REPORT:URI="${report.uri}",LAST-MSN=${report.lastMediaSequence},LAST-PART=${report.lastPart}`,
    ),
  ];
}

/** One STREAM-INF of a multivariant playlist. */
export interface Variant {
  /** Relative to the playlist, or absolute on an edge. */
  readonly uri: string;
  /** Of any of its segments, whatever they will show: stands for the peak and for the average. */
  readonly bitsPerSecondMax: number;
  /** RFC 6381, such as `avc1.64001f`. */
  readonly codecs: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

/** The text of a multivariant playlist. It needs no higher version, whatever the playlists below it have. */
export function writeMultivariantPlaylist(variants: readonly Variant[]): string {
  const lines = ["#EXTM3U", `#EXT-X-VERSION:${VERSION_SEGMENTS}`, "#EXT-X-INDEPENDENT-SEGMENTS"];
  for (const variant of variants) {
    const attributes = [
      `BANDWIDTH=${Math.ceil(variant.bitsPerSecondMax)}`,
      `AVERAGE-BANDWIDTH=${Math.ceil(variant.bitsPerSecondMax)}`,
      `CODECS="${variant.codecs}"`,
      `RESOLUTION=${variant.width}x${variant.height}`,
      `FRAME-RATE=${variant.fps.toFixed(3)}`,
    ];
    lines.push(`#EXT-X-STREAM-INF:${attributes.join(",")}`, variant.uri);
  }
  return `${lines.join("\n")}\n`;
}

/** The nearest of the times that can be printed. */
function printedUnits(units: number, timescale: number): number {
  return Math.round((units * PRINTED_UNITS_PER_SECOND) / timescale);
}

/** In seconds. */
function printDuration(units: number, timescale: number): string {
  return (units / timescale).toFixed(PRINTED_DECIMALS);
}
