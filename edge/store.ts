/**
 * The edge's memory: finished answers by their key, least recently used out first. One bound of bytes holds for them
 * and for answers that are still on their way, which {@link Store.reserve} counts in. Fills put answers in; a hit on
 * the hot path is one `get`.
 */
import { LRUCache } from "lru-cache";
import { isFresh, sizeOf, type Stored } from "./stored.ts";

/** Room for bytes on their way. */
export interface ByteBudget {
  /** All that there is room for, in bytes. */
  readonly bytesMax: number;
  /** Takes room for so many bytes more, for which stored answers go; false and nothing taken if there is none. */
  reserve(bytes: number): boolean;
  /** Gives room back. */
  release(bytes: number): void;
}

/** Stored answers by key. An object larger than the whole store is passed on and not kept. */
export class Store implements ByteBudget {
  evictions = 0;
  readonly bytesMax: number;
  #reservedBytes = 0;
  readonly #entries: LRUCache<string, Stored>;
  readonly #onStored: ((bytes: number) => void) | undefined;

  /** @param onStored told how much each answer takes that is stored */
  constructor(bytesMax: number, onStored?: (bytes: number) => void) {
    this.bytesMax = bytesMax;
    this.#onStored = onStored;
    this.#entries = new LRUCache<string, Stored>({
      maxSize: bytesMax,
      sizeCalculation: sizeOf,
      dispose: (_stored, _key, reason) => {
        if (reason === "evict") this.evictions++;
      },
    });
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get items(): number {
    return this.#entries.size;
  }

  /** Room taken by what is still on its way. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** The entry if it may be given out without asking. */
  getFresh(key: string, nowMs: number): Stored | undefined {
    const stored = this.#entries.get(key);
    return stored !== undefined && isFresh(stored, nowMs) ? stored : undefined;
  }

  /** The entry whatever its age, for whoever decides about that. */
  get(key: string): Stored | undefined {
    return this.#entries.get(key);
  }

  /** The entry whatever its age, for answers while the upstream is away. */
  getAny(key: string): Stored | undefined {
    return this.#entries.peek(key);
  }

  set(key: string, stored: Stored): void {
    this.#entries.set(key, stored);
    this.#evict();
    this.#onStored?.(sizeOf(stored, key));
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  reserve(bytes: number): boolean {
    if (this.#reservedBytes + bytes > this.bytesMax) return false;
    this.#reservedBytes += bytes;
    this.#evict();
    return true;
  }

  release(bytes: number): void {
    this.#reservedBytes -= bytes;
  }

  #evict(): void {
    while (this.bytes + this.#reservedBytes > this.bytesMax && this.items > 0) this.#entries.pop();
  }
}
