/**
 * Receives players on Linux: pixel threads share one epoll set, one listening socket and one queue of players, and each
 * thread serves whichever connection comes next, a read of at most 256 KiB at a time, straight into the shared memory.
 * The loop never yields to the thread's event loop; it looks at the shared memory for orders between two reads
 * (`thread-control.ts`).
 *
 * A connection goes round: armed in the set for one event; its event claims it and puts it into the queue; a thread takes
 * it from there and reads once; it goes back to the queue while there is more to read, else it is armed again. So a
 * connection that floods costs one recv(2) a read and no other call.
 *
 * What threads of one group share for each read: the lock of the queue, taken twice, the cache lines of the connection's
 * record, and where a connection has been read empty the lock of the epoll set, twice. A read of 256 KiB takes over
 * 100 us, of which the queue's lock is held for less than one: two threads hardly ever meet there, 16 seldom. Reads of a
 * few bytes take a few microseconds, and 16 threads with nothing else to do would wait for each other half of the time.
 * So all that is shared hangs on an {@link EpollGroup} and a {@link PlayerShares}: a second group is a set with a
 * listener (SO_REUSEPORT) and a queue of its own. Guarded by `bench/micro/epoll-receiver.bench.ts`.
 */
import type { Admission } from "./admission.ts";
import { ConnectionTable } from "./connection-table.ts";
import type { CounterSlot } from "./counters.ts";
import { DeniedSockets } from "./denied-sockets.ts";
import { EpollAcceptor } from "./epoll-acceptor.ts";
import { EpollConnections } from "./epoll-connections.ts";
import type { TurnEnd } from "./epoll-endings.ts";
import { EpollSet, EVENT_OF_LISTENER, EVENT_OF_WAKE, type EpollGroup } from "./epoll-set.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { HoldBlocks } from "./hold-blocks.ts";
import type { ViewerAddress } from "./http-redirect.ts";
import type { Kernel } from "./kernel.ts";
import { READ_BYTES_MAX } from "./kernel/layout.ts";
import { ERROR_NAMES } from "./linux-constants.ts";
import { addressOf, type LinuxSockets } from "./linux-sockets.ts";
import { readCost, type PlayerShares } from "./player-shares.ts";
import {
  FLAG_IS_HUNG_UP,
  FLAG_IS_PROXY,
  openReceiverMemory,
  RECORD_FLAGS,
  RECORD_PREFIX,
  RECORD_SOCKET,
  WORD_DEADLINE_SECOND,
} from "./receiver-memory.ts";
import { SafePoint } from "./thread-control.ts";

/** How often connections with a deadline are looked at, by one of the threads. */
const DEADLINE_CHECK_MS = 1_000;
/** Looked at and closed for it in one turn, at most: a pause waits no longer for that than for a read. */
const DEADLINES_PER_TURN = 256;
const EXPIRED_PER_TURN = 32;
/** While there is always something to read, events are collected after so many turns or bytes, whichever is first. */
const COLLECT_TURNS = 16;
const COLLECT_BYTES = 2 * READ_BYTES_MAX;

export interface EpollReceiverOptions {
  readonly framebuffer: Framebuffer;
  /** Index of the thread. */
  readonly thread: number;
  readonly group: EpollGroup;
  readonly sockets: LinuxSockets;
  /** Monotonic, the same for all threads. */
  readonly clock: { monotonicMs(): number };
  readonly kernel: Kernel;
  readonly shares: PlayerShares;
  readonly admission: Admission;
  /** Where this thread counts. */
  readonly counters: CounterSlot;
  readonly viewers: ViewerAddress;
  /** Told of an exception in a connection's turn: our mistake. That connection is closed. */
  readonly onFault: (error: Error) => void;
  /** Told of the system's error where it has no room for connections, perhaps often while that lasts. */
  readonly onExhausted: (code: string) => void;
  /** Default: all that there are. */
  readonly holdBlocksMax?: number;
}

