/**
 * A binary heap of prefixes in shared memory, the one with the least key first; equal keys by who has waited longest.
 * Two of them belong to {@link PlayerShares}, which holds its lock around every call. A prefix is in one at most.
 */
import {
  HEAP_NONE,
  PREFIX_DOUBLES,
  PREFIX_HEAD_SEQUENCE,
  PREFIX_HEAP,
  PREFIX_HEAP_PLACE,
  PREFIX_WORDS,
  type SharesMemory,
} from "./player-shares-memory.ts";

export class PrefixHeap {
  readonly #memory: SharesMemory;
  readonly #items: Int32Array;
  readonly #sizeWord: number;
  readonly #name: number;
  readonly #key: number;

  constructor(options: {
    readonly memory: SharesMemory;
    readonly items: Int32Array;
    /** The word of the header that holds how many are in it. */
    readonly sizeWord: number;
    /** What a prefix's record says while it is in here. */
    readonly name: number;
    /** Which double of a prefix's record orders it. */
    readonly key: number;
  }) {
    this.#memory = options.memory;
    this.#items = options.items;
    this.#sizeWord = options.sizeWord;
    this.#name = options.name;
    this.#key = options.key;
  }

  get size(): number {
    return this.#memory.words[this.#sizeWord] ?? 0;
  }

  /** The first prefix. Of no meaning while the heap is empty. */
  first(): number {
    return this.#items[0] ?? 0;
  }

  /** The key of the first, infinity while the heap is empty. */
  firstKey(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.#keyOf(this.first());
  }

  /** Puts in a prefix that is in no heap. */
  add(prefix: number): void {
    const place = this.size;
    this.#memory.words[this.#sizeWord] = place + 1;
    this.#memory.prefixes[prefix * PREFIX_WORDS + PREFIX_HEAP] = this.#name;
    this.#rise(prefix, place);
  }

  /** Takes out a prefix that is in this heap. */
  remove(prefix: number): void {
    const { prefixes, words } = this.#memory;
    const place = this.#placeOf(prefix);
    prefixes[prefix * PREFIX_WORDS + PREFIX_HEAP] = HEAP_NONE;
    const end = this.size - 1;
    words[this.#sizeWord] = end;
    if (place === end) return;
    const moved = this.#items[end] ?? 0;
    this.#put(moved, place);
    this.update(moved);
  }

  /** To be called when the key of a prefix in this heap has changed. */
  update(prefix: number): void {
    this.#rise(prefix, this.#placeOf(prefix));
    this.#sink(prefix, this.#placeOf(prefix));
  }

  #rise(prefix: number, from: number): void {
    let place = from;
    while (place > 0) {
      const parentPlace = (place - 1) >> 1;
      const parent = this.#items[parentPlace] ?? 0;
      if (!this.#isBefore(prefix, parent)) break;
      this.#put(parent, place);
      place = parentPlace;
    }
    this.#put(prefix, place);
  }

  #sink(prefix: number, from: number): void {
    const { size } = this;
    let place = from;
    for (;;) {
      let childPlace = place * 2 + 1;
      if (childPlace >= size) break;
      let child = this.#items[childPlace] ?? 0;
      const other = this.#items[childPlace + 1] ?? 0;
      if (childPlace + 1 < size && this.#isBefore(other, child)) {
        childPlace += 1;
        child = other;
      }
      if (!this.#isBefore(child, prefix)) break;
      this.#put(child, place);
      place = childPlace;
    }
    this.#put(prefix, place);
  }

  #put(prefix: number, place: number): void {
    this.#items[place] = prefix;
    this.#memory.prefixes[prefix * PREFIX_WORDS + PREFIX_HEAP_PLACE] = place;
  }

  #placeOf(prefix: number): number {
    return this.#memory.prefixes[prefix * PREFIX_WORDS + PREFIX_HEAP_PLACE] ?? 0;
  }

  #keyOf(prefix: number): number {
    return this.#memory.prefixDoubles[prefix * PREFIX_DOUBLES + this.#key] ?? 0;
  }

  #isBefore(prefix: number, other: number): boolean {
    const key = this.#keyOf(prefix);
    const otherKey = this.#keyOf(other);
    if (key !== otherKey) return key < otherKey;
    const { prefixDoubles } = this.#memory;
    const sequence = prefixDoubles[prefix * PREFIX_DOUBLES + PREFIX_HEAD_SEQUENCE] ?? 0;
    return sequence < (prefixDoubles[other * PREFIX_DOUBLES + PREFIX_HEAD_SEQUENCE] ?? 0);
  }
}
