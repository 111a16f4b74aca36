/**
 * The border between receiving bytes and painting them. A receive path owns the sockets and hands every read to a
 * parser; the parser owns the protocol. {@link PixelflutParser} is what both sides keep to, so that either can be
 * replaced: `plain-parser.ts` is the specification, and `pixelflut-cases.ts` is the table that every parser passes.
 */
/** What a connection is after its bytes were parsed. */
export type ParserPhase =
  /** Goes on. */
  | "open"
  /** Its last command was said (QUIT, or a mistake under `strict`): send the replies and close. */
  | "closing"
  /** Its first bytes were `GET `, which are consumed: a browser, to be answered by HTTP. */
  | "http";

/** What any parser keeps of a connection between reads: less than 1 KiB and a tail of at most 1 KiB. */
export interface ParserState {
  readonly phase: ParserPhase;
}

export interface PixelflutParser<State extends ParserState> {
  /** Where replies are appended. The caller sends and empties it after every {@link parse}. */
  readonly replies: Replies;

  /** The state of a new connection. */
  open(): State;

  /**
   * Takes the next bytes of a connection. The outcome is the same however the bytes are cut into calls.
   *
   * @param nowMs a monotonic time
   * @returns how many bytes were taken. Fewer than all while the phase is `open`: the reply buffer has no room, offer
   * the rest again when it is empty. In the phase `http` the rest is the browser's request.
   */
  parse(state: State, bytes: Uint8Array, nowMs: number): number;
}

/** Replies of one thread, waiting to be sent. */
export interface Replies {
  /** Bytes. */
  readonly length: number;
  /** The waiting bytes: a view that what is appended after {@link clear} overwrites. */
  view(): Uint8Array;
  clear(): void;
}

/** How a server treats colours and mistakes; the same for all its connections. */
export interface ProtocolOptions {
  /** `blend` mixes by the alpha of PX and PB, `ignore` paints them opaque. */
  readonly alpha: "blend" | "ignore";
  /** Answer to a get outside the canvas: none, or black. */
  readonly outsideGets: "silent" | "black";
  /** True to answer a line that is no command with `ERR` and close. */
  readonly isStrict: boolean;
  /** What HELP says of the operator's limits: a sentence each. */
  readonly limits?: readonly string[];
}

/** What STATS answers. */
export interface StatsReply {
  /** Sets inside the canvas since the server started. */
  readonly pixels: number;
  /** Connections open now. */
  readonly connections: number;
}

// The protocol's limits stand where the kernel reads them too.
export { HELP_WINDOW_MS, HELPS_PER_WINDOW, LINE_BYTES_MAX } from "./kernel/layout.ts";
