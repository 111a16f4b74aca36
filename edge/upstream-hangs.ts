/**
 * What an upstream leaves unanswered though its probes are well: folders, that is renditions, one request of which has
 * timed out. Others are asked for them, and this one by us alone, ever more seldom, until it answers: no viewer waits to
 * find out. Folder by folder, as upstreams are chosen: an origin may have lost one stream, and a slow answer to a client's
 * choice of path says nothing of the rest.
 */
import type { Clock } from "#common/clock.ts";
import { folderOf } from "./upstream-order.ts";

/** Pause before the request that timed out is tried again, doubled each time up to the longest. */
const PAUSE_MS_MIN = 2_000;
const PAUSE_MS_MAX = 60_000;
/** A folder that hangs again within this time goes on with the pauses where they were. */
const MEMORY_MS = 120_000;
/** Of further ones nothing is remembered: they are asked for as before. */
const FOLDERS_MAX = 64;

export interface HangsOptions {
  readonly clock: Clock;
  /** Asks for a path that timed out, and resolves with whether an answer came in time. Never rejects. */
  readonly isAnswered: (path: string) => Promise<boolean>;
  /** Told of each folder that begins to hang or is asked for again. */
  readonly onChange: (folder: string, isHanging: boolean) => void;
}

interface Hang {
  /** What timed out. By now what was to come is there, or gone: whoever is well answers at once. */
  readonly path: string;
  pauseMs: number;
  isOver: boolean;
  /** Whether anybody has asked since the last try. */
  isWanted: boolean;
  cancel: () => void;
}

/** The folders of one upstream that hang. */
export class Hangs {
  readonly #options: HangsOptions;
  readonly #byFolder = new Map<string, Hang>();
  #isClosed = false;

  constructor(options: HangsOptions) {
    this.#options = options;
  }

  /** How many folders hang now. */
  get count(): number {
    return [...this.#byFolder.values()].filter(({ isOver }) => !isOver).length;
  }

  /** A request for `path` has timed out. True where its folder was not known to hang. */
  note(path: string): boolean {
    const folder = folderOf(path);
    const known = this.#byFolder.get(folder);
    if (this.#isClosed || known?.isOver === false) return false;
    if (known === undefined && !this.#makeRoom()) return false;
    known?.cancel();
    const pauseMs = known === undefined ? PAUSE_MS_MIN : longer(known.pauseMs);
    const hang = { path, pauseMs, isOver: false, isWanted: true, cancel: () => {} };
    this.#byFolder.set(folder, hang);
    this.#tryLater(folder, hang);
    this.#options.onChange(folder, true);
    return true;
  }

  /** Whether others are to be asked for `path` first. Asked for each request: shows that somebody wants it. */
  has(path: string): boolean {
    if (this.#byFolder.size === 0) return false;
    const hang = this.#byFolder.get(folderOf(path));
    if (hang === undefined || hang.isOver) return false;
    hang.isWanted = true;
    return true;
  }

  close(): void {
    this.#isClosed = true;
    for (const { cancel } of this.#byFolder.values()) cancel();
    this.#byFolder.clear();
  }

  /** False where as many hang as are remembered. */
  #makeRoom(): boolean {
    if (this.#byFolder.size < FOLDERS_MAX) return true;
    for (const [folder, { isOver, cancel }] of this.#byFolder) {
      if (!isOver) continue;
      cancel();
      return this.#byFolder.delete(folder);
    }
    return false;
  }

  #tryLater(folder: string, hang: Hang): void {
    hang.cancel = this.#options.clock.after(hang.pauseMs, () => void this.#try(folder, hang));
  }

  async #try(folder: string, hang: Hang): Promise<void> {
    // Where nobody asks any more, nobody would wait either.
    const isOver = !hang.isWanted || (await this.#options.isAnswered(hang.path));
    if (this.#isClosed) return;
    hang.isWanted = false;
    if (isOver) {
      hang.isOver = true;
      hang.cancel = this.#options.clock.after(MEMORY_MS, () => void this.#byFolder.delete(folder));
      this.#options.onChange(folder, false);
    } else {
      hang.pauseMs = longer(hang.pauseMs);
      this.#tryLater(folder, hang);
    }
  }
}

function longer(pauseMs: number): number {
  return Math.min(2 * pauseMs, PAUSE_MS_MAX);
}
