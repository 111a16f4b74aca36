/** The change to the slate and back, counted and said in one place, whoever makes it. */
import type { SourceLog } from "./source-log.ts";

/** What is counted of the slate, for metrics, and said of it. */
export class SlateTotals {
  /** Times that the stream went over to each. */
  readonly switches = { slate: 0, source: 0 };
  /** Frames of the slate in all renditions. */
  frames = 0;
  readonly #log: SourceLog;

  constructor(log: SourceLog) {
    this.#log = log;
  }

  /** @param where of the stream it begins */
  goToSlate(where: Readonly<Record<string, string | number>>): void {
    this.switches.slate++;
    this.#log.say("warn", "The source brings nothing: the slate is shown", where);
  }

  goToSource(): void {
    this.switches.source++;
    this.#log.say("info", "The source is shown again");
  }
}
