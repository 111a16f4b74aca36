/**
 * How connections on the receive path of Linux end: last words, FIN, a while in which what comes is dropped, and the
 * closing of the socket. The rules are those of `connection.ts`. Also the small reads and writes of a record's fields
 * that `epoll-connections.ts` and `epoll-openings.ts` share.
 */
import { LINGER_MS_MAX } from "./connection.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { CounterSlot } from "./counters.ts";
import type { HeldReplies } from "./held-replies.ts";
import type { Kernel } from "./kernel.ts";
import { READ_BYTES_MAX } from "./kernel/layout.ts";
import type { LinuxSockets } from "./linux-sockets.ts";
import { REPLIES_BYTES } from "./memory-layout.ts";
import {
  FLAG_HAS_PEER_FINISHED,
  FLAG_IS_ENDING,
  FLAG_IS_PROXY,
  RECORD_DEADLINE_MS,
  RECORD_FLAGS,
  RECORD_READ_BYTES,
  RECORD_SOCKET,
} from "./receiver-memory.ts";

/** What becomes of a connection after a turn. */
export type TurnEnd =
  /** There may be more to read: it waits for its next turn. */
  | "again"
  /** Nothing more to read for now. */
  | "read"
  /** Its peer has to take replies first. */
  | "write"
  /** Its socket is closed. */
  | "closed";

export interface EpollEndingsOptions {
  readonly sockets: LinuxSockets;
  readonly kernel: Kernel;
  readonly table: ConnectionTable;
  readonly held: HeldReplies;
  readonly counters: CounterSlot;
  /** The whole shared memory, and where it begins in the process. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly base: number;
}

/** One thread's. Every connection named must be this thread's own. */
export class EpollEndings {
  readonly #options: EpollEndingsOptions;
  readonly #table: ConnectionTable;

  constructor(options: EpollEndingsOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** Says last words, which must fit into the thread's reply buffer, and ends. No replies may wait in that. */
  say(connection: number, words: Uint8Array, nowMs: number, lingerMs = LINGER_MS_MAX): TurnEnd {
    const { kernel, held, bytes, base } = this.#options;
    const length = Math.min(words.length, REPLIES_BYTES);
    bytes.set(words.subarray(0, length), kernel.repliesOffset);
    const taken = held.send(connection, base + kernel.repliesOffset, length);
    if (taken < 0) return this.reset(connection);
    this.setFlag(connection, FLAG_IS_ENDING);
    held.clearRest(connection);
    if (taken === length) return this.finish(connection, nowMs, lingerMs);
    return this.stall(connection, kernel.repliesOffset + taken, length - taken, 0, 0, nowMs);
  }

  /** No more commands from here on, and all replies are sent. */
  end(connection: number, nowMs: number): TurnEnd {
    this.setFlag(connection, FLAG_IS_ENDING);
    this.#options.held.clearRest(connection);
    return this.finish(connection, nowMs);
  }

  /** Sends FIN and drops what still comes, for a while: closing at once could lose replies on their way. */
  finish(connection: number, nowMs: number, lingerMs = LINGER_MS_MAX): TurnEnd {
    if (this.hasFlag(connection, FLAG_HAS_PEER_FINISHED)) return this.close(connection);
    this.#options.held.settle(connection);
    this.setDeadline(connection, nowMs + lingerMs);
    this.#table.words[this.#table.wordOf(connection) + RECORD_READ_BYTES] = READ_BYTES_MAX;
    this.#options.sockets.finish(this.socketOf(connection));
    return "again";
  }

  /**
   * Waits for the peer to take replies. Addresses in the shared memory: what is unsent, and what was read and not parsed.
   * No argument object, since the state machine passes on what the kernel left.
   */
  stall(
    connection: number,
    unsent: number,
    unsentLength: number,
    rest: number,
    restLength: number,
    nowMs: number,
  ): TurnEnd {
    const { held, counters } = this.#options;
    if (held.keep(connection, unsent, unsentLength, rest, restLength, nowMs)) return "write";
    counters.add("droppedStalled", 1);
    return this.reset(connection);
  }

  /** Closes; what was sent still arrives. */
  close(connection: number): TurnEnd {
    const socket = this.#forget(connection);
    if (socket >= 0) this.#options.sockets.close(socket);
    return "closed";
  }

  /** Closes at once. */
  reset(connection: number): TurnEnd {
    const socket = this.#forget(connection);
    if (socket >= 0) this.#options.sockets.reset(socket);
    return "closed";
  }

  /** -1 once it is closed. */
  socketOf(connection: number): number {
    return this.#table.words[this.#table.wordOf(connection) + RECORD_SOCKET] ?? -1;
  }

  hasFlag(connection: number, flag: number): boolean {
    return ((this.#table.words[this.#table.wordOf(connection) + RECORD_FLAGS] ?? 0) & flag) !== 0;
  }

  setFlag(connection: number, flag: number): void {
    const at = this.#table.wordOf(connection) + RECORD_FLAGS;
    this.#table.words[at] = (this.#table.words[at] ?? 0) | flag;
  }

  clearFlag(connection: number, flag: number): void {
    const at = this.#table.wordOf(connection) + RECORD_FLAGS;
    this.#table.words[at] = (this.#table.words[at] ?? 0) & ~flag;
  }

  /** 0 for none. */
  deadlineOf(connection: number): number {
    return this.#table.doubles[this.#table.doubleOf(connection) + RECORD_DEADLINE_MS] ?? 0;
  }

  setDeadline(connection: number, deadlineMs: number): void {
    this.#table.doubles[this.#table.doubleOf(connection) + RECORD_DEADLINE_MS] = deadlineMs;
  }

  /** Takes the socket out of the record: its number may be another connection's as soon as it is closed. */
  #forget(connection: number): number {
    const socket = this.socketOf(connection);
    if (socket < 0) return -1;
    this.#table.words[this.#table.wordOf(connection) + RECORD_SOCKET] = -1;
    this.#options.held.forget(connection);
    if (!this.hasFlag(connection, FLAG_IS_PROXY)) this.#options.counters.add("closed", 1);
    return socket;
  }
}
