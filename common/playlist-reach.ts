/**
 * How far a media playlist reaches, and what follows from it for a reload that asks for a position: the position is
 * listed, or it will come, or it lies too far ahead. Origin and edge decide by these rules.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload)
import type { Directives } from "#common/delivery-directives.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";

/** Where a part stands: sequence number of its segment and index in it. */
export interface Position {
  readonly segmentNumber: number;
  readonly part: number;
}

/** How far one version of a playlist reaches. */
export interface PlaylistReach {
  /** Number of the newest segment that is whole; first number - 1 while there is none. */
  readonly lastSegment: number;
  /** The newest part. In a playlist of whole segments its segment alone counts. */
  readonly newest: Position;
  /** Absent in a playlist of whole segments. */
  readonly parts?: {
    /** Of a segment that is as long as most; fewer where that is not known. */
    readonly perSegment: number;
    /** How far ahead of the newest a part may be asked for, see {@link partsAheadMax}. */
    readonly aheadMax: number;
  };
}

/**
 * How a reload stands to a playlist. `listed`: it is the answer. `ahead`: a later version will be. `far`: nobody may
 * ask for that yet.
 */
export type Standing = "listed" | "ahead" | "far";

/** More parts than any segment has. */
export const PARTS_MAX = 1024;

/** How far ahead of the last whole segment a reload may ask. */
const SEGMENTS_AHEAD_MAX = 2;
/** How far ahead of the last part: three parts or, with parts shorter than a second, three seconds of them. */
const PARTS_AHEAD_MAX = 3;
/** Share of a part that is forgiven: what a playlist tells of a part's duration is rounded up. */
const PARTS_AHEAD_ROUNDING = 0.1;

/** How far ahead a part may be asked for where parts are `partDurationMs` long. */
export function partsAheadMax(partDurationMs: number): number {
  if (partDurationMs >= MILLISECONDS_PER_SECOND) return PARTS_AHEAD_MAX;
  const parts = (PARTS_AHEAD_MAX * MILLISECONDS_PER_SECOND) / partDurationMs;
  return Math.floor(parts + PARTS_AHEAD_ROUNDING);
}

/** The position that `directives` ask for: naming no part, they mean the first. */
export function wantedPosition({ segmentNumber, part = 0 }: Directives): Position {
  return { segmentNumber, part };
}

/** What a reload with `directives` may expect of a playlist. */
export function standingOf(reach: PlaylistReach, directives: Directives): Standing {
  const wanted = wantedPosition(directives);
  if (placeOf(wanted) <= endOf(reach)) return "listed";
  return isTooFar(reach, wanted) ? "far" : "ahead";
}

/** True for a position so far ahead that it deserves 400 and not a held request. */
export function isTooFar({ lastSegment, newest, parts }: PlaylistReach, wanted: Position): boolean {
  if (wanted.segmentNumber > lastSegment + SEGMENTS_AHEAD_MAX) return true;
  if (parts === undefined) return false;
  // A part beyond a segment's last one is the first of the next.
  const within = Math.min(wanted.part, parts.perSegment) - newest.part;
  return (wanted.segmentNumber - newest.segmentNumber) * parts.perSegment + within > parts.aheadMax;
}

/** Positions as numbers in the order in which they come: a part that a short segment lacks comes with the next one. */
export function placeOf({ segmentNumber, part }: Position): number {
  return segmentNumber * PARTS_MAX + Math.min(part, PARTS_MAX - 1);
}

/** The {@link placeOf place} up to which a playlist reaches: a whole segment has whatever part may be asked of it. */
export function endOf({ newest, parts }: PlaylistReach): number {
  return placeOf(parts === undefined ? { ...newest, part: PARTS_MAX - 1 } : newest);
}

/** The position of a {@link placeOf place}. */
export function positionAt(place: number): Position {
  return { segmentNumber: Math.floor(place / PARTS_MAX), part: place % PARTS_MAX };
}
