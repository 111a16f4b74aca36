/**
 * Who is served next, and who may come in: the limits and the fairness of players, shared by all pixel threads of one
 * group. State lies in the shared memory under one lock, held for well under a microsecond.
 *
 * A connection that has something to read is queued at the tail of its prefix's queue. {@link PlayerShares.take} gives
 * the head of the queue of the prefix that has been served least: start-time fair queueing over prefixes (Goyal, Vin,
 * Cheng, 1996), so 100 connections of one player get together what one connection of another gets. A prefix that has
 * used up its budget of bytes waits until there is some again. Nothing is dropped: who waits is not read, and TCP slows
 * the player down.
 *
 * A receive path calls for each connection {@link PlayerShares.admit}, then any number of times
 * {@link PlayerShares.enqueue}, {@link PlayerShares.take}, {@link PlayerShares.done}, then {@link PlayerShares.drop} and
 * {@link PlayerShares.leave}. Every time is in milliseconds of one clock that all threads share: `performance.now()`
 * is none, it begins anew in each thread. Guarded by `bench/micro/player-shares.bench.ts`.
 */
import assert from "node:assert/strict";
import type { CounterSlot } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { READ_BYTES_MAX } from "./kernel/layout.ts";
import { PlayerQueues, READ_COST } from "./player-queues.ts";
import {
  CONNECTION_IS_IDLE,
  CONNECTION_IS_QUEUED,
  CONNECTION_IS_RUNNING,
  openSharesMemory,
  WORD_CONNECTIONS,
  WORD_IS_CALLED,
  WORD_LOCK,
  WORD_PREFIXES,
  WORD_SLEEPERS,
  WORD_WAITING,
  type SharesMemory,
} from "./player-shares-memory.ts";
import { PrefixTable } from "./prefix-table.ts";
import { SharedLock } from "./shared-lock.ts";

/** What a byte of a reply costs, in bytes: making and sending it takes about as long as receiving so many. */
const REPLY_BYTE_COST = 8;

/** The operator's limits. Passes through `postMessage`. */
export interface PlayerLimits {
  /** Connections in all; the framebuffer's `connectionsMax` bounds it too. */
  readonly connectionsMax: number;
  /** Connections of one prefix; 0 for any number. */
  readonly connectionsPerPrefix: number;
  /** Bytes received in a second from one prefix; 0 for any number. */
  readonly bytesPerSecondPerPrefix: number;
  /** Who gets equal parts when there is more to read than time: prefixes, or connections whoever has them. */
  readonly fairShare: "prefix" | "connection";
  /** A secret whole number below 2^31, the same in all threads ({@link PrefixTable}). */
  readonly hashSeed: number;
}

/** No limit but the number of records. */
export const NO_PLAYER_LIMITS: PlayerLimits = {
  connectionsMax: Number.POSITIVE_INFINITY,
  connectionsPerPrefix: 0,
  bytesPerSecondPerPrefix: 0,
  fairShare: "prefix",
  hashSeed: 0,
};

/** Why a connection is not let in: the limit that is reached. */
export type Denial = "all" | "prefix";

/** The cost of a read that brought `bytes` and was answered with `replyBytes`. Plain arguments: called once a read. */
export function readCost(bytes: number, replyBytes: number): number {
  return READ_COST + bytes + REPLY_BYTE_COST * replyBytes;
}

/** One thread's access. Hot: {@link take} and {@link done} once a read, hence plain arguments. */
export class PlayerShares {
  readonly #memory: SharesMemory;
  readonly #lock: SharedLock;
  readonly #table: PrefixTable;
  readonly #queues: PlayerQueues;
  readonly #limits: PlayerLimits;
  readonly #thread: number;
  readonly #counters: CounterSlot | undefined;
  #isHelpWanted = false;
  #readBytesMax = READ_BYTES_MAX;

  /**
   * @param framebuffer this thread's views; the state is in its memory, all 0 at first
   * @param thread the thread's index. Who is no pixel thread takes an index of its own from `framebuffer.threads` on,
   * and neither sleeps nor counts
   * @param limits the same in all threads
   */
  constructor(framebuffer: Framebuffer, thread: number, limits: PlayerLimits) {
    const { memory, map, threads, connectionsMax, counters } = framebuffer;
    this.#memory = openSharesMemory(memory.buffer, map.sharesOffset, { threads, connectionsMax });
    this.#thread = thread;
    this.#limits = { ...limits, connectionsMax: Math.min(limits.connectionsMax, connectionsMax) };
    this.#counters = thread < threads ? counters[thread] : undefined;
    this.#lock = new SharedLock(this.#memory.words, WORD_LOCK, thread);
    this.#table = new PrefixTable(this.#memory, limits.hashSeed);
    const { bytesPerSecondPerPrefix, fairShare } = limits;
    this.#queues = new PlayerQueues({ memory: this.#memory, bytesPerSecondPerPrefix, fairShare });
  }

