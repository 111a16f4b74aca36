/**
 * The main thread's side of the receive path of Linux: opens what the pixel threads of a group share, puts right what a
 * thread leaves behind that died, and closes everything once all threads have ended. A descriptor belongs to the whole
 * process, so none goes with the thread that used it.
 */
import { describeError, SpillwayError, StartError } from "#common/errors.ts";
import { bindOrExplain } from "#common/listen.ts";
import { KEEP_ALIVE_MS } from "./connection.ts";
import { ConnectionTable } from "./connection-table.ts";
import { DeniedSockets } from "./denied-sockets.ts";
import { SpareDescriptor } from "./epoll-acceptor.ts";
import { EpollSet, type EpollGroup } from "./epoll-set.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { HoldBlocks } from "./hold-blocks.ts";
import { ERROR_NAMES } from "./linux-constants.ts";
import { LinuxSockets } from "./linux-sockets.ts";
import { THREADS_MAX, type ThreadArea } from "./memory-layout.ts";
import type { PlayerShares } from "./player-shares.ts";
import type { ReceivePath, ReceivePlan } from "./receive-path.ts";
import {
  ARMED_BY,
  FLAG_IS_PROXY,
  OWNED_BY,
  OWNER_ARMED,
  OWNER_NONE,
  OWNER_QUEUE,
  RECORD_FLAGS,
  RECORD_PREFIX,
  RECORD_REST,
  RECORD_SOCKET,
  RECORD_UNSENT,
} from "./receiver-memory.ts";

/** Connections that wait for a thread to accept them; the system may allow fewer (`net.core.somaxconn`). */
const BACKLOG = 4_096;

export interface OpenEpollGroupOptions {
  readonly framebuffer: Framebuffer;
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The main thread's. */
  readonly shares: PlayerShares;
}

/** A group and what the main thread needs to look after it. */
export class OwnedEpollGroup implements ReceivePath {
  readonly name = "epoll";
  /** For the threads. */
  readonly group: EpollGroup;
  /** The port that players connect to. */
  readonly port: number;
  readonly #framebuffer: Framebuffer;
  readonly #sockets: LinuxSockets;
  readonly #table: ConnectionTable;
  readonly #hold: HoldBlocks;
  readonly #shares: PlayerShares;

