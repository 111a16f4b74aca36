/**
 * Spreads the connections of `bench pixels` over threads: one thread sends from the main one, more are workers that
 * run `pixel-worker.ts`, each with a pattern of its own. All connect first and start together.
 */
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import type { Pattern, PatternOptions } from "./pixel-patterns.ts";
import { SenderGroup, type SenderTotals, type SentByConnection } from "./pixel-sender.ts";
import type { PixelflutTarget } from "./pixelflut-client.ts";

/** What a thread is to do. */
export interface ThreadPlan {
  readonly target: PixelflutTarget;
  readonly pattern: PatternOptions;
  /** One connection each: the command it begins with. */
  readonly firstCommands: readonly number[];
}

export type ToWorker =
  | { readonly type: "connect"; readonly plan: ThreadPlan }
  | { readonly type: "start" }
  | { readonly type: "finish" };
export type FromWorker =
  | { readonly type: "connected" }
  | { readonly type: "totals"; readonly totals: SenderTotals }
  | { readonly type: "finished"; readonly sent: readonly SentByConnection[]; readonly totals: SenderTotals };

/** A set of connections, wherever they run. */
export interface SenderThread {
  connect(): Promise<void>;
  start(): void;
  readonly totals: SenderTotals;
  finish(): Promise<readonly SentByConnection[]>;
  close(): void;
}

/** One thread for each of `plans`. A single one is this thread itself and sends `pattern`. */
export function createThreads(
  plans: readonly ThreadPlan[],
  { pattern, clock }: { readonly pattern: Pattern; readonly clock: Clock },
): readonly SenderThread[] {
  if (plans.length > 1) return plans.map((plan) => new WorkerThread(plan));
  return plans.map(({ target, firstCommands }) => {
    const group = new SenderGroup({ target, pattern, firstCommands, clock });
    return {
      connect: () => group.connect(),
      start: () => group.start(),
      get totals() {
        return group.totals;
      },
      finish: () => group.finish(),
      close() {},
    };
  });
}

/** Connections `0 … count - 1` dealt out to threads, each beginning at its own even share of the pattern. */
export function planThreads(options: {
  readonly target: PixelflutTarget;
  readonly pattern: PatternOptions;
  readonly connections: number;
  readonly threads: number;
}): readonly ThreadPlan[] {
  const { target, pattern, connections } = options;
  const commands = pattern.width * pattern.height;
  const threads = Math.min(options.threads, connections);
  return Array.from({ length: threads }, (_, thread) => {
    const firstCommands: number[] = [];
    for (let connection = thread; connection < connections; connection += threads) {
      firstCommands.push(Math.floor((connection * commands) / connections));
    }
    return { target, pattern, firstCommands };
  });
}

class WorkerThread implements SenderThread {
  readonly #plan: ThreadPlan;
  readonly #worker = new Worker(new URL("./pixel-worker.ts", import.meta.url).href);
  readonly #connected = Promise.withResolvers<void>();
  readonly #finished = Promise.withResolvers<readonly SentByConnection[]>();
  totals: SenderTotals = { bytes: 0, open: 0, failed: 0 };

  constructor(plan: ThreadPlan) {
    this.#plan = plan;
    // One of the two is awaited at any time; the other must not count as unhandled.
    this.#connected.promise.catch(() => {});
    this.#finished.promise.catch(() => {});
    this.#worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => this.#receive(data));
    this.#worker.addEventListener("error", ({ message }) => {
      const error = new StartError("thread-failed", `A sending thread failed: ${message}`);
      this.#connected.reject(error);
      this.#finished.reject(error);
    });
  }

  connect(): Promise<void> {
    this.#post({ type: "connect", plan: this.#plan });
    return this.#connected.promise;
  }

  start(): void {
    this.#post({ type: "start" });
  }

  finish(): Promise<readonly SentByConnection[]> {
    this.#post({ type: "finish" });
    return this.#finished.promise;
  }

  close(): void {
    this.#worker.terminate();
  }

  #post(message: ToWorker): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    if (message.type === "connected") {
      this.#connected.resolve();
      return;
    }
    this.totals = message.totals;
    if (message.type === "finished") this.#finished.resolve(message.sent);
  }
}
