/** A thread of the tests of `shared-lock.ts` and `player-shares.ts`: works on shared memory until it is done. */
import { openFramebuffer, type SharedFramebuffer } from "./framebuffer.ts";
import { PlayerShares, type PlayerLimits } from "./player-shares.ts";
import { SharedLock } from "./shared-lock.ts";

declare const self: Worker;

/** What a worker is told to do. It answers with a {@link WorkerReport}. */
export type WorkerOrder =
  /** Adds one to word 1 under the lock in word 0, `rounds` times, in two steps. */
  | { readonly type: "count"; readonly words: Int32Array; readonly thread: number; readonly rounds: number }
  /** Takes the lock and keeps it. */
  | { readonly type: "hold"; readonly words: Int32Array; readonly thread: number }
  /** Serves what is queued until `turns` are over in all threads, each counted by its connection in `served`. */
  | {
      readonly type: "serve";
      readonly framebuffer: SharedFramebuffer;
      readonly thread: number;
      readonly limits: PlayerLimits;
      /** Turns of each connection; the last word counts all. */
      readonly served: Int32Array;
      readonly turns: number;
    };

/** What it did: for `serve` the most connections that it saw itself running at once, which should be one. */
export interface WorkerReport {
  readonly done: number;
}

self.addEventListener("message", ({ data }: MessageEvent<WorkerOrder>) => {
  if (data.type === "serve") report(serve(data));
  else if (data.type === "count") report(count(data));
  else {
    new SharedLock(data.words, 0, data.thread).lock();
    report(0);
  }
});

function count({ words, thread, rounds }: Extract<WorkerOrder, { type: "count" }>): number {
  const lock = new SharedLock(words, 0, thread);
  for (let round = 0; round < rounds; round += 1) {
    lock.lock();
    words[1] = (words[1] ?? 0) + 1;
    lock.unlock();
  }
  return rounds;
}

function serve(order: Extract<WorkerOrder, { type: "serve" }>): number {
  const { served, turns } = order;
  const shares = new PlayerShares(openFramebuffer(order.framebuffer), order.thread, order.limits);
  const total = served.length - 1;
  let done = 0;
  while (Atomics.load(served, total) < turns) {
    const connection = shares.take(1);
    if (connection < 0) continue;
    // Not atomic: only one thread serves a connection at a time.
    served[connection] = (served[connection] ?? 0) + 1;
    Atomics.add(served, total, 1);
    done += 1;
    // Now and then a connection is read empty, and its next bytes come at once.
    const isReady = done % 3 > 0;
    const prefix = shares.prefixOf(connection);
    shares.done(connection, 100, 100 + (connection % 7), isReady, 1);
    if (!isReady) shares.enqueue(connection, prefix);
  }
  return done;
}

function report(done: number): void {
  const message: WorkerReport = { done };
  self.postMessage(message, []);
}
