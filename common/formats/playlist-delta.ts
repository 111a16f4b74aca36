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
export function countSkipped(segments: readonly ListedSegment[], boundarySeconds: number): number {
  let behindSeconds = 0;
  for (let index = segments.length - 1; index >= 0; index--) {
    if (behindSeconds >= boundarySeconds - ROUNDING_SECONDS) return index + 1;
    const segment = segments[index];
    if (segment?.isComplete === true) behindSeconds += segment.durationUnits / segment.timescale;
  }
  return 0;
}
