/**
 * What `listen-receiver.ts` needs and gives: sockets of the game's port, read into the parser. The receive path of Linux,
 * `epoll-receiver.ts`, has its own parser and its own options.
 */
import type { Clock } from "#common/clock.ts";
import type { Admission } from "./admission.ts";
import type { CounterSlot } from "./counters.ts";
import type { ViewerAddress } from "./http-redirect.ts";
import type { ParserState, PixelflutParser } from "./pixelflut-parser.ts";
import type { SafePoint } from "./thread-control.ts";

export interface ReceiverOptions<State extends ParserState> {
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly parser: PixelflutParser<State>;
  /** Where this thread counts. */
  readonly counters: CounterSlot;
  readonly clock: Clock;
  readonly viewers: ViewerAddress;
  /** Who may play. Without it everybody may, at once. */
  readonly admission?: Admission;
  /** Where this thread waits while all have to pause. Without it, it never does. */
  readonly safePoint?: Pick<SafePoint, "enter" | "leave">;
  /** Told of an exception in a connection's handler: our mistake. That connection is closed. */
  readonly onFault: (error: Error) => void;
}

/** An open receive path. */
export interface Receiver {
  readonly port: number;
  /** Stops listening and closes all connections. */
  close(): void;
}
