/**
 * Keeps the playlists of all renditions in step without any waiting for a slower one behind it: at each position the
 * first rendition of a run is shown first, then the second, and so on. So what a playlist reports of those before it is
 * the same position, of those behind it the one before; nothing is reported that is not there yet, and one position has
 * one text whichever rendition's frame came last.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.5.4 (rendition reports), B.1 (renditions in step)

/** A rendition that brings nothing delays the playlists of the others by this much at most. */
const STAGED_SECONDS_MAX = 0.5;

/** A change of a playlist that waits for its turn. */
export interface StagedChange {
  /** Number of the last frame that it shows. */
  readonly number: number;
  /** Which rendition of the run it belongs to, from 0. */
  readonly order: number;
  readonly apply: () => void;
  readonly publish: () => void;
}

/** How far the renditions of a run have got. */
export interface Progress {
  readonly fps: number;
  /** Numbers of the newest frames, in the order of the renditions. */
  readonly reached: readonly number[];
}

/** The changes that wait, in the order in which they are to be shown. */
export class Staging {
  #staged: StagedChange[] = [];

  add(change: StagedChange): void {
    const at = this.#staged.findLastIndex((other) => !isBefore(change, other));
    this.#staged.splice(at + 1, 0, change);
  }

  /** Makes and shows the changes whose turn it is. True if there were any. */
  advance({ fps, reached }: Progress): boolean {
    if (this.#staged.length === 0) return false;
    const overdue = Math.max(...reached) - Math.ceil(fps * STAGED_SECONDS_MAX);
    return this.#show(({ number, order }) => number <= overdue || isTurn(reached, number, order));
  }

  /** Makes and shows all changes: the run has ended. True if there were any. */
  flush(): boolean {
    return this.#show(() => true);
  }

  /** Up to the first that is not due. All changes of one rendition at one position are made before the first is shown. */
  #show(isDue: (change: StagedChange) => boolean): boolean {
    const waiting = this.#staged.findIndex((change) => !isDue(change));
    const due = this.#staged.splice(0, waiting === -1 ? this.#staged.length : waiting);
    for (let from = 0; from < due.length;) {
      const first = due[from];
      const after = due.findIndex(
        (change, at) => at > from && first !== undefined && isBefore(first, change),
      );
      const together = due.slice(from, after === -1 ? due.length : after);
      for (const change of together) change.apply();
      for (const change of together) change.publish();
      from += together.length;
    }
    return due.length > 0;
  }
}

function isBefore(one: StagedChange, other: StagedChange): boolean {
  return one.number < other.number || (one.number === other.number && one.order < other.order);
}

/** True once every rendition before it has that frame, and every one behind it the frame before that. */
function isTurn(reached: readonly number[], number: number, order: number): boolean {
  return reached.every((newest, other) => newest >= (other <= order ? number : number - 1));
}
