/**
 * `bench soak`: hours of a server and an origin with many players, while the server is killed and stopped at random.
 * The playlists are followed by the rules of `bench check`, the players are those of `bench viewers`, in a process of
 * their own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "#common/errors.ts";
import { createRandom } from "#common/random.ts";
import { MEBIBYTE, msToSeconds } from "#common/units.ts";
import type { SoakConfig } from "./config.ts";
import type { BenchContext } from "./context.ts";
import { checkHls, type HlsCheckResult, type SegmentGap } from "./hls-check.ts";
import { LoggedProcess, MAIN } from "./logged-process.ts";
import { PixelflutClient } from "./pixelflut-client.ts";
import { cpuSeconds } from "./process-cpu.ts";
import {
  type AddMeasurement,
  collectMeasurements,
  type Findings,
  type Measurement,
  startProgress,
} from "./report.ts";
import { type MemorySample, residentBytes, trendOf } from "./soak-memory.ts";
import { SoakNodes } from "./soak-nodes.ts";
import { type Outage, OUTAGE_KINDS, planOutages, unexcused } from "./soak-outages.ts";
import { Distribution, Tally } from "./statistics.ts";
import { waitFor } from "./wait.ts";

/** Gaps of the playlists this long after the server is ready again still belong to its outage. Milliseconds. */
const AFTERMATH_MS = 6_000;
const SAMPLE_MS = 5_000;
/** The canvas changes a little all the time: a square this often. Milliseconds, pixels. */
const PAINT_MS = 100;
const PAINT_SIDE = 48;
/** Findings that are told of one by one. */
const NOTES_MAX = 20;

/** What happens beside the players. */
interface Soak extends BenchContext<SoakConfig> {
  readonly nodes: SoakNodes;
  readonly origin: MemorySample[];
  readonly outages: PastOutage[];
}

interface PastOutage extends SegmentGap {
  readonly kind: Outage["kind"];
}

/** Runs until the time is over. Throws StartError where the nodes do not start. */
export async function runSoak(context: BenchContext<SoakConfig>): Promise<Findings> {
  const { config, clock, signal, output } = context;
  await using nodes = await SoakNodes.start({ ...config, clock, signal });
  const soak: Soak = { ...context, nodes, origin: [], outages: [] };
  const startMs = clock.monotonicMs();
  const cpuBefore = cpuSeconds(nodes.originPid) ?? 0;
  const stopProgress = startProgress({ ...context, describe: () => describe(soak) });
  const over = new AbortController();
  const ends = { ...soak, signal: AbortSignal.any([signal, over.signal]) };
  const beside = Promise.all([strike(ends), sample(ends), paint(ends)]);
  try {
    const [viewers, ...checks] = await Promise.all([
      play(soak),
      check(soak, "index.m3u8"),
      check(soak, "ts.m3u8"),
    ]);
    const seconds = msToSeconds(clock.monotonicMs() - startMs);
    const { measurements, add } = collectMeasurements();
    addOutages(add, soak.outages);
    addGaps(add, { checks, outages: soak.outages });
    addOrigin(add, { soak, cores: ((cpuSeconds(nodes.originPid) ?? 0) - cpuBefore) / seconds });
    const broken = checks.flatMap(({ findings }) => findings);
    add("broken", "rules broken", broken.length);
    const notes = broken.slice(0, NOTES_MAX).map(({ item, text }) => `rule ${item}: ${text}`);
    if (!nodes.isServing) notes.push("The origin has ended by itself.");
    return { measurements: [...measurements, ...viewers], notes };
  } finally {
    over.abort();
    await beside;
    stopProgress();
    output.progress("ending the server and the origin");
  }
}

/** Follows the playlists of one format by all rules. */
function check({ config, clock, signal, nodes }: Soak, playlist: string): Promise<HlsCheckResult> {
  const url = `${nodes.originUrl}/live/canvas/${playlist}`;
  return checkHls({ url, seconds: config.seconds, isInsecure: false, clock, signal });
}