  /**
   * Lets a connection in, or not. Each that was let in is to {@link leave}.
   *
   * @param key of the peer's address, from `address-prefix.ts`; not kept
   * @param isTrusted true for a proxy, whose address is none of a player: only the limit in all holds. When it has told
   * the player's address, {@link readmit}
   * @returns the prefix, a whole number from 0, or why not; a denial is counted
   */
  admit(key: Uint8Array, isTrusted = false): number | Denial {
    this.#lock.lock();
    try {
      if (this.connections() >= this.#limits.connectionsMax) return this.#deny("all");
      if (!isTrusted && this.#isPrefixFull(key)) return this.#deny("prefix");
      return this.#join(key);
    } finally {
      this.#lock.unlock();
    }
  }

  /**
   * Moves a connection that was let in as a proxy's to the prefix of the player. Where that is denied it stays what it
   * was: tell the player, close it, and {@link leave} the old prefix.
   *
   * @param prefix what {@link admit} returned
   * @param connection its number where it may be running; -1 for a receive path that does not queue
   * @returns the new prefix, or why not
   */
  readmit(prefix: number, key: Uint8Array, connection: number): number | Denial {
    this.#lock.lock();
    try {
      if (this.#isPrefixFull(key)) return this.#deny("prefix");
      this.#leave(prefix);
      const joined = this.#join(key);
      if (connection >= 0) this.#queues.move(connection, joined);
      return joined;
    } finally {
      this.#lock.unlock();
    }
  }

  /** A connection that was let in is gone, after {@link drop}. */
  leave(prefix: number): void {
    this.#lock.lock();
    try {
      this.#leave(prefix);
    } finally {
      this.#lock.unlock();
    }
  }

  /** A connection has something to read: it waits for its turn. It must be neither queued nor running. */
  enqueue(connection: number, prefix: number): void {
    assert(this.#queues.stateOf(connection) === CONNECTION_IS_IDLE, "a connection is queued once");
    this.#lock.lock();
    this.#queues.enqueue(connection, prefix);
    this.#lock.unlock();
  }

  /**
   * The connection to read next, -1 where none may be read now. It is running from here to {@link done} or
   * {@link drop}. Sets {@link readBytesMax} and {@link isHelpWanted}.
   */
  take(nowMs: number): number {
    this.#isHelpWanted = false;
    if (this.waiting() === 0) return -1;
    this.#lock.lock();
    const connection = this.#queues.take(nowMs);
    if (connection >= 0) this.#readBytesMax = this.#queues.turnBytesMax(connection, nowMs);
    if (this.#queues.hasReady) this.#callSleeper();
    this.#lock.unlock();
    return connection;
  }

  /** How many bytes the connection just taken should be read at most: fewer where its prefix's budget is short. */
  get readBytesMax(): number {
    return this.#readBytesMax;
  }

  /**
   * True where {@link take} left something to read, threads sleep, and none of them is being called: whoever sees this
   * must wake one (any: it calls {@link wake}). One call at a time, since two that nobody has heard would be one event
   * of an eventfd; who is awake takes its turn and calls the next.
   */
  get isHelpWanted(): boolean {
    return this.#isHelpWanted;
  }

  /**
   * A turn is over: bytes are charged to the prefix's budget, cost ({@link readCost}) to its share. To be called before
   * the connection is armed again, else another thread could queue it while it still runs.
   *
   * @param isReady true to queue it again at once: there is more to read
   */
  done(connection: number, bytes: number, cost: number, isReady: boolean, nowMs: number): void {
    assert(this.#queues.stateOf(connection) === CONNECTION_IS_RUNNING, "only what runs is done");
    this.#lock.lock();
    this.#queues.endTurn(connection, cost);
    const isThrottled = this.#queues.charge(connection, bytes, nowMs);
    if (isReady) this.#queues.requeue(connection);
    this.#lock.unlock();
    if (isThrottled) this.#counters?.add("throttledReads", 1);
  }

  /** Forgets a connection that is to be closed, whether it is idle, queued or running. */
  drop(connection: number): void {
    this.#lock.lock();
    this.#queues.drop(connection);
    this.#lock.unlock();
  }

  /** True while a connection is queued: whoever has it next gets it from {@link take}. */
  isQueued(connection: number): boolean {
    return this.#queues.stateOf(connection) === CONNECTION_IS_QUEUED;
  }

  /** The prefix of a connection that was queued since it was let in. */
  prefixOf(connection: number): number {
    return this.#queues.prefixOf(connection);
  }

  /** Connections queued, those that wait for a budget too. */
  waiting(): number {
    return Atomics.load(this.#memory.words, WORD_WAITING);
  }

  /** Milliseconds until a prefix that waits for its budget may be read; infinity where none waits. */
  dueMs(nowMs: number): number {
    if (this.waiting() === 0) return Number.POSITIVE_INFINITY;
    this.#lock.lock();
    const dueAtMs = this.#queues.dueAtMs;
    this.#lock.unlock();
    return Math.max(0, dueAtMs - nowMs);
  }

  /**
   * To be called before a thread blocks. False where something may be read: do not block. After true, {@link wake} when
   * it is awake, whatever woke it.
   */
  sleep(nowMs: number): boolean {
    this.#lock.lock();
    this.#queues.freeDue(nowMs);
    const isIdle = !this.#queues.hasReady;
    if (isIdle) this.#setAsleep(this.#thread, 1);
    this.#lock.unlock();
    return isIdle;
  }

  /** The thread is awake. */
  wake(): void {
    this.#lock.lock();
    this.#setAsleep(this.#thread, 0);
    this.#lock.unlock();
  }

  /** A call ({@link isHelpWanted}) was lost before a sleeper heard it: {@link take} may call again. */
  forgetCall(): void {
    this.#lock.lock();
    this.#memory.words[WORD_IS_CALLED] = 0;
    this.#lock.unlock();
  }

  /**
   * For a receive path that cannot choose what it reads: charges bytes that were read to the prefix's budget.
   *
   * @returns for how many milliseconds the connection should not be read; 0 to go on
   */
  charge(prefix: number, bytes: number, nowMs: number): number {
    if (this.#limits.bytesPerSecondPerPrefix === 0) return 0;
    this.#lock.lock();
    const waitMs = this.#queues.chargePrefix(prefix, bytes, nowMs);
    this.#lock.unlock();
    if (waitMs > 0) this.#counters?.add("throttledReads", 1);
    return waitMs;
  }

  /** Connections that are let in at most. */
  get connectionsMax(): number {
    return this.#limits.connectionsMax;
  }

  /** Connections let in that have not left, of all prefixes. */
  connections(): number {
    return Atomics.load(this.#memory.words, WORD_CONNECTIONS);
  }

  /** Prefixes that have connections. */
  prefixes(): number {
    return Atomics.load(this.#memory.words, WORD_PREFIXES);
  }

  /**
   * A thread is gone: puts right what it may have left half changed, and gives back its lock, for which the others wait
   * meanwhile. To be called before those are asked to pause. What the thread had taken still runs: {@link drop} it.
   */
  forgetThread(thread: number): void {
    const isHalfChanged = this.#lock.isHeldBy(thread);
    if (isHalfChanged) {
      this.#table.rebuild();
      this.#queues.rebuild();
    } else this.#lock.lock();
    this.#setAsleep(thread, 0);
    // It may have died between its call and what makes it heard.
    this.#memory.words[WORD_IS_CALLED] = 0;
    if (isHalfChanged) this.#lock.releaseOf(thread);
    else this.#lock.unlock();
  }

  /** Has all connections leave that a thread let in: for a receive path whose connections die with their thread. */
  leaveAllOf(thread: number): void {
    this.#memory.admitted[thread]?.forEach((count, prefix, admitted) => {
      if (count <= 0) return;
      this.#lock.lock();
      for (let index = 0; index < count; index += 1) this.#table.leave(prefix);
      admitted[prefix] = 0;
      this.#lock.unlock();
    });
  }

  // From here on the lock is held.

  #isPrefixFull(key: Uint8Array): boolean {
    const { connectionsPerPrefix } = this.#limits;
    return connectionsPerPrefix > 0 && this.#table.connectionsOf(key) >= connectionsPerPrefix;
  }

  #deny(denial: Denial): Denial {
    this.#counters?.add(denial === "all" ? "deniedAll" : "deniedPrefix", 1);
    return denial;
  }

  #join(key: Uint8Array): number {
    const prefix = this.#table.join(key);
    this.#countAdmitted(prefix, 1);
    return prefix;
  }

  #leave(prefix: number): void {
    this.#table.leave(prefix);
    this.#countAdmitted(prefix, -1);
  }

  #countAdmitted(prefix: number, amount: number): void {
    const admitted = this.#memory.admitted[this.#thread];
    if (admitted !== undefined) admitted[prefix] = (admitted[prefix] ?? 0) + amount;
  }

  #callSleeper(): void {
    const { words } = this.#memory;
    if (words[WORD_SLEEPERS] === 0 || words[WORD_IS_CALLED] === 1) return;
    words[WORD_IS_CALLED] = 1;
    this.#isHelpWanted = true;
  }

  #setAsleep(thread: number, value: 0 | 1): void {
    const { words, sleeping } = this.#memory;
    const before = sleeping[thread] ?? value;
    if (before === value) return;
    sleeping[thread] = value;
    words[WORD_SLEEPERS] = (words[WORD_SLEEPERS] ?? 0) + value - before;
    // Whoever wakes first counts as the one that was called: an event too many only wakes somebody in vain.
    if (value === 0) words[WORD_IS_CALLED] = 0;
  }
}
