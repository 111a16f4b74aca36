/**
 * Keeps the playlists of all renditions in step: a change of one waits here until the others have got as far. So what
 * playlists report of each other is true, and one position has one text whichever rendition's frame came last.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.5.4 (rendition reports), B.1 (renditions in step)

/** A rendition that brings nothing delays the playlists of the others by this much at most. */
const STAGED_SECONDS_MAX = 0.5;

/** A change of a playlist that waits for the same one of the other renditions. */
export interface StagedChange {
  /** Number of the last frame that it shows. */
  readonly number: number;
  readonly apply: () => void;
  readonly publish: () => void;
}

/** How far the renditions of a run have got. */
export interface Progress {
  readonly fps: number;
  /** Number of the newest frame of any. */
  readonly newest: number;
  /** Number of the newest frame that all have. */
  readonly slowest: number;
}

/** The changes that wait, in the order in which they came. */
export class Staging {
  #staged: StagedChange[] = [];

  add(change: StagedChange): void {
    this.#staged.push(change);
  }

  /** Makes and shows the changes that all renditions have got to. True if there were any. */
  advance({ fps, newest, slowest }: Progress): boolean {
    return this.#show(Math.max(newest - Math.ceil(fps * STAGED_SECONDS_MAX), slowest));
  }

  /** Makes and shows all changes: the run has ended. True if there were any. */
  flush(): boolean {
    return this.#show(Number.POSITIVE_INFINITY);
  }

  /** All changes are made before the first is shown. */
  #show(level: number): boolean {
    const due = this.#staged.filter((change) => change.number <= level);
    if (due.length === 0) return false;
    this.#staged = this.#staged.filter((change) => change.number > level);
    for (const change of due) change.apply();
    for (const change of due) change.publish();
    return true;
  }
}
