/**
 * The queues of connections with something to read, one for each prefix, and the order in which prefixes are served:
 * the state behind {@link PlayerShares}, which holds its lock around every call. Plain arguments and no allocation,
 * since several calls are made a read.
 *
 * Every prefix has a virtual time: the cost that it has been charged, in bytes. The one with the least is served next.
 * A turn is charged in advance with the cost of the turn before, so that a second thread does not take the same prefix
 * for the least served, and corrected at its end. The queues' own virtual time is that of the latest turn's start: a
 * prefix that has been quiet starts there, so that it neither owes nor is owed anything for that time.
 */
import { READ_BYTES_MAX } from "./kernel/layout.ts";
import {
  CONNECTION_CHARGED,
  CONNECTION_DOUBLES,
  CONNECTION_IS_IDLE,
  CONNECTION_IS_QUEUED,
  CONNECTION_IS_RUNNING,
  CONNECTION_NEXT,
  CONNECTION_PREFIX,
  CONNECTION_PREVIOUS,
  CONNECTION_SEQUENCE,
  CONNECTION_STATE,
  CONNECTION_WORDS,
  DOUBLE_SEQUENCE,
  DOUBLE_VIRTUAL_TIME,
  HEAP_DUE,
  HEAP_NONE,
  HEAP_READY,
  PREFIX_DOUBLES,
  PREFIX_DUE_MS,
  PREFIX_EXPECTED_COST,
  PREFIX_HEAD_SEQUENCE,
  PREFIX_HEAP,
  PREFIX_IS_LIMITED,
  PREFIX_QUEUE_HEAD,
  PREFIX_QUEUE_TAIL,
  PREFIX_RUNNING,
  PREFIX_SPENT,
  PREFIX_SPENT_AT_MS,
  PREFIX_VIRTUAL_TIME,
  PREFIX_WAITING,
  PREFIX_WORDS,
  WORD_DUE_SIZE,
  WORD_READY_SIZE,
  WORD_RECORDS_USED,
  WORD_WAITING,
  type SharesMemory,
} from "./player-shares-memory.ts";
import { PrefixHeap } from "./prefix-heap.ts";

/** What a read costs beside its bytes, in bytes: the calls of the system and the queue. */
export const READ_COST = 2_048;
/** How far a prefix that is always busy may stay behind the others before what it could not use is lost, in cost. */
const CREDIT_MAX = 4 * READ_BYTES_MAX;
/** A budget holds what comes in this time, and at least {@link BURST_BYTES_MIN}: players send in bursts. */
const BURST_MS = 250;
const BURST_BYTES_MIN = 65_536;
/** A prefix whose budget is used up waits until there is again as much as comes in this time. */
const REFILL_MS = 5;
/** The least that a turn may read: smaller reads cost more than they smooth. */
const TURN_BYTES_MIN = 4_096;
/** Prefixes that one call frees from waiting for their budget: it bounds the time under the lock. */
const DUE_PER_CALL = 8;

export class PlayerQueues {
  readonly #memory: SharesMemory;
  /** Prefixes that may be served, and those whose budget is used up; both with something queued. */
  readonly #ready: PrefixHeap;
  readonly #due: PrefixHeap;
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  readonly #refillBytes: number;

