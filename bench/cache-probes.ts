/**
 * The probes of `bench cache`: what a cache makes of many readers of one thing, of a reader who comes later, leaves or
 * stalls, and of an origin that fails. Each says what it measured and what has to be.
 */
// RFC 9111 (caching), RFC 5861 (stale-while-revalidate), draft-pantos-hls-rfc8216bis-22 B.1 (held playlists)
import type { Clock } from "#common/clock.ts";
import { pause } from "#common/pause.ts";
import type { CacheClients, Fetched } from "./cache-clients.ts";
import type { CacheOrigin } from "./cache-origin.ts";
import {
  CHUNKS,
  FIRST_BYTE_CHUNKS,
  HOLD_CHUNKS,
  objectPath,
  OBJECT_BYTES,
  playlistPath,
  type ObjectKind,
  type Paths,
} from "./cache-objects.ts";
import { FIRST_HELD } from "./cache-playlists.ts";
import { formatValue } from "./report.ts";
import { median } from "./statistics.ts";

/** The probes by name, in the order in which they run. */
export const PROBE_NAMES = [
  "cold",
  "join",
  "abort",
  "dying",
  "cut",
  "failing",
  "expired",
  "private",
  "stalled",
  "held",
] as const;
export type ProbeName = (typeof PROBE_NAMES)[number];

/** What one probe found. */
export interface ProbeResult {
  readonly name: ProbeName;
  /** What was done. */
  readonly label: string;
  readonly measured: string;
  readonly wanted: string;
  readonly isOk: boolean;
}

/** What probes work with. */
export interface ProbeContext {
  readonly clients: CacheClients;
  readonly origin: CacheOrigin;
  readonly clock: Clock;
  readonly paths: Paths;
  readonly chunkMs: number;
  readonly largeBytes: number;
  /** A number that no object had before. */
  readonly nextRun: () => number;
}

/** How long an answer from memory may take to begin, and one that is passed on. Milliseconds. */
const MEMORY_MS_MAX = 10;
const STALE_MS_MAX = 15;
const PASSING_MS_MAX = 30;
const HELD_MS_MAX = 20;
/** How much later than the origin's own pace an answer that many wait for may begin. Milliseconds. */
const LATE_MS_MAX = 50;
/** When objects with a second of freshness have none left, whatever a cache's clock counts in. Milliseconds. */
const EXPIRED_MS = 2_200;
/** How long the stalled reader is alone with the large object, which takes the origin a part of it. Milliseconds. */
const STALL_MS = 1_000;

/** Times from here on are told in whole milliseconds. */
const WHOLE_MS_MIN = 10;

const COLD_CLIENTS = 50;
const FOLLOWERS = 10;
const WAVE_CLIENTS = 20;
const HELD_CLIENTS = 100;

/** Runs one probe. */
export function runProbe(name: ProbeName, context: ProbeContext): Promise<ProbeResult> {
  return PROBES[name](context);
}

const PROBES: Readonly<Record<ProbeName, (context: ProbeContext) => Promise<ProbeResult>>> = {
  cold: probeCold,
  join: probeJoin,
  abort: probeAbort,
  dying: (context) => probeDeath(context, "dying"),
  cut: (context) => probeDeath(context, "cut"),
  failing: probeFailing,
  expired: probeExpired,
  private: probePrivate,
  stalled: probeStalled,
  held: probeHeld,
};

async function probeCold(context: ProbeContext): Promise<ProbeResult> {
  const path = newPath(context, "steady");
  const got = await context.clients.fetchAll(COLD_CLIENTS, path);
  const hits = context.origin.hits(path);
  const firstMs = median(got.map(({ firstByteMs }) => firstByteMs));
  const wholes = countWhole(got);
  const wantedMs = FIRST_BYTE_CHUNKS * context.chunkMs + LATE_MS_MAX;
  return {
    name: "cold",
    label: `${COLD_CLIENTS} clients at once, nothing stored`,
    measured: `${ofOrigin(hits)}, first byte ${ms(firstMs)}, ${wholes} whole`,
    wanted: `${ofOrigin(1)}, < ${ms(wantedMs)}, ${COLD_CLIENTS}`,
    isOk: hits === 1 && firstMs < wantedMs && wholes === COLD_CLIENTS,
  };
}

