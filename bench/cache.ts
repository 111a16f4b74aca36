/**
 * `bench cache`: what a cache before an origin makes of the situations in which caches differ, and how many hits it
 * gives out for a second of its processor time. The origin is this script's own, so that it can be slow, fail and die
 * at the right moment; the cache is whatever has it as its upstream.
 */
import { StartError } from "#common/errors.ts";
import { pause } from "#common/pause.ts";
import { MEBIBYTE, secondsToMs } from "#common/units.ts";
import { CacheClients, type Fetched } from "./cache-clients.ts";
import type { CacheConfig } from "./cache-config.ts";
import { objectPath, OBJECT_BYTES, playlistPath } from "./cache-objects.ts";
import { PART_MS } from "./cache-playlists.ts";
import { CacheOrigin } from "./cache-origin.ts";
import { runProbe, type ProbeResult } from "./cache-probes.ts";
import { addRates, notesOnRates, renderRates, runRates, type RateCell } from "./cache-rates.ts";
import type { HeldConfig } from "./config.ts";
import type { BenchContext } from "./context.ts";
import { runHeld } from "./held.ts";
import { HttpFailure } from "./http-connection.ts";
import {
  collectMeasurements,
  renderColumns,
  renderMeasurements,
  type AddMeasurement,
  type Findings,
} from "./report.ts";

/** Time between two looks whether the cache reaches the origin. Milliseconds. */
const LOOK_MS = 250;
/** Longest time for one request of a probe, in holds of the origin, and at least. Milliseconds. */
const REQUEST_CHUNKS_MAX = 200;
const REQUEST_MS_MIN = 5_000;
const WORD_COLUMNS = new Set([0, 1, 2, 3]);

/** Runs probes and rates. Throws StartError where the cache does not reach the origin. */
export async function runCache(context: BenchContext<CacheConfig>): Promise<Findings> {
  const { config, clock, output, signal } = context;
  const largeBytes = config.largeMib * MEBIBYTE;
  const { chunkMs, paths } = config;
  await using origin = await CacheOrigin.open({ port: config.originPort, clock, chunkMs, largeBytes });
  const clientsOf = (url: string): CacheClients =>
    new CacheClients({
      url: new URL(url),
      clock,
      isInsecure: config.insecure,
      msMax: Math.max(REQUEST_MS_MIN, REQUEST_CHUNKS_MAX * chunkMs),
      bytesMax: Math.max(largeBytes, OBJECT_BYTES),
    });
  // Another number in each run: a cache that outlives this script knows none of its objects.
  let run = Math.floor(clock.wallMs());
  const nextRun = (): number => run++;
  for (const url of config.against === "" ? [config.url] : [config.url, config.against]) {
    await waitForCache(context, {
      url,
      origin,
      clients: clientsOf(url),
      path: objectPath(paths, "ready", nextRun()),
    });
  }
  const clients = clientsOf(config.url);
  const isProbed = config.measure === "probes" || config.measure === "all";
  const probes: ProbeResult[] = [];
  for (const name of isProbed ? config.probes.flat() : []) {
    if (signal.aborted) break;
    const probe = await runProbe(name, { clients, origin, clock, paths, chunkMs, largeBytes, nextRun });
    probes.push(probe);
    output.progress(`${probe.isOk ? "ok    " : "not ok"} ${probe.label}: ${probe.measured}`);
  }
  const isRated = config.measure === "rates" || config.measure === "all";
  const rates = isRated ? await measureRates(context, { clientsOf, nextRun }) : [];
  const players =
    config.players > 0 && !signal.aborted ? await measurePlayers(context, origin, nextRun()) : undefined;
  return describe({ probes, rates, players });
}