  constructor(options: {
    readonly memory: SharesMemory;
    /** 0 for any number. */
    readonly bytesPerSecondPerPrefix: number;
    readonly fairShare: "prefix" | "connection";
  }) {
    const { memory, bytesPerSecondPerPrefix, fairShare } = options;
    this.#memory = memory;
    // By connection, whoever has waited longest is next: taking turns.
    const key = fairShare === "prefix" ? PREFIX_VIRTUAL_TIME : PREFIX_HEAD_SEQUENCE;
    const { ready, due } = memory;
    this.#ready = new PrefixHeap({ memory, items: ready, sizeWord: WORD_READY_SIZE, name: HEAP_READY, key });
    this.#due = new PrefixHeap({
      memory,
      items: due,
      sizeWord: WORD_DUE_SIZE,
      name: HEAP_DUE,
      key: PREFIX_DUE_MS,
    });
    this.#bytesPerMs = bytesPerSecondPerPrefix / 1_000;
    this.#burstBytes = Math.max(this.#bytesPerMs * BURST_MS, BURST_BYTES_MIN);
    this.#refillBytes = Math.max(this.#bytesPerMs * REFILL_MS, 1);
  }

  /** True where something may be read. */
  get hasReady(): boolean {
    return this.#ready.size > 0;
  }

  /** When the next prefix has a budget again, infinity where none waits for it. */
  get dueAtMs(): number {
    return this.#due.firstKey();
  }

  /** Idle, queued or running, as `player-shares-memory.ts` has it. */
  stateOf(connection: number): number {
    return this.#getConnection(connection, CONNECTION_STATE);
  }

  prefixOf(connection: number): number {
    return this.#getConnection(connection, CONNECTION_PREFIX);
  }

  /** Queues an idle connection. */
  enqueue(connection: number, prefix: number): void {
    this.#setConnection(connection, CONNECTION_PREFIX, prefix);
    if (this.#isQuiet(prefix)) this.#startAt(prefix, this.#virtualTime);
    this.#append(connection, prefix);
  }

  /** Starts the next turn: the connection, or -1. */
  take(nowMs: number): number {
    this.freeDue(nowMs);
    if (this.#ready.size === 0) return -1;
    const prefix = this.#ready.first();
    const connection = this.#get(prefix, PREFIX_QUEUE_HEAD) - 1;
    const time = this.#getDouble(prefix, PREFIX_VIRTUAL_TIME);
    if (time > this.#virtualTime) this.#memory.doubles[DOUBLE_VIRTUAL_TIME] = time;
    const charged = Math.max(this.#getDouble(prefix, PREFIX_EXPECTED_COST), READ_COST);
    this.#memory.connectionDoubles[connection * CONNECTION_DOUBLES + CONNECTION_CHARGED] = charged;
    this.#setDouble(prefix, PREFIX_VIRTUAL_TIME, time + charged);
    this.#set(prefix, PREFIX_RUNNING, this.#get(prefix, PREFIX_RUNNING) + 1);
    this.#remove(connection, prefix);
    this.#setConnection(connection, CONNECTION_STATE, CONNECTION_IS_RUNNING);
    return connection;
  }

  /** How many bytes a turn of a running connection should read at most. */
  turnBytesMax(connection: number, nowMs: number): number {
    if (this.#bytesPerMs === 0) return READ_BYTES_MAX;
    const left = this.#burstBytes - this.#spent(this.prefixOf(connection), nowMs);
    return Math.min(READ_BYTES_MAX, Math.max(TURN_BYTES_MIN, Math.ceil(left)));
  }

  /** Ends a turn, with what it cost. */
  endTurn(connection: number, cost: number): void {
    const prefix = this.prefixOf(connection);
    const charged = this.#memory.connectionDoubles[connection * CONNECTION_DOUBLES + CONNECTION_CHARGED] ?? 0;
    this.#setConnection(connection, CONNECTION_STATE, CONNECTION_IS_IDLE);
    this.#set(prefix, PREFIX_RUNNING, this.#get(prefix, PREFIX_RUNNING) - 1);
    this.#setDouble(prefix, PREFIX_EXPECTED_COST, cost);
    const time = this.#getDouble(prefix, PREFIX_VIRTUAL_TIME) + cost - charged;
    this.#setDouble(prefix, PREFIX_VIRTUAL_TIME, time);
    if (this.#get(prefix, PREFIX_HEAP) === HEAP_READY) this.#ready.update(prefix);
  }

  /** Queues a connection whose turn has just ended. */
  requeue(connection: number): void {
    const prefix = this.prefixOf(connection);
    // It has been busy all the time, so it keeps what it could not use, up to a bound.
    if (this.#isQuiet(prefix)) this.#startAt(prefix, this.#virtualTime - CREDIT_MAX);
    this.#append(connection, prefix);
  }

  /** Forgets a connection, whatever it does. */
  drop(connection: number): void {
    const state = this.stateOf(connection);
    if (state === CONNECTION_IS_RUNNING) this.endTurn(connection, READ_COST);
    if (state !== CONNECTION_IS_QUEUED) return;
    this.#remove(connection, this.prefixOf(connection));
    this.#setConnection(connection, CONNECTION_STATE, CONNECTION_IS_IDLE);
  }

  /** Moves an idle or running connection to another prefix. */
  move(connection: number, prefix: number): void {
    const isRunning = this.stateOf(connection) === CONNECTION_IS_RUNNING;
    if (isRunning) this.endTurn(connection, READ_COST);
    this.#setConnection(connection, CONNECTION_PREFIX, prefix);
    if (!isRunning) return;
    if (this.#isQuiet(prefix)) this.#startAt(prefix, this.#virtualTime);
    this.#memory.connectionDoubles[connection * CONNECTION_DOUBLES + CONNECTION_CHARGED] = 0;
    this.#set(prefix, PREFIX_RUNNING, this.#get(prefix, PREFIX_RUNNING) + 1);
    this.#setConnection(connection, CONNECTION_STATE, CONNECTION_IS_RUNNING);
  }

  /** Charges bytes to the budget of a connection's prefix. Returns true where that makes it wait. */
  charge(connection: number, bytes: number, nowMs: number): boolean {
    return this.#bytesPerMs > 0 && this.chargePrefix(this.prefixOf(connection), bytes, nowMs) > 0;
  }

  /** Charges bytes to a prefix's budget. Returns how many milliseconds it has to wait then. */
  chargePrefix(prefix: number, bytes: number, nowMs: number): number {
    if (this.#bytesPerMs === 0) return 0;
    const spent = this.#spent(prefix, nowMs) + bytes;
    const atMs = Math.max(this.#getDouble(prefix, PREFIX_SPENT_AT_MS), nowMs);
    this.#setDouble(prefix, PREFIX_SPENT, spent);
    this.#setDouble(prefix, PREFIX_SPENT_AT_MS, atMs);
    if (spent < this.#burstBytes) return 0;
    const waitMs = (spent - this.#burstBytes + this.#refillBytes) / this.#bytesPerMs;
    this.#limit(prefix, atMs + waitMs);
    return waitMs;
  }

  /** Has prefixes served again whose budget allows it. */
  freeDue(nowMs: number): void {
    for (let count = 0; count < DUE_PER_CALL && this.#due.firstKey() <= nowMs; count += 1) {
      const prefix = this.#due.first();
      this.#due.remove(prefix);
      this.#set(prefix, PREFIX_IS_LIMITED, 0);
      this.#startAt(prefix, this.#virtualTime);
      this.#ready.add(prefix);
    }
  }

  /** Makes all queues and heaps anew from the connections' records: after a thread died while it changed them. */
  rebuild(): void {
    const { words, connections, connectionDoubles } = this.#memory;
    for (let prefix = 0; prefix < (words[WORD_RECORDS_USED] ?? 0); prefix += 1) {
      for (const field of [PREFIX_QUEUE_HEAD, PREFIX_QUEUE_TAIL, PREFIX_WAITING, PREFIX_RUNNING]) {
        this.#set(prefix, field, 0);
      }
      this.#set(prefix, PREFIX_HEAP, HEAP_NONE);
    }
    for (const word of [WORD_WAITING, WORD_READY_SIZE, WORD_DUE_SIZE]) words[word] = 0;
    const queued: number[] = [];
    for (let connection = 0; connection < connections.length / CONNECTION_WORDS; connection += 1) {
      const prefix = this.prefixOf(connection);
      if (this.stateOf(connection) === CONNECTION_IS_QUEUED) queued.push(connection);
      else if (this.stateOf(connection) === CONNECTION_IS_RUNNING) {
        this.#set(prefix, PREFIX_RUNNING, this.#get(prefix, PREFIX_RUNNING) + 1);
      }
    }
    const sequence = (connection: number): number =>
      connectionDoubles[connection * CONNECTION_DOUBLES + CONNECTION_SEQUENCE] ?? 0;
    queued.sort((one, other) => sequence(one) - sequence(other));
    for (const connection of queued) this.#append(connection, this.prefixOf(connection));
  }

  /** The budget of a prefix is used up until then. */
  #limit(prefix: number, dueMs: number): void {
    this.#set(prefix, PREFIX_IS_LIMITED, 1);
    this.#setDouble(prefix, PREFIX_DUE_MS, dueMs);
    const heap = this.#get(prefix, PREFIX_HEAP);
    if (heap === HEAP_DUE) this.#due.update(prefix);
    if (heap !== HEAP_READY) return;
    this.#ready.remove(prefix);
    this.#due.add(prefix);
  }

  /** Puts a connection at the tail of its prefix's queue. */
  #append(connection: number, prefix: number): void {
    const { doubles, words, connectionDoubles } = this.#memory;
    const sequence = (doubles[DOUBLE_SEQUENCE] ?? 0) + 1;
    doubles[DOUBLE_SEQUENCE] = sequence;
    connectionDoubles[connection * CONNECTION_DOUBLES + CONNECTION_SEQUENCE] = sequence;
    const tail = this.#get(prefix, PREFIX_QUEUE_TAIL);
    this.#setConnection(connection, CONNECTION_PREVIOUS, tail);
    this.#setConnection(connection, CONNECTION_NEXT, 0);
    this.#set(prefix, PREFIX_QUEUE_TAIL, connection + 1);
    if (tail !== 0) this.#setConnection(tail - 1, CONNECTION_NEXT, connection + 1);
    this.#set(prefix, PREFIX_WAITING, this.#get(prefix, PREFIX_WAITING) + 1);
    words[WORD_WAITING] = (words[WORD_WAITING] ?? 0) + 1;
    this.#setConnection(connection, CONNECTION_STATE, CONNECTION_IS_QUEUED);
    if (tail !== 0) return;
    this.#set(prefix, PREFIX_QUEUE_HEAD, connection + 1);
    this.#setDouble(prefix, PREFIX_HEAD_SEQUENCE, sequence);
    if (this.#get(prefix, PREFIX_IS_LIMITED) === 1) this.#due.add(prefix);
    else this.#ready.add(prefix);
  }

  /** Takes a queued connection out of its prefix's queue. */
  #remove(connection: number, prefix: number): void {
    const { words, connectionDoubles } = this.#memory;
    const previous = this.#getConnection(connection, CONNECTION_PREVIOUS);
    const next = this.#getConnection(connection, CONNECTION_NEXT);
    if (previous === 0) this.#set(prefix, PREFIX_QUEUE_HEAD, next);
    else this.#setConnection(previous - 1, CONNECTION_NEXT, next);
    if (next === 0) this.#set(prefix, PREFIX_QUEUE_TAIL, previous);
    else this.#setConnection(next - 1, CONNECTION_PREVIOUS, previous);
    this.#set(prefix, PREFIX_WAITING, this.#get(prefix, PREFIX_WAITING) - 1);
    words[WORD_WAITING] = (words[WORD_WAITING] ?? 0) - 1;
    const heap = this.#get(prefix, PREFIX_HEAP) === HEAP_DUE ? this.#due : this.#ready;
    if (this.#get(prefix, PREFIX_WAITING) === 0) {
      heap.remove(prefix);
      return;
    }
    if (previous === 0) {
      const sequence = connectionDoubles[(next - 1) * CONNECTION_DOUBLES + CONNECTION_SEQUENCE] ?? 0;
      this.#setDouble(prefix, PREFIX_HEAD_SEQUENCE, sequence);
    }
    heap.update(prefix);
  }

  get #virtualTime(): number {
    return this.#memory.doubles[DOUBLE_VIRTUAL_TIME] ?? 0;
  }

  /** True where nothing of a prefix is queued or running. */
  #isQuiet(prefix: number): boolean {
    return this.#get(prefix, PREFIX_WAITING) === 0 && this.#get(prefix, PREFIX_RUNNING) === 0;
  }

  /** Moves a prefix that is in no heap on to a virtual time, if it is not there yet. */
  #startAt(prefix: number, time: number): void {
    if (this.#getDouble(prefix, PREFIX_VIRTUAL_TIME) < time)
      this.#setDouble(prefix, PREFIX_VIRTUAL_TIME, time);
  }

  /** Bytes of a prefix's budget that are used up. */
  #spent(prefix: number, nowMs: number): number {
    // Threads read the clock before they get the lock, so time may seem to go back a little.
    const elapsedMs = Math.max(0, nowMs - this.#getDouble(prefix, PREFIX_SPENT_AT_MS));
    return Math.max(0, this.#getDouble(prefix, PREFIX_SPENT) - elapsedMs * this.#bytesPerMs);
  }

  #get(prefix: number, field: number): number {
    return this.#memory.prefixes[prefix * PREFIX_WORDS + field] ?? 0;
  }

  #set(prefix: number, field: number, value: number): void {
    this.#memory.prefixes[prefix * PREFIX_WORDS + field] = value;
  }

  #getDouble(prefix: number, field: number): number {
    return this.#memory.prefixDoubles[prefix * PREFIX_DOUBLES + field] ?? 0;
  }

  #setDouble(prefix: number, field: number, value: number): void {
    this.#memory.prefixDoubles[prefix * PREFIX_DOUBLES + field] = value;
  }

  #getConnection(connection: number, field: number): number {
    return this.#memory.connections[connection * CONNECTION_WORDS + field] ?? 0;
  }

  #setConnection(connection: number, field: number, value: number): void {
    this.#memory.connections[connection * CONNECTION_WORDS + field] = value;
  }
}
