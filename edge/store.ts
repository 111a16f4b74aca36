/**
 * The edge's memory: finished answers by their key, least recently used out first. One bound of bytes holds for them,
 * for answers that are still on their way, which {@link Store.reserve} counts in, and for those that have left but are
 * being sent. Fills put answers in; a hit on the hot path is one `get`.
 */
import type { Clock } from "#common/clock.ts";
import { LRUCache } from "lru-cache";
import { Lending } from "./lending.ts";
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

export interface StoreOptions {
  readonly bytesMax: number;
  readonly clock: Clock;
  /** Told how much each answer takes that is stored. */
  readonly onStored?: (bytes: number) => void;
}

/** Stored answers by key. An object larger than the whole store is passed on and not kept. */
export class Store implements ByteBudget {
  evictions = 0;
  readonly bytesMax: number;
  readonly lending: Lending;
  #reservedBytes = 0;
  readonly #entries: LRUCache<string, Stored>;
  readonly #onStored: ((bytes: number) => void) | undefined;

  constructor({ bytesMax, clock, onStored }: StoreOptions) {
    this.bytesMax = bytesMax;
    this.#onStored = onStored;
    this.lending = new Lending({ budget: this, clock });
    this.#entries = new LRUCache<string, Stored>({
      maxSize: bytesMax,
      sizeCalculation: sizeOf,
      onInsert: (stored, _key, reason) => {
        if (reason !== "update") this.lending.onKept(stored);
      },
      dispose: (stored, _key, reason) => {
        if (reason === "evict") this.evictions++;
        this.lending.onGone(stored);
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

  /** Room that there is where nothing is stored. */
  get roomBytes(): number {
    return this.bytesMax - this.#reservedBytes - this.lending.goneBytes;
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
    if (bytes > this.roomBytes) this.lending.makeRoom(() => bytes <= this.roomBytes);
    if (bytes > this.roomBytes) return false;
    this.#reservedBytes += bytes;
    this.#evict();
    return true;
  }

  release(bytes: number): void {
    this.#reservedBytes -= bytes;
  }

  #evict(): void {
    if (this.lending.goneBytes > 0) this.lending.refresh();
    while (this.bytes > this.roomBytes && this.items > 0) this.#entries.pop();
  }
}
