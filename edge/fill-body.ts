/**
 * The bytes of one answer while they arrive: blocks as the network brought them, and room taken for them from the one
 * bound of memory. A body is kept from its first byte on, so that whoever joins gets all of it; one that is too large
 * for that becomes a window, which the fastest of its readers draws along.
 */
import { wholeOf } from "#common/join-bytes.ts";
import type { ByteBudget } from "./store.ts";
import { noRoom } from "./upstream.ts";

/** Share of the memory that one object may take which others may want too. */
const OBJECT_SHARE_MAX = 0.25;
/** How far the upstream may be ahead of the fastest reader of a window, and the slowest behind it. */
const WINDOW_BYTES = 512 * 1024;
/** What a window takes at least, and at most once its readers have come that far. */
const WINDOW_ROOM_BYTES = 2 * WINDOW_BYTES;
/** What a block costs beside its bytes. */
const BLOCK_OVERHEAD_BYTES = 128;

/** Where a reader stands. Only {@link FillBody.take} moves it. */
export interface Cursor {
  /** Bytes from the body's begin, now and where it began. */
  position: number;
  readonly start: number;
  /** Number of the block that holds it, counted from the body's begin, and where in it. */
  block: number;
  offset: number;
}

/** What is known of a body before it comes. */
export interface BodyOptions {
  /** Of the whole in bytes, where it is known: room for it is taken at once. */
  readonly length?: number | undefined;
  /** True for what one client alone gets: no more of it is held than a window takes. */
  readonly isForOne?: boolean;
}

/** Who reads along. */
export interface BodyReader {
  readonly cursor: Cursor;
  /** Called when there is more, the end or a failure. */
  readonly onChange: () => void;
  /** Lets it go. */
  readonly drop: () => void;
}

/** A body on its way. */
export class FillBody {
  readonly readers = new Set<BodyReader>();
  /** Why it broke off. */
  error: Error | undefined;
  isComplete = false;
  readonly #budget: ByteBudget;
  readonly #keptBytesMax: number;
  #blocks: Uint8Array[] = [];
  /** Position and number of the first block kept. */
  #start = 0;
  #firstBlock = 0;
  #size = 0;
  #reservedBytes = 0;
  #isWindow = false;
  /** Somebody keeps its bytes. */
  #isTaken = false;
  #onRoom: (() => void) | undefined;

