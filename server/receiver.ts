/**
 * What a pixel thread needs of a receive path: sockets of the game's port, read into the parser. One path exists,
 * `listen-receiver.ts`; a faster one takes the same options.
 */
import type { Clock } from "#common/clock.ts";
import type { CounterSlot } from "./counters.ts";
import type { ViewerAddress } from "./http-redirect.ts";
import type { ParserState, PixelflutParser } from "./pixelflut-parser.ts";

export interface ReceiverOptions<State extends ParserState> {
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly parser: PixelflutParser<State>;
  /** Where this thread counts. */
  readonly counters: CounterSlot;
  readonly clock: Clock;
  readonly viewers: ViewerAddress;
  /** Told of an exception in a connection's handler: our mistake. That connection is closed. */
  readonly onFault: (error: Error) => void;
}

/** An open receive path. */
export interface Receiver {
  readonly port: number;
  /** Stops listening and closes all connections. */
  close(): void;
}
