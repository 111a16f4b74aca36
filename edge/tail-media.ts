/**
 * Which media to have in memory before viewers ask, version by version of a playlist that is being watched: each thing
 * that is listed anew, the part that is hinted at, and at the beginning what a player that joins asks for first.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.5.3 (EXT-X-PRELOAD-HINT), 6.3.3 (where players begin)
import { endOf } from "#common/playlist-reach.ts";
import type { ListedMedia, PlaylistFacts } from "./playlist-facts.ts";

/** Whole segments before the end of which a player without Low Latency plays (6.3.3). */
const JOIN_SEGMENTS = 3;
/** Parts, and segments, of one version at most. The version after another brings one of each. */
const MEDIA_MAX = 64;

/** URIs as written, each list in the order in which players need them. */
export interface WantedMedia {
  /** To be had at once: they are waited for, or are next. */
  readonly now: readonly string[];
  /** To be had one after the other, so that they do not take the line from the others. */
  readonly later: readonly string[];
}

/** How far media have been looked at. */
export interface MediaProgress {
  readonly lastSegment: number;
  readonly lastPlace: number;
}

/**
 * What `facts` list beyond `before`; without it, or where it lies so far back that nobody plays there, what a player
 * that joins needs.
 */
export function wantedMedia(facts: PlaylistFacts, before: MediaProgress | undefined): WantedMedia {
  const { media } = facts;
  const isFollowed = before !== undefined && facts.reach.lastSegment - before.lastSegment < JOIN_SEGMENTS;
  const progress = isFollowed ? before : undefined;
  const firstPart = progress === undefined ? joinPlace(media) : progress.lastPlace + 1;
  const parts = media.parts.filter(({ place }) => place >= firstPart).map(({ uri }) => uri);
  const hints = media.hintedPart === undefined ? [] : [media.hintedPart];
  const firstSegment =
    progress === undefined ? facts.reach.lastSegment - JOIN_SEGMENTS + 1 : progress.lastSegment + 1;
  const segments = media.segments.filter(({ segmentNumber }) => segmentNumber >= firstSegment);
  return {
    now: [...media.maps, ...parts.slice(-MEDIA_MAX), ...hints],
    later: segments.slice(-MEDIA_MAX).map(({ uri }) => uri),
  };
}

/** How far `facts` have been looked at once all that they list is wanted. */
export function progressOf({ reach }: PlaylistFacts): MediaProgress {
  return { lastSegment: reach.lastSegment, lastPlace: endOf(reach) };
}

/** The newest part from which a player may start that keeps its distance from the end. */
function joinPlace({ parts, holdBackMs }: ListedMedia): number {
  let behindMs = 0;
  for (const { place, durationMs, isIndependent } of parts.toReversed()) {
    behindMs += durationMs;
    if (isIndependent && behindMs >= holdBackMs) return place;
  }
  return parts[0]?.place ?? 0;
}
