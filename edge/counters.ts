/**
 * The edge's own counts, as plain fields that the request path adds to; `metrics.ts` reads them at scrape time.
 * Also how much leaves the node, over the last seconds: what leases and `/health` report.
 */
import type { Clock } from "#common/clock.ts";
import { msToSeconds } from "#common/units.ts";

/** How a request ended, as `spillway_edge_requests_total` counts it. */
export const REQUEST_RESULTS = ["hit", "miss", "collapsed", "stale", "refused", "error"] as const;
export type RequestResult = (typeof REQUEST_RESULTS)[number];

/** Why a request was refused, as `spillway_edge_refused_total` counts it. */
export const REFUSAL_CAUSES = [
  "host",
  "url",
  "method",
  "path",
  "directives",
  "loop",
  "rate",
  "connections",
  "full",
  "busy",
  "off",
] as const;
export type RefusalCause = (typeof REFUSAL_CAUSES)[number];

const BITS_PER_BYTE = 8;
/** Seconds over which the rate of sent bytes is taken. */
const RATE_SECONDS = 5;

/** Counts since start. */
export class Counters {
  readonly requests: Record<RequestResult, number> = {
    hit: 0,
    miss: 0,
    collapsed: 0,
    stale: 0,
    refused: 0,
    error: 0,
  };
  readonly refused: Record<RefusalCause, number> = {
    host: 0,
    url: 0,
    method: 0,
    path: 0,
    directives: 0,
    loop: 0,
    rate: 0,
    connections: 0,
    full: 0,
    busy: 0,
    off: 0,
  };
  /** Body bytes handed out. */
  sentBytes = 0;

  /** Counts a refusal. */
  refuse(cause: RefusalCause): void {
    this.requests.refused++;
    this.refused[cause]++;
  }
}

/** Bits per second sent over the last {@link RATE_SECONDS} seconds. Sampled, so nothing is done per request. */
export class EgressRate {
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(counters: Counters, clock: Clock) {
    this.#counters = counters;
    this.#clock = clock;
    this.sample();
  }

  /** To be called once a second. */
  sample(): void {
    this.#samples.push({ atMs: this.#clock.monotonicMs(), bytes: this.#counters.sentBytes });
    if (this.#samples.length > RATE_SECONDS + 1) this.#samples.shift();
  }

  get bitsPerSecond(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.round(((last.bytes - first.bytes) * BITS_PER_BYTE) / msToSeconds(last.atMs - first.atMs));
  }
}
