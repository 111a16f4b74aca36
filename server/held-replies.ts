/**
 * What the receive path of Linux does for a peer that does not take its replies: it stops reading it and keeps what is
 * unsent, and what was read and not yet parsed, in `hold-blocks.ts`, until the peer takes bytes again or has taken too
 * long. Where the blocks run out, those who have not caught up for the longest are closed. The rules are those of
 * `connection.ts`; the state is in the connections' records, so that any thread goes on.
 */
import { STALL_MS_MAX, STALL_TOTAL_MS_MAX } from "./connection.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { CounterSlot } from "./counters.ts";
import type { HoldBlocks } from "./hold-blocks.ts";
import { EAGAIN } from "./linux-constants.ts";
import type { LinuxSockets } from "./linux-sockets.ts";
import {
  RECORD_DEADLINE_MS,
  RECORD_READ_BYTES,
  RECORD_REST,
  RECORD_SOCKET,
  RECORD_STALLED_MS,
  RECORD_UNSENT,
} from "./receiver-memory.ts";
import type { SocketFailures } from "./socket-failures.ts";

/** After a stall a peer is read in pieces that double from here, so that little is left over at the next one. */
const READ_BYTES_AFTER_STALL = 4_096;

/** How sending went. */
export type Sending =
  /** All was taken. */
  | "sent"
  /** Something waits for the peer. */
  | "stalled"
  /** The peer is gone. */
  | "broken";

export interface HeldRepliesOptions {
  readonly sockets: LinuxSockets;
  readonly table: ConnectionTable;
  readonly hold: HoldBlocks;
  readonly failures: SocketFailures;
  readonly counters: CounterSlot;
  /** Closes a connection that this thread owns and no queue knows. */
  readonly evict: (connection: number) => void;
}

/** One thread's access. */
export class HeldReplies {
  readonly #sockets: LinuxSockets;
  readonly #table: ConnectionTable;
  readonly #hold: HoldBlocks;
  readonly #failures: SocketFailures;
  readonly #counters: CounterSlot;
  readonly #evict: (connection: number) => void;
  readonly #seize = (connection: number): boolean => this.#table.seize(connection);

  constructor({ sockets, table, hold, failures, counters, evict }: HeldRepliesOptions) {
    this.#sockets = sockets;
    this.#table = table;
    this.#hold = hold;
    this.#failures = failures;
    this.#counters = counters;
    this.#evict = evict;
  }

  /** Bytes that the peer has not taken. */
  unsentOf(connection: number): number {
    return this.#hold.lengthOf(this.#table.wordOf(connection) + RECORD_UNSENT);
  }

  /** Sends bytes, of which all before were taken. Returns how many were taken, -1 where the peer is gone. */
  send(connection: number, address: number, length: number): number {
    const socket = this.#table.words[this.#table.wordOf(connection) + RECORD_SOCKET] ?? -1;
    const taken = this.#sockets.send(socket, address, length);
    if (taken === -EAGAIN) return 0;
    if (taken < 0) return this.#failures.isEnd(connection, taken) ? -1 : 0;
    this.#failures.clear(connection);
    this.#counters.add("sentBytes", taken);
    return taken;
  }

  /**
   * Keeps what the peer did not take, and what was read and not parsed. Addresses are those of the shared memory; no
   * argument object, as the connection's state machine passes them on from the kernel.
   *
   * @returns false where there is no room: the connection has to go
   */
  keep(
    connection: number,
    unsent: number,
    unsentLength: number,
    rest: number,
    restLength: number,
    nowMs: number,
  ): boolean {
    const at = this.#table.wordOf(connection);
    const atDouble = this.#table.doubleOf(connection);
    this.#counters.add("stalls", 1);
    if (this.#table.doubles[atDouble + RECORD_STALLED_MS] === 0) {
      this.#table.doubles[atDouble + RECORD_STALLED_MS] = nowMs;
      this.#hold.stalled.join(connection);
    }
    this.#table.words[at + RECORD_READ_BYTES] = READ_BYTES_AFTER_STALL;
    this.#watch(connection, nowMs);
    return (
      this.#append(connection, at + RECORD_UNSENT, unsent, unsentLength) &&
      this.#append(connection, at + RECORD_REST, rest, restLength)
    );
  }

