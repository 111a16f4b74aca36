/**
 * One turn of a connection on the receive path of Linux: a read of at most 256 KiB goes straight into the shared memory
 * and through the kernel, replies go out. What `connection.ts` does on sockets of Bun, with all state in the
 * connection's record: whichever thread has the next turn goes on. One call per TCP read, no allocation. Guarded by
 * `bench/micro/epoll-receiver.bench.ts`.
 */
import { PROXY_HEADER_MS_MAX, type Admission } from "./admission.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { CounterSlot } from "./counters.ts";
import { EpollEndings, type TurnEnd } from "./epoll-endings.ts";
import { EpollOpenings } from "./epoll-openings.ts";
import { HeldReplies } from "./held-replies.ts";
import type { HoldBlocks } from "./hold-blocks.ts";
import type { ViewerAddress } from "./http-redirect.ts";
import type { Kernel } from "./kernel.ts";
import { PHASE_CLOSING, PHASE_HTTP, PHASE_OPEN, READ_BYTES_MAX, STATE_PHASE } from "./kernel/layout.ts";
import { EAGAIN } from "./linux-constants.ts";
import type { LinuxSockets } from "./linux-sockets.ts";
import {
  FLAG_HAS_PEER_FINISHED,
  FLAG_IS_BROWSER,
  FLAG_IS_ENDING,
  FLAG_IS_HUNG_UP,
  FLAG_IS_PROXY,
  RECORD_FLAGS,
  RECORD_HEARD_MS,
  RECORD_PREFIX,
  RECORD_READ_BYTES,
  RECORD_SOCKET,
} from "./receiver-memory.ts";
import { SocketFailures } from "./socket-failures.ts";

const PHASE_WORD = STATE_PHASE / 4;

export interface EpollConnectionsOptions {
  readonly sockets: LinuxSockets;
  readonly kernel: Kernel;
  readonly table: ConnectionTable;
  readonly hold: HoldBlocks;
  readonly counters: CounterSlot;
  readonly admission: Admission;
  readonly viewers: ViewerAddress;
  /** The whole shared memory, and where it begins in the process. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly base: number;
  /** Told that a connection is closed which this thread owns, outside its turn. */
  readonly onClosed: (connection: number) => void;
}

/** One thread's. Every connection named must be this thread's own. Plain arguments in all that runs once a read. */
export class EpollConnections {
  /** What the last turn received and answered, in bytes. */
  receivedBytes = 0;
  replyBytes = 0;
  readonly #sockets: LinuxSockets;
  readonly #kernel: Kernel;
  readonly #table: ConnectionTable;
  readonly #held: HeldReplies;
  readonly #failures: SocketFailures;
  readonly #endings: EpollEndings;
  readonly #openings: EpollOpenings;
  readonly #counters: CounterSlot;
  readonly #admission: Admission;
  readonly #bytes: Uint8Array<ArrayBufferLike>;
  readonly #base: number;
  readonly #readOffset: number;
  readonly #hasIdleLimit: boolean;
  readonly #onClosed: (connection: number) => void;

  constructor(options: EpollConnectionsOptions) {
    const { sockets, kernel, table, hold, counters, admission, bytes, base, onClosed } = options;
    const failures = new SocketFailures(table);
    const evict = (other: number): void => this.abort(other);
    const held = new HeldReplies({ sockets, table, hold, failures, counters, evict });
    const endings = new EpollEndings({ sockets, kernel, table, held, counters, bytes, base });
    this.#sockets = sockets;
    this.#kernel = kernel;
    this.#table = table;
    this.#held = held;
    this.#failures = failures;
    this.#endings = endings;
    this.#openings = new EpollOpenings({ ...options, endings });
    this.#counters = counters;
    this.#admission = admission;
    this.#bytes = bytes;
    this.#base = base;
    this.#readOffset = kernel.readOffset;
    this.#hasIdleLimit = Number.isFinite(admission.idleMs);
    this.#onClosed = onClosed;
  }

  /** Fills in the record of a new connection. `address` is the peer's. */
  open(connection: number, prefix: number, address: Uint8Array, nowMs: number): void {
    const at = this.#table.wordOf(connection);
    this.#table.words[at + RECORD_PREFIX] = prefix;
    this.#table.words[at + RECORD_READ_BYTES] = READ_BYTES_MAX;
    this.#noteHeard(connection, nowMs);
    if (!this.#admission.isProxy(address)) {
      this.#counters.add("accepted", 1);
      return;
    }
    this.#endings.setFlag(connection, FLAG_IS_PROXY);
    this.#endings.setDeadline(connection, nowMs + PROXY_HEADER_MS_MAX);
  }

