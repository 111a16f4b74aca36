/**
 * The connections of the receive path of Linux: one record each in the shared memory, which any thread can serve next.
 * Which of them are in use is known under a lock, taken once when a connection comes and once when it goes; who may
 * touch one is its owner's word, changed by atomic steps (`receiver-memory.ts`).
 */
import type { Framebuffer } from "./framebuffer.ts";
import { STATE_BYTES } from "./kernel/layout.ts";
import {
  ARMED_BY,
  openReceiverMemory,
  OWNED_BY,
  OWNER_ARMED,
  OWNER_NONE,
  OWNER_QUEUE,
  RECORD_GENERATION,
  RECORD_NEXT_FREE,
  RECORD_OWNER,
  RECORD_PREFIX,
  RECORD_SOCKET,
  WORD_FREE_RECORDS,
  WORD_RECORDS_USED,
  WORD_TABLE_LOCK,
  type ReceiverMemory,
} from "./receiver-memory.ts";
import { SharedLock } from "./shared-lock.ts";

/** Words of 32 and 64 bits in a record. */
const RECORD_WORDS = STATE_BYTES / 4;
const RECORD_DOUBLES = STATE_BYTES / 8;

/** One thread's access. */
export class ConnectionTable {
  /** The whole shared memory; a connection's fields begin at {@link wordOf} and {@link doubleOf}. */
  readonly words: Int32Array<ArrayBufferLike>;
  readonly doubles: Float64Array<ArrayBufferLike>;
  readonly #memory: ReceiverMemory;
  readonly #lock: SharedLock;
  readonly #thread: number;
  readonly #connectionsMax: number;
  readonly #offset: number;
  readonly #firstWord: number;
  readonly #firstDouble: number;

  /** @param thread the thread's index; who is no pixel thread takes one of its own from `framebuffer.threads` on */
  constructor(framebuffer: Framebuffer, thread: number) {
    const { memory, map, connectionsMax } = framebuffer;
    this.words = new Int32Array(memory.buffer);
    this.doubles = new Float64Array(memory.buffer);
    this.#memory = openReceiverMemory(memory.buffer, map.receiverOffset);
    this.#lock = new SharedLock(this.#memory.words, WORD_TABLE_LOCK, thread);
    this.#thread = thread;
    this.#connectionsMax = connectionsMax;
    this.#offset = map.connectionsOffset;
    this.#firstWord = map.connectionsOffset / 4;
    this.#firstDouble = map.connectionsOffset / 8;
  }