/** The players, in another process: what they take of the processor must not delay what is measured here. */
async function play({ config, nodes, clock, signal }: Soak): Promise<readonly Measurement[]> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-soak-players-"));
  const json = join(folder, "results.json");
  const flags = {
    url: `${nodes.originUrl}/live/canvas/index.m3u8`,
    viewers: config.viewers,
    seconds: config.seconds,
    json,
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const command = [process.execPath, "--no-orphans", MAIN, "bench", "viewers", ...args];
  const players = new LoggedProcess({ command, logPath: join(folder, "players.log"), clock });
  const onAbort = (): void => players.kill("SIGTERM");
  signal.addEventListener("abort", onAbort);
  try {
    const status = await players.exited;
    if (!(await Bun.file(json).exists())) {
      throw new StartError("players-ended", `The players ended with status ${status}:\n${players.printed}`);
    }
    const { results }: { readonly results: Record<string, Omit<Measurement, "name">> } =
      await Bun.file(json).json();
    return Object.entries(results).map(([name, { value, unit, label }]) => ({ name, label, value, unit }));
  } finally {
    signal.removeEventListener("abort", onAbort);
    await players[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Deals the blows of the plan, one after the other. */
async function strike({ config, clock, signal, nodes, outages }: Soak): Promise<void> {
  const startMs = clock.monotonicMs();
  for (const { kind, atMs, lastsMs } of planOutages({ ...config, everySeconds: config.outageSeconds })) {
    await waitFor({ clock, signal, msMax: startMs + atMs - clock.monotonicMs() });
    if (signal.aborted) return;
    const blowMs = clock.monotonicMs();
    nodes.strike(kind === "stop" ? "SIGSTOP" : kind === "kill" ? "SIGKILL" : "SIGTERM");
    await waitFor({ clock, signal, msMax: lastsMs });
    if (kind === "stop") nodes.strike("SIGCONT");
    else await nodes.restartServer();
    await nodes.untilReady();
    outages.push({ kind, startMs: blowMs, endMs: clock.monotonicMs() });
  }
}

async function sample({ clock, signal, nodes, origin }: Soak): Promise<void> {
  while (!signal.aborted) {
    const bytes = residentBytes(nodes.originPid);
    if (bytes !== undefined) origin.push({ atMs: clock.monotonicMs(), bytes });
    await waitFor({ clock, signal, msMax: SAMPLE_MS });
  }
}

/** Paints small squares of random colours, and connects again where the server was away. */
async function paint({ config, clock, signal, nodes }: Soak): Promise<void> {
  const random = createRandom(config.seed);
  while (!signal.aborted) {
    const painter = await PixelflutClient.connect(nodes.pixelflut, clock).catch(() => undefined);
    let isOpen = painter !== undefined;
    do {
      if (isOpen) isOpen = (await painter?.send(square(random, config))) === true;
      await waitFor({ clock, signal, msMax: PAINT_MS });
    } while (isOpen && !signal.aborted);
    painter?.close();
  }
}

function square(random: () => number, { width, height }: SoakConfig): Uint8Array {
  const left = Math.floor(random() * Math.max(1, width - PAINT_SIDE));
  const top = Math.floor(random() * Math.max(1, height - PAINT_SIDE));
  const colour = Math.floor(random() * 0x1000000)
    .toString(16)
    .padStart(6, "0");
  const lines = Array.from({ length: PAINT_SIDE * PAINT_SIDE }, (_, index) => {
    return `PX ${left + (index % PAINT_SIDE)} ${top + Math.floor(index / PAINT_SIDE)} ${colour}\n`;
  });
  return new TextEncoder().encode(lines.join(""));
}

function describe({ outages, origin }: Soak): string {
  const mebibytes = Math.round((origin.at(-1)?.bytes ?? 0) / MEBIBYTE);
  return `${outages.length} outages so far, origin ${mebibytes} MiB`;
}

function addOutages(add: AddMeasurement, outages: readonly PastOutage[]): void {
  const kinds = new Tally();
  const lengths = new Distribution();
  for (const { kind, startMs, endMs } of outages) {
    kinds.add(kind);
    lengths.add(endMs - startMs);
  }
  add("outages", `outages of the server (${OUTAGE_KINDS.join(", ")})`, kinds.toString());
  add("outageMedian", "from the blow until ready again, median", lengths.percentile(0.5), "ms");
  add("outageMax", "from the blow until ready again, longest", lengths.max, "ms");
}

function addGaps(
  add: AddMeasurement,
  {
    checks,
    outages,
  }: { readonly checks: readonly HlsCheckResult[]; readonly outages: readonly SegmentGap[] },
): void {
  const gaps = checks.flatMap((result) => result.gaps);
  const excuses = outages.map(({ startMs, endMs }) => ({ startMs, endMs: endMs + AFTERMATH_MS }));
  const lengths = new Distribution();
  for (const { startMs, endMs } of gaps) lengths.add(endMs - startMs);
  add(
    "versions",
    "versions of playlists followed",
    checks.reduce((sum, { versions }) => sum + versions, 0),
  );
  add("gaps", "gaps over 1.5 target durations", gaps.length, "gaps");
  add("gapMax", "longest gap over 1.5 target durations", lengths.max, "ms");
  add("gapsOutside", "of them outside outages", unexcused(gaps, excuses).length, "gaps");
}

function addOrigin(
  add: AddMeasurement,
  { soak, cores }: { readonly soak: Soak; readonly cores: number },
): void {
  const trend = trendOf(soak.origin);
  add("originMemory", "memory of the origin, median", trend.medianBytes / MEBIBYTE, "MiB");
  add("originMemoryMax", "memory of the origin, most", trend.maxBytes / MEBIBYTE, "MiB");
  add("originSlope", "its slope", trend.slopePerHour * 100, "% an hour");
  add("originCores", "processor of the origin", cores, "cores");
}
