/**
 * `bench relay`: many viewers of one endless MPEG-TS stream. Packets are checked, of all viewers or of some; how much of
 * the stream each of them gets is measured from when all have joined; and what it costs the server's process.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { StartError } from "#common/errors.ts";
import { BITS_PER_BYTE, MEBIBYTE, msToSeconds, secondsToMs } from "#common/units.ts";
import type { BenchContext } from "./context.ts";
import { HttpClient, HttpContext } from "./http-client.ts";
import { cpuSeconds, residentBytes } from "./process-cpu.ts";
import type { RelayConfig } from "./relay-config.ts";
import { RelayCrowd } from "./relay-crowd.ts";
import { RelaySource } from "./relay-source.ts";
import { RelayFigures, RelayViewer } from "./relay-viewer.ts";
import {
  collectMeasurements,
  formatValue,
  startProgress,
  type AddMeasurement,
  type Findings,
} from "./report.ts";
import { SelfCheck } from "./self-check.ts";
import { median } from "./statistics.ts";
import { joinEvenly, waitFor } from "./wait.ts";

/** How long the last viewers have to come up with the stream. Milliseconds. */
const SETTLE_MS = 500;
/** Who gets less of the stream than this is short of it. */
const FULL_SHARE = 0.99;

/** Everything at one moment. */
interface Sample {
  readonly ms: number;
  /** So far, of each viewer. */
  readonly bytes: readonly number[];
  /** What the own source has sent to one reader; 0 without it. */
  readonly sourceBytes: number;
  /** Of `--pid`; `undefined` without it. */
  readonly cpuSeconds: number | undefined;
  readonly residentBytes: number | undefined;
}

/** All viewers of a run. */
class RelayAudience {
  readonly figures: RelayFigures;
  readonly source: RelaySource | undefined;
  readonly #context: BenchContext<RelayConfig>;
  readonly #http: HttpContext;
  readonly #crowd: RelayCrowd | undefined;
  readonly #checked: RelayViewer[] = [];
  readonly #runs: Promise<void>[] = [];
  #isStopped = false;

  private constructor(
    context: BenchContext<RelayConfig>,
    figures: RelayFigures,
    crowd: RelayCrowd | undefined,
  ) {
    const { config, clock } = context;
    this.figures = figures;
    this.#context = context;
    this.#crowd = crowd;
    this.#http = new HttpContext({ clock, isInsecure: config.insecure });
    if (config.sourcePort > 0) {
      this.source = new RelaySource({ clock, port: config.sourcePort, megabits: config.sourceMbit });
    }
    if (crowd !== undefined) this.#runs.push(this.#serve(crowd));
  }

  /** Nobody has joined yet. Throws StartError where bytes cannot be counted without checking packets. */
  static async open(context: BenchContext<RelayConfig>): Promise<RelayAudience> {
    const { config, clock } = context;
    const figures = new RelayFigures();
    const isMixed = config.checked < config.viewers;
    const { errors } = figures;
    const crowd = isMixed ? await RelayCrowd.open({ clock, url: config.url, errors }) : undefined;
    return new RelayAudience(context, figures, crowd);
  }

