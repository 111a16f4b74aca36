/**
 * `bench held`: how long after a part is published each of many waiting players has the playlist that lists it. Every
 * player asks for the next part as soon as it has one, so that a server which lags loses parts and does not only delay.
 */
import { lookup } from "node:dns/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { StartError } from "#common/errors.ts";
import { msToSeconds } from "#common/units.ts";
import type { HeldConfig } from "./config.ts";
import type { BenchContext } from "./context.ts";
import { HeldFeed } from "./held-feed.ts";
import { HeldRounds, type HeldRoundsOptions } from "./held-rounds.ts";
import { HeldWaiters } from "./held-waiters.ts";
import { endWallMs, parsePlaylist, type MediaPlaylist } from "./hls-playlist.ts";
import { cpuSeconds, residentBytes } from "./process-cpu.ts";
import { RawSockets } from "./raw-sockets.ts";
import {
  collectMeasurements,
  formatValue,
  startProgress,
  type AddMeasurement,
  type Findings,
} from "./report.ts";
import { SelfCheck } from "./self-check.ts";
import { Tally } from "./statistics.ts";

/** A run ends early where no new part has come for this long. Milliseconds. */
const SILENCE_MS_MAX = 30_000;

/** A media playlist, once read. */
interface Start {
  readonly url: URL;
  readonly playlist: MediaPlaylist;
  readonly partTargetMs: number;
}

/** What the process of `--pid` has used; empty without it. */
interface Usage {
  bytesBefore?: number | undefined;
  bytesWaiting?: number | undefined;
  startSeconds?: number | undefined;
  endSeconds?: number | undefined;
  startMs?: number;
  endMs?: number;
}

/**
 * Waits until the rounds are over. Throws StartError where there is nothing to wait for.
 *
 * @param publishedMs when a part was published, where the caller knows better than any feed
 */
export async function runHeld(
  context: BenchContext<HeldConfig>,
  publishedMs?: HeldRoundsOptions["publishedMs"],
): Promise<Findings> {
  const { config, clock } = context;
  const start = await readStart(config.url);
  const sockets = RawSockets.open();
  if (sockets === undefined) throw new StartError("not-linux", "bench held needs Linux's sockets");
  using _ = sockets;
  const { partTargetMs, url } = start;
  const feed =
    config.feed === ""
      ? undefined
      : await HeldFeed.open({ url: config.feed, playlistPath: url.pathname, partTargetMs, clock });
  const errors = new Tally();
  const rounds = new HeldRounds({
    ...config,
    partTargetMs,
    publishedMs: publishedMs ?? ((at) => feed?.arrivedMs(at)),
  });
  const usage: Usage = { bytesBefore: readBytes(config.pid) };
  const selfCheck = new SelfCheck(clock);
  try {
    await wait({ context, start, sockets, rounds, errors, usage });
  } finally {
    selfCheck.stop();
    feed?.close();
  }
  rounds.end();
  if (rounds.answers === 0 && !context.signal.aborted) {
    throw new StartError("no-answer", `Cannot wait at ${url.href}: ${errors.toString()}`);
  }
  return describe({ config, rounds, errors, usage, selfCheck });
}

interface Run {
  readonly context: BenchContext<HeldConfig>;
  readonly start: Start;
  readonly sockets: RawSockets;
  readonly rounds: HeldRounds;
  readonly errors: Tally;
  readonly usage: Usage;
}

async function wait({ context, start, sockets, rounds, errors, usage }: Run): Promise<void> {
  const { config, clock, signal } = context;
  const { url, playlist } = start;
  const { address } = await lookup(url.hostname.replace(/^\[|\]$/g, ""));
  let newestMs = clock.monotonicMs();
  using waiters: HeldWaiters = new HeldWaiters({
    sockets,
    clock,
    count: config.waiters,
    address,
    url,
    playlist,
    takesParts: config.parts,
    errors,
    handlers: {
      onVersion(version, nowMs) {
        newestMs = nowMs;
        const endMs = endWallMs(version.playlist) ?? Number.NaN;
        if (!rounds.begin({ at: version.at, endMs }, nowMs, waiters.areAllThere)) return;
        usage.startSeconds = config.pid === 0 ? undefined : cpuSeconds(config.pid);
        usage.startMs = nowMs;
      },
      onReceipt: (waiter, { at }, nowMs) => rounds.receive(waiter, at, nowMs),
      onPart: ({ at }, nowMs) => rounds.receivePart(at, nowMs),
    },
  });
  const stopProgress = startProgress({
    ...context,
    describe: () =>
      `${waiters.areAllThere ? "all" : "not all"} are there  ${rounds.versions} parts  ${formatValue(rounds.waits.percentile(0.99))} ms p99  ${errors.total} errors`,
  });
  try {
    while (!rounds.isComplete && waiters.gone < config.waiters && !signal.aborted) {
      waiters.turn();
      // The feed and the signal are this process's other business.
      await nextTurn();
      if (clock.monotonicMs() - newestMs > SILENCE_MS_MAX) break;
    }
    usage.bytesWaiting = readBytes(config.pid);
    usage.endSeconds = config.pid === 0 ? undefined : cpuSeconds(config.pid);
    usage.endMs = clock.monotonicMs();
  } finally {
    stopProgress();
  }
}

