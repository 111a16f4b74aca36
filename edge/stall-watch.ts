/**
 * Tells who takes nothing from who takes little. A socket says that it is writable again only once a third of its buffer is
 * free: with 4 MB of it a reader of 20 kB/s seems to stall for more than a minute. So while a socket is full the
 * system is asked now and then how much of it is left.
 */
import { type Clock, every } from "#common/clock.ts";
import type { ViewerConnection } from "./viewer-connection.ts";

/** How often the system is asked. */
const LOOK_MS = 15_000;
/** A reader that took nothing by so many looks in a row is let go: one that takes nothing at all, after 30 s. */
const QUIET_LOOKS_MAX = 2;
/** One whose socket stays full for so many looks, 5 min, takes too little: its connection may be busy with other answers. */
const LOOKS_MAX = 20;

export interface StallWatchOptions {
  readonly clock: Clock;
  readonly connection: Pick<ViewerConnection, "unsentBytes" | "keepOpen">;
  /** It takes nothing. */
  readonly onStall: () => void;
}

/** One socket that is full at times. */
export class StallWatch {
  readonly #options: StallWatchOptions;
  #stop: (() => void) | undefined;
  #looks = 0;
  #quietLooks = 0;
  #unsentBytes: number | undefined;

  constructor(options: StallWatchOptions) {
    this.#options = options;
  }

  /** The socket is full from now on. */
  begin(): void {
    this.end();
    const stop = every(this.#options.clock, LOOK_MS, () => void this.#look(stop));
    this.#stop = stop;
  }

  /** It is not full, or closed. */
  end(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#looks = 0;
    this.#quietLooks = 0;
    this.#unsentBytes = undefined;
  }

  /** @param stop ends the watch that this look is part of */
  async #look(stop: () => void): Promise<void> {
    const { connection, onStall } = this.#options;
    const unsentBytes = await connection.unsentBytes();
    if (this.#stop !== stop) return;
    this.#looks++;
    const hasTaken = this.#unsentBytes !== undefined && unsentBytes !== this.#unsentBytes;
    this.#quietLooks = hasTaken ? 0 : this.#quietLooks + 1;
    this.#unsentBytes = unsentBytes;
    if (hasTaken) connection.keepOpen();
    if (this.#quietLooks < QUIET_LOOKS_MAX && this.#looks < LOOKS_MAX) return;
    this.end();
    onStall();
  }
}
