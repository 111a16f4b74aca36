/**
 * A playlist as the modelled players see it: addresses absolute, times in milliseconds, every segment with its
 * number, and the segment in the making beside the finished ones.
 */
// draft-pantos-hls-rfc8216bis-22
import { Parser, type Manifest, type ParsedSegment } from "m3u8-parser";
import { secondsToMs } from "#common/units.ts";

/** A part of a segment. */
export interface PlaylistPart {
  readonly uri: string;
  readonly durationMs: number;
  /** True where decoding can begin. */
  readonly isIndependent: boolean;
  /** True where the media is known to be missing. */
  readonly isGap: boolean;
}

/** A segment, finished or (without `uri`) in the making. */
export interface PlaylistSegment {
  /** Media sequence number. */
  readonly msn: number;
  readonly uri: string | undefined;
  /** Of the parts so far where it is in the making. */
  readonly durationMs: number;
  /** Empty where they are not listed, or not any more. */
  readonly parts: readonly PlaylistPart[];
  /** EXT-X-PROGRAM-DATE-TIME of its start, milliseconds since 1970. */
  readonly startWallMs: number | undefined;
  readonly mapUri: string | undefined;
}

/** A media playlist. */
export interface MediaPlaylist {
  readonly type: "media";
  readonly targetDurationMs: number;
  /** `undefined` without parts. */
  readonly partTargetMs: number | undefined;
  /** How far from the end players stay: with whole segments, and with parts. */
  readonly holdBackMs: number;
  readonly partHoldBackMs: number;
  readonly canBlockReload: boolean;
  readonly isEnded: boolean;
  /** Number of the first segment, also where there is none. */
  readonly firstMsn: number;
  /** Finished segments, in order. */
  readonly segments: readonly PlaylistSegment[];
  /** The one in the making: its number is one more than that of the last finished segment. */
  readonly open: PlaylistSegment;
  /** Part to request ahead. */
  readonly hintUri: string | undefined;
}

/** A multivariant playlist. */
export interface MultivariantPlaylist {
  readonly type: "multivariant";
  /** In the order of the playlist: a player starts with the first (4.4.6.2). */
  readonly variantUris: readonly string[];
}

export type Playlist = MediaPlaylist | MultivariantPlaylist;

/** Reads a playlist that came from `url`; `undefined` where the text is none. */
export function parsePlaylist(text: string, url: string): Playlist | undefined {
  if (!text.startsWith("#EXTM3U")) return undefined;
  const parser = new Parser();
  parser.push(text.endsWith("\n") ? text : `${text}\n`);
  parser.end();
  const { manifest } = parser;
  if (manifest.playlists !== undefined && manifest.playlists.length > 0) {
    return { type: "multivariant", variantUris: manifest.playlists.map(({ uri }) => resolve(uri, url)) };
  }
  return manifest.targetDuration === undefined ? undefined : toMediaPlaylist(manifest, url);
}

/** A part by its place; `undefined` where the playlist does not list it. */
export function partAt(playlist: MediaPlaylist, msn: number, part: number): PlaylistPart | undefined {
  return segmentAt(playlist, msn)?.parts[part];
}

/** A segment by its number, the open one included. */
export function segmentAt(playlist: MediaPlaylist, msn: number): PlaylistSegment | undefined {
  return msn === playlist.open.msn ? playlist.open : playlist.segments[msn - playlist.firstMsn];
}

/** When the newest media of a playlist ends by its dates, milliseconds since 1970. */
export function endWallMs({ open }: MediaPlaylist): number | undefined {
  return open.startWallMs === undefined ? undefined : open.startWallMs + open.durationMs;
}

/** When a part ends by its segment's date, milliseconds since 1970. */
export function partEndWallMs(segment: PlaylistSegment, part: number): number | undefined {
  if (segment.startWallMs === undefined) return undefined;
  return segment.startWallMs + sumOfParts(segment.parts.slice(0, part + 1));
}

function toMediaPlaylist(manifest: Manifest, url: string): MediaPlaylist {
  const { segments, preloadSegment, serverControl } = manifest;
  const targetDurationMs = secondsToMs(manifest.targetDuration ?? 0);
  const partTargetMs =
    manifest.partTargetDuration === undefined ? undefined : secondsToMs(manifest.partTargetDuration);
  const firstMsn = manifest.mediaSequence ?? 0;
  const finished = segments.map((segment, index) => toSegment(segment, firstMsn + index, url));
  const last = finished.at(-1);
  const openStartMs = last?.startWallMs === undefined ? undefined : last.startWallMs + last.durationMs;
  const open = toSegment(preloadSegment ?? {}, firstMsn + segments.length, url);
  const hint = preloadSegment?.preloadHints?.find(({ type }) => type === "PART");
  return {
    type: "media",
    targetDurationMs,
    partTargetMs,
    holdBackMs: secondsToMs(serverControl?.holdBack ?? 0) || targetDurationMs * 3,
    partHoldBackMs: secondsToMs(serverControl?.partHoldBack ?? 0) || (partTargetMs ?? 0) * 3,
    canBlockReload: serverControl?.canBlockReload === true,
    isEnded: manifest.endList === true,
    firstMsn,
    segments: finished,
    open: { ...open, startWallMs: open.startWallMs ?? openStartMs },
    hintUri: hint?.uri === undefined ? undefined : resolve(hint.uri, url),
  };
}

function toSegment(segment: ParsedSegment, msn: number, url: string): PlaylistSegment {
  const parts = (segment.parts ?? []).map(({ uri = "", duration = 0, independent, gap }) => ({
    uri: resolve(uri, url),
    durationMs: secondsToMs(duration),
    isIndependent: independent === true,
    isGap: gap === true,
  }));
  const dated = segment.programDateTime ?? Date.parse(segment.dateTimeString ?? "");
  return {
    msn,
    uri: segment.uri === undefined ? undefined : resolve(segment.uri, url),
    durationMs: segment.duration === undefined ? sumOfParts(parts) : secondsToMs(segment.duration),
    parts,
    startWallMs: Number.isNaN(dated) ? undefined : dated,
    mapUri: segment.map?.uri === undefined ? undefined : resolve(segment.map.uri, url),
  };
}

function sumOfParts(parts: readonly PlaylistPart[]): number {
  let durationMs = 0;
  for (const part of parts) durationMs += part.durationMs;
  return durationMs;
}

/** A URI that cannot be resolved stays as it is: requesting it fails, and that is counted. */
function resolve(uri: string, url: string): string {
  return URL.parse(uri, url)?.href ?? uri;
}
