/** When the slate is looked after: often enough for its frames, and not before what came meanwhile was read. */
import type { Clock } from "#common/clock.ts";

/** Without a frame for this long the slate begins: where the source is gone, and where it says nothing. */
export const LOST_MS = 300;
export const SILENT_MS = 1_000;
/** The longest wait between two checks. */
const CHECK_MS = 50;
/** A check that comes this much later found the process standing still: what has come meanwhile is read first. */
const CHECK_LATE_MS = 250;

/** Calls `check` until it is closed; that returns when the next frame is due, by the monotonic clock, if it knows. */
export class SlateTimer {
  readonly #clock: Clock;
  readonly #check: (nowMs: number) => number | undefined;
  #cancel: () => void;
  #checkedMs: number;

  constructor(clock: Clock, check: (nowMs: number) => number | undefined) {
    this.#clock = clock;
    this.#check = check;
    this.#checkedMs = clock.monotonicMs();
    this.#cancel = clock.after(CHECK_MS, () => this.#wake());
  }

  close(): void {
    this.#cancel();
  }

  #wake(): void {
    const nowMs = this.#clock.monotonicMs();
    const isLate = nowMs - this.#checkedMs > CHECK_MS + CHECK_LATE_MS;
    this.#checkedMs = nowMs;
    const dueMs = isLate ? undefined : this.#check(nowMs);
    const waitMs = dueMs === undefined ? CHECK_MS : Math.ceil(dueMs - this.#clock.monotonicMs());
    this.#cancel = this.#clock.after(Math.min(CHECK_MS, Math.max(1, waitMs)), () => this.#wake());
  }
}
