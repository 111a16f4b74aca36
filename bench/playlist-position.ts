/** Where in a playlist a player begins, and what it has to load next: pure questions about one media playlist. */
// draft-pantos-hls-rfc8216bis-22 4.4.4.9, 6.3.3
import { segmentAt, type MediaPlaylist, type PlaylistPart, type PlaylistSegment } from "./hls-playlist.ts";

/** The next thing to load: part `part` of segment `msn`. */
export interface Position {
  readonly msn: number;
  readonly part: number;
}

/** What a player does next. */
export type Step =
  /** Load a part that is listed. */
  | {
      readonly type: "part";
      readonly at: Position;
      readonly part: PlaylistPart;
      readonly segment: PlaylistSegment;
    }
  /** Load a part ahead of its listing. */
  | { readonly type: "hint"; readonly at: Position; readonly uri: string }
  /** Load a whole segment. */
  | { readonly type: "segment"; readonly at: Position; readonly segment: PlaylistSegment }
  /** Nothing is there yet. */
  | { readonly type: "wait" }
  /** The position has left the playlist: join anew. */
  | { readonly type: "lost" };

interface Piece {
  readonly at: Position;
  /** Start within the playlist. Milliseconds. */
  readonly startMs: number;
  readonly canBegin: boolean;
}

/**
 * Where to begin: the last place where decoding can begin that is at least the hold-back away from the end, and how
 * far the playhead starts behind it. `undefined` while the playlist is empty.
 */
export function startPosition(
  playlist: MediaPlaylist,
  isLowLatency: boolean,
): { readonly at: Position; readonly offsetMs: number } | undefined {
  const pieces: Piece[] = [];
  let endMs = 0;
  for (const segment of [...playlist.segments, ...(isLowLatency ? [playlist.open] : [])]) {
    if (!isLowLatency || segment.parts.length === 0) {
      if (segment.uri === undefined) continue;
      pieces.push({ at: { msn: segment.msn, part: 0 }, startMs: endMs, canBegin: true });
      endMs += segment.durationMs;
      continue;
    }
    for (const [part, { durationMs, isIndependent }] of segment.parts.entries()) {
      pieces.push({ at: { msn: segment.msn, part }, startMs: endMs, canBegin: isIndependent });
      endMs += durationMs;
    }
  }
  const targetMs = endMs - (isLowLatency ? playlist.partHoldBackMs : playlist.holdBackMs);
  const starts = pieces.filter(({ canBegin }) => canBegin);
  const start = starts.findLast(({ startMs }) => startMs <= targetMs) ?? starts[0];
  if (start === undefined) return undefined;
  return { at: start.at, offsetMs: Math.max(0, targetMs - start.startMs) };
}

/** What to do at `at`. Positions at the end of a finished segment mean the first part of the next one. */
export function nextStep(options: {
  readonly playlist: MediaPlaylist;
  readonly at: Position;
  readonly isLowLatency: boolean;
  /** True to request hinted parts. */
  readonly canHint: boolean;
}): Step {
  const { playlist, isLowLatency, canHint } = options;
  let { at } = options;
  for (;;) {
    const segment = segmentAt(playlist, at.msn);
    if (at.msn < playlist.firstMsn) return { type: "lost" };
    if (segment === undefined) return { type: "wait" };
    const part = isLowLatency ? segment.parts[at.part] : undefined;
    if (part !== undefined) return { type: "part", at, part, segment };
    if (segment.uri !== undefined) {
      const isFinished = isLowLatency && segment.parts.length > 0;
      if (!isFinished) return { type: "segment", at, segment };
      at = { msn: at.msn + 1, part: 0 };
      continue;
    }
    const isHinted = isLowLatency && canHint && at.part === segment.parts.length;
    if (isHinted && playlist.hintUri !== undefined) return { type: "hint", at, uri: playlist.hintUri };
    return { type: "wait" };
  }
}

/** The position that a playlist does not list yet and that a blocking reload asks for. */
export function nextListing({ open }: MediaPlaylist): Position {
  return { msn: open.msn, part: open.parts.length };
}

/** True when the playlist lists `at`, or is past it. */
export function isListed({ open }: MediaPlaylist, { msn, part }: Position): boolean {
  return open.msn > msn || (open.msn === msn && open.parts.length > part);
}

/** Below 0 when `a` ends before `b`. */
export function compareEnds(a: MediaPlaylist, b: MediaPlaylist): number {
  return a.open.msn - b.open.msn || a.open.parts.length - b.open.parts.length;
}
