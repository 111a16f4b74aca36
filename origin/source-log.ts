/** The log of a source's changes: one that opens and breaks again and again must not fill it. */
import type { Clock } from "#common/clock.ts";
import type { Log, LogFields } from "#common/log.ts";

/** Lines that may come together, and how long it takes until one more may. */
const LINES_MAX = 6;
const LINE_MS = 30_000;

export class SourceLog {
  readonly #log: Log;
  readonly #clock: Clock;
  #lines = LINES_MAX;
  #sinceMs: number;
  #unsaid = 0;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** Says it, or counts it for the next line. */
  say(level: "info" | "warn", message: string, fields: LogFields = {}): void {
    const nowMs = this.#clock.monotonicMs();
    this.#lines = Math.min(LINES_MAX, this.#lines + (nowMs - this.#sinceMs) / LINE_MS);
    this.#sinceMs = nowMs;
    if (this.#lines < 1) {
      this.#unsaid++;
      return;
    }
    this.#lines--;
    this.#log[level](message, { ...fields, ...(this.#unsaid > 0 && { changesUnsaid: this.#unsaid }) });
    this.#unsaid = 0;
  }
}