/** Finds the media playlist. Throws StartError where nothing can be waited for. */
async function readStart(first: string): Promise<Start> {
  let url = first;
  const refuse = (why: string): StartError => new StartError("cannot-wait", `Cannot wait at ${url}: ${why}`);
  for (const depth of ["multivariant", "media"]) {
    if (!url.startsWith("http:")) throw refuse("not plain HTTP");
    let text: string;
    try {
      const response = await fetch(url);
      if (response.status !== 200) throw refuse(`status ${response.status}`);
      text = await response.text();
    } catch (error) {
      throw error instanceof StartError ? error : refuse("no answer");
    }
    const playlist = parsePlaylist(text, url);
    if (playlist === undefined) throw refuse("no playlist");
    if (playlist.type === "media") {
      const { partTargetMs, canBlockReload } = playlist;
      if (partTargetMs === undefined || !canBlockReload) throw refuse("no parts, or no blocking reload");
      return { url: new URL(url), playlist, partTargetMs };
    }
    const [variant] = playlist.variantUris;
    if (depth === "media" || variant === undefined) break;
    url = variant;
  }
  throw refuse("no media playlist");
}

function readBytes(pid: number): number | undefined {
  return pid === 0 ? undefined : residentBytes(pid);
}

interface Outcome {
  readonly config: HeldConfig;
  readonly rounds: HeldRounds;
  readonly errors: Tally;
  readonly usage: Usage;
  readonly selfCheck: SelfCheck;
}

function describe({ config, rounds, errors, usage, selfCheck }: Outcome): Findings {
  const { measurements, add } = collectMeasurements();
  const { seen, partsPublished, waits, spreads } = rounds;
  add("waiters", "waiting", config.waiters, "players");
  add("parts", "parts published meanwhile", partsPublished, "parts");
  for (const [name, share] of Object.entries({ P50: 0.5, P95: 0.95, P99: 0.99, Max: 1 })) {
    add(`wait${name}`, `from publication to a player, ${name.toLowerCase()}`, waits.percentile(share), "ms");
  }
  for (const [name, share] of Object.entries({ P50: 0.5, P99: 0.99, Max: 1 })) {
    add(
      `spread${name}`,
      `from the first player to a player, ${name.toLowerCase()}`,
      spreads.percentile(share),
      "ms",
    );
  }
  add("behindCadence", "latest answer behind the cadence", rounds.behindCadenceMs, "ms");
  add("seenMin", "parts that a player got, fewest", seen[0] ?? 0, "parts");
  add("seenMedian", "parts that a player got, median", seen[seen.length >> 1] ?? 0, "parts");
  const got = seen.reduce((sum, parts) => sum + parts, 0);
  add("missed", "parts that players missed, all", config.waiters * partsPublished - got, "parts");
  if (config.parts) addParts(add, rounds);
  addUsage(add, { config, rounds, usage });
  add("errors", "failed requests", errors.toString());
  selfCheck.add(add);
  const { datedVersions } = rounds;
  const from =
    datedVersions === 0
      ? "Publication is when the first player has a part."
      : `Publication is when a part's last frame was at the origin (${datedVersions} of ${Math.min(rounds.versions, config.rounds)} parts; of others when the first player has it).`;
  return { measurements, notes: [from, ...selfCheck.notes] };
}

function addParts(add: AddMeasurement, { parts, lateParts }: HeldRounds): void {
  for (const [name, share] of Object.entries({ P50: 0.5, P99: 0.99, Max: 1 })) {
    add(
      `part${name}`,
      `from publication to the part's last byte, ${name.toLowerCase()}`,
      parts.percentile(share),
      "ms",
    );
  }
  add("lateParts", "parts later than the next one was due", lateParts, `of ${parts.count}`);
}

function addUsage(
  add: AddMeasurement,
  { config, rounds, usage }: Pick<Outcome, "config" | "rounds" | "usage">,
): void {
  const { bytesBefore, bytesWaiting, startSeconds, endSeconds, startMs, endMs } = usage;
  if (bytesBefore !== undefined && bytesWaiting !== undefined) {
    add("serverBytes", "server's memory before", bytesBefore / 1e6, "MB");
    add("waiterBytes", "its memory for a player", (bytesWaiting - bytesBefore) / config.waiters / 1e3, "kB");
  }
  if (startSeconds === undefined || endSeconds === undefined) return;
  if (startMs === undefined || endMs === undefined || rounds.answers === 0) return;
  const seconds = endSeconds - startSeconds;
  const cores = seconds / msToSeconds(endMs - startMs);
  add("serverCores", "its processor time", cores, "cores");
  const answers = rounds.answers * (rounds.versions / Math.max(1, Math.min(rounds.versions, config.rounds)));
  const answerMicroseconds = (seconds * 1e6) / answers;
  const what = config.parts ? "a playlist with its part" : "an answer";
  add("answerMicroseconds", `its processor time for ${what}`, answerMicroseconds, "us");
  // Of players that miss nothing, whatever these missed.
  add(
    "playersPerCore",
    "players for a core of it",
    (rounds.partTargetMs * 1e3) / answerMicroseconds,
    "players",
  );
}
