/**
 * The edge's memory: finished answers by their path, least recently used out first, bounded by bytes. Fills put
 * them in; a hit on the hot path is one `get`.
 */
import { LRUCache } from "lru-cache";
import { isFresh, sizeOf, type Stored } from "./stored.ts";

/** Stored answers by key. An object larger than the whole store is passed on and not kept. */
export class Store {
  evictions = 0;
  readonly #entries: LRUCache<string, Stored>;

  constructor(bytesMax: number) {
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

  /** The entry if it may be given out without asking. */
  getFresh(key: string, nowMs: number): Stored | undefined {
    const stored = this.#entries.get(key);
    return stored !== undefined && isFresh(stored, nowMs) ? stored : undefined;
  }

  /** The entry whatever its age, for answers while the upstream is away. */
  getAny(key: string): Stored | undefined {
    return this.#entries.peek(key);
  }

  set(key: string, stored: Stored): void {
    this.#entries.set(key, stored);
  }
}
