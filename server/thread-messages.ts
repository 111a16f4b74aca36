/**
 * What the main thread and a pixel thread say to each other by `postMessage`. A thread that receives by epoll reads
 * only its first message: what it is told later stands in the shared memory (`thread-control.ts`).
 */
import type { ClockReading } from "#common/clock.ts";
import type { AdmissionRules } from "./admission.ts";
import type { SharedFramebuffer } from "./framebuffer.ts";
import type { ViewerAddress } from "./http-redirect.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";
import type { ReceivePlan } from "./receive-path.ts";

/** To a pixel thread. `stop` is answered by `stopped`. */
export type ThreadOrder = ThreadStart | { readonly type: "stop" };

/** The first message to a pixel thread. */
export interface ThreadStart {
  readonly type: "start";
  readonly framebuffer: SharedFramebuffer;
  /** Which counter slot it owns, from 0. */
  readonly index: number;
  /** Of `kernel.ts`. */
  readonly kernel: WebAssembly.Module;
  readonly receive: ReceivePlan;
  readonly protocol: ProtocolOptions;
  readonly viewers: ViewerAddress;
  readonly admission: AdmissionRules;
  /** Of the main thread, right before the thread begins. */
  readonly clock: ClockReading;
}

/** From a pixel thread. */
export type ThreadReport =
  | { readonly type: "listening"; readonly port: number }
  /** It could not begin. `code` is the system's (`EADDRINUSE`), where there is one. */
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  /** An exception in a connection's handler; at most one report in {@link REPORT_MS}. */
  | { readonly type: "fault"; readonly message: string }
  /** The system had no room for a connection, by its error's name; at most one report in {@link REPORT_MS}. */
  | { readonly type: "exhausted"; readonly code: string }
  | { readonly type: "stopped" };

/** Trouble is reported no more often than this, however much there is: metrics count it all. */
export const REPORT_MS = 10_000;
