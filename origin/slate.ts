/**
 * The slate between source and stream: what comes on a grid is continued (`continuity.ts`), between the runs of other
 * sources stand runs of its own (`slate-runs.ts`).
 */
import type { Log } from "#common/log.ts";
import { Continuity, type ContinuityOptions } from "./continuity.ts";
import { SlateRuns, type SlateRunsOptions } from "./slate-runs.ts";
import { SlateTotals } from "./slate-totals.ts";
import type { SourceHandlers } from "./source.ts";
import { SourceLog } from "./source-log.ts";

export interface SlateOptions extends Omit<ContinuityOptions, "totals">, Pick<SlateRunsOptions, "numbers"> {
  readonly log: Log;
}

export class Slate {
  /** What the source is to call. */
  readonly handlers: SourceHandlers;
  readonly totals: SlateTotals;
  readonly #continuity: Continuity;
  readonly #runs: SlateRuns;

  constructor(options: SlateOptions) {
    const { stream, log, clock } = options;
    this.totals = new SlateTotals(new SourceLog(log, clock));
    this.#continuity = new Continuity({ ...options, totals: this.totals });
    this.#runs = new SlateRuns({
      ...options,
      next: this.#continuity,
      isCaughtUp: () => !stream.isCatchingUp,
      totals: this.totals,
    });
    this.handlers = this.#runs;
  }

  /** True while the slate is shown. */
  get isShowing(): boolean {
    return this.#continuity.isShowing || this.#runs.isShowing;
  }

  /** Shows nothing more. */
  close(): void {
    this.#runs.close();
    this.#continuity.close();
  }
}
