/** `bench relay`: many viewers of one endless MPEG-TS stream, each packet checked. */
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";
import type { RelayConfig } from "./config.ts";
import { HttpClient, HttpContext } from "./http-client.ts";
import { HttpFailure } from "./http-connection.ts";
import type { BenchContext } from "./context.ts";
import { MpegtsCheck } from "./mpegts-check.ts";
import {
  collectMeasurements,
  formatValue,
  startProgress,
  type AddMeasurement,
  type Findings,
} from "./report.ts";
import { SelfCheck } from "./self-check.ts";
import { Distribution, median, Tally } from "./statistics.ts";
import { joinEvenly, waitFor } from "./wait.ts";

/** A viewer that is cut off comes back after this long. Milliseconds. */
const RETRY_MS = 1_000;
/** No bytes for this long is a gap that a viewer would see. Milliseconds. */
const GAP_MS = 1_000;
/** A viewer below this share of the median rate is counted as slow. */
const SLOW_SHARE = 0.9;
/** No single response lasts longer. Milliseconds. */
const STREAM_MS_MAX = 7 * 86_400_000;

/** What all viewers count together. */
class RelayFigures {
  bytes = 0;
  packets = 0;
  continuityErrors = 0;
  syncErrors = 0;
  gaps = 0;
  longestGapMs = 0;
  /** Streams that had begun and ended before the run did. */
  disconnects = 0;
  /** Streams that began without PAT and PMT, and not at a random access point. */
  withoutTables = 0;
  withoutRandomAccess = 0;
  /** Requests that got no stream, by what went wrong. */
  readonly errors = new Tally();
  /** From the request to the first byte of the body. Milliseconds. */
  readonly firstByte = new Distribution();
}

/** One viewer: reads, checks, and comes back when it is cut off. */
class RelayViewer {
  readonly #figures: RelayFigures;
  readonly #clock: Clock;
  readonly #client: HttpClient;
  readonly #url: string;
  #isStopped = false;
  #endPause: (() => void) | undefined;
  #lastByteMs = 0;
  #firstByteMs: number | undefined;
  bytes = 0;

  constructor(options: {
    readonly figures: RelayFigures;
    readonly clock: Clock;
    readonly client: HttpClient;
    readonly url: string;
  }) {
    this.#figures = options.figures;
    this.#clock = options.clock;
    this.#client = options.client;
    this.#url = options.url;
  }

  /** Received since its first byte, bits per second; 0 where nothing came. */
  rate(nowMs: number): number {
    if (this.#firstByteMs === undefined || nowMs <= this.#firstByteMs) return 0;
    return (this.bytes * 8) / msToSeconds(nowMs - this.#firstByteMs);
  }

  async run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#read();
      if (!this.#isStopped) await this.#pause();
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#endPause?.();
    this.#client.close();
  }

  async #read(): Promise<void> {
    const figures = this.#figures;
    const check = new MpegtsCheck();
    const requestedMs = this.#clock.monotonicMs();
    let hasBegun = false;
    try {
      const response = await this.#client.get(this.#url, {
        msMax: STREAM_MS_MAX,
        onBody: (chunk) => {
          const nowMs = this.#clock.monotonicMs();
          if (hasBegun) this.#noteGap(nowMs - this.#lastByteMs);
          else figures.firstByte.add(nowMs - requestedMs);
          hasBegun = true;
          this.#firstByteMs ??= nowMs;
          this.#lastByteMs = nowMs;
          this.bytes += chunk.length;
          figures.bytes += chunk.length;
          check.push(chunk);
        },
      });
      if (response.status !== 200) figures.errors.add(`status ${response.status}`);
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error;
      if (!hasBegun && !this.#isStopped) figures.errors.add(error.kind);
    }
    if (!hasBegun) return;
    if (this.#isStopped) this.#noteGap(this.#clock.monotonicMs() - this.#lastByteMs);
    else figures.disconnects += 1;
    this.#count(check);
  }

  #noteGap(gapMs: number): void {
    const figures = this.#figures;
    if (gapMs > GAP_MS) figures.gaps += 1;
    if (gapMs > figures.longestGapMs) figures.longestGapMs = gapMs;
  }

  #count(check: MpegtsCheck): void {
    const figures = this.#figures;
    figures.packets += check.packets;
    figures.continuityErrors += check.continuityErrors;
    figures.syncErrors += check.syncErrors;
    if (!check.beginsWithTables) figures.withoutTables += 1;
    if (check.beginsAtRandomAccess === false) figures.withoutRandomAccess += 1;
  }

  async #pause(): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancel = this.#clock.after(RETRY_MS, over.resolve);
    this.#endPause = over.resolve;
    await over.promise;
    cancel();
  }
}

