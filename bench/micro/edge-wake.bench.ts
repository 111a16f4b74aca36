/**
 * What an edge adds to a held reload: from the moment when its upstream answers until each of many players has its last
 * byte, and what the upstream is asked meanwhile. Origin and players are this process, the edge is one of its own:
 * `bun bench/micro/edge-wake.bench.ts [waiters] [rounds] [processor of the edge]`.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { systemClock } from "#common/clock.ts";
import { MICROSECONDS_PER_SECOND } from "#common/units.ts";
import { FakeLivePlaylist, FakeOrigin } from "../../edge/fake-origin.ts";
import { type HeldHandlers, HeldWaiters } from "../held-waiters.ts";
import { parsePlaylist } from "../hls-playlist.ts";
import { cpuSeconds } from "../process-cpu.ts";
import { RawSockets } from "../raw-sockets.ts";
import { Distribution, Tally } from "../statistics.ts";

/** The result of one size. */
export interface EdgeWakeFigures {
  /** From the upstream's answer to a player's last byte, milliseconds: over the players of all rounds. */
  readonly wakeMsMedian: number;
  readonly wakeMsP99: number;
  /** The same to the last player of a round: median over the rounds. */
  readonly lastMsMedian: number;
  /** The best round's. */
  readonly lastMsMin: number;
  /** Requests that the upstream got, of every kind, for each part that it published. */
  readonly upstreamPerPart: number;
  /** The edge's processor time an answer, microseconds; 0 where that is not known. */
  readonly answerUs: number;
  /** What went wrong, by kind. */
  readonly errors: string;
}

/** An edge in front of a given upstream. */
export interface BenchEdge {
  readonly url: string;
  /** Its process, where that is not this one. */
  readonly pid?: number;
  readonly close: () => Promise<void>;
}

export interface EdgeWakeOptions {
  readonly waiters: number;
  /** Parts, for each of which all wait. */
  readonly rounds: number;
  /** Parts before the first that counts. */
  readonly warmUpRounds: number;
  readonly startEdge: (upstream: string) => BenchEdge | Promise<BenchEdge>;
}

const PATH = "/live/canvas/720p/index.m3u8";
const PART_MS = 200;
/** Rounds before the first that counts, from the command line: code is compiled and buffers grow. */
const WARM_UP_ROUNDS = 100;

/** When the players of a round had their answers. */
class Receipts {
  count = 0;
  latestMs = 0;
  publishedMs = 0;
  wakes = new Distribution();

  readonly handlers: HeldHandlers = {
    onVersion() {},
    onPart() {},
    onReceipt: (_player, _version, nowMs) => {
      this.count++;
      this.latestMs = nowMs;
      this.wakes.add(nowMs - this.publishedMs);
    },
  };
}

/** Publishes part after part, each when all wait for it and its time has come. Linux only. */
export async function benchEdgeWake({
  waiters,
  rounds,
  warmUpRounds,
  startEdge,
}: EdgeWakeOptions): Promise<EdgeWakeFigures> {
  const live = new FakeLivePlaylist();
  const origin = new FakeOrigin((request) => live.answer(request));
  const edge = await startEdge(origin.url);
  const errors = new Tally();
  const receipts = new Receipts();
  using sockets = RawSockets.open() ?? noSockets();
  using players = await openPlayers({ url: new URL(edge.url + PATH), sockets, waiters, errors, receipts });
  const turnUntil = async (isTime: () => boolean): Promise<void> => {
    while (!isTime()) {
      players.turn();
      await nextTurn();
    }
  };
  const lastsMs: number[] = [];
  let before = { requests: 0, seconds: 0 };
  for (let round = 0; round < warmUpRounds + rounds; round++) {
    const dueMs = receipts.publishedMs + PART_MS;
    // A waiter that has just asked is at the edge before the next part comes.
    await turnUntil(() => players.areAllThere && live.held === 1 && systemClock.monotonicMs() >= dueMs);
    if (round === warmUpRounds) {
      before = { requests: origin.count(), seconds: secondsOf(edge) };
      receipts.wakes = new Distribution();
    }
    receipts.count = 0;
    live.publish();
    receipts.publishedMs = systemClock.monotonicMs();
    // The origin answers in its turn, before this thread waits for the players.
    await nextTurn();
    await turnUntil(() => receipts.count >= waiters - players.gone);
    if (round >= warmUpRounds) lastsMs.push(receipts.latestMs - receipts.publishedMs);
  }
  const figures = {
    wakeMsMedian: receipts.wakes.percentile(0.5),
    wakeMsP99: receipts.wakes.percentile(0.99),
    lastMsMedian: lastsMs.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN,
    lastMsMin: Math.min(...lastsMs),
    upstreamPerPart: (origin.count() - before.requests) / rounds,
    answerUs: ((secondsOf(edge) - before.seconds) * MICROSECONDS_PER_SECOND) / (waiters * rounds),
    errors: errors.toString(),
  };
  await edge.close();
  await origin.close();
  return figures;
}

async function openPlayers(options: {
  readonly url: URL;
  readonly sockets: RawSockets;
  readonly waiters: number;
  readonly errors: Tally;
  readonly receipts: Receipts;
}): Promise<HeldWaiters> {
  const { url, sockets, waiters, errors, receipts } = options;
  const playlist = parsePlaylist(await (await fetch(url)).text(), url.href);
  if (playlist?.type !== "media") throw new Error("No media playlist");
  return new HeldWaiters({
    sockets,
    clock: systemClock,
    count: waiters,
    address: "127.0.0.1",
    url,
    playlist,
    takesParts: false,
    errors,
    handlers: receipts.handlers,
  });
}

function secondsOf({ pid }: BenchEdge): number {
  return pid === undefined ? 0 : (cpuSeconds(pid) ?? 0);
}

function noSockets(): never {
  throw new Error("This benchmark needs Linux's sockets");
}

/** An edge as it is run, on one processor where that is given. */
async function startEdgeProcess(upstream: string, processor: string | undefined): Promise<BenchEdge> {
  const listening = Promise.withResolvers<number>();
  const place = processor === undefined ? [] : ["taskset", "-c", processor];
  const child = Bun.spawn(
    [
      ...place,
      process.execPath,
      "main.ts",
      "edge",
      "--edge-port",
      "0",
      "--edge-bind",
      "127.0.0.1",
      "--upstream",
      upstream,
    ],
    {
      cwd: new URL("../..", import.meta.url).pathname,
      stdio: ["ignore", "ignore", "inherit"],
      ipc: (message: { readonly type: string; readonly ports?: Readonly<Record<string, number>> }) => {
        if (message.type === "listening") listening.resolve(message.ports?.["edge-port"] ?? 0);
      },
    },
  );
  return {
    url: `http://127.0.0.1:${await listening.promise}`,
    pid: child.pid,
    async close() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

if (import.meta.main) {
  const [waiters = "2000", rounds = "60", processor] = process.argv.slice(2);
  const figures = await benchEdgeWake({
    waiters: Number(waiters),
    rounds: Number(rounds),
    warmUpRounds: WARM_UP_ROUNDS,
    startEdge: (upstream) => startEdgeProcess(upstream, processor),
  });
  console.table([{ waiters, ...figures }]);
  process.exit();
}
