/** What the main thread and a pixel thread say to each other by `postMessage`. */
import type { SharedFramebuffer } from "./framebuffer.ts";
import type { ViewerAddress } from "./http-redirect.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";

/** To a pixel thread. `stop` is answered by `stopped`. */
export type ThreadOrder = ThreadStart | { readonly type: "stop" };

/** The first message to a pixel thread. */
export interface ThreadStart {
  readonly type: "start";
  readonly framebuffer: SharedFramebuffer;
  /** Which counter slot it owns, from 0. */
  readonly index: number;
  readonly hostname: string;
  readonly port: number;
  readonly protocol: ProtocolOptions;
  readonly viewers: ViewerAddress;
}

/** From a pixel thread. */
export type ThreadReport =
  | { readonly type: "listening"; readonly port: number }
  /** It could not open the port. `code` is the system's (`EADDRINUSE`), where there is one. */
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  /** An exception in a connection's handler; at most one report in {@link FAULT_REPORT_MS}. */
  | { readonly type: "fault"; readonly message: string }
  | { readonly type: "stopped" };

/** Faults are reported no more often than this, however many there are: the metric counts them all. */
export const FAULT_REPORT_MS = 10_000;