/** Reads until the time is over. Throws StartError where no viewer got a byte. */
export async function runRelay(context: BenchContext<RelayConfig>): Promise<Findings> {
  const { config, clock, signal } = context;
  const figures = new RelayFigures();
  const http = new HttpContext({ clock, isInsecure: config.insecure });
  const viewers: RelayViewer[] = [];
  const runs: Promise<void>[] = [];
  const startMs = clock.monotonicMs();
  const selfCheck = new SelfCheck(clock);
  const stopProgress = startProgress({ ...context, describe: describeProgress(figures, viewers) });
  let rates: readonly number[] = [];
  let endMs = startMs;
  try {
    await joinEvenly({
      clock,
      signal,
      count: config.viewers,
      overMs: secondsToMs(config.rampSeconds),
      join() {
        const viewer = new RelayViewer({ figures, clock, client: new HttpClient(http), url: config.url });
        viewers.push(viewer);
        runs.push(viewer.run());
      },
    });
    await waitFor({ clock, signal, msMax: secondsToMs(config.seconds) });
  } finally {
    stopProgress();
    selfCheck.stop();
    endMs = clock.monotonicMs();
    rates = viewers.map((viewer) => viewer.rate(endMs));
    for (const viewer of viewers) viewer.stop();
    http.close();
  }
  await Promise.all(runs);
  if (figures.bytes === 0 && !signal.aborted) {
    const reason = figures.errors.total === 0 ? "no byte came" : figures.errors.toString();
    throw new StartError("no-answer", `Cannot read ${config.url}: ${reason}`);
  }
  const report = collectMeasurements();
  addRelay(report.add, { figures, rates, durationMs: endMs - startMs });
  selfCheck.add(report.add);
  return {
    measurements: report.measurements,
    notes: [
      ...selfCheck.notes,
      "Rates count from each viewer's first byte, with whatever the server sends at once at the start.",
    ],
  };
}

function describeProgress(figures: RelayFigures, viewers: readonly RelayViewer[]) {
  let lastBytes = 0;
  return (sinceLastMs: number): string => {
    const megabits = ((figures.bytes - lastBytes) * 8) / msToSeconds(sinceLastMs) / 1e6;
    lastBytes = figures.bytes;
    return `${viewers.length} viewers  ${formatValue(megabits)} Mbit/s  ${figures.disconnects} disconnects  ${figures.gaps} gaps  ${figures.errors.total} errors`;
  };
}

function addRelay(
  add: AddMeasurement,
  options: { readonly figures: RelayFigures; readonly rates: readonly number[]; readonly durationMs: number },
): void {
  const { figures, rates, durationMs } = options;
  const seconds = msToSeconds(durationMs);
  const middle = median(rates);
  add("viewers", "viewers", rates.length, "viewers");
  add("viewersWithData", "that got data", rates.filter((rate) => rate > 0).length, "viewers");
  add("duration", "duration", seconds, "s");
  add("bytes", "received", figures.bytes, "bytes");
  add("throughput", "throughput", (figures.bytes * 8) / seconds / 1e9, "Gbit/s");
  add("medianRate", "rate of a viewer, median", middle / 1e6, "Mbit/s");
  add(
    "slowestShare",
    "slowest viewer, of the median",
    middle === 0 ? 0 : Math.min(...rates) / middle,
    "times",
  );
  add(
    "fastestShare",
    "fastest viewer, of the median",
    middle === 0 ? 0 : Math.max(...rates) / middle,
    "times",
  );
  add(
    "slowViewers",
    "below 0.9 of the median",
    rates.filter((rate) => rate < middle * SLOW_SHARE).length,
    "viewers",
  );
  add("firstByteP50", "time to first byte, p50", figures.firstByte.percentile(0.5), "ms");
  add("firstByteP95", "time to first byte, p95", figures.firstByte.percentile(0.95), "ms");
  add("firstByteMax", "time to first byte, max", figures.firstByte.max, "ms");
  add("packets", "packets checked", figures.packets, "packets");
  add("continuityErrors", "continuity errors", figures.continuityErrors, "packets");
  add("syncErrors", "lost packet boundaries", figures.syncErrors, "times");
  add("withoutTables", "streams without PAT and PMT first", figures.withoutTables, "streams");
  add("withoutRandomAccess", "streams not begun at a key frame", figures.withoutRandomAccess, "streams");
  add("gaps", "gaps over 1 s", figures.gaps, "gaps");
  add("longestGap", "longest gap", figures.longestGapMs, "ms");
  add("disconnects", "disconnects", figures.disconnects, "times");
  add("errors", "failed requests", figures.errors.toString());
}
