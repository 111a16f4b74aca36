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
import type { LinuxSockets } from "./linux-sockets.ts";
import { EAGAIN } from "./linux-constants.ts";
import {
  OWNER_ARMED,
  RECORD_DEADLINE_MS,
  RECORD_READ_BYTES,
  RECORD_REST,
  RECORD_SOCKET,
  RECORD_STALLED_MS,
  RECORD_UNSENT,
} from "./receiver-memory.ts";

/** After a stall a peer is read in pieces that double from here, so that little is left over at the next one. */
const READ_BYTES_AFTER_STALL = 4_096;
/** Attempts to get a stalled connection away from other threads before the one that needs room goes itself. */
const EVICTIONS_TRIED_MAX = 4;

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
  readonly counters: CounterSlot;
  /** Closes a connection that this thread owns and no queue knows. */
  readonly evict: (connection: number) => void;
}

/** One thread's access. */
export class HeldReplies {
  readonly #sockets: LinuxSockets;
  readonly #table: ConnectionTable;
  readonly #hold: HoldBlocks;
  readonly #counters: CounterSlot;
  readonly #evict: (connection: number) => void;

  constructor({ sockets, table, hold, counters, evict }: HeldRepliesOptions) {
    this.#sockets = sockets;
    this.#table = table;
    this.#hold = hold;
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
    if (taken < 0) return -1;
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

  /** Collects what is no rest of a read: the beginning of a connection. False where there is no room. */
  collect(connection: number, address: number, length: number): boolean {
    return this.#append(connection, this.#table.wordOf(connection) + RECORD_REST, address, length);
  }

  /** Gives back what a connection holds that is closed. */
  forget(connection: number): void {
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
    for (let attempt = 0; attempt < EVICTIONS_TRIED_MAX; attempt += 1) {
      const oldest = this.#findLongestStalled(needy);
      if (oldest === needy) return false;
      if (!this.#table.seize(oldest)) continue;
      this.#counters.add("droppedStalled", 1);
      this.#evict(oldest);
      return true;
    }
    return false;
  }

  #findLongestStalled(needy: number): number {
    let found = needy;
    // 0 is that of a connection which collects its beginning: it has waited for nobody.
    const ownMs = this.#table.doubles[this.#table.doubleOf(needy) + RECORD_STALLED_MS] ?? 0;
    let sinceMs = ownMs === 0 ? Number.POSITIVE_INFINITY : ownMs;
    for (let other = 0; other < this.#table.length; other += 1) {
      const stalledMs = this.#table.doubles[this.#table.doubleOf(other) + RECORD_STALLED_MS] ?? 0;
      if (stalledMs === 0 || stalledMs >= sinceMs || this.#table.ownerOf(other) !== OWNER_ARMED) continue;
      found = other;
      sinceMs = stalledMs;
    }
    return found;
  }
}
