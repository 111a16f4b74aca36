/**
 * A pixel thread: a worker that receives players on the shared port and paints into the shared framebuffer. It is
 * started and ended by `pixel-threads.ts`.
 */
import { clockInStep } from "#common/clock.ts";
import { describeError, errorCode } from "#common/errors.ts";
import { Admission } from "./admission.ts";
import type { CounterSlot } from "./counters.ts";
import type { EpollGroup } from "./epoll-set.ts";
import { EpollReceiver } from "./epoll-receiver.ts";
import { openFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { openKernel } from "./kernel.ts";
import { KernelParser } from "./kernel-parser.ts";
import { LinuxSockets } from "./linux-sockets.ts";
import { openListenReceiver } from "./listen-receiver.ts";
import { PlayerShares } from "./player-shares.ts";
import type { Receiver } from "./receiver.ts";
import { SafePoint } from "./thread-control.ts";
import { REPORT_MS, type ThreadOrder, type ThreadReport, type ThreadStart } from "./thread-messages.ts";
import { giveWay } from "./thread-priority.ts";

declare const self: Worker;

let receiver: Receiver | undefined;

// Only pixel-threads.ts posts here, and only orders.
self.addEventListener("message", ({ data }: MessageEvent<ThreadOrder>) => {
  if (data.type === "start") start(data);
  else stop();
});

function start(order: ThreadStart): void {
  giveWay();
  const framebuffer = openFramebuffer(order.framebuffer);
  const counters = framebuffer.counters[order.index];
  if (counters === undefined) throw new RangeError(`There is no counter slot ${order.index}`);
  const parts = { order, framebuffer, counters };
  if (order.receive.type === "epoll") runEpoll({ ...parts, group: order.receive.group });
  else listen({ ...parts, ...order.receive });
}

interface ThreadParts {
  readonly order: ThreadStart;
  readonly framebuffer: Framebuffer;
  readonly counters: CounterSlot;
}

/** Serves until the thread is told to end, in which time it reads no message. */
function runEpoll({
  order,
  framebuffer,
  counters,
  group,
}: ThreadParts & { readonly group: EpollGroup }): void {
  const { index: thread, kernel: module, protocol, viewers, receive } = order;
  const sockets = new LinuxSockets();
  const shares = new PlayerShares(framebuffer, thread, order.admission.limits);
  const epoll = new EpollReceiver({
    framebuffer,
    thread,
    group,
    sockets,
    clock: sockets,
    kernel: openKernel({ module, framebuffer, thread, protocol }),
    shares,
    admission: new Admission(shares, order.admission),
    counters,
    viewers,
    onFault: limitReports((error: Error) => ({ type: "fault", message: describeError(error) })),
    onExhausted: limitReports((code: string) => ({ type: "exhausted", code })),
  });
  report({ type: "listening", port: receive.port });
  epoll.run();
  report({ type: "stopped" });
}

function listen({
  order,
  framebuffer,
  counters,
  hostname,
  port,
}: ThreadParts & { readonly hostname: string; readonly port: number }): void {
  const { index: thread, kernel: module, protocol, viewers } = order;
  const shares = new PlayerShares(framebuffer, thread, order.admission.limits);
  try {
    receiver = openListenReceiver({
      hostname,
      port,
      parser: new KernelParser({ module, framebuffer, thread, protocol }),
      counters,
      // Budgets of prefixes are shared by all threads, and with them their time.
      clock: clockInStep(order.clock),
      viewers,
      admission: new Admission(shares, order.admission),
      safePoint: new SafePoint(framebuffer, thread),
      onFault: limitReports((error: Error) => ({ type: "fault", message: describeError(error) })),
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

/** Reports what happens, but not more often than makes sense. */
function limitReports<T>(describe: (what: T) => ThreadReport): (what: T) => void {
  let nextMs = Number.NEGATIVE_INFINITY;
  return (what) => {
    const nowMs = performance.now();
    if (nowMs < nextMs) return;
    nextMs = nowMs + REPORT_MS;
    report(describe(what));
  };
}

function report(message: ThreadReport): void {
  self.postMessage(message, []);
}
