/**
 * Spreads the connections of a flood over threads, workers that run `pixel-worker.ts`. All connect first and start
 * together.
 */
import { StartError } from "#common/errors.ts";
import type { SocketKind } from "./config.ts";
import type { FloodState } from "./flood-state.ts";
import type { Pattern } from "./pixel-patterns.ts";
import type { ConnectionPlan, SentByConnection } from "./pixel-sender.ts";
import type { PixelflutTarget } from "./pixelflut-client.ts";

/** What a thread is to do. */
export interface ThreadPlan {
  readonly target: PixelflutTarget;
  readonly connections: readonly ConnectionPlan[];
  /** Memory of the flood's `FloodState`. */
  readonly state: SharedArrayBuffer;
  readonly sockets: SocketKind;
}

export type ToWorker =
  | { readonly type: "connect"; readonly plan: ThreadPlan }
  | { readonly type: "start" }
  | { readonly type: "finish"; readonly msMax: number };
export type FromWorker =
  { readonly type: "connected" } | { readonly type: "finished"; readonly sent: readonly SentByConnection[] };

/** What connections a flood consists of. */
export interface FloodPlan {
  /** Its host is a numeric address where `sockets` is `direct`. */
  readonly target: PixelflutTarget;
  /** Connection i sends pattern i modulo their number. */
  readonly patterns: readonly Pattern[];
  readonly connections: number;
  /** Threads at most; no more than connections are used. */
  readonly threads: number;
  readonly sockets: SocketKind;
}

/** Connections dealt out to threads; those of one pattern begin at even shares of it. */
export function planThreads(plan: FloodPlan, state: FloodState): readonly ThreadPlan[] {
  const { target, sockets } = plan;
  const connections = planConnections(plan);
  const threads = Math.min(plan.threads, plan.connections);
  return Array.from({ length: threads }, (_, thread) => ({
    target,
    connections: connections.filter(({ connection }) => connection % threads === thread),
    state: state.buffer,
    sockets,
  }));
}

function planConnections({ patterns, connections }: FloodPlan): readonly ConnectionPlan[] {
  return Array.from({ length: connections }, (_, connection) => {
    const kind = connection % patterns.length;
    const pattern = patterns[kind];
    if (pattern === undefined) throw new Error("a flood has at least one pattern");
    const ofSamePattern = Math.ceil((connections - kind) / patterns.length);
    const share = Math.floor(connection / patterns.length) / ofSamePattern;
    return { connection, pattern, firstCommand: Math.floor(share * (pattern.starts.length - 1)) };
  });
}

/** One thread and its connections. */
export class SenderThread {
  readonly #plan: ThreadPlan;
  readonly #worker = new Worker(new URL("./pixel-worker.ts", import.meta.url).href);
  readonly #connected = Promise.withResolvers<void>();
  readonly #finished = Promise.withResolvers<readonly SentByConnection[]>();

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

  /** To be called once the flood's state says that it ends: the thread does not listen before. */
  finish(msMax: number): Promise<readonly SentByConnection[]> {
    this.#post({ type: "finish", msMax });
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
    if (message.type === "connected") this.#connected.resolve();
    else this.#finished.resolve(message.sent);
  }
}
