/** The lock between real threads. */
import { expect, test } from "bun:test";
import { SharedLock } from "./shared-lock.ts";
import type { WorkerOrder, WorkerReport } from "./shared-lock-worker.ts";

const ROUNDS = 200_000;
const THREADS = 3;

function start(order: WorkerOrder): { readonly worker: Worker; readonly report: Promise<WorkerReport> } {
  const worker = new Worker(new URL("./shared-lock-worker.ts", import.meta.url).href);
  const { promise, resolve } = Promise.withResolvers<WorkerReport>();
  // Only shared-lock-worker.ts posts here.
  worker.addEventListener("message", ({ data }: MessageEvent<WorkerReport>) => resolve(data));
  worker.postMessage(order, []);
  return { worker, report: promise };
}

function sharedWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8));
}

test("SharedLock lets one thread in at a time, and none for ever", async () => {
  const words = sharedWords();
  const threads = Array.from({ length: THREADS }, (_, thread) =>
    start({ type: "count", words, thread, rounds: ROUNDS }),
  );
  await Promise.all(threads.map(({ report }) => report));
  expect([words[0], words[1]]).toEqual([0, THREADS * ROUNDS]);
  for (const { worker } of threads) worker.terminate();
});

test("SharedLock.releaseOf() gives back the lock of a thread that died with it, and of no other", async () => {
  const words = sharedWords();
  const holder = start({ type: "hold", words, thread: 1 });
  await holder.report;
  const waiting = start({ type: "count", words, thread: 0, rounds: 1 });
  holder.worker.terminate();
  const lock = new SharedLock(words, 0, 2);
  expect(lock.releaseOf(0)).toBe(false);
  expect(words[1]).toBe(0);
  expect(lock.releaseOf(1)).toBe(true);
  await waiting.report;
  expect([...words]).toEqual([0, 1]);
  expect(lock.releaseOf(1)).toBe(false);
  waiting.worker.terminate();
});