  /** The first ones are checked. */
  join(index: number): void {
    const { config, clock } = this.#context;
    if (index >= config.checked) {
      this.#crowd?.join();
      return;
    }
    const { figures } = this;
    const viewer = new RelayViewer({ figures, clock, client: new HttpClient(this.#http), url: config.url });
    this.#checked.push(viewer);
    this.#runs.push(viewer.run());
  }

  get disconnects(): number {
    return this.figures.disconnects + (this.#crowd?.disconnects ?? 0);
  }

  sample(): Sample {
    const { clock, config } = this.#context;
    return {
      ms: clock.monotonicMs(),
      bytes: [...this.#checked.map(({ bytes }) => bytes), ...(this.#crowd?.bytes ?? [])],
      sourceBytes: this.source?.bytes ?? 0,
      cpuSeconds: config.pid === 0 ? undefined : cpuSeconds(config.pid),
      residentBytes: config.pid === 0 ? undefined : residentBytes(config.pid),
    };
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    for (const viewer of this.#checked) viewer.stop();
    this.#http.close();
    await Promise.all(this.#runs);
    this.#crowd?.[Symbol.dispose]();
    await this.source?.close();
  }

  async #serve(crowd: RelayCrowd): Promise<void> {
    while (!this.#isStopped) {
      crowd.turn();
      await nextTurn();
    }
  }
}

/** Reads until the time is over. Throws StartError where no viewer got a byte. */
export async function runRelay(context: BenchContext<RelayConfig>): Promise<Findings> {
  const { config, clock, signal } = context;
  const audience = await RelayAudience.open(context);
  const { figures } = audience;
  const selfCheck = new SelfCheck(clock);
  const stopProgress = startProgress({ ...context, describe: describeProgress(audience) });
  const begin = audience.sample();
  let start = begin;
  let end = begin;
  try {
    await joinEvenly({
      clock,
      signal,
      count: config.viewers,
      overMs: secondsToMs(config.rampSeconds),
      join: (index) => audience.join(index),
    });
    // What the last ones get to begin with is no part of the rate.
    await waitFor({ clock, signal, msMax: SETTLE_MS });
    if (!signal.aborted) start = audience.sample();
    await waitFor({ clock, signal, msMax: secondsToMs(config.seconds) });
  } finally {
    stopProgress();
    selfCheck.stop();
    end = audience.sample();
    await audience.close();
  }
  if (sum(end.bytes) === 0 && !signal.aborted) {
    const reason = figures.errors.total === 0 ? "no byte came" : figures.errors.toString();
    throw new StartError("no-answer", `Cannot read ${config.url}: ${reason}`);
  }
  const { measurements, add } = collectMeasurements();
  addShares(add, { start, end });
  addChecks(add, audience);
  addUsage(add, { begin, start, end });
  selfCheck.add(add);
  return { measurements, notes: selfCheck.notes };
}

function describeProgress(audience: RelayAudience) {
  let lastBytes = 0;
  return (sinceLastMs: number): string => {
    const { bytes } = audience.sample();
    const { figures, disconnects } = audience;
    const megabits = toMegabits(sum(bytes) - lastBytes, sinceLastMs);
    lastBytes = sum(bytes);
    return `${bytes.length} viewers  ${formatValue(megabits)} Mbit/s  ${disconnects} disconnects  ${figures.gaps} gaps  ${figures.errors.total} errors`;
  };
}

/** What each viewer got once all had joined, of what the source sent meanwhile, or else of what the middle one got. */
function addShares(
  add: AddMeasurement,
  { start, end }: { readonly start: Sample; readonly end: Sample },
): void {
  const durationMs = end.ms - start.ms;
  const got = end.bytes.map((bytes, index) => bytes - (start.bytes[index] ?? 0));
  const sent = end.sourceBytes - start.sourceBytes;
  const whole = sent > 0 ? sent : median(got);
  const shares = got.map((bytes) => (whole === 0 ? 0 : bytes / whole));
  add("viewers", "viewers", end.bytes.length, "viewers");
  add("viewersWithData", "that got data", end.bytes.filter((bytes) => bytes > 0).length, "viewers");
  add("duration", "duration, all there", msToSeconds(durationMs), "s");
  add("bytes", "received, by all", sum(end.bytes), "bytes");
  add("throughput", "throughput", durationMs === 0 ? 0 : toMegabits(sum(got), durationMs) / 1e3, "Gbit/s");
  add("medianRate", "rate of a viewer, median", toMegabits(median(got), durationMs), "Mbit/s");
  const of = sent > 0 ? "source" : "median";
  add("slowestShare", `slowest viewer, of the ${of}`, shares.length === 0 ? 0 : Math.min(...shares), "times");
  add("fastestShare", `fastest viewer, of the ${of}`, Math.max(0, ...shares), "times");
  const short = shares.filter((share) => share < FULL_SHARE).length;
  add("slowViewers", `below ${FULL_SHARE} of the ${of}`, short, "viewers");
}

function addChecks(add: AddMeasurement, audience: RelayAudience): void {
  const { figures, disconnects } = audience;
  add("firstByteP50", "time to first byte, p50", figures.firstByte.percentile(0.5), "ms");
  add("firstByteP95", "time to first byte, p95", figures.firstByte.percentile(0.95), "ms");
  add("firstByteMax", "time to first byte, max", figures.firstByte.max, "ms");
  add("packets", "packets checked", figures.packets, "packets");
  add("continuityErrors", "continuity errors", figures.continuityErrors, "packets");
  add("syncErrors", "lost packet boundaries", figures.syncErrors, "times");
  add("discontinuities", "discontinuities marked", figures.discontinuities, "packets");
  add("withoutTables", "streams without PAT and PMT first", figures.withoutTables, "streams");
  add("withoutRandomAccess", "streams not begun at a key frame", figures.withoutRandomAccess, "streams");
  add("gaps", "gaps over 1 s", figures.gaps, "gaps");
  add("longestGap", "longest gap", figures.longestGapMs, "ms");
  add("disconnects", "disconnects", disconnects, "times");
  add("errors", "failed requests", figures.errors.toString());
}

/** Of `--pid`, once all had joined; its memory from before the first. */
function addUsage(
  add: AddMeasurement,
  { begin, start, end }: { readonly begin: Sample; readonly start: Sample; readonly end: Sample },
): void {
  if (begin.residentBytes !== undefined && end.residentBytes !== undefined) {
    add("memoryBefore", "server's memory before", begin.residentBytes / MEBIBYTE, "MiB");
    add("memory", "server's memory at the end", end.residentBytes / MEBIBYTE, "MiB");
  }
  if (start.cpuSeconds === undefined || end.cpuSeconds === undefined || end.ms <= start.ms) return;
  const cores = (end.cpuSeconds - start.cpuSeconds) / msToSeconds(end.ms - start.ms);
  add("serverCores", "server's processor time", cores, "cores");
  if (cores > 0) add("viewersPerCore", "viewers of a core", end.bytes.length / cores, "viewers");
}

function toMegabits(bytes: number, durationMs: number): number {
  return durationMs === 0 ? 0 : (bytes * BITS_PER_BYTE) / msToSeconds(durationMs) / 1e6;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
