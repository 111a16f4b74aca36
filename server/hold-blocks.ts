/**
 * Keeps bytes for peers that take no replies, in blocks of shared memory: what is unsent, and what was read before we
 * noticed. A connection's record has the beginning of each chain of blocks; the rest of the state is here. There are
 * so many blocks and no more: where none is free, {@link HoldBlocks.append} says so, and somebody has to go.
 */
import type { Framebuffer } from "./framebuffer.ts";
import {
  HOLD_BLOCK_BYTES,
  HOLD_BLOCKS,
  openReceiverMemory,
  WORD_BLOCKS_HELD,
  WORD_BLOCKS_USED,
  WORD_FREE_BLOCKS,
  WORD_HOLD_LOCK,
  type ReceiverMemory,
} from "./receiver-memory.ts";
import { SharedLock } from "./shared-lock.ts";
import { StalledPeers } from "./stalled-peers.ts";

/** The three words of a chain. */
const CHAIN_LINK = 0;
const CHAIN_BEGIN = 1;
const CHAIN_LENGTH = 2;

/**
 * One thread's access. A chain is named by the index of its first word in the shared memory, and belongs to whoever
 * owns the connection. Plain arguments, as everywhere around reads.
 */
export class HoldBlocks {
  /** Whose connections have chains, in the order of stalling. */
  readonly stalled: StalledPeers;
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #bytes: Uint8Array<ArrayBufferLike>;
  readonly #memory: ReceiverMemory;
  readonly #lock: SharedLock;
  readonly #blocksMax: number;

