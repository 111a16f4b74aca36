/** Whether an upstream whose playlist ends earlier than before began anew, or only lags behind another one. */
import type { PlaylistFacts } from "./playlist-facts.ts";

/** How old a plain playlist may be given out beyond its lifetime, and how long a lag is waited for: in target durations. */
export const STALE_TARGETS = 1.5;
/** Upstreams of one stream differ by less (draft-pantos-hls-rfc8216bis-22 6.2.4). */
const LAG_SEGMENTS_MAX = 2;

/**
 * True where `next`, which ends earlier than `current`, replaces it: it is far behind, or has other media under the same
 * numbers, or nothing newer has come for too long.
 */
export function isNewRun(next: PlaylistFacts, current: PlaylistFacts, currentAgeMs: number): boolean {
  if (current.reach.lastSegment - next.reach.lastSegment > LAG_SEGMENTS_MAX) return true;
  if (currentAgeMs > STALE_TARGETS * current.targetDurationMs) return true;
  const known = new Map(current.media.segments.map(({ segmentNumber, uri }) => [segmentNumber, uri]));
  return next.media.segments.some(({ segmentNumber, uri }) => (known.get(segmentNumber) ?? uri) !== uri);
}
