/** A sending thread of a flood: does what `pixel-threads.ts` posts; how far it is stands in the shared state. */
import { systemClock } from "#common/clock.ts";
import { FloodState } from "./flood-state.ts";
import { BunSenderGroup, type SenderGroup } from "./pixel-sender.ts";
import type { FromWorker, ThreadPlan, ToWorker } from "./pixel-threads.ts";
import { RawSenderGroup } from "./raw-sender.ts";
import { RawSockets } from "./raw-sockets.ts";

declare const self: Worker;

let group: SenderGroup | undefined;

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  // A failure ends the worker, and its error event tells the thread that started it.
  void receive(data);
});

async function receive(message: ToWorker): Promise<void> {
  if (message.type === "connect") {
    group = createGroup(message.plan);
    await group.connect();
    post({ type: "connected" });
  } else if (message.type === "start") {
    group?.start();
  } else if (group !== undefined) {
    post({ type: "finished", sent: await group.finish(message.msMax) });
  }
}

function createGroup({ target, connections, state, sockets }: ThreadPlan): SenderGroup {
  const options = { target, connections, state: new FloodState(state), clock: systemClock };
  const raw = sockets === "direct" ? RawSockets.open() : undefined;
  return raw === undefined ? new BunSenderGroup(options) : new RawSenderGroup(options, raw);
}

function post(message: FromWorker): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
  self.postMessage(message);
}