  /** Throws {@link UpstreamError} where there is no room at all. */
  constructor(budget: ByteBudget, { length = 0, isForOne = false }: BodyOptions = {}) {
    this.#budget = budget;
    const shareMax = budget.bytesMax * OBJECT_SHARE_MAX;
    this.#keptBytesMax = isForOne ? Math.min(WINDOW_ROOM_BYTES, shareMax) : shareMax;
    if (!this.#keep(length, 0)) this.#becomeWindow();
  }

  /** Bytes received. */
  get size(): number {
    return this.#size;
  }

  /** True for a body that is too large to be kept whole: nobody can join it, and it cannot be stored. */
  get isWindow(): boolean {
    return this.#isWindow;
  }

  /** True for a window whose readers are so slow that it still holds most of what had come before it became one. */
  get isOverfull(): boolean {
    return this.#isWindow && this.#reservedBytes > WINDOW_ROOM_BYTES;
  }

  /** Room that it has taken, in bytes. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** True for a window whose upstream waits for its readers. */
  get isHeldBack(): boolean {
    return this.#onRoom !== undefined;
  }

  /** What the reader has taken who has taken most, in bytes. */
  get takenBytes(): number {
    let taken = 0;
    for (const { cursor } of this.readers) taken = Math.max(taken, cursor.position - cursor.start);
    return taken;
  }

  /** Lets go all readers: their memory or their place is needed. */
  dropReaders(): void {
    for (const reader of this.readers) reader.drop();
  }

  /**
   * Takes over what the network brought, with its buffer, in the order in which it lies there: nobody else may use it. Where
   * readers of a window are behind, resolves when more may come.
   */
  append(bytes: Uint8Array): Promise<void> | undefined {
    if (bytes.length === 0) return undefined;
    this.#blocks.push(bytes);
    this.#size += bytes.length;
    if (!this.#isWindow && !this.#keep(this.#size, this.#blocks.length)) this.#becomeWindow();
    this.#tellReaders();
    if (!this.#isWindow) return undefined;
    this.#slide();
    return this.#isAhead ? new Promise((resolve) => (this.#onRoom = resolve)) : undefined;
  }

  /** The end: all there is has come. */
  complete(): void {
    this.isComplete = true;
    this.#tellReaders();
  }

  /** The upstream broke off. */
  fail(error: Error): void {
    this.error = error;
    this.#tellReaders();
    this.#wakeUpstream();
  }

  /** A cursor at `position`; it must not lie beyond what the body will have. */
  cursorAt(position: number): Cursor {
    return { position, start: position, block: 0, offset: position };
  }

  /** The next bytes at a cursor, not more than `bytesMax`, and moves it on; "lost" where they are kept no longer. */
  take(cursor: Cursor, bytesMax: number): Uint8Array | "lost" | undefined {
    if (cursor.position < this.#start) return "lost";
    if (cursor.block < this.#firstBlock) {
      cursor.block = this.#firstBlock;
      cursor.offset = cursor.position - this.#start;
    }
    for (;;) {
      const block = this.#blocks[cursor.block - this.#firstBlock];
      if (block === undefined) return undefined;
      if (cursor.offset < block.length) {
        const bytes = block.subarray(cursor.offset, cursor.offset + bytesMax);
        cursor.offset += bytes.length;
        cursor.position += bytes.length;
        return bytes;
      }
      cursor.offset -= block.length;
      cursor.block++;
    }
  }

  /** To be called when a reader has taken what it could, or has left. */
  onTaken(): void {
    if (!this.#isWindow) return;
    this.#slide();
    if (!this.#isAhead) this.#wakeUpstream();
  }

  /** All of it. Copies, once. */
  toBlob(): Blob {
    // Never shared memory: it comes from the network.
    return new Blob(this.#blocks as Uint8Array<ArrayBuffer>[]);
  }

  /** All of it in one array, which may be a block. */
  toBytes(): Uint8Array {
    this.#isTaken = true;
    return wholeOf(this.#blocks);
  }

  /** Gives back all room. Nobody reads any more. */
  release(): void {
    this.#budget.release(this.#reservedBytes);
    this.#reservedBytes = 0;
    if (!this.#isTaken) freeBlocks(this.#blocks);
    this.#blocks = [];
    this.#wakeUpstream();
  }

  /** Takes room for so many bytes in so many blocks; false where that is too large to be kept. */
  #keep(bytes: number, blocks: number): boolean {
    const neededBytes = bytes + blocks * BLOCK_OVERHEAD_BYTES;
    const missingBytes = neededBytes - this.#reservedBytes;
    if (missingBytes <= 0) return true;
    if (bytes > this.#keptBytesMax || !this.#budget.reserve(missingBytes)) return false;
    this.#reservedBytes = neededBytes;
    return true;
  }

  /** What has come so far keeps its room until readers have taken it. */
  #becomeWindow(): void {
    this.#isWindow = true;
    const missingBytes = WINDOW_ROOM_BYTES - this.#reservedBytes;
    if (missingBytes <= 0) return;
    if (!this.#budget.reserve(missingBytes)) throw noRoom();
    this.#reservedBytes = WINDOW_ROOM_BYTES;
  }

  /** Where the fastest reader stands; before the first, where the body begins. */
  get #front(): number {
    let front = this.#start;
    for (const { cursor } of this.readers) front = Math.max(front, cursor.position);
    return front;
  }

  get #isAhead(): boolean {
    return this.#size - this.#front >= WINDOW_BYTES;
  }

  /** Lets blocks go that lie too far behind the fastest reader. */
  #slide(): void {
    const keptFrom = this.#front - WINDOW_BYTES;
    let dropped = 0;
    for (const block of this.#blocks) {
      if (this.#start + block.length > keptFrom) break;
      this.#start += block.length;
      dropped++;
    }
    if (dropped === 0) return;
    freeBlocks(this.#blocks.splice(0, dropped));
    this.#firstBlock += dropped;
    const neededBytes = Math.max(WINDOW_ROOM_BYTES, this.#size - this.#start);
    this.#budget.release(Math.max(0, this.#reservedBytes - neededBytes));
    this.#reservedBytes = Math.min(this.#reservedBytes, neededBytes);
  }

  #tellReaders(): void {
    for (const reader of this.readers) reader.onChange();
  }

  #wakeUpstream(): void {
    this.#onRoom?.();
    this.#onRoom = undefined;
  }
}

/**
 * Frees the memory of blocks that nobody reads any more, at once: the collector lets as much gather as is in use. One read of
 * the network brings several blocks in one buffer, the last of which reaches to its end.
 */
function freeBlocks(blocks: readonly Uint8Array[]): void {
  for (const { buffer, byteOffset, byteLength } of blocks) {
    const isLast = byteOffset + byteLength === buffer.byteLength;
    if (isLast && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
  }
}
