/**
 * Throws hostile conversations at a whole edge, a process of its own with an origin behind it, and looks meanwhile whether
 * it serves others, and afterwards whether it is as it was: nothing held, nothing grown, not a word in its log.
 */
import { systemClock } from "#common/clock.ts";
import { createRandom } from "#common/random.ts";
import { MEBIBYTE, msToSeconds } from "#common/units.ts";
import { FakeLiveOrigin } from "./fake-live-origin.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, isOk, metric, Program, waitFor } from "./harness.ts";
import { makeConversation, type Conversation } from "./http-fuzz-input.ts";

/** Conversations at the same time. */
const CLIENTS = 24;
/** How long a client waits for what comes, at most, in milliseconds. */
const LISTEN_MS_MAX = 150;
/** How often others ask, and how long an answer to them may take. Generous: machines are shared. */
const LOOK_MS = 500;
const ANSWER_MS_MAX = 5_000;
/** Of the edge under test; what it may have beside that. */
const CACHE_MIB = 32;
const MEMORY_BYTES_MAX = (CACHE_MIB + 120) * MEBIBYTE;
/** How long the last connections may take to be gone: the longest hold of the playlist, and some. */
const SETTLE_MS_MAX = 20_000;
/** Of an answer, for the report. */
const SHOWN_CHARACTERS = 400;

const PLAYLIST = "/live/canvas/720p/index.m3u8";
const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";

export interface HttpFuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly onProgress?: (progress: HttpFuzzResult) => void;
}

/** What came of it. */
export interface HttpFuzzResult {
  conversations: number;
  /** Answers by status, 0 for a connection that ended without one. */
  readonly statuses: Map<number, number>;
  /** The slowest answer that somebody else got meanwhile. */
  slowestMs: number;
  /** Resident memory of the edge, now and at the most. */
  memoryBytes: number;
  memoryBytesMost: number;
  /** What should not have been, one sentence each. */
  readonly failures: string[];
}

/** Runs for so many seconds and resolves with what was found. */
export async function fuzzHttp(options: HttpFuzzOptions): Promise<HttpFuzzResult> {
  const { seconds, seed, onProgress } = options;
  await using origin = new FakeLiveOrigin();
  const [port = 0] = freePorts(1);
  const settings = { "edge-port": port, "cache-mib": CACHE_MIB, upstream: origin.url };
  await using program = new Program(["edge", ...flags(settings)]);
  const url = `http://127.0.0.1:${port}`;
  await waitFor("the edge to be ready", () => isOk(`${url}/readyz`));
  // What it says at its start, such as that the system allows few open files, is nobody's fault.
  const saidBefore = program.errors.length;
  const result: HttpFuzzResult = {
    conversations: 0,
    statuses: new Map(),
    slowestMs: 0,
    memoryBytes: 0,
    memoryBytesMost: 0,
    failures: [],
  };
  const endMs = systemClock.monotonicMs() + seconds * 1_000;
  const goesOn = (): boolean =>
    systemClock.monotonicMs() < endMs && result.failures.length === 0 && !hasEnded(program);
  const clients = Array.from({ length: CLIENTS }, async (_, index) => {
    const random = createRandom(seed * CLIENTS + index + 1);
    while (goesOn()) await play(makeConversation(random), { port, result });
  });
  while (goesOn()) {
    await look(url, result);
    onProgress?.(result);
    await Bun.sleep(LOOK_MS);
  }
  await Promise.all(clients);
  await lookAfterwards({ url, program, saidBefore, result });
  return result;
}

