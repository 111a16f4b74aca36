/**
 * One thread's access to the epoll set that a group of threads shares: events come out of it, connections are armed in
 * it. Everything is armed for one event (EPOLLONESHOT), so whoever gets the event has the connection to itself until it
 * is armed again; arming again tells at once what has come in between. See `epoll-receiver.ts`.
 */
import assert from "node:assert/strict";
import type { Framebuffer } from "./framebuffer.ts";
import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLRDHUP,
} from "./linux-constants.ts";
import { addressOf, EPOLL_DATA_WORD, EPOLL_EVENT_WORDS, type LinuxSockets } from "./linux-sockets.ts";
import { SYSTEM_EVENTS } from "./receiver-memory.ts";

/** What the threads of one group share: descriptors, which are the whole process's. Passes through `postMessage`. */
export interface EpollGroup {
  /** The epoll set. */
  readonly epoll: number;
  /** An eventfd in it that wakes one thread for each write. It is never read: the set reports its edges. */
  readonly wake: number;
  /** The listening socket, in the set too. */
  readonly listener: number;
}

/** Events taken from the set at a time. */
export const EVENTS_MAX = 64;

/** What an event is about, in place of a connection. */
export const EVENT_OF_LISTENER = -1;
export const EVENT_OF_WAKE = -2;

/** The event that a controlling call passes, behind the list of those that a waiting call returns; in words. */
const CONTROL_WORD = EVENTS_MAX * 4;

export class EpollSet {
  readonly #sockets: LinuxSockets;
  readonly #group: EpollGroup;
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #eventsAddress: number;
  readonly #controlAddress: number;

  /** @param systemOffset of the thread's area in the shared memory */
  constructor(
    sockets: LinuxSockets,
    group: EpollGroup,
    { framebuffer, systemOffset }: { readonly framebuffer: Framebuffer; readonly systemOffset: number },
  ) {
    this.#sockets = sockets;
    this.#group = group;
    this.#words = new Int32Array(
      framebuffer.memory.buffer,
      systemOffset + SYSTEM_EVENTS,
      CONTROL_WORD + EPOLL_EVENT_WORDS,
    );
    this.#eventsAddress = addressOf(this.#words);
    this.#controlAddress = this.#eventsAddress + CONTROL_WORD * 4;
  }

  /** Waits for events. Returns how many there are, 0 after `timeoutMs` or a signal. */
  wait(timeoutMs: number): number {
    const { epoll } = this.#group;
    return Math.max(0, this.#sockets.waitForEvents(epoll, this.#eventsAddress, EVENTS_MAX, timeoutMs));
  }

  /** The connection that event number `index` is about, or one of the constants above. */
  connectionAt(index: number): number {
    return this.#words[index * EPOLL_EVENT_WORDS + EPOLL_DATA_WORD] ?? 0;
  }

  /** The generation of the connection as it was armed. */
  generationAt(index: number): number {
    return this.#words[index * EPOLL_EVENT_WORDS + EPOLL_DATA_WORD + 1] ?? 0;
  }

  /** True where the connection is broken or closed on both sides. */
  isHungUpAt(index: number): boolean {
    return ((this.#words[index * EPOLL_EVENT_WORDS] ?? 0) & (EPOLLERR | EPOLLHUP)) !== 0;
  }

  /** Puts a connection's socket into the set, to be told when it has something to read. Returns 0 or -errno. */
  add(socket: number, connection: number, generation: number): number {
    return this.#control(EPOLL_CTL_ADD, socket, READ_EVENTS, connection, generation);
  }

  /** To be told when a socket in the set has something to read. */
  armForRead(socket: number, connection: number, generation: number): number {
    return this.#control(EPOLL_CTL_MOD, socket, READ_EVENTS, connection, generation);
  }

  /** To be told when it takes bytes. */
  armForWrite(socket: number, connection: number, generation: number): number {
    return this.#control(EPOLL_CTL_MOD, socket, WRITE_EVENTS, connection, generation);
  }

  /** To be told when somebody connects. */
  armListener(): void {
    const result = this.#control(EPOLL_CTL_MOD, this.#group.listener, LISTENER_EVENTS, EVENT_OF_LISTENER, 0);
    // Changing what is in the set takes no memory.
    assert(result === 0, "the listener is in the set");
  }

  /** Puts the group's own descriptors into a new set. Returns 0 or -errno. */
  addGroup(): number {
    const { listener, wake } = this.#group;
    const result = this.#control(EPOLL_CTL_ADD, listener, LISTENER_EVENTS, EVENT_OF_LISTENER, 0);
    return result < 0 ? result : this.#control(EPOLL_CTL_ADD, wake, EPOLLIN | EPOLLET, EVENT_OF_WAKE, 0);
  }

  /** Wakes one thread that waits for events, or the next that does. */
  wakeThread(): void {
    this.#sockets.wake(this.#group.wake);
  }

  #control(operation: number, socket: number, events: number, low: number, high: number): number {
    this.#words[CONTROL_WORD] = events;
    this.#words[CONTROL_WORD + EPOLL_DATA_WORD] = low;
    this.#words[CONTROL_WORD + EPOLL_DATA_WORD + 1] = high;
    return this.#sockets.controlEpoll(this.#group.epoll, operation, socket, this.#controlAddress);
  }
}

const READ_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
const WRITE_EVENTS = EPOLLOUT | EPOLLONESHOT;
const LISTENER_EVENTS = EPOLLIN | EPOLLONESHOT;