  /** Sends what waits. Once all of it is taken the peer has no deadline. */
  drain(connection: number, base: number, nowMs: number): Sending {
    const chain = this.#table.wordOf(connection) + RECORD_UNSENT;
    let hasMoved = false;
    while (this.#hold.lengthOf(chain) > 0) {
      const length = this.#hold.firstLengthOf(chain);
      const taken = this.send(connection, base + this.#hold.firstAddressOf(chain), length);
      if (taken < 0) return "broken";
      if (taken > 0) this.#consume(chain, taken);
      hasMoved ||= taken > 0;
      if (taken < length) {
        if (hasMoved) this.#watch(connection, nowMs);
        return "stalled";
      }
    }
    this.#table.doubles[this.#table.doubleOf(connection) + RECORD_DEADLINE_MS] = 0;
    return "sent";
  }

  /** The peer has taken all that there was, or is closed: it stalls no longer. */
  settle(connection: number): void {
    const at = this.#table.doubleOf(connection) + RECORD_STALLED_MS;
    if (this.#table.doubles[at] === 0) return;
    this.#table.doubles[at] = 0;
    this.#hold.stalled.leave(connection);
  }

  /** Bytes that were read and wait to be parsed, those that lie side by side; 0 where there are none. */
  restOf(connection: number): number {
    const chain = this.#table.wordOf(connection) + RECORD_REST;
    return this.#hold.lengthOf(chain) === 0 ? 0 : this.#hold.firstLengthOf(chain);
  }

  restAddressOf(connection: number): number {
    return this.#hold.firstAddressOf(this.#table.wordOf(connection) + RECORD_REST);
  }

  consumeRest(connection: number, length: number): void {
    this.#consume(this.#table.wordOf(connection) + RECORD_REST, length);
  }

  clearRest(connection: number): void {
    const chain = this.#table.wordOf(connection) + RECORD_REST;
    this.#counters.add("heldBytes", -this.#hold.lengthOf(chain));
    this.#hold.clear(chain);
  }

  /** Gives back what a connection holds that is closed. */
  forget(connection: number): void {
    this.settle(connection);
    const at = this.#table.wordOf(connection);
    const unsent = this.#hold.lengthOf(at + RECORD_UNSENT);
    if (unsent > 0) this.#counters.add("heldBytes", -unsent);
    if (unsent > 0) this.#hold.clear(at + RECORD_UNSENT);
    if (this.#hold.lengthOf(at + RECORD_REST) > 0) this.clearRest(connection);
  }

  /** Gives the peer some time to take something. */
  #watch(connection: number, nowMs: number): void {
    const { doubles } = this.#table;
    const at = this.#table.doubleOf(connection);
    const sinceMs = doubles[at + RECORD_STALLED_MS] ?? 0;
    doubles[at + RECORD_DEADLINE_MS] = Math.min(nowMs + STALL_MS_MAX, sinceMs + STALL_TOTAL_MS_MAX);
  }

  #consume(chain: number, length: number): void {
    this.#hold.consume(chain, length);
    this.#counters.add("heldBytes", -length);
  }

  #append(connection: number, chain: number, address: number, length: number): boolean {
    while (!this.#hold.append(chain, address, length)) if (!this.#makeRoom(connection)) return false;
    this.#counters.add("heldBytes", length);
    return true;
  }

  /** Closes the connection that has stalled for the longest. False where that is the one in need itself. */
  #makeRoom(needy: number): boolean {
    const longest = this.#hold.stalled.seizeLongest(needy, this.#seize);
    if (longest < 0) return false;
    this.#counters.add("droppedStalled", 1);
    this.#evict(longest);
    return true;
  }
}
