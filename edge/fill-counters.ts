/** What became of fills, in plain fields that `metrics.ts` reads at scrape time. */
import { UpstreamError } from "./upstream.ts";

/** How fills ended, as `spillway_edge_fills_total` counts them. */
export const FILL_ENDS = ["done", "given_up", "abandoned", "timed_out", "broken_off", "failed"] as const;
export type FillEnd = (typeof FILL_ENDS)[number];

/** Counts since start, of all fills together. */
export class FillCounters {
  readonly ends: Record<FillEnd, number> = {
    done: 0,
    given_up: 0,
    abandoned: 0,
    timed_out: 0,
    broken_off: 0,
    failed: 0,
  };
  /** Second tries. */
  retries = 0;
  /** Readers let go because they were too slow. */
  laggards = 0;
}

/** How a fill ended that failed. */
export function endOf(error: unknown, hasBegun: boolean): FillEnd {
  if (hasBegun) return "broken_off";
  return error instanceof UpstreamError && error.status === 504 ? "timed_out" : "failed";
}