  /** Serves a connection. */
  turn(connection: number, readBytesMax: number, nowMs: number): TurnEnd {
    this.receivedBytes = 0;
    this.replyBytes = 0;
    if (this.#isOverdue(connection, nowMs)) return this.expire(connection, nowMs);
    if (this.#held.unsentOf(connection) > 0) return this.#drain(connection, nowMs);
    return this.#read(connection, readBytesMax, nowMs);
  }

  /** True where a connection has overstayed in some way. */
  isExpired(connection: number, nowMs: number): boolean {
    return this.#isOverdue(connection, nowMs) || this.#isIdle(connection, nowMs);
  }

  /** Ends a connection that has overstayed. */
  expire(connection: number, nowMs: number): TurnEnd {
    if (!this.#isOverdue(connection, nowMs)) {
      this.#counters.add("idleClosed", 1);
      return this.#endings.say(connection, this.#admission.idleReply, nowMs);
    }
    const isEnding = this.#endings.hasFlag(connection, FLAG_IS_ENDING);
    if (!isEnding && this.#endings.hasFlag(connection, FLAG_IS_PROXY))
      return this.#openings.failHeader(connection, nowMs);
    return this.isStalled(connection)
      ? this.#expireStalled(connection, nowMs)
      : this.#endings.reset(connection);
  }

  /** The set tells of room in a socket only once a third of it is free: a slow peer may have taken something before. */
  #expireStalled(connection: number, nowMs: number): TurnEnd {
    const turnEnd = this.#drain(connection, nowMs);
    if (turnEnd !== "write" || !this.#isOverdue(connection, nowMs)) return turnEnd;
    this.#counters.add("droppedStalled", 1);
    return this.#endings.reset(connection);
  }

  /** True where a connection waits for its peer to take replies. */
  isStalled(connection: number): boolean {
    return this.#held.unsentOf(connection) > 0;
  }

  /** Closes a connection outside its turn. */
  abort(connection: number): void {
    this.#endings.reset(connection);
    this.#onClosed(connection);
  }

  /** Closes a connection in whose turn an exception of ours came: nobody else may get what it was being answered. */
  fail(connection: number): TurnEnd {
    this.#kernel.clearReplies();
    return this.#endings.reset(connection);
  }

  #read(connection: number, readBytesMax: number, nowMs: number): TurnEnd {
    const { words } = this.#table;
    const at = this.#table.wordOf(connection);
    const allowed = words[at + RECORD_READ_BYTES] ?? READ_BYTES_MAX;
    const limit = Math.min(allowed, readBytesMax);
    const socket = words[at + RECORD_SOCKET] ?? -1;
    const count = this.#sockets.receive(socket, this.#base + this.#readOffset, limit);
    if (count <= 0) return this.#endRead(connection, count, nowMs);
    this.#failures.clear(connection);
    this.receivedBytes = count;
    if (this.#hasIdleLimit) this.#noteHeard(connection, nowMs);
    const end = this.#readOffset + count;
    const isUsual = ((words[at + RECORD_FLAGS] ?? 0) & ~FLAG_IS_HUNG_UP) === 0;
    const turnEnd = isUsual
      ? this.#receive(connection, this.#readOffset, end, nowMs)
      : this.#receiveOther(connection, end, nowMs);
    if (turnEnd !== "again") return turnEnd;
    if (allowed < READ_BYTES_MAX) words[at + RECORD_READ_BYTES] = Math.min(allowed * 2, READ_BYTES_MAX);
    // A short read has emptied the socket; should more have come since, arming tells.
    return count === limit ? "again" : "read";
  }

  /** A read that brought no bytes. */
  #endRead(connection: number, count: number, nowMs: number): TurnEnd {
    if (count === 0) return this.#finishPeer(connection, nowMs);
    const isOver =
      count === -EAGAIN
        ? this.#endings.hasFlag(connection, FLAG_IS_HUNG_UP)
        : this.#failures.isEnd(connection, count);
    return isOver ? this.#endings.reset(connection) : "read";
  }

  /** The peer sent FIN: it has all replies, and gets ours. An incomplete command is dropped. */
  #finishPeer(connection: number, nowMs: number): TurnEnd {
    const endings = this.#endings;
    endings.setFlag(connection, FLAG_HAS_PEER_FINISHED);
    if (endings.hasFlag(connection, FLAG_IS_ENDING)) return endings.close(connection);
    if (endings.hasFlag(connection, FLAG_IS_BROWSER)) return this.#openings.answerBrowser(connection, nowMs);
    // A balancer that only looks whether we are there says nothing at all.
    const isCutHeader =
      endings.hasFlag(connection, FLAG_IS_PROXY) && this.#openings.hasHeaderBegun(connection);
    return isCutHeader ? this.#openings.failHeader(connection, nowMs) : endings.close(connection);
  }

  /** A read of a connection that is more than a player's: addresses in the shared memory, from the read area on. */
  #receiveOther(connection: number, end: number, nowMs: number): TurnEnd {
    const endings = this.#endings;
    const isProxy = endings.hasFlag(connection, FLAG_IS_PROXY);
    if (endings.hasFlag(connection, FLAG_IS_ENDING)) {
      if (!isProxy) this.#counters.add("receivedBytes", end - this.#readOffset);
      return "again";
    }
    if (isProxy) {
      const start = this.#openings.readHeader(connection, this.#readOffset, end, nowMs);
      return typeof start === "number" ? this.#receive(connection, start, end, nowMs) : start;
    }
    this.#counters.add("receivedBytes", end - this.#readOffset);
    return this.#openings.readRequest(connection, this.#readOffset, end, nowMs);
  }

