/** One window of a comparison: a flood of one server, and what it spent on it. */
import type { Clock } from "#common/clock.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";
import type { WindowResult } from "./compare-table.ts";
import { PixelFlood } from "./pixel-flood.ts";
import type { SentByConnection } from "./pixel-sender.ts";
import type { FloodPlan } from "./pixel-threads.ts";
import type { PixelflutTarget } from "./pixelflut-client.ts";
import { Tally } from "./statistics.ts";
import { waitFor } from "./wait.ts";

/** Time between two looks for answers. Milliseconds. */
const LOOK_MS = 5;

/** A server to flood. */
export interface MeasuredServer {
  readonly target: PixelflutTarget;
  /** Processor time that it has used so far, in seconds; `undefined` where that is not known. */
  readonly cpuSeconds: () => number | undefined;
}

/** What to send, and for how long. */
export interface WindowPlan extends Omit<FloodPlan, "target"> {
  readonly seconds: number;
  /** Longest wait for the answers at the end. Milliseconds. */
  readonly finishMsMax: number;
}

/** What was spent until one moment of a window. */
interface Reading {
  readonly bytes: number;
  readonly durationMs: number;
  readonly serverSeconds: number | undefined;
  readonly clientSeconds: number;
}

/** Floods `server` for so long and waits until it has worked everything off. */
export async function runWindow(
  { target, cpuSeconds }: MeasuredServer,
  plan: WindowPlan & { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<WindowResult> {
  const { clock, signal, connections } = plan;
  const flood = await PixelFlood.connect({ ...plan, target }, clock);
  try {
    const serverSecondsBefore = cpuSeconds();
    const clientBefore = process.cpuUsage();
    const startMs = clock.monotonicMs();
    const read = (bytes: number): Reading => {
      const serverSeconds = cpuSeconds();
      const { user, system } = process.cpuUsage(clientBefore);
      const isKnown = serverSeconds !== undefined && serverSecondsBefore !== undefined;
      return {
        bytes,
        durationMs: clock.monotonicMs() - startMs,
        serverSeconds: isKnown ? serverSeconds - serverSecondsBefore : undefined,
        clientSeconds: (user + system) / 1e6,
      };
    };
    flood.start();
    const isDone = (): boolean => flood.totals.failed === connections;
    await waitFor({ clock, signal, msMax: secondsToMs(plan.seconds), isDone });
    const finishing = flood.finish(plan.finishMsMax);
    const atLastAnswer = await readAtLastAnswer({ flood, finishing, clock, read });
    const { sent } = await finishing;
    const isConfirmed = sent.every((connection) => connection.isConfirmed);
    const bytes = sent.reduce((sum, connection) => sum + connection.bytes, 0);
    return summarise(isConfirmed ? read(bytes) : atLastAnswer, { sent, isConfirmed });
  } finally {
    flood.close();
  }
}

/**
 * What was spent until the last connection was answered, where others never are: waiting for those is none of the
 * server's work. A look every few milliseconds; where all are answered the flood itself knows the end.
 */
async function readAtLastAnswer(options: {
  readonly flood: PixelFlood;
  readonly finishing: Promise<unknown>;
  readonly clock: Clock;
  readonly read: (bytes: number) => Reading;
}): Promise<Reading> {
  const { flood, finishing, clock, read } = options;
  const atStop = flood.totals;
  let { confirmed } = atStop;
  let last = read(atStop.sentBytes);
  let isFinished = false;
  while (!isFinished) {
    const look = Promise.withResolvers<boolean>();
    const cancel = clock.after(LOOK_MS, () => look.resolve(false));
    isFinished = await Promise.race([finishing.then(() => true), look.promise]);
    cancel();
    const { totals } = flood;
    if (totals.confirmed > confirmed) last = read(totals.sentBytes);
    confirmed = totals.confirmed;
  }
  return last;
}

function summarise(
  { bytes, durationMs, serverSeconds, clientSeconds }: Reading,
  { sent, isConfirmed }: { readonly sent: readonly SentByConnection[]; readonly isConfirmed: boolean },
): WindowResult {
  const pixels = sent.reduce((sum, connection) => sum + connection.pixels, 0);
  const failures = new Tally();
  for (const { failure } of sent) if (failure !== "") failures.add(failure);
  const durationSeconds = msToSeconds(durationMs);
  return {
    bitsPerSecond: (bytes * 8) / durationSeconds,
    pixelsPerSecond: isConfirmed ? pixels / durationSeconds : undefined,
    serverSecondsPerGigabyte:
      serverSeconds === undefined || bytes === 0 ? undefined : serverSeconds / (bytes / 1e9),
    clientSecondsPerGigabyte: bytes === 0 ? undefined : clientSeconds / (bytes / 1e9),
    isConfirmed,
    failures: failures.toString(),
  };
}
