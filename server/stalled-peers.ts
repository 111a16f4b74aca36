/**
 * The connections whose peers do not take their replies, in the order in which they began to: a list through their
 * records, so that where hold blocks run out whoever has stalled longest is found without a look at all the others.
 * Changed under the lock of the hold blocks; a connection joins and leaves by who owns it.
 */
import type { Framebuffer } from "./framebuffer.ts";
import { STATE_BYTES } from "./kernel/layout.ts";
import {
  openReceiverMemory,
  OWNER_NONE,
  RECORD_OWNER,
  RECORD_STALLED_BEFORE,
  RECORD_STALLED_BEHIND,
  RECORD_STALLED_MS,
  STALLED_END,
  WORD_RECORDS_USED,
  WORD_STALLED_FIRST,
  WORD_STALLED_LAST,
} from "./receiver-memory.ts";
import type { SharedLock } from "./shared-lock.ts";

/** Connections passed over at most because they have their turn: the lock is held meanwhile. */
const LOOKS_MAX = 64;

/** One thread's access. */
export class StalledPeers {
  /** The whole shared memory, and the header. */
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #doubles: Float64Array<ArrayBufferLike>;
  readonly #header: Int32Array<ArrayBufferLike>;
  readonly #recordsOffset: number;
  readonly #lock: SharedLock;

  /** @param lock the thread's, of the hold blocks */
  constructor({ memory, map }: Framebuffer, lock: SharedLock) {
    this.#words = new Int32Array(memory.buffer);
    this.#doubles = new Float64Array(memory.buffer);
    this.#header = openReceiverMemory(memory.buffer, map.receiverOffset).words;
    this.#recordsOffset = map.connectionsOffset;
    this.#lock = lock;
  }

  /** Puts a connection of this thread's behind all others. One that is in the list keeps its place. */
  join(connection: number): void {
    if (this.#isIn(connection)) return;
    this.#lock.lock();
    this.#append(connection);
    this.#lock.unlock();
  }

  /** Takes a connection of this thread's out, if it is in the list. */
  leave(connection: number): void {
    if (!this.#isIn(connection)) return;
    this.#lock.lock();
    const before = this.#get(connection, RECORD_STALLED_BEFORE);
    const behind = this.#get(connection, RECORD_STALLED_BEHIND);
    if (before === 0) this.#header[WORD_STALLED_FIRST] = behind === STALLED_END ? 0 : behind;
    else this.#set(before - 1, RECORD_STALLED_BEHIND, behind);
    if (behind === STALLED_END) this.#header[WORD_STALLED_LAST] = before;
    else this.#set(behind - 1, RECORD_STALLED_BEFORE, before);
    this.#unlink(connection);
    this.#lock.unlock();
  }

  /**
   * Offers connections to `seize` until it takes one, who has stalled longest first, and only who has for longer than
   * `needy`, which is in the list.
   *
   * @returns the one that was taken, or -1
   */
  seizeLongest(needy: number, seize: (connection: number) => boolean): number {
    let found = -1;
    this.#lock.lock();
    let link = this.#header[WORD_STALLED_FIRST] ?? 0;
    for (let looks = 0; found < 0 && looks < LOOKS_MAX && link > 0 && link - 1 !== needy; looks += 1) {
      if (seize(link - 1)) found = link - 1;
      else link = this.#get(link - 1, RECORD_STALLED_BEHIND);
    }
    this.#lock.unlock();
    return found;
  }

  /** A thread is gone, and the others do nothing for the moment: makes the list anew, which it may have left half changed. */
  rebuild(): void {
    const stalled: number[] = [];
    const length = this.#header[WORD_RECORDS_USED] ?? 0;
    for (let connection = 0; connection < length; connection += 1) {
      this.#unlink(connection);
      const isInUse = this.#get(connection, RECORD_OWNER) !== OWNER_NONE;
      if (isInUse && this.#stalledMsOf(connection) !== 0) stalled.push(connection);
    }
    this.#header[WORD_STALLED_FIRST] = 0;
    this.#header[WORD_STALLED_LAST] = 0;
    stalled.sort((one, other) => this.#stalledMsOf(one) - this.#stalledMsOf(other));
    for (const connection of stalled) this.#append(connection);
  }

  #append(connection: number): void {
    const last = this.#header[WORD_STALLED_LAST] ?? 0;
    const link = connection + 1;
    this.#set(connection, RECORD_STALLED_BEFORE, last);
    this.#set(connection, RECORD_STALLED_BEHIND, STALLED_END);
    if (last === 0) this.#header[WORD_STALLED_FIRST] = link;
    else this.#set(last - 1, RECORD_STALLED_BEHIND, link);
    this.#header[WORD_STALLED_LAST] = link;
  }

  #unlink(connection: number): void {
    this.#set(connection, RECORD_STALLED_BEFORE, 0);
    this.#set(connection, RECORD_STALLED_BEHIND, 0);
  }

  /** Needs no lock: only the connection's owner puts it in or takes it out. */
  #isIn(connection: number): boolean {
    return this.#get(connection, RECORD_STALLED_BEHIND) !== 0;
  }

  #stalledMsOf(connection: number): number {
    const at = (this.#recordsOffset + connection * STATE_BYTES) / 8;
    return this.#doubles[at + RECORD_STALLED_MS] ?? 0;
  }

  #get(connection: number, field: number): number {
    return this.#words[(this.#recordsOffset + connection * STATE_BYTES) / 4 + field] ?? 0;
  }

  #set(connection: number, field: number, value: number): void {
    this.#words[(this.#recordsOffset + connection * STATE_BYTES) / 4 + field] = value;
  }
}
