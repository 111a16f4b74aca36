/**
 * One player's connection, between a socket and the parser: hands reads to the parser, sends the replies, and stops
 * reading while the peer does not take them. Knows nothing of Bun's sockets ({@link Peer}), so that another receive
 * path can drive it.
 */
import type { CounterSlot } from "./counters.ts";
import { HttpRedirect, type ViewerAddress } from "./http-redirect.ts";
import type { ParserState, PixelflutParser } from "./pixelflut-parser.ts";
import type { PacedPeer, ReceivePacer } from "./receive-pacer.ts";
import type { SocketHandler } from "./socket-handler.ts";

/** How long a peer may take no byte of its replies, and how long all that waits for it may take, even if some moves. */
export const STALL_MS_MAX = 60_000;
export const STALL_TOTAL_MS_MAX = 600_000;
/** How long a peer may keep a connection open that we ended, and how long a browser may take for its request. */
export const LINGER_MS_MAX = 10_000;
/**
 * A player that has been silent for this long is asked by the system whether it is still there, then once a second; ten
 * questions without an answer close it. Without this a player that vanished would count as connected for ever.
 */
export const KEEP_ALIVE_MS = 60_000;
/**
 * Most bytes held for peers which do not read: unsent replies and reads not yet parsed, of one thread here and of all
 * threads in `receiver-memory.ts`. Past it those who have not caught up for the longest are closed.
 */
export const HELD_BYTES_MAX = 64 * 1024 * 1024;

/** The socket's side of a connection. */
export interface Peer {
  /** The address that the peer reached. */
  readonly localAddress: string;
  /** Takes bytes to be sent and returns how many: fewer where there is no room, `drain` follows; -1 where it is broken. */
  write(bytes: Uint8Array): number;
  /** Stops and goes on with reading. */
  pause(): void;
  resume(): void;
  /** Sends FIN; reading goes on. */
  finish(): void;
  /** Closes, after the peer sent FIN: what was written still arrives. */
  close(): void;
  /** Closes at once, and what was written may be lost. */
  terminate(): void;
}

/** What the connections of one thread share. */
export interface ConnectionContext<State extends ParserState> {
  readonly parser: PixelflutParser<State>;
  readonly counters: CounterSlot;
  /** Monotonic, in milliseconds. */
  readonly monotonicMs: () => number;
  /** For browsers ({@link HttpRedirect}). */
  readonly viewers: ViewerAddress;
  /** Bytes held for all connections of the thread, bounded by `heldBytesMax`. */
  readonly held: { bytes: number };
  /** Default: {@link HELD_BYTES_MAX}. */
  readonly heldBytesMax?: number;
  /** Connections with a deadline, all that hold bytes among them (all where there is an `idle` limit), for the thread to check now and then with {@link Connection.checkDeadline}. */
  readonly watched: Set<Connection<State>>;
  /** Players who send nothing for too long are told so and closed. Without it they may stay. */
  readonly idle?: { readonly ms: number; readonly reply: Uint8Array };
  /** Slows players down who get too much ({@link ReceivePacer}). */
  readonly pacer?: ReceivePacer;
}

const NOTHING = new Uint8Array(0);

export class Connection<State extends ParserState> implements SocketHandler, PacedPeer {
  readonly #context: ConnectionContext<State>;
  readonly #peer: Peer;
  readonly #prefix: number;
  readonly #state: State;
  #redirect: HttpRedirect | undefined;
  /** Replies that the peer has not taken. While there are some, nothing is read or parsed. */
  #unsent: Uint8Array = NOTHING;
  /** What was read before we noticed, still to be parsed. */
  #unparsed: Uint8Array = NOTHING;
  /** True once our last byte is written or waits in `#unsent`: what comes is counted and dropped. */
  #isEnding = false;
  #hasPeerFinished = false;
  #isClosed = false;
  #deadlineMs = Number.POSITIVE_INFINITY;
  /** Since when something has been held without a moment in which all of it was taken. */
  #stalledSinceMs: number | undefined;
  /** True while the player has to wait for others. */
  #isPaced = false;
  /** When the last bytes came, or it could not send any. Kept only where it matters. */
  #receivedMs = 0;
  /** Bytes answered to the read at hand. */
  #replyBytes = 0;

