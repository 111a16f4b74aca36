/**
 * Room for the playlists that tails keep. It is the cache's: cached media go for it, and what is on its way cannot have it.
 * Past a share of the cache the playlists asked for longest ago go.
 */
import type { ByteBudget } from "./store.ts";

/** Of the cache's memory all tails together keep so much at most. */
const SHARE = 1 / 2;
/** Room is taken in pieces of so many bytes: a playlist that grows a little needs no more, which may be taken by others. */
const PIECE_BYTES = 16 * 1024;

export interface TailMemoryOptions {
  /** Counts what is taken. */
  readonly budget: ByteBudget;
  /** Ends the tail asked for longest ago but the one with `room`, which gives its room back; false where there is none. */
  readonly dropOther: (room: TailRoom) => boolean;
}

/** The room of all tails. */
export class TailMemory {
  readonly #options: TailMemoryOptions;
  #bytes = 0;

  constructor(options: TailMemoryOptions) {
    this.#options = options;
  }

  /** Taken by all tails. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes `bytes` more for one of the tails. False and nothing taken where there is no room. */
  take(room: TailRoom, bytes: number): boolean {
    const { budget, dropOther } = this.#options;
    const bytesMax = SHARE * budget.bytesMax;
    if (room.bytes + bytes > bytesMax || !budget.reserve(bytes)) return false;
    this.#bytes += bytes;
    while (this.#bytes > bytesMax && dropOther(room));
    if (this.#bytes <= bytesMax) return true;
    this.release(bytes);
    return false;
  }

  /** Gives room back. */
  release(bytes: number): void {
    this.#bytes -= bytes;
    this.#options.budget.release(bytes);
  }
}

/** The room of one tail. */
export class TailRoom {
  readonly #memory: TailMemory;
  #bytes = 0;

  constructor(memory: TailMemory) {
    this.#memory = memory;
  }

  /** Taken now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Becomes large enough for a version of so many bytes. False where there is no room for it: then it stays as it is. */
  fit(versionBytes: number): boolean {
    const bytes = Math.ceil(versionBytes / PIECE_BYTES) * PIECE_BYTES;
    const more = bytes - this.#bytes;
    if (more > 0 && !this.#memory.take(this, more)) return false;
    if (more < 0) this.#memory.release(-more);
    this.#bytes = bytes;
    return true;
  }

  /** Gives all of it back. */
  close(): void {
    this.#memory.release(this.#bytes);
    this.#bytes = 0;
  }
}
