/** What the load scripts share with their entry, `main.ts`, and nothing else. */
import type { Clock } from "#common/clock.ts";
import type { Output } from "./report.ts";

/** What every load script gets. */
export interface BenchContext<Config> {
  readonly config: Config;
  /** Aborted by Ctrl-C: the script ends early and returns what it has. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly output: Output;
}