async function probeJoin(context: ProbeContext): Promise<ProbeResult> {
  const path = newPath(context, "steady");
  const { clients, origin, chunkMs } = context;
  const [leader, joiner] = await clients.open(2);
  if (leader === undefined || joiner === undefined) throw new Error("unreachable: two clients were opened");
  const leading = leader.fetch(path).done;
  await pause(context.clock, (FIRST_BYTE_CHUNKS + CHUNKS / 2) * chunkMs);
  const joined = await joiner.fetch(path).done;
  const hits = origin.hits(path);
  const wholes = countWhole([await leading, joined]);
  return {
    name: "join",
    label: "a client joins in the middle of the body",
    measured: `${ofOrigin(hits)}, its first byte ${ms(joined.firstByteMs)}, ${wholes} whole`,
    wanted: `${ofOrigin(1)}, < ${ms(MEMORY_MS_MAX)}, 2`,
    isOk: hits === 1 && joined.firstByteMs < MEMORY_MS_MAX && wholes === 2,
  };
}

async function probeAbort(context: ProbeContext): Promise<ProbeResult> {
  const path = newPath(context, "steady");
  const { clients, origin, chunkMs } = context;
  const [leader, ...followers] = await clients.open(FOLLOWERS + 1);
  const leading = leader?.fetch(path);
  await pause(context.clock, chunkMs);
  const following = followers.map((client) => client.fetch(path).done);
  await pause(context.clock, FIRST_BYTE_CHUNKS * chunkMs);
  leading?.abort();
  const wholes = countWhole(await Promise.all(following));
  const hits = origin.hits(path);
  return {
    name: "abort",
    label: `the first of ${FOLLOWERS + 1} clients leaves in the middle`,
    measured: `${ofOrigin(hits)}, ${wholes} whole`,
    wanted: `${ofOrigin(1)}, ${FOLLOWERS}`,
    isOk: hits === 1 && wholes === FOLLOWERS,
  };
}

async function probeDeath(context: ProbeContext, name: "dying" | "cut"): Promise<ProbeResult> {
  const path = newPath(context, name);
  const got = await context.clients.fetchAll(WAVE_CLIENTS, path);
  const short = got.filter((one) => one.status === 200 && one.failure === "" && !isWhole(one)).length;
  const next = await context.clients.fetch(path);
  return {
    name,
    label: `the origin dies in the middle, ${name === "cut" ? "its length unknown" : "its length known"}; ${WAVE_CLIENTS} clients`,
    measured: `${short} short unnoticed, the next ${isWhole(next) ? "whole" : "not whole"}`,
    wanted: "0, whole",
    isOk: short === 0 && isWhole(next),
  };
}

async function probeFailing(context: ProbeContext): Promise<ProbeResult> {
  const path = newPath(context, "failing");
  const got = await context.clients.fetchAll(WAVE_CLIENTS, path);
  const hits = context.origin.hits(path);
  const wholes = countWhole(got);
  return {
    name: "failing",
    label: `the first answer is a 503, the next is well; ${WAVE_CLIENTS} clients`,
    measured: `${ofOrigin(hits)}, ${wholes} whole`,
    wanted: `${ofOrigin(2)}, at least ${WAVE_CLIENTS - 1}`,
    isOk: hits === 2 && wholes >= WAVE_CLIENTS - 1,
  };
}

async function probeExpired(context: ProbeContext): Promise<ProbeResult> {
  const path = newPath(context, "expiring");
  await context.clients.fetch(path);
  await pause(context.clock, EXPIRED_MS);
  const before = context.origin.hits(path);
  const got = await context.clients.fetchAll(COLD_CLIENTS, path);
  // Nobody waits for the request that renews it.
  await pause(context.clock, FIRST_BYTE_CHUNKS * context.chunkMs);
  const hits = context.origin.hits(path) - before;
  const firstMs = median(got.map(({ firstByteMs }) => firstByteMs));
  return {
    name: "expired",
    label: `${COLD_CLIENTS} clients, stale-while-revalidate`,
    measured: `${ofOrigin(hits)}, first byte ${ms(firstMs)}`,
    wanted: `${ofOrigin(1)}, < ${ms(STALE_MS_MAX)}`,
    isOk: hits === 1 && firstMs < STALE_MS_MAX && got.every(({ status }) => status === 200),
  };
}

