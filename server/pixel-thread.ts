/**
 * A pixel thread: a worker that receives players on the shared port and paints into the shared framebuffer. It is
 * started and ended by `pixel-threads.ts`.
 */
import { systemClock } from "#common/clock.ts";
import { describeError, errorCode } from "#common/errors.ts";
import { openConnections, sumCounter, type CounterSlot } from "./counters.ts";
import { openFramebuffer } from "./framebuffer.ts";
import { openListenReceiver } from "./listen-receiver.ts";
import { PlainParser } from "./plain-parser.ts";
import type { Receiver } from "./receiver.ts";
import { FAULT_REPORT_MS, type ThreadOrder, type ThreadReport, type ThreadStart } from "./thread-messages.ts";

declare const self: Worker;

let receiver: Receiver | undefined;

// Only pixel-threads.ts posts here, and only orders.
self.addEventListener("message", ({ data }: MessageEvent<ThreadOrder>) => {
  if (data.type === "start") start(data);
  else stop();
});

function start(order: ThreadStart): void {
  const framebuffer = openFramebuffer(order.framebuffer);
  const slot = framebuffer.counters[order.index];
  if (slot === undefined) throw new RangeError(`There is no counter slot ${order.index}`);
  const { hostname, port, protocol, viewers } = order;
  const readStats = () => statsOf(framebuffer.counters);
  const parser = new PlainParser({ framebuffer, counters: slot, protocol, readStats });
  try {
    receiver = openListenReceiver({
      hostname,
      port,
      parser,
      counters: slot,
      clock: systemClock,
      viewers,
      onFault: limitFaults(),
    });
    report({ type: "listening", port: receiver.port });
  } catch (error) {
    report({ type: "failed", code: errorCode(error) ?? "", message: describeError(error) });
  }
}

function stop(): void {
  receiver?.close();
  receiver = undefined;
  report({ type: "stopped" });
}

function statsOf(slots: readonly CounterSlot[]): { pixels: number; connections: number } {
  return { pixels: sumCounter(slots, "pixels"), connections: openConnections(slots) };
}

function limitFaults(): (error: Error) => void {
  let nextMs = Number.NEGATIVE_INFINITY;
  return (error) => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs < nextMs) return;
    nextMs = nowMs + FAULT_REPORT_MS;
    report({ type: "fault", message: describeError(error) });
  };
}

function report(message: ThreadReport): void {
  self.postMessage(message, []);
}
