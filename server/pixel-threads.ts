/**
 * The pixel threads as the server's main thread sees them: opens the port in all of them, replaces one that dies, ends
 * them. What they count is in the framebuffer.
 */
import type { Clock } from "#common/clock.ts";
import { SpillwayError, StartError } from "#common/errors.ts";
import { bindOrExplain } from "#common/listen.ts";
import type { Log } from "#common/log.ts";
import type { Framebuffer } from "./framebuffer.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "./thread-messages.ts";

/** A thread that died is replaced after this long; twice as long each time, until one has lived for a minute. */
const RESTART_MS_MIN = 100;
const RESTART_MS_MAX = 10_000;
const RESTART_FORGIVEN_MS = 60_000;
/** A thread that has not stopped by itself after this long is terminated. */
const STOP_MS_MAX = 1_000;
/** A thread that says nothing for this long has failed to start. */
const START_MS_MAX = 10_000;

export interface PixelThreadsOptions {
  readonly framebuffer: Framebuffer;
  /** How many threads, at least one. */
  readonly count: number;
  readonly hostname: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly protocol: ThreadStart["protocol"];
  readonly viewers: ThreadStart["viewers"];
  readonly log: Log;
  readonly clock: Clock;
  /** The worker's module. Default: `pixel-thread.ts`. */
  readonly entry?: URL;
}

/** One running worker. */
interface PixelThread {
  readonly worker: Worker;
  readonly startedMs: number;
  /** Resolves when the worker is gone. */
  readonly ended: Promise<void>;
  /** Asks it to stop, and ends it. */
  close(): Promise<void>;
}

export class PixelThreads {
  readonly #options: PixelThreadsOptions;
  readonly #threads = new Map<number, PixelThread>();
  readonly #restartDelaysMs = new Map<number, number>();
  readonly #cancels = new Set<() => void>();
  #port: number;
  #isClosing = false;
  #restarts = 0;

  private constructor(options: PixelThreadsOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  /** Starts the threads and resolves when all of them listen. Rejects with a {@link StartError}, leaving none. */
  static async open(options: PixelThreadsOptions): Promise<PixelThreads> {
    probePort(options);
    const threads = new PixelThreads(options);
    try {
      // The first one finds the port, where any will do.
      await threads.#start(0);
      const others = Array.from({ length: options.count - 1 }, (_, index) => threads.#start(index + 1));
      const failed = (await Promise.allSettled(others)).find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      await threads.close();
      throw error;
    }
    return threads;
  }

  /** The port that players connect to. */
  get port(): number {
    return this.#port;
  }

  /** Threads that listen now. */
  get listening(): number {
    return this.#threads.size;
  }

  /** Attempts since the start to replace a thread that ended by itself. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Stops listening, closes all connections and ends the threads. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const cancel of this.#cancels) cancel();
    await Promise.all([...this.#threads.values()].map((thread) => thread.close()));
  }

  async #start(index: number): Promise<void> {
    const { framebuffer, hostname, protocol, viewers, log, clock } = this.#options;
    const { memory, width, height } = framebuffer;
    const thread = await startThread(this.#options, {
      type: "start",
      framebuffer: { memory, width, height },
      index,
      hostname,
      port: this.#port,
      protocol,
      viewers,
    });
    this.#port = thread.port;
    this.#threads.set(index, thread);
    // Never rejects, and nobody waits for the end of a thread that is replaced.
    void thread.ended.then(() => {
      this.#threads.delete(index);
      this.#forgetConnections(index);
      if (this.#isClosing) return;
      log.error("A pixel thread ended: starting another", { thread: index });
      if (clock.monotonicMs() - thread.startedMs >= RESTART_FORGIVEN_MS) this.#restartDelaysMs.delete(index);
      this.#restartLater(index);
    });
    if (this.#isClosing) await thread.close();
  }

  #restartLater(index: number): void {
    const { clock, log } = this.#options;
    const delayMs = this.#restartDelaysMs.get(index) ?? RESTART_MS_MIN;
    this.#restartDelaysMs.set(index, Math.min(delayMs * 2, RESTART_MS_MAX));
    const cancel = clock.after(delayMs, () => {
      this.#cancels.delete(cancel);
      this.#restarts += 1;
      this.#start(index).catch((error: unknown) => {
        log.error("A pixel thread could not start", { thread: index, reason: String(error) });
        if (!this.#isClosing) this.#restartLater(index);
      });
    });
    this.#cancels.add(cancel);
  }

  /** The connections of a thread that is gone are closed; nobody else writes its counters any more. */
  #forgetConnections(index: number): void {
    const slot = this.#options.framebuffer.counters[index];
    if (slot === undefined) return;
    slot.add("closed", slot.read("accepted") - slot.read("closed"));
    slot.add("heldBytes", -slot.read("heldBytes"));
  }
}

/**
 * Takes the port alone for a moment. The threads share theirs, and the system would let them share it with another
 * server of the same user too, silently.
 */
function probePort({ hostname, port }: PixelThreadsOptions): void {
  const socket = { data() {} };
  bindOrExplain({ option: "pixelflut-port", port, hostname }, () =>
    Bun.listen({ hostname, port, socket }),
  ).stop(true);
}

async function startThread(
  options: PixelThreadsOptions,
  order: ThreadStart,
): Promise<PixelThread & { readonly port: number }> {
  const { log, clock } = options;
  const entry = options.entry ?? new URL("./pixel-thread.ts", import.meta.url);
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
    else
      log.error("A connection was closed by a fault of ours", { thread: order.index, reason: data.message });
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
    const close = () => closeThread({ worker, clock, stopped: stopped.promise, ended: ended.promise });
    return { worker, port, startedMs: clock.monotonicMs(), ended: ended.promise, close };
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    cancel();
  }
}

async function closeThread(thread: {
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

/** The thread's failure to bind as {@link bindOrExplain} says it. */
function bindError(
  { hostname, port }: ThreadStart,
  { code, message }: { code: string; message: string },
): unknown {
  try {
    return bindOrExplain({ option: "pixelflut-port", port, hostname }, () => {
      throw new SpillwayError(code, message);
    });
  } catch (error) {
    return error;
  }
}