/** One line for people. */
export function describeResult({
  conversations,
  statuses,
  slowestMs,
  memoryBytes,
  memoryBytesMost,
}: HttpFuzzResult): string {
  const counts = [...statuses].toSorted(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
  const memory = `${inMebibytes(memoryBytes)} MiB, ${inMebibytes(memoryBytesMost)} at most`;
  return `${conversations} conversations (${counts.join(", ")}), others answered within ${Math.round(slowestMs)} ms, ${memory}`;
}

function inMebibytes(bytes: number): number {
  return Math.round(bytes / MEBIBYTE);
}

async function play(
  conversation: Conversation,
  { port, result }: { readonly port: number; readonly result: HttpFuzzResult },
): Promise<void> {
  const answer = await converse(conversation, port);
  result.conversations++;
  const found = [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  for (const status of found.length === 0 ? [0] : found) {
    result.statuses.set(status, (result.statuses.get(status) ?? 0) + 1);
    if (status !== 500) continue;
    const words = JSON.stringify(
      Buffer.concat(conversation.writes).toString("latin1").slice(0, SHOWN_CHARACTERS),
    );
    result.failures.push(`500 for ${words}`);
  }
}

function hasEnded({ process: { exitCode, signalCode } }: Program): boolean {
  return exitCode !== null || signalCode !== null;
}

/** What comes back on a connection of its own, nothing where there is none; what cannot be sent or comes too late is lost. */
async function converse({ writes, pauseMs, ending }: Conversation, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let answer = "";
  const connecting = Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      data: (_socket, bytes) =>
        void (answer.length < SHOWN_CHARACTERS * 100 && (answer += bytes.toString("latin1"))),
      end: () => resolve(),
      close: () => resolve(),
      error: () => resolve(),
    },
  });
  // Nobody there any more is for the others to tell.
  const socket = await connecting.catch(() => undefined);
  if (socket === undefined) return "";
  if (ending === "deaf") socket.pause();
  for (const [index, bytes] of writes.entries()) {
    if (index > 0 && pauseMs > 0) await Bun.sleep(pauseMs);
    socket.write(bytes);
  }
  if (ending === "half") socket.shutdown();
  if (ending !== "reset") await Promise.race([promise, Bun.sleep(LISTEN_MS_MAX)]);
  socket.terminate();
  return answer;
}

/** Asks as somebody who means well. */
async function look(url: string, result: HttpFuzzResult): Promise<void> {
  const beganMs = systemClock.monotonicMs();
  try {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    const [playlist, media, page] = await Promise.all(
      [PLAYLIST, MEDIA, "/metrics"].map(async (path) => (await fetch(url + path, { signal })).text()),
    );
    result.slowestMs = Math.max(result.slowestMs, systemClock.monotonicMs() - beganMs);
    if (playlist?.startsWith("#EXTM3U\n") !== true)
      result.failures.push(`A viewer got no playlist: ${playlist}`);
    if (media !== MEDIA) result.failures.push(`A viewer got other media: ${media}`);
    const memoryBytes = metric(page ?? "", "process_resident_memory_bytes");
    result.memoryBytes = memoryBytes;
    result.memoryBytesMost = Math.max(result.memoryBytesMost, memoryBytes);
    if (memoryBytes > MEMORY_BYTES_MAX) result.failures.push(`The edge has ${memoryBytes} bytes of memory`);
  } catch (error) {
    const waitedMs = systemClock.monotonicMs() - beganMs;
    result.failures.push(
      `A viewer had no answer after ${msToSeconds(waitedMs).toFixed(1)} s: ${String(error)}`,
    );
  }
}

async function lookAfterwards({
  url,
  program,
  saidBefore,
  result,
}: {
  readonly url: string;
  readonly program: Program;
  readonly saidBefore: number;
  readonly result: HttpFuzzResult;
}): Promise<void> {
  const { failures } = result;
  const { exitCode, signalCode } = program.process;
  if (hasEnded(program)) failures.push(`The edge ended with ${exitCode ?? signalCode}`);
  const words = program.errors.slice(saidBefore).trim();
  if (/ (?:warn|error) /.test(words)) failures.push(`The edge says: ${words.slice(-SHOWN_CHARACTERS)}`);
  if (failures.length > 0) return;
  await look(url, result);
  const isQuiet = async (): Promise<boolean> => {
    const page = await getText(`${url}/metrics`);
    const open = ['spillway_edge_viewers{kind="ts"}', 'spillway_edge_viewers{kind="events"}'];
    return [...open, "spillway_edge_held_requests"].every((series) => metric(page, series) === 0);
  };
  try {
    await waitFor("everybody to be gone", isQuiet, SETTLE_MS_MAX);
  } catch {
    failures.push("Viewers that have left are counted still, or their requests are held");
  }
}