  /** @param prefix of the player, for the pacer */
  constructor(context: ConnectionContext<State>, peer: Peer, prefix = 0) {
    this.#context = context;
    this.#peer = peer;
    this.#prefix = prefix;
    this.#state = context.parser.open();
    context.counters.add("accepted", 1);
    context.pacer?.join(prefix, this);
    this.#noteReceived();
    if (context.idle !== undefined) context.watched.add(this);
  }

  /** Bytes from the peer: one read. They are not kept beyond the call, unless the peer does not take its replies. */
  receive(bytes: Uint8Array): void {
    this.#context.counters.add("receivedBytes", bytes.length);
    if (this.#isEnding || this.#isClosed) return;
    this.#noteReceived();
    this.#replyBytes = 0;
    if (this.#unsent.length > 0) this.#hold(this.#unsent, Buffer.concat([this.#unparsed, bytes]));
    else this.#work(bytes);
    this.#context.pacer?.received(this.#prefix, this, bytes.length, this.#replyBytes);
  }

  /** Stops reading for a while, or goes on: what the player sends meanwhile waits in the network. */
  pace(isPaused: boolean): void {
    this.#isPaced = isPaused;
    if (isPaused) this.#peer.pause();
    // While replies wait, reading has to wait for those too.
    else if (this.#unsent.length === 0) this.#peer.resume();
    this.#noteReceived();
  }

  /** The peer takes bytes again. */
  drain(): void {
    if (this.#isClosed || this.#unsent.length === 0) return;
    const taken = this.#write(this.#unsent);
    if (this.#isClosed) return;
    if (taken > 0) this.#watchStall();
    if (taken < this.#unsent.length) {
      this.#hold(this.#unsent.slice(taken), this.#unparsed);
      return;
    }
    const rest = this.#unparsed;
    this.#hold(NOTHING, NOTHING);
    this.#unwatch();
    if (this.#isEnding) {
      this.#finish();
      return;
    }
    this.#work(rest);
    if (this.#unsent.length > 0) return;
    this.#stalledSinceMs = undefined;
    this.#noteReceived();
    if (!this.#isPaced) this.#peer.resume();
  }

  /** The peer sent FIN: it gets all replies, then ours. An incomplete command is dropped. */
  finish(): void {
    this.#hasPeerFinished = true;
    if (this.#isClosed) return;
    if (this.#redirect !== undefined && !this.#isEnding) this.#answerBrowser(this.#redirect);
    else if (this.#unsent.length === 0) this.#peer.close();
  }

  /** The socket is closed, whoever did it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#hold(NOTHING, NOTHING);
    this.#context.watched.delete(this);
    this.#context.pacer?.leave(this.#prefix, this);
    this.#context.counters.add("closed", 1);
  }

  /** Closes a connection that has overstayed. */
  checkDeadline(nowMs: number): void {
    if (this.#isIdle(nowMs)) this.#endIdle();
    if (nowMs < this.#deadlineMs) return;
    if (this.#unsent.length > 0) this.#dropStalled();
    else this.#peer.terminate();
  }

  /** True where the player could have sent something, and has not for too long. */
  #isIdle(nowMs: number): boolean {
    const { idle } = this.#context;
    if (idle === undefined || nowMs - this.#receivedMs < idle.ms) return false;
    // Whatever has a deadline of its own is no business of this one.
    return !this.#isPaced && this.#deadlineMs === Number.POSITIVE_INFINITY;
  }

  #endIdle(): void {
    const { idle, counters } = this.#context;
    counters.add("idleClosed", 1);
    if (idle !== undefined) this.#write(idle.reply);
    if (!this.#isClosed) this.#end();
  }

  #noteReceived(): void {
    if (this.#context.idle !== undefined) this.#receivedMs = this.#context.monotonicMs();
  }

  /** Parses bytes as far as the peer takes the replies; holds the rest. */
  #work(bytes: Uint8Array): void {
    const { parser, monotonicMs } = this.#context;
    let rest = bytes;
    while (rest.length > 0 && this.#state.phase === "open") {
      rest = rest.subarray(parser.parse(this.#state, rest, monotonicMs()));
      if (!this.#sendReplies(rest)) return;
    }
    if (this.#state.phase === "http") this.#receiveRequest(rest);
    else if (this.#state.phase === "closing") this.#end();
    else if (this.#hasPeerFinished && this.#unsent.length === 0) this.#peer.close();
  }

  /** Sends what the parser answered. False where the peer does not take it all: `rest` waits with it. */
  #sendReplies(rest: Uint8Array): boolean {
    const { replies } = this.#context.parser;
    if (replies.length === 0) return true;
    const view = replies.view();
    this.#replyBytes += view.length;
    const taken = this.#write(view);
    const isAllTaken = taken === view.length;
    if (!isAllTaken) this.#stall(view.slice(taken), rest);
    replies.clear();
    return isAllTaken;
  }

  #receiveRequest(bytes: Uint8Array): void {
    const { viewers, counters } = this.#context;
    if (this.#redirect === undefined) {
      this.#redirect = new HttpRedirect({ viewers, localAddress: this.#peer.localAddress });
      // Not renewed by what follows: a header has an end.
      this.#watch(LINGER_MS_MAX);
      counters.add("redirects", 1);
    }
    this.#redirect.receive(bytes);
    if (this.#redirect.isComplete) this.#answerBrowser(this.#redirect);
  }

  #answerBrowser(redirect: HttpRedirect): void {
    const response = redirect.response();
    const taken = this.#write(response);
    if (taken < response.length) this.#stall(response.slice(taken), NOTHING);
    this.#end();
  }

  /** No more commands from here on. FIN goes out behind the last reply. */
  #end(): void {
    this.#isEnding = true;
    this.#hold(this.#unsent, NOTHING);
    if (this.#unsent.length === 0) this.#finish();
  }

  /** Sends FIN and drops what still comes, for a while: closing at once could lose replies on their way. */
  #finish(): void {
    if (this.#isClosed) return;
    if (this.#hasPeerFinished) {
      this.#peer.close();
      return;
    }
    this.#context.pacer?.leave(this.#prefix, this);
    this.#watch(LINGER_MS_MAX);
    this.#peer.resume();
    this.#peer.finish();
  }

  #stall(unsent: Uint8Array, unparsed: Uint8Array): void {
    if (this.#isClosed) return;
    this.#context.counters.add("stalls", 1);
    this.#stalledSinceMs ??= this.#context.monotonicMs();
    this.#watchStall();
    this.#peer.pause();
    // The parser's buffer and the socket's are used again, so both are copied; the phase may already be `closing`.
    this.#hold(unsent, unparsed.slice());
    if (this.#state.phase === "closing") this.#isEnding = true;
  }

  #hold(unsent: Uint8Array, unparsed: Uint8Array): void {
    const { held, heldBytesMax = HELD_BYTES_MAX, counters } = this.#context;
    const moreBytes = unsent.length + unparsed.length - this.#unsent.length - this.#unparsed.length;
    held.bytes += moreBytes;
    counters.add("heldBytes", moreBytes);
    this.#unsent = unsent;
    this.#unparsed = unparsed;
    if (moreBytes <= 0) return;
    while (held.bytes > heldBytesMax) {
      const oldest = this.#findLongestStalled();
      if (oldest === undefined) return;
      oldest.#dropStalled();
    }
  }

  /** Of all connections of the thread. */
  #findLongestStalled(): Connection<State> | undefined {
    let found: Connection<State> | undefined;
    let sinceMs = Number.POSITIVE_INFINITY;
    for (const candidate of this.#context.watched) {
      if (candidate.#unsent.length === 0 || (candidate.#stalledSinceMs ?? sinceMs) >= sinceMs) continue;
      found = candidate;
      sinceMs = candidate.#stalledSinceMs ?? sinceMs;
    }
    return found;
  }

  /** Gives up on a peer that does not take its replies. What was held for it is free at once. */
  #dropStalled(): void {
    this.#context.counters.add("droppedStalled", 1);
    this.#peer.terminate();
    this.close();
  }

  #write(bytes: Uint8Array): number {
    const written = this.#peer.write(bytes);
    // Only a write may tell that the peer has reset: a socket that is not read hears of it no other way.
    if (written < 0) this.#peer.terminate();
    const taken = Math.max(0, written);
    this.#context.counters.add("sentBytes", taken);
    return taken;
  }

  /** To be called when the peer has taken something, or begins to take nothing. */
  #watchStall(): void {
    const nowMs = this.#context.monotonicMs();
    const leftMs = (this.#stalledSinceMs ?? nowMs) + STALL_TOTAL_MS_MAX - nowMs;
    this.#watch(Math.min(STALL_MS_MAX, leftMs));
  }

  #watch(forMs: number): void {
    this.#deadlineMs = this.#context.monotonicMs() + forMs;
    this.#context.watched.add(this);
  }

  #unwatch(): void {
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#context.idle === undefined) this.#context.watched.delete(this);
  }
}