/** One thread's loop. */
export class EpollReceiver {
  readonly #options: EpollReceiverOptions;
  readonly #set: EpollSet;
  readonly #table: ConnectionTable;
  readonly #connections: EpollConnections;
  readonly #acceptor: EpollAcceptor;
  readonly #denied: DeniedSockets;
  readonly #safePoint: SafePoint;
  /** The header of the receive path's memory. */
  readonly #words: Int32Array<ArrayBufferLike>;
  #hasToEnd = false;
  #nextCheckMs = 0;
  /** The connection whose deadline this thread looks at next; -1 where it has come to the end. */
  #checkedNext = -1;
  /** When this thread has to arm the listener, if it has to. */
  #listenerDueMs = Number.POSITIVE_INFINITY;
  #turnsToCollect = COLLECT_TURNS;
  #bytesToCollect = COLLECT_BYTES;

  constructor(options: EpollReceiverOptions) {
    this.#options = options;
    const { framebuffer, thread, group, sockets, counters, onExhausted } = options;
    const { memory, map } = framebuffer;
    const area = map.threadAreas[thread];
    if (area === undefined) throw new RangeError(`The memory has no area for thread ${thread}`);
    const { systemOffset } = area;
    const table = new ConnectionTable(framebuffer, thread);
    const bytes = new Uint8Array(memory.buffer);
    this.#table = table;
    this.#words = openReceiverMemory(memory.buffer, map.receiverOffset).words;
    this.#set = new EpollSet(sockets, group, { framebuffer, systemOffset });
    this.#safePoint = new SafePoint(framebuffer, thread);
    const { deniedLingeringMax: lingeringMax } = options.admission;
    this.#denied = new DeniedSockets({ sockets, framebuffer, area, lingeringMax });
    this.#connections = new EpollConnections({
      ...options,
      table,
      hold: new HoldBlocks(framebuffer, thread, options.holdBlocksMax),
      bytes,
      base: addressOf(bytes),
      onClosed: (connection) => this.#release(connection),
    });
    const { listener } = group;
    const onSocket = (socket: number, address: Uint8Array): void => this.adopt(socket, address);
    const onRefused = (socket: number): void =>
      this.#denied.dismiss(socket, options.admission.replyTo("all"));
    const accepting = { sockets, listener, framebuffer, systemOffset, counters };
    this.#acceptor = new EpollAcceptor({ ...accepting, onSocket, onRefused, onExhausted });
  }

  /** Serves players until the thread is told to end. Blocks. */
  run(): void {
    this.#hasToEnd = !this.#safePoint.enter();
    try {
      while (!this.#hasToEnd) {
        if (this.#safePoint.isOrdered && !this.#safePoint.obey()) break;
        this.step(DEADLINE_CHECK_MS);
      }
    } finally {
      this.#safePoint.leave();
    }
    // One thread was woken to end: it wakes the next.
    this.#set.wakeThread();
  }

  /** Serves until nothing is left to do, for tests. */
  drain(): void {
    let isBusy = true;
    while (isBusy) isBusy = this.step(0);
  }

  /** Takes over a connected socket, nonblocking. `address` is the peer's, 16 bytes. */
  adopt(socket: number, address: Uint8Array): void {
    const { admission, shares, kernel, clock, counters } = this.#options;
    const nowMs = clock.monotonicMs();
    const outcome = admission.admit(address);
    if (typeof outcome === "string") {
      this.#denied.send(socket, admission.replyTo(outcome), nowMs);
      return;
    }
    const connection = this.#table.take(socket, kernel.resetRecord);
    if (connection < 0) {
      // Places and records are as many; a thread that died may have left fewer records.
      shares.leave(outcome);
      counters.add("deniedAll", 1);
      this.#denied.send(socket, admission.replyTo("all"), nowMs);
      return;
    }
    this.#connections.open(connection, outcome, address, nowMs);
    this.#table.beginArming(connection);
    const result = this.#set.add(socket, connection, this.#table.generationOf(connection));
    this.#table.endArming(connection);
    if (result < 0 && this.#table.seize(connection)) this.#turnAway(connection, -result, nowMs);
  }

  /** One turn, or a wait of at most `waitMs` for something to do. Returns false where nothing came. */
  step(waitMs: number): boolean {
    const { shares, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs >= this.#nextCheckMs) this.#beginCheck(nowMs);
    if (this.#checkedNext >= 0) this.#checkDeadlines(nowMs);
    if (nowMs >= this.#denied.dueAtMs) this.#denied.drain(nowMs);
    if (nowMs >= this.#listenerDueMs) this.#armListener();
    const connection = shares.take(nowMs);
    if (connection < 0) return this.#wait(nowMs, waitMs);
    if (shares.isHelpWanted) this.#set.wakeThread();
    this.#serve(connection, nowMs);
    this.#turnsToCollect -= 1;
    this.#bytesToCollect -= this.#connections.receivedBytes;
    if (this.#turnsToCollect <= 0 || this.#bytesToCollect <= 0) this.#collect();
    return true;
  }

  #serve(connection: number, nowMs: number): void {
    const { shares } = this.#options;
    this.#table.own(connection);
    const turnEnd = this.#turn(connection, nowMs);
    const { receivedBytes, replyBytes } = this.#connections;
    const cost = readCost(receivedBytes, replyBytes);
    if (turnEnd === "again") {
      // First, since another thread may take it as soon as it is in the queue.
      this.#table.giveToQueue(connection);
      shares.done(connection, receivedBytes, cost, true, nowMs);
      return;
    }
    shares.done(connection, receivedBytes, cost, false, nowMs);
    if (turnEnd === "closed") this.#release(connection);
    else this.#arm(connection, turnEnd);
  }

  #turn(connection: number, nowMs: number): TurnEnd {
    try {
      return this.#connections.turn(connection, this.#options.shares.readBytesMax, nowMs);
    } catch (error) {
      this.#options.counters.add("faults", 1);
      this.#options.onFault(error instanceof Error ? error : new Error(String(error)));
      return this.#connections.fail(connection);
    }
  }

  /** What a read left behind is stored in the record by now: any thread may go on. */
  #arm(connection: number, turnEnd: "read" | "write"): void {
    const socket = this.#table.words[this.#table.wordOf(connection) + RECORD_SOCKET] ?? -1;
    const generation = this.#table.generationOf(connection);
    this.#table.beginArming(connection);
    const result =
      turnEnd === "read"
        ? this.#set.armForRead(socket, connection, generation)
        : this.#set.armForWrite(socket, connection, generation);
    this.#endArming(connection, result);
  }

  /** A connection that the set does not know any more is of no use. */
  #endArming(connection: number, result: number): void {
    this.#table.endArming(connection);
    if (result < 0 && this.#table.seize(connection)) this.#connections.abort(connection);
  }

  /** Sends a new connection away that the system does not take into the set: no memory, or too many are watched. */
  #turnAway(connection: number, errno: number, nowMs: number): void {
    const { admission, counters, onExhausted } = this.#options;
    const { words } = this.#table;
    const at = this.#table.wordOf(connection);
    const socket = words[at + RECORD_SOCKET] ?? -1;
    // It lives on with those not let in.
    words[at + RECORD_SOCKET] = -1;
    if (((words[at + RECORD_FLAGS] ?? 0) & FLAG_IS_PROXY) === 0) counters.add("closed", 1);
    counters.add("refusedConnections", 1);
    this.#release(connection);
    this.#denied.send(socket, admission.replyTo("all"), nowMs);
    onExhausted(ERROR_NAMES[errno] ?? String(errno));
  }

  /** Gives back all that a connection had beside its socket: the record first, so that each place has one. */
  #release(connection: number): void {
    const prefix = this.#table.words[this.#table.wordOf(connection) + RECORD_PREFIX] ?? -1;
    this.#table.release(connection);
    if (prefix >= 0) this.#options.shares.leave(prefix);
  }

  /** Sleeps until there is something to do. Returns false where nothing came. */
  #wait(nowMs: number, waitMs: number): boolean {
    const { shares } = this.#options;
    if (!shares.sleep(nowMs)) return true;
    const isChecking = this.#checkedNext >= 0;
    const restMs = isChecking ? 0 : waitMs;
    const dueAtMs = Math.min(this.#listenerDueMs, this.#denied.dueAtMs);
    const dueMs = Math.min(restMs, shares.dueMs(nowMs), dueAtMs - nowMs);
    this.#safePoint.leave();
    const count = this.#set.wait(Math.ceil(Math.max(0, dueMs)));
    this.#hasToEnd = !this.#safePoint.enter();
    shares.wake();
    if (!this.#hasToEnd) this.#handle(count);
    return count > 0 || isChecking;
  }

  /** Looks for events while there is other work. */
  #collect(): void {
    this.#turnsToCollect = COLLECT_TURNS;
    this.#bytesToCollect = COLLECT_BYTES;
    const count = this.#set.wait(0);
    // Meant for a thread that sleeps and has not come to run yet: it sleeps on, so it is to be called again.
    if (this.#hasWake(count)) this.#options.shares.forgetCall();
    this.#handle(count);
  }

  #hasWake(count: number): boolean {
    for (let index = 0; index < count; index += 1) {
      if (this.#set.connectionAt(index) === EVENT_OF_WAKE) return true;
    }
    return false;
  }

  #handle(count: number): void {
    let isKnocking = false;
    for (let index = 0; index < count; index += 1) {
      const connection = this.#set.connectionAt(index);
      if (connection >= 0) this.#claim(index, connection);
      else isKnocking ||= connection === EVENT_OF_LISTENER;
    }
    // After the claims: accepting uses the set.
    if (isKnocking) this.#accept();
  }

  #claim(index: number, connection: number): void {
    if (this.#table.generationOf(connection) !== this.#set.generationAt(index)) return;
    // Taken for its deadline in the meantime, or armed twice after a thread died.
    if (!this.#table.claim(connection)) return;
    const { words } = this.#table;
    const at = this.#table.wordOf(connection);
    if (this.#set.isHungUpAt(index))
      words[at + RECORD_FLAGS] = (words[at + RECORD_FLAGS] ?? 0) | FLAG_IS_HUNG_UP;
    this.#options.shares.enqueue(connection, words[at + RECORD_PREFIX] ?? 0);
  }

  #accept(): void {
    const { shares, clock } = this.#options;
    this.#listenerDueMs = this.#acceptor.accept(clock.monotonicMs(), shares.waiting() > 0);
    if (this.#listenerDueMs === 0) this.#armListener();
  }

  #armListener(): void {
    this.#listenerDueMs = Number.POSITIVE_INFINITY;
    this.#set.armListener();
  }

  /** Once a second one thread begins to look for connections that have overstayed. */
  #beginCheck(nowMs: number): void {
    this.#nextCheckMs = nowMs + DEADLINE_CHECK_MS;
    const second = Math.floor(nowMs / DEADLINE_CHECK_MS) | 0;
    const before = Atomics.load(this.#words, WORD_DEADLINE_SECOND);
    if (second === before) return;
    if (Atomics.compareExchange(this.#words, WORD_DEADLINE_SECOND, before, second) !== before) return;
    // Where it has not come to the end in a second, it goes on from there.
    if (this.#checkedNext < 0) this.#checkedNext = 0;
  }

  /** Closes connections that have overstayed, some in each turn. Those being served are seen in their own turn. */
  #checkDeadlines(nowMs: number): void {
    const { length } = this.#table;
    const end = Math.min(this.#checkedNext + DEADLINES_PER_TURN, length);
    let expired = 0;
    let connection = this.#checkedNext;
    for (; connection < end && expired < EXPIRED_PER_TURN; connection += 1) {
      if (!this.#connections.isExpired(connection, nowMs) || !this.#table.seize(connection)) continue;
      this.#expire(connection, nowMs);
      expired += 1;
    }
    this.#checkedNext = connection < length ? connection : -1;
  }

  /** A connection that this thread has just taken for its deadline, which may have changed until then. */
  #expire(connection: number, nowMs: number): void {
    const turnEnd = this.#connections.isExpired(connection, nowMs)
      ? this.#connections.expire(connection, nowMs)
      : "again";
    if (turnEnd === "closed") this.#release(connection);
    else this.#arm(connection, this.#connections.isStalled(connection) ? "write" : "read");
  }
}
