/** `bench viewers`: many modelled HLS players at once, and what they saw. */
import { msToSeconds, secondsToMs } from "#common/units.ts";
import { StartError } from "#common/errors.ts";
import type { ViewersConfig } from "./config.ts";
import { HlsPlayer } from "./hls-player.ts";
import { HttpClient, HttpContext } from "./http-client.ts";
import type { BenchContext } from "./context.ts";
import { PlaylistReader } from "./playlist-reader.ts";
import {
  collectMeasurements,
  formatValue,
  startProgress,
  type AddMeasurement,
  type Findings,
} from "./report.ts";
import { SelfCheck } from "./self-check.ts";
import { Distribution } from "./statistics.ts";
import { ViewerFigures } from "./viewer-figures.ts";
import { joinEvenly, waitFor } from "./wait.ts";

/** Plays until the time is over. Throws StartError where nothing at all could be fetched. */
export async function runViewers(context: BenchContext<ViewersConfig>): Promise<Findings> {
  const { config, clock, signal } = context;
  const figures = new ViewerFigures(clock);
  const reader = new PlaylistReader(figures.protocolErrors);
  const http = new HttpContext({ clock, isInsecure: config.insecure });
  const clients: HttpClient[] = [];
  const players: HlsPlayer[] = [];
  const runs: Promise<void>[] = [];
  const startMs = clock.monotonicMs();
  const selfCheck = new SelfCheck(clock);
  const stopProgress = startProgress({
    ...context,
    describe: describeProgress(figures, players, () => clock.monotonicMs()),
  });
  try {
    await joinEvenly({
      clock,
      signal,
      count: config.viewers,
      overMs: secondsToMs(config.rampSeconds),
      join(index) {
        const client = new HttpClient(http);
        const player = new HlsPlayer({
          url: config.url,
          isLowLatency: config.mode === "llhls" || (config.mode === "mixed" && index % 2 === 0),
          ignoresHints: config.ignoreHints,
          client,
          reader,
          figures,
          clock,
        });
        clients.push(client);
        players.push(player);
        runs.push(player.run());
      },
    });
    await waitFor({ clock, signal, msMax: secondsToMs(config.seconds) });
  } finally {
    stopProgress();
    selfCheck.stop();
    for (const player of players) player.stop();
    for (const client of clients) client.close();
    http.close();
  }
  const endMs = clock.monotonicMs();
  await Promise.all(runs);
  if (figures.bytes === 0 && figures.errors.total > 0 && !signal.aborted)
    throw new StartError("no-answer", `Cannot play ${config.url}: ${figures.errors.toString()}`);
  const report = collectMeasurements();
  addPlayback(report.add, { players, endMs });
  addTraffic(report.add, { figures, durationMs: endMs - startMs });
  selfCheck.add(report.add);
  return { measurements: report.measurements, notes: [...selfCheck.notes, ...notesOn(figures)] };
}

function describeProgress(figures: ViewerFigures, players: readonly HlsPlayer[], monotonicMs: () => number) {
  let lastBytes = 0;
  let lastRequests = 0;
  return (sinceLastMs: number): string => {
    const seconds = msToSeconds(sinceLastMs);
    const requests = figures.requests.total;
    const megabits = ((figures.bytes - lastBytes) * 8) / seconds / 1e6;
    const rate = Math.round((requests - lastRequests) / seconds);
    lastBytes = figures.bytes;
    lastRequests = requests;
    const { playing, stalls } = stateOf(players, monotonicMs());
    const errors = figures.errors.total + figures.protocolErrors.total;
    return `${players.length} viewers, ${playing} playing  ${rate} requests/s  ${formatValue(megabits)} Mbit/s  ${stalls} stalls  ${errors} errors`;
  };
}

function stateOf(players: readonly HlsPlayer[], nowMs: number) {
  let playing = 0;
  let stalls = 0;
  for (const { buffer } of players) {
    buffer?.advance(nowMs);
    stalls += buffer?.stalls ?? 0;
    if (buffer?.hasBegun === true && !buffer.isStalled) playing += 1;
  }
  return { playing, stalls };
}

function addPlayback(
  add: AddMeasurement,
  { players, endMs }: { readonly players: readonly HlsPlayer[]; readonly endMs: number },
): void {
  const ahead = new Distribution();
  let begun = 0;
  let stalls = 0;
  let stalledMs = 0;
  let stalledPlayers = 0;
  for (const { buffer } of players) {
    if (buffer?.hasBegun !== true) continue;
    begun += 1;
    ahead.add(Math.max(0, buffer.aheadMs(endMs)));
    buffer.advance(endMs, true);
    stalls += buffer.stalls;
    stalledMs += buffer.stalledMs;
    if (buffer.stalls > 0) stalledPlayers += 1;
  }
  add("viewers", "viewers", players.length, "viewers");
  add("begun", "that began to play", begun, "viewers");
  add("stalls", "stalls", stalls, "stalls");
  add("stalledViewers", "viewers that stalled", stalledPlayers, "viewers");
  add("stalledTime", "stood still, all viewers together", stalledMs, "ms");
  add("bufferAtEnd", "buffer at the end, least", ahead.min, "ms");
  add("bufferAtEndMedian", "buffer at the end, median", ahead.percentile(0.5), "ms");
}

function addTraffic(
  add: AddMeasurement,
  { figures, durationMs }: { readonly figures: ViewerFigures; readonly durationMs: number },
): void {
  const seconds = msToSeconds(durationMs);
  const { requests } = figures;
  add("duration", "duration", seconds, "s");
  add("requests", "requests", requests.total, "requests");
  add("requestRate", "requests a second", requests.total / seconds, "requests/s");
  add("requestsByKind", "requests by kind", requests.toString());
  add("bytes", "bodies received", figures.bytes, "bytes");
  add("throughput", "throughput", (figures.bytes * 8) / seconds / 1e9, "Gbit/s");
  add("errors", "failed requests", figures.errors.toString());
  add("protocolErrors", "breaches of HLS", figures.protocolErrors.toString());
  add("rejoins", "fell out of the window", figures.rejoins, "times");
  addDistribution(add, "join", "request to first picture", figures.join);
  addDistribution(add, "playlistWake", "held playlist after its first recipient", figures.wake);
  addDistribution(add, "playlistDelay", "playlist after its media's end", figures.playlistDelay);
  addDistribution(add, "mediaDelay", "part after its end", figures.mediaDelay);
  addDistribution(add, "fetch", "listed media, request to end", figures.fetch);
}

function addDistribution(add: AddMeasurement, name: string, label: string, values: Distribution): void {
  if (values.count === 0) return;
  add(`${name}P50`, `${label}, p50`, values.percentile(0.5), "ms");
  add(`${name}P95`, `${label}, p95`, values.percentile(0.95), "ms");
  add(`${name}Max`, `${label}, max`, values.max, "ms");
}

function notesOn(figures: ViewerFigures): string[] {
  const notes: string[] = [];
  if (figures.clockMismatches > 0) {
    notes.push(
      `${figures.clockMismatches} dates in playlists cannot be right by this machine's clock; they are left out of the delays.`,
    );
  }
  if (figures.playlistDelay.count > 0) {
    notes.push(
      "Delays after the media's end compare the playlist's dates with this machine's clock; they may be below zero by a frame, since the last frame is taken before its time is over.",
    );
  }
  return notes;
}