  /** @param blocksMax for tests: fewer than there are */
  constructor(framebuffer: Framebuffer, thread: number, blocksMax = HOLD_BLOCKS) {
    const { memory, map } = framebuffer;
    this.#words = new Int32Array(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#memory = openReceiverMemory(memory.buffer, map.receiverOffset);
    this.#lock = new SharedLock(this.#memory.words, WORD_HOLD_LOCK, thread);
    this.#blocksMax = blocksMax;
    this.stalled = new StalledPeers(framebuffer, this.#lock);
  }

  /** Blocks in use. */
  get held(): number {
    return Atomics.load(this.#memory.words, WORD_BLOCKS_HELD);
  }

  /** Bytes in a chain. */
  lengthOf(chain: number): number {
    return this.#get(chain + CHAIN_LENGTH);
  }

  /** Address of a chain's first bytes, of which {@link firstLengthOf} lie side by side. */
  firstAddressOf(chain: number): number {
    return this.#addressOf(this.#get(chain + CHAIN_LINK)) + this.#get(chain + CHAIN_BEGIN);
  }

  firstLengthOf(chain: number): number {
    return Math.min(this.lengthOf(chain), HOLD_BLOCK_BYTES - this.#get(chain + CHAIN_BEGIN));
  }

  /** Appends a copy of bytes to a chain. False, with the chain as it was, where there are too few blocks. */
  append(chain: number, address: number, length: number): boolean {
    if (length === 0) return true;
    const filled = this.#get(chain + CHAIN_BEGIN) + this.lengthOf(chain);
    const room = this.#get(chain + CHAIN_LINK) === 0 ? 0 : roomBehind(filled);
    const added = length <= room ? 0 : this.#take(Math.ceil((length - room) / HOLD_BLOCK_BYTES));
    if (added < 0) return false;
    let link = this.#lastOf(chain);
    let position = HOLD_BLOCK_BYTES - room;
    if (link === 0) this.#words[chain + CHAIN_LINK] = added;
    else this.#memory.nextBlocks[link - 1] = added;
    if (room === 0) {
      link = added;
      position = 0;
    }
    this.#copy(link, position, address, length);
    this.#words[chain + CHAIN_LENGTH] = this.lengthOf(chain) + length;
    return true;
  }

  /** Takes bytes off a chain's front, at most {@link firstLengthOf}. */
  consume(chain: number, length: number): void {
    const left = this.lengthOf(chain) - length;
    if (left === 0) {
      this.clear(chain);
      return;
    }
    this.#words[chain + CHAIN_LENGTH] = left;
    const begin = this.#get(chain + CHAIN_BEGIN) + length;
    this.#words[chain + CHAIN_BEGIN] = begin === HOLD_BLOCK_BYTES ? 0 : begin;
    if (begin < HOLD_BLOCK_BYTES) return;
    const link = this.#get(chain + CHAIN_LINK);
    this.#words[chain + CHAIN_LINK] = this.#memory.nextBlocks[link - 1] ?? 0;
    this.#memory.nextBlocks[link - 1] = 0;
    this.#give(link);
  }

  /** Empties a chain. */
  clear(chain: number): void {
    const link = this.#get(chain + CHAIN_LINK);
    for (const field of [CHAIN_LINK, CHAIN_BEGIN, CHAIN_LENGTH]) this.#words[chain + field] = 0;
    if (link !== 0) this.#give(link);
  }

  /**
   * A thread is gone, the others run: where it had the lock, gives that back with no block on the list of free ones,
   * which it may have left half changed. They are to be had again after {@link forgetThread}, until which whoever has
   * stalled longest may not be found.
   */
  freeLock(thread: number): void {
    if (!this.#lock.isHeldBy(thread)) return;
    const { words } = this.#memory;
    words[WORD_FREE_BLOCKS] = 0;
    Atomics.store(words, WORD_BLOCKS_HELD, words[WORD_BLOCKS_USED] ?? 0);
    this.#lock.releaseOf(thread);
  }

  /**
   * A thread is gone, and the others do nothing for the moment: gives back its lock, and makes the lists of free blocks
   * and of stalled peers anew, which it may have left half changed.
   *
   * @param chains all chains of connections in use
   */
  forgetThread(thread: number, chains: Iterable<number>): void {
    this.#lock.releaseOf(thread);
    const { words, nextBlocks } = this.#memory;
    const inUse = new Set<number>();
    for (const chain of chains) {
      for (let link = this.#get(chain + CHAIN_LINK); link !== 0; link = nextBlocks[link - 1] ?? 0)
        inUse.add(link);
    }
    words[WORD_FREE_BLOCKS] = 0;
    for (let link = words[WORD_BLOCKS_USED] ?? 0; link > 0; link -= 1) {
      if (inUse.has(link)) continue;
      nextBlocks[link - 1] = words[WORD_FREE_BLOCKS] ?? 0;
      words[WORD_FREE_BLOCKS] = link;
    }
    Atomics.store(words, WORD_BLOCKS_HELD, inUse.size);
    this.stalled.rebuild();
  }

  /** Takes a chain of free blocks and returns its link, or -1 where there are too few. */
  #take(count: number): number {
    const { words, nextBlocks } = this.#memory;
    let first = 0;
    this.#lock.lock();
    const isPossible = this.held + count <= this.#blocksMax;
    const missing = isPossible ? count : 0;
    for (let taken = 0; taken < missing; taken += 1) {
      let link = words[WORD_FREE_BLOCKS] ?? 0;
      if (link !== 0) words[WORD_FREE_BLOCKS] = nextBlocks[link - 1] ?? 0;
      else {
        link = (words[WORD_BLOCKS_USED] ?? 0) + 1;
        words[WORD_BLOCKS_USED] = link;
      }
      nextBlocks[link - 1] = first;
      first = link;
    }
    Atomics.store(words, WORD_BLOCKS_HELD, this.held + missing);
    this.#lock.unlock();
    return isPossible ? first : -1;
  }

  /** Gives back a chain of blocks. */
  #give(first: number): void {
    const { words, nextBlocks } = this.#memory;
    this.#lock.lock();
    let count = 0;
    for (let link = first; link !== 0;) {
      const next = nextBlocks[link - 1] ?? 0;
      nextBlocks[link - 1] = words[WORD_FREE_BLOCKS] ?? 0;
      words[WORD_FREE_BLOCKS] = link;
      count += 1;
      link = next;
    }
    Atomics.store(words, WORD_BLOCKS_HELD, this.held - count);
    this.#lock.unlock();
  }

  /** Writes bytes from a place in a block on, over the blocks that follow it. */
  #copy(firstLink: number, firstPosition: number, address: number, length: number): void {
    let link = firstLink;
    let position = firstPosition;
    let from = address;
    const end = address + length;
    while (from < end) {
      const count = Math.min(end - from, HOLD_BLOCK_BYTES - position);
      this.#bytes.copyWithin(this.#addressOf(link) + position, from, from + count);
      from += count;
      position = 0;
      link = this.#memory.nextBlocks[link - 1] ?? 0;
    }
  }

  /** The last block of a chain, 0 where it has none. */
  #lastOf(chain: number): number {
    let last = 0;
    for (
      let link = this.#get(chain + CHAIN_LINK);
      link !== 0;
      link = this.#memory.nextBlocks[link - 1] ?? 0
    ) {
      last = link;
    }
    return last;
  }

  #addressOf(link: number): number {
    return this.#memory.blocksOffset + (link - 1) * HOLD_BLOCK_BYTES;
  }

  #get(index: number): number {
    return this.#words[index] ?? 0;
  }
}

/** What is free of the block in which a chain ends that fills its blocks up to there. */
function roomBehind(filled: number): number {
  const last = filled % HOLD_BLOCK_BYTES;
  return last === 0 ? 0 : HOLD_BLOCK_BYTES - last;
}