  /** Parses bytes of a player as far as the peer takes the replies; keeps the rest. */
  #receive(connection: number, start: number, end: number, nowMs: number): TurnEnd {
    const kernel = this.#kernel;
    const record = this.#table.recordOf(connection);
    const phaseAt = this.#table.wordOf(connection) + PHASE_WORD;
    this.#counters.add("receivedBytes", end - start);
    let at = start;
    while (at < end && this.#table.words[phaseAt] === PHASE_OPEN) {
      at = kernel.parse(record, at, end, nowMs);
      if (kernel.repliesLength() > 0) {
        const sent = this.#sendReplies(connection, at, end, nowMs);
        if (sent !== "again") return sent;
      }
    }
    const phase = this.#table.words[phaseAt];
    if (phase === PHASE_OPEN) return "again";
    return phase === PHASE_HTTP
      ? this.#openings.readRequest(connection, at, end, nowMs)
      : this.#endings.end(connection, nowMs);
  }

  /** Sends what the kernel answered. Where the peer does not take it all, `[rest, restEnd)` waits with it. */
  #sendReplies(connection: number, rest: number, restEnd: number, nowMs: number): TurnEnd {
    const length = this.#kernel.repliesLength();
    const { repliesOffset } = this.#kernel;
    this.replyBytes += length;
    // The bytes stay where they are until the kernel is called again.
    this.#kernel.clearReplies();
    const taken = this.#held.send(connection, this.#base + repliesOffset, length);
    if (taken === length) return "again";
    if (taken < 0) return this.#endings.reset(connection);
    const isClosing = this.#table.words[this.#table.wordOf(connection) + PHASE_WORD] === PHASE_CLOSING;
    if (isClosing) this.#endings.setFlag(connection, FLAG_IS_ENDING);
    const restLength = isClosing ? 0 : restEnd - rest;
    return this.#endings.stall(connection, repliesOffset + taken, length - taken, rest, restLength, nowMs);
  }

  /** The peer may take bytes again. */
  #drain(connection: number, nowMs: number): TurnEnd {
    const sending = this.#held.drain(connection, this.#base, nowMs);
    if (sending === "broken") return this.#endings.reset(connection);
    if (sending === "stalled") return "write";
    if (this.#endings.hasFlag(connection, FLAG_IS_ENDING)) return this.#endings.finish(connection, nowMs);
    const turnEnd = this.#receiveRest(connection, nowMs);
    if (turnEnd !== "again") return turnEnd;
    this.#held.settle(connection);
    this.#noteHeard(connection, nowMs);
    return "again";
  }

  /** Parses what was read before the stall, a block at a time. */
  #receiveRest(connection: number, nowMs: number): TurnEnd {
    const record = this.#table.recordOf(connection);
    const phaseAt = this.#table.wordOf(connection) + PHASE_WORD;
    for (let length = this.#held.restOf(connection); length > 0; length = this.#held.restOf(connection)) {
      const address = this.#held.restAddressOf(connection);
      this.#bytes.copyWithin(this.#readOffset, address, address + length);
      const end = this.#kernel.parse(record, this.#readOffset, this.#readOffset + length, nowMs);
      this.#held.consumeRest(connection, end - this.#readOffset);
      if (this.#kernel.repliesLength() > 0) {
        const sent = this.#sendReplies(connection, 0, 0, nowMs);
        if (sent !== "again") return sent;
      }
      if (this.#table.words[phaseAt] === PHASE_CLOSING) return this.#endings.end(connection, nowMs);
    }
    return "again";
  }

  #isOverdue(connection: number, nowMs: number): boolean {
    const deadlineMs = this.#endings.deadlineOf(connection);
    return deadlineMs !== 0 && nowMs >= deadlineMs;
  }

  /** True where the player could have sent something, and has not for too long. */
  #isIdle(connection: number, nowMs: number): boolean {
    if (!this.#hasIdleLimit || this.#endings.deadlineOf(connection) !== 0) return false;
    const heardMs = this.#table.doubles[this.#table.doubleOf(connection) + RECORD_HEARD_MS] ?? nowMs;
    return nowMs - heardMs >= this.#admission.idleMs;
  }

  #noteHeard(connection: number, nowMs: number): void {
    this.#table.doubles[this.#table.doubleOf(connection) + RECORD_HEARD_MS] = nowMs;
  }
}