/** Players that wait for each part of a stream of the origin's and fetch it. */
function measurePlayers(
  context: BenchContext<CacheConfig>,
  origin: CacheOrigin,
  run: number,
): Promise<Findings> {
  const { config } = context;
  const held: HeldConfig = {
    url: new URL(playlistPath(config.paths, "live", run), config.url).href,
    waiters: config.players,
    rounds: Math.ceil(secondsToMs(config.seconds) / PART_MS),
    parts: true,
    feed: "",
    pid: config.pid,
    json: "",
  };
  return runHeld({ ...context, config: held }, (at) => origin.publishedMs(run, at));
}

interface Rated {
  readonly clientsOf: (url: string) => CacheClients;
  readonly nextRun: () => number;
}

async function measureRates(
  context: BenchContext<CacheConfig>,
  { clientsOf, nextRun }: Rated,
): Promise<readonly RateCell[]> {
  const { config } = context;
  const { paths } = config;
  const run = nextRun();
  const objects = { playlist: playlistPath(paths, "plain", run), segment: objectPath(paths, "segment", run) };
  for (const url of config.against === "" ? [config.url] : [config.url, config.against]) {
    for (const load of config.loads.flat()) await clientsOf(url).fetch(objects[load]);
  }
  return runRates(context, (load) => objects[load]);
}

interface Waited {
  readonly url: string;
  readonly origin: CacheOrigin;
  readonly clients: CacheClients;
  readonly path: string;
}

async function waitForCache(
  { config, clock, output, signal }: BenchContext<CacheConfig>,
  { url, origin, clients, path }: Waited,
): Promise<void> {
  const endMs = clock.monotonicMs() + secondsToMs(config.waitSeconds);
  const isThrough = async (): Promise<boolean> => {
    const got = await clients.fetch(path).catch(noAnswer);
    return got?.status === 200 && got.text === "ready\n";
  };
  if (await isThrough()) return;
  const hint = config.paths === "probe" ? "spillway edge --proxy-all --upstream" : "spillway edge --upstream";
  output.progress(
    `Waiting until ${url} has ${origin.url} as its upstream: ${hint} ${origin.url}, or the like`,
  );
  while (!signal.aborted && clock.monotonicMs() < endMs) {
    await pause(clock, LOOK_MS);
    if (await isThrough()) return;
  }
  throw new StartError("no-answer", `${url} does not give out what ${origin.url} has: is that its upstream?`);
}

/** A cache that is not there yet is waited for. */
function noAnswer(error: unknown): Fetched | undefined {
  if (error instanceof HttpFailure) return undefined;
  throw error;
}

interface Outcome {
  readonly probes: readonly ProbeResult[];
  readonly rates: readonly RateCell[];
  readonly players: Findings | undefined;
}

function describe({ probes, rates, players }: Outcome): Findings {
  const { measurements, add } = collectMeasurements();
  addProbes(add, probes);
  addRates(add, rates);
  for (const { name, label, value, unit } of players?.measurements ?? []) {
    add(`players.${name}`, label, value, unit);
  }
  const tables: string[] = [];
  if (probes.length > 0) {
    const rows = probes.map(({ label, measured, wanted, isOk }) => [
      label,
      measured,
      wanted,
      isOk ? "ok" : "NOT OK",
    ]);
    tables.push(renderColumns([["probe", "measured", "must be", ""], ...rows], WORD_COLUMNS));
  }
  if (rates.length > 0) tables.push(renderRates(rates));
  if (players !== undefined) tables.push(renderMeasurements(players.measurements));
  const text = tables.length === 0 ? "  nothing was measured" : tables.join("\n\n");
  return { measurements, text, notes: [...notesOnRates(rates), ...(players?.notes ?? [])] };
}

function addProbes(add: AddMeasurement, probes: readonly ProbeResult[]): void {
  for (const { name, label, measured, wanted, isOk } of probes) {
    add(`${name}.isOk`, label, isOk ? "yes" : "no");
    add(`${name}.measured`, label, measured);
    add(`${name}.wanted`, label, wanted);
  }
}
