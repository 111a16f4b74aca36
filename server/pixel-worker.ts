/** One pixel thread's worker, from its start to its end, as `pixel-threads.ts` handles it. */
import type { Clock } from "#common/clock.ts";
import { SpillwayError, StartError } from "#common/errors.ts";
import { bindOrExplain } from "#common/listen.ts";
import type { Log } from "#common/log.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "./thread-messages.ts";

/** A thread that has not stopped by itself after this long is terminated. */
const STOP_MS_MAX = 1_000;
/** A thread that says nothing for this long has failed to start. */
const START_MS_MAX = 10_000;

export interface StartPixelWorkerOptions {
  readonly order: ThreadStart;
  /** The worker's module. */
  readonly entry: URL;
  readonly log: Log;
  readonly clock: Clock;
}

/** One running worker. */
export interface PixelWorker {
  /** The port that it listens on. */
  readonly port: number;
  readonly startedMs: number;
  /** Resolves when the worker is gone. */
  readonly ended: Promise<void>;
  /** Asks it to stop, and ends it. */
  close(): Promise<void>;
}

/** Starts a worker and resolves when it listens. Rejects with a {@link StartError}, leaving none. */
export async function startPixelWorker(options: StartPixelWorkerOptions): Promise<PixelWorker> {
  const { order, entry, log, clock } = options;
  const worker = new Worker(entry.href);
  const ended = Promise.withResolvers<void>();
  const listening = Promise.withResolvers<number>();
  const stopped = Promise.withResolvers<void>();
  const fail = (code: string, message: string): void =>
    listening.reject(new StartError(code, `Cannot start a pixel thread: ${message}`));
  // Only pixel-thread.ts posts here, and only reports.
  worker.addEventListener("message", ({ data }: MessageEvent<ThreadReport>) => {
    if (data.type === "listening") listening.resolve(data.port);
    else if (data.type === "failed") listening.reject(bindError(order, data));
    else if (data.type === "stopped") stopped.resolve();
    else logTrouble(log, order.index, data);
  });
  worker.addEventListener("error", (event) => {
    const reason = event.message.split("\n").find((line) => line.startsWith("error: ")) ?? "";
    log.error("A pixel thread failed", { thread: order.index, reason });
    fail("thread-failed", reason);
  });
  worker.addEventListener("close", () => {
    fail("thread-ended", "it ended");
    stopped.resolve();
    ended.resolve();
  });
  const cancel = clock.after(START_MS_MAX, () => fail("thread-silent", "it does not answer"));
  send(worker, order);
  try {
    const port = await listening.promise;
    const close = () => closeWorker({ worker, clock, stopped: stopped.promise, ended: ended.promise });
    return { port, startedMs: clock.monotonicMs(), ended: ended.promise, close };
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    cancel();
  }
}

async function closeWorker(thread: {
  readonly worker: Worker;
  readonly clock: Clock;
  readonly stopped: Promise<void>;
  readonly ended: Promise<void>;
}): Promise<void> {
  const overdue = Promise.withResolvers<void>();
  const cancel = thread.clock.after(STOP_MS_MAX, overdue.resolve);
  send(thread.worker, { type: "stop" });
  await Promise.race([thread.stopped, overdue.promise]);
  cancel();
  thread.worker.terminate();
  await thread.ended;
}

function send(worker: Worker, order: ThreadOrder): void {
  // Nothing is transferred: the framebuffer's memory is shared.
  worker.postMessage(order, []);
}

function logTrouble(
  log: Log,
  thread: number,
  trouble: ThreadReport & { readonly type: "fault" | "exhausted" },
): void {
  if (trouble.type === "fault")
    log.error("A connection was closed by a fault of ours", { thread, reason: trouble.message });
  else log.warn("The system has no room for more connections", { thread, reason: trouble.code });
}

/** The thread's failure to begin; to bind, as {@link bindOrExplain} says it. */
function bindError(
  { receive }: ThreadStart,
  { code, message }: { readonly code: string; readonly message: string },
): unknown {
  if (receive.type === "epoll") return new StartError(code, `Cannot start a pixel thread: ${message}`);
  const { port, hostname } = receive;
  try {
    return bindOrExplain({ option: "pixelflut-port", port, hostname }, () => {
      throw new SpillwayError(code, message);
    });
  } catch (error) {
    return error;
  }
}