  /** Connections are numbered from 0 to below this, in use or not. Grows. */
  get length(): number {
    return Atomics.load(this.#memory.words, WORD_RECORDS_USED);
  }

  /** Address of a connection's record. */
  recordOf(connection: number): number {
    return this.#offset + connection * STATE_BYTES;
  }

  /** Index of its first word in {@link words}. */
  wordOf(connection: number): number {
    return this.#firstWord + connection * RECORD_WORDS;
  }

  /** Index of its first double in {@link doubles}. */
  doubleOf(connection: number): number {
    return this.#firstDouble + connection * RECORD_DOUBLES;
  }

  /**
   * Takes a record for a new connection on a socket; this thread owns it.
   *
   * @param reset makes the record that of a new connection, all bytes of the host 0
   * @returns the connection, or -1 where all records are in use
   */
  take(socket: number, reset: (record: number) => void): number {
    const { words } = this.#memory;
    // No finally: a thread that throws in here dies, and freeLock() puts right what it has half changed.
    this.#lock.lock();
    let connection = (words[WORD_FREE_RECORDS] ?? 0) - 1;
    if (connection >= 0) {
      words[WORD_FREE_RECORDS] = this.words[this.wordOf(connection) + RECORD_NEXT_FREE] ?? 0;
    } else if (this.length < this.#connectionsMax) {
      connection = this.length;
      Atomics.store(words, WORD_RECORDS_USED, connection + 1);
    }
    if (connection >= 0) this.#begin(connection, socket, reset);
    this.#lock.unlock();
    return connection;
  }

  /** Gives back the record of a connection that this thread owns, whose socket is closed. */
  release(connection: number): void {
    this.#lock.lock();
    this.#free(connection);
    this.#lock.unlock();
  }

  ownerOf(connection: number): number {
    return Atomics.load(this.words, this.wordOf(connection) + RECORD_OWNER);
  }

  /** Counts the connections that used the record. */
  generationOf(connection: number): number {
    return this.words[this.wordOf(connection) + RECORD_GENERATION] ?? 0;
  }

  /** Makes a connection this thread's own, which it must have from the queue. */
  own(connection: number): void {
    Atomics.store(this.words, this.wordOf(connection) + RECORD_OWNER, OWNED_BY + this.#thread);
  }

  /** Gives up a connection of this thread's to whoever takes it from the queue next. */
  giveToQueue(connection: number): void {
    Atomics.store(this.words, this.wordOf(connection) + RECORD_OWNER, OWNER_QUEUE);
  }

  /** To be called before a connection of this thread's is put into the epoll set, */
  beginArming(connection: number): void {
    Atomics.store(this.words, this.wordOf(connection) + RECORD_OWNER, ARMED_BY + this.#thread);
  }

  /** and this after it: another thread may have its event already. */
  endArming(connection: number): void {
    const at = this.wordOf(connection) + RECORD_OWNER;
    Atomics.compareExchange(this.words, at, ARMED_BY + this.#thread, OWNER_ARMED);
  }

  /** Claims a connection whose event came. False where somebody else was first. */
  claim(connection: number): boolean {
    const at = this.wordOf(connection) + RECORD_OWNER;
    for (;;) {
      const owner = Atomics.load(this.words, at);
      if (owner !== OWNER_ARMED && owner < ARMED_BY) return false;
      // Fails also where the thread that armed it notes just now that it has: the event must not be lost for that.
      if (Atomics.compareExchange(this.words, at, owner, OWNER_QUEUE) === owner) return true;
    }
  }

  /** Makes a connection this thread's own that waits in the epoll set. False where it does not, or no longer. */
  seize(connection: number): boolean {
    const at = this.wordOf(connection) + RECORD_OWNER;
    return Atomics.compareExchange(this.words, at, OWNER_ARMED, OWNED_BY + this.#thread) === OWNER_ARMED;
  }

  /**
   * A thread is gone: where it had the lock, makes the list of unused records anew, which it may have left half changed,
   * and gives the lock back. The others may run: none of them begins or ends the use of a record meanwhile.
   */
  freeLock(thread: number): void {
    if (!this.#lock.isHeldBy(thread)) return;
    this.#memory.words[WORD_FREE_RECORDS] = 0;
    for (let connection = 0; connection < this.length; connection += 1) {
      if (this.ownerOf(connection) === OWNER_NONE) this.#free(connection);
    }
    this.#lock.releaseOf(thread);
  }

  #begin(connection: number, socket: number, reset: (record: number) => void): void {
    const generation = this.generationOf(connection) + 1;
    reset(this.recordOf(connection));
    const at = this.wordOf(connection);
    this.words[at + RECORD_GENERATION] = generation;
    this.words[at + RECORD_SOCKET] = socket;
    this.words[at + RECORD_PREFIX] = -1;
    Atomics.store(this.words, at + RECORD_OWNER, OWNED_BY + this.#thread);
  }

  #free(connection: number): void {
    const { words } = this.#memory;
    const at = this.wordOf(connection);
    this.words[at + RECORD_SOCKET] = -1;
    this.words[at + RECORD_NEXT_FREE] = words[WORD_FREE_RECORDS] ?? 0;
    words[WORD_FREE_RECORDS] = connection + 1;
    Atomics.store(this.words, at + RECORD_OWNER, OWNER_NONE);
  }
}
