/** A sending thread of `bench pixels`: does what `pixel-threads.ts` posts and tells it how far it is. */
import { systemClock } from "#common/clock.ts";
import { buildPattern } from "./pixel-patterns.ts";
import { SenderGroup } from "./pixel-sender.ts";
import type { FromWorker, ToWorker } from "./pixel-threads.ts";

/** Time between two reports. Milliseconds. */
const REPORT_MS = 200;

declare const self: Worker;

let group: SenderGroup | undefined;
let cancelReport: (() => void) | undefined;

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  // A failure ends the worker, and its error event tells the thread that started it.
  void receive(data);
});

async function receive(message: ToWorker): Promise<void> {
  if (message.type === "connect") {
    const { target, pattern, firstCommands } = message.plan;
    group = new SenderGroup({ target, pattern: buildPattern(pattern), firstCommands, clock: systemClock });
    await group.connect();
    post({ type: "connected" });
  } else if (message.type === "start") {
    group?.start();
    report();
  } else if (group !== undefined) {
    const sent = await group.finish();
    cancelReport?.();
    post({ type: "finished", sent, totals: group.totals });
  }
}

function report(): void {
  if (group !== undefined) post({ type: "totals", totals: group.totals });
  cancelReport = systemClock.after(REPORT_MS, report);
}

function post(message: FromWorker): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
  self.postMessage(message);
}