/** Of the first wave a cache cannot know that nothing will be shared: one answer may be waited for, then all go at once. */
async function probePrivate(context: ProbeContext): Promise<ProbeResult> {
  const path = newPath(context, "private");
  const first = await context.clients.fetchAll(WAVE_CLIENTS, path);
  const second = await context.clients.fetchAll(WAVE_CLIENTS, path);
  const texts = new Set([...first, ...second].filter(({ status }) => status === 200).map(({ text }) => text));
  const shared = WAVE_CLIENTS * 2 - texts.size;
  const [firstMs, secondMs] = [slowestMs(first), slowestMs(second)];
  const paceMs = FIRST_BYTE_CHUNKS * context.chunkMs;
  const [firstMax, secondMax] = [paceMs * 2 + LATE_MS_MAX, paceMs + LATE_MS_MAX];
  return {
    name: "private",
    label: `no-store, ${WAVE_CLIENTS} clients, twice`,
    measured: `slowest ${ms(firstMs)}, then ${ms(secondMs)}, ${shared} shared`,
    wanted: `< ${ms(firstMax)}, < ${ms(secondMax)}, 0`,
    isOk: firstMs < firstMax && secondMs < secondMax && shared === 0,
  };
}

async function probeStalled(context: ProbeContext): Promise<ProbeResult> {
  const { clients, largeBytes } = context;
  const path = newPath(context, "large");
  const stalled = await clients.stall(path);
  try {
    await pause(context.clock, STALL_MS);
    const got = await clients.fetch(path);
    const isRight = isWhole(got, largeBytes);
    return {
      name: "stalled",
      label: `a reader of ${formatValue(largeBytes / 2 ** 20)} MiB stalls; the second client`,
      measured: `first byte ${ms(got.firstByteMs)}, ${isRight ? "whole" : "not whole"} after ${ms(got.endMs)}`,
      wanted: `< ${ms(PASSING_MS_MAX)}, whole`,
      isOk: got.firstByteMs < PASSING_MS_MAX && isRight,
    };
  } finally {
    stalled.destroy();
  }
}

async function probeHeld(context: ProbeContext): Promise<ProbeResult> {
  const { clients, origin, chunkMs, paths } = context;
  const path = playlistPath(paths, "held", context.nextRun());
  // Players have the playlist when they begin to wait.
  await clients.fetch(path);
  const got = await clients.fetchAll(HELD_CLIENTS, `${path}?${FIRST_HELD}`);
  const hits = origin.hits(path);
  const slowest = slowestMs(got);
  const oks = got.filter(({ status, text }) => status === 200 && text.includes("-10.1.m4s")).length;
  const holdMs = HOLD_CHUNKS * chunkMs;
  return {
    name: "held",
    label: `a playlist held for ${ms(holdMs)}, ${HELD_CLIENTS} clients`,
    measured: `${ofOrigin(hits)}, slowest ${ms(slowest)}, ${oks} right`,
    wanted: `${ofOrigin(1)}, < ${ms(holdMs + HELD_MS_MAX)}, ${HELD_CLIENTS}`,
    isOk: hits === 1 && slowest < holdMs + HELD_MS_MAX && oks === HELD_CLIENTS,
  };
}

function newPath({ paths, nextRun }: ProbeContext, kind: ObjectKind): string {
  return objectPath(paths, kind, nextRun());
}

function countWhole(got: readonly Fetched[]): number {
  return got.filter((one) => isWhole(one)).length;
}

function isWhole({ status, failure, bytes, areBytesRight }: Fetched, length = OBJECT_BYTES): boolean {
  return status === 200 && failure === "" && bytes === length && areBytesRight;
}

function slowestMs(got: readonly Fetched[]): number {
  return Math.max(...got.map(({ endMs }) => endMs));
}

function ofOrigin(hits: number): string {
  return `${hits} at the origin`;
}

function ms(value: number): string {
  return `${formatValue(value >= WHOLE_MS_MIN ? Math.round(value) : value)} ms`;
}