  /** Opens the port. Throws a StartError where it cannot. */
  constructor({ framebuffer, hostname, port, shares }: OpenEpollGroupOptions) {
    const sockets = new LinuxSockets();
    this.#framebuffer = framebuffer;
    this.#sockets = sockets;
    // No thread has this index.
    this.#table = new ConnectionTable(framebuffer, THREADS_MAX);
    this.#hold = new HoldBlocks(framebuffer, THREADS_MAX);
    this.#shares = shares;
    const listener = bindOrExplain({ option: "pixelflut-port", port, hostname }, () =>
      sockets.listen({ hostname, port, backlog: BACKLOG, idleMs: KEEP_ALIVE_MS }),
    );
    const opened = [listener];
    try {
      this.port = sockets.localPort(listener);
      const epoll = sockets.createEpoll();
      opened.push(epoll);
      const wake = orThrow("eventfd", sockets.createEvent());
      opened.push(wake);
      this.group = { epoll, wake, listener };
      orThrow("epoll_ctl", this.#setOf(0).addGroup());
    } catch (error) {
      for (const descriptor of opened) sockets.close(descriptor);
      throw new StartError("no-epoll-set", `Cannot receive players by epoll: ${describeError(error)}`);
    }
  }

  plan(): ReceivePlan {
    return { type: "epoll", group: this.group, port: this.port };
  }

  /** The port is known from the beginning. */
  listensOn(): void {}

  /** Wakes one thread that sleeps; told to end, it wakes the next. */
  wake(): void {
    this.#sockets.wake(this.group.wake);
  }

  freeLocks(thread: number): void {
    this.#shares.forgetThread(thread);
    this.#table.freeLock(thread);
    this.#hold.freeLock(thread);
  }

  /**
   * A thread is gone, and all others are at a safe point: closes the connections that it was serving, and arms those
   * again whose events it may have taken. The connections of the others go on.
   */
  forgetThread(thread: number): void {
    this.#hold.forgetThread(thread, this.#chains());
    // The area of the thread that is gone is free to be used.
    const set = this.#setOf(thread);
    for (let connection = 0; connection < this.#table.length; connection += 1) {
      const owner = this.#table.ownerOf(connection);
      const isItsOwn = owner === OWNED_BY + thread || owner === ARMED_BY + thread;
      // Taken from the queue a moment before, or not yet put into it: no other thread is between those steps.
      const isBetween = owner === OWNER_QUEUE && !this.#shares.isQueued(connection);
      if (isItsOwn || isBetween) this.#close(connection, thread);
      else if (owner === OWNER_ARMED) this.#arm(set, connection);
    }
    this.#closeAside(thread);
    set.armListener();
    this.wake();
  }

  /** Closes all sockets, once no thread is left. */
  close(): void {
    for (let connection = 0; connection < this.#table.length; connection += 1) {
      if (this.#table.ownerOf(connection) !== OWNER_NONE) this.#close(connection, 0);
    }
    for (let thread = 0; thread < this.#framebuffer.threads; thread += 1) this.#closeAside(thread);
    const { epoll, wake, listener } = this.group;
    for (const descriptor of [listener, wake, epoll]) this.#sockets.close(descriptor);
  }

  /** @param thread whose counters nobody else writes now */
  #close(connection: number, thread: number): void {
    const { words } = this.#table;
    const at = this.#table.wordOf(connection);
    const socket = words[at + RECORD_SOCKET] ?? -1;
    if (socket >= 0) this.#sockets.close(socket);
    const counters = this.#framebuffer.counters[thread];
    this.#hold.stalled.leave(connection);
    for (const chain of [at + RECORD_UNSENT, at + RECORD_REST]) {
      counters?.add("heldBytes", -this.#hold.lengthOf(chain));
      this.#hold.clear(chain);
    }
    const isPlayer = ((words[at + RECORD_FLAGS] ?? 0) & FLAG_IS_PROXY) === 0;
    if (socket >= 0 && isPlayer) counters?.add("closed", 1);
    this.#shares.drop(connection);
    const prefix = words[at + RECORD_PREFIX] ?? -1;
    this.#table.release(connection);
    if (prefix >= 0) this.#shares.leave(prefix);
  }

  #arm(set: EpollSet, connection: number): void {
    const at = this.#table.wordOf(connection);
    const socket = this.#table.words[at + RECORD_SOCKET] ?? -1;
    const generation = this.#table.generationOf(connection);
    if (this.#hold.lengthOf(at + RECORD_UNSENT) > 0) set.armForWrite(socket, connection, generation);
    else set.armForRead(socket, connection, generation);
  }

  *#chains(): Generator<number> {
    for (let connection = 0; connection < this.#table.length; connection += 1) {
      if (this.#table.ownerOf(connection) === OWNER_NONE) continue;
      const at = this.#table.wordOf(connection);
      yield at + RECORD_UNSENT;
      yield at + RECORD_REST;
    }
  }

  #setOf(thread: number): EpollSet {
    const framebuffer = this.#framebuffer;
    const { systemOffset } = this.#areaOf(thread);
    return new EpollSet(this.#sockets, this.group, { framebuffer, systemOffset });
  }

  /** Closes what a thread that is gone had open beside connections. */
  #closeAside(thread: number): void {
    const sockets = this.#sockets;
    const framebuffer = this.#framebuffer;
    const area = this.#areaOf(thread);
    new DeniedSockets({ sockets, framebuffer, area, lingeringMax: 0 }).close();
    new SpareDescriptor({ sockets, framebuffer, systemOffset: area.systemOffset }).close();
  }

  #areaOf(thread: number): ThreadArea {
    const area = this.#framebuffer.map.threadAreas[thread];
    if (area === undefined) throw new RangeError(`The memory has no area for thread ${thread}`);
    return area;
  }
}

/** A result of the system's that is no error. */
function orThrow(what: string, result: number): number {
  if (result >= 0) return result;
  const name = ERROR_NAMES[-result] ?? `error ${-result}`;
  throw new SpillwayError(name, `${what}: ${name}`);
}
