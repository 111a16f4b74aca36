/**
 * The prefixes that players come from, in shared memory: a hash table from the key of an address to a record. A record
 * outlives its last connection, so that coming again does not renew a budget, until a new prefix needs it: there are
 * as many records as connections, so one is always free. {@link PlayerShares} holds its lock around every call.
 */
import assert from "node:assert/strict";
import {
  PREFIX_CONNECTIONS,
  PREFIX_HASH_NEXT,
  PREFIX_IDLE_NEXT,
  PREFIX_IDLE_PREVIOUS,
  PREFIX_KEY,
  PREFIX_WORDS,
  WORD_CONNECTIONS,
  WORD_IDLE_HEAD,
  WORD_IDLE_TAIL,
  WORD_PREFIXES,
  WORD_RECORDS_USED,
  type SharesMemory,
} from "./player-shares-memory.ts";

/** Bytes of a key: an address of IPv6, or one of IPv4 mapped into it, with the bits behind the prefix 0. */
export const KEY_BYTES = 16;
const KEY_WORDS = KEY_BYTES / 4;

export class PrefixTable {
  readonly #memory: SharesMemory;
  readonly #recordsMax: number;
  readonly #seed: number;
  /** The key being looked for. */
  readonly #key = new Int32Array(KEY_WORDS);
  readonly #keyBytes = new Uint8Array(this.#key.buffer);

  /** @param seed a secret whole number, the same in all threads: else players could choose addresses that collide */
  constructor(memory: SharesMemory, seed: number) {
    this.#memory = memory;
    this.#recordsMax = memory.ready.length;
    this.#seed = seed;
  }

  /** The record of a key, -1 where there is none. */
  find(key: Uint8Array): number {
    assert(key.length === KEY_BYTES, "a key has 16 bytes");
    this.#keyBytes.set(key);
    let link = this.#memory.buckets[this.#bucketOf()] ?? 0;
    while (link !== 0 && !this.#isKeyOf(link - 1)) link = this.#get(link - 1, PREFIX_HASH_NEXT);
    return link - 1;
  }

  /** Connections of a key. */
  connectionsOf(key: Uint8Array): number {
    const prefix = this.find(key);
    return prefix < 0 ? 0 : this.#get(prefix, PREFIX_CONNECTIONS);
  }

  /** Adds one connection to the record of a key, making it where there is none. Returns the record. */
  join(key: Uint8Array): number {
    let prefix = this.find(key);
    if (prefix < 0) prefix = this.#create();
    else if (this.#get(prefix, PREFIX_CONNECTIONS) === 0) this.#removeIdle(prefix);
    const { words } = this.#memory;
    const connections = this.#get(prefix, PREFIX_CONNECTIONS) + 1;
    this.#set(prefix, PREFIX_CONNECTIONS, connections);
    if (connections === 1) words[WORD_PREFIXES] = (words[WORD_PREFIXES] ?? 0) + 1;
    words[WORD_CONNECTIONS] = (words[WORD_CONNECTIONS] ?? 0) + 1;
    return prefix;
  }

  /** Takes one connection off a record. */
  leave(prefix: number): void {
    const { words } = this.#memory;
    const connections = this.#get(prefix, PREFIX_CONNECTIONS) - 1;
    assert(connections >= 0, "nobody leaves twice");
    this.#set(prefix, PREFIX_CONNECTIONS, connections);
    words[WORD_CONNECTIONS] = (words[WORD_CONNECTIONS] ?? 0) - 1;
    if (connections > 0) return;
    words[WORD_PREFIXES] = (words[WORD_PREFIXES] ?? 0) - 1;
    this.#appendIdle(prefix);
  }

  /** Makes the table and the list of idle records anew: after a thread died while it changed them. */
  rebuild(): void {
    const { words, prefixes, buckets } = this.#memory;
    buckets.fill(0);
    const used = words[WORD_RECORDS_USED] ?? 0;
    for (const word of [WORD_IDLE_HEAD, WORD_IDLE_TAIL, WORD_PREFIXES, WORD_CONNECTIONS]) words[word] = 0;
    for (let prefix = 0; prefix < used; prefix += 1) {
      const bucket = this.#hash(prefixes, prefix * PREFIX_WORDS + PREFIX_KEY) & (buckets.length - 1);
      this.#set(prefix, PREFIX_HASH_NEXT, buckets[bucket] ?? 0);
      buckets[bucket] = prefix + 1;
      const connections = this.#get(prefix, PREFIX_CONNECTIONS);
      if (connections === 0) this.#appendIdle(prefix);
      else words[WORD_PREFIXES] = (words[WORD_PREFIXES] ?? 0) + 1;
      words[WORD_CONNECTIONS] = (words[WORD_CONNECTIONS] ?? 0) + connections;
    }
  }

  /** A record with the key that {@link find} has just not found, all else 0. */
  #create(): number {
    const { words, prefixes } = this.#memory;
    const used = words[WORD_RECORDS_USED] ?? 0;
    let prefix = used;
    if (used < this.#recordsMax) {
      words[WORD_RECORDS_USED] = used + 1;
    } else {
      prefix = (words[WORD_IDLE_HEAD] ?? 0) - 1;
      assert(prefix >= 0, "there are as many records as connections");
      this.#removeIdle(prefix);
      this.#unchain(prefix);
    }
    const bucket = this.#bucketOf();
    const start = prefix * PREFIX_WORDS;
    prefixes.fill(0, start, start + PREFIX_WORDS);
    prefixes.set(this.#key, start + PREFIX_KEY);
    this.#set(prefix, PREFIX_HASH_NEXT, this.#memory.buckets[bucket] ?? 0);
    this.#memory.buckets[bucket] = prefix + 1;
    return prefix;
  }

  /** Takes a record out of the chain of its key. */
  #unchain(prefix: number): void {
    const { buckets, prefixes } = this.#memory;
    const start = prefix * PREFIX_WORDS + PREFIX_KEY;
    const bucket = this.#hash(prefixes, start) & (buckets.length - 1);
    const next = this.#get(prefix, PREFIX_HASH_NEXT);
    let link = buckets[bucket] ?? 0;
    if (link === prefix + 1) {
      buckets[bucket] = next;
      return;
    }
    while (this.#get(link - 1, PREFIX_HASH_NEXT) !== prefix + 1) link = this.#get(link - 1, PREFIX_HASH_NEXT);
    this.#set(link - 1, PREFIX_HASH_NEXT, next);
  }

  #appendIdle(prefix: number): void {
    const { words } = this.#memory;
    const tail = words[WORD_IDLE_TAIL] ?? 0;
    this.#set(prefix, PREFIX_IDLE_PREVIOUS, tail);
    this.#set(prefix, PREFIX_IDLE_NEXT, 0);
    if (tail === 0) words[WORD_IDLE_HEAD] = prefix + 1;
    else this.#set(tail - 1, PREFIX_IDLE_NEXT, prefix + 1);
    words[WORD_IDLE_TAIL] = prefix + 1;
  }

  #removeIdle(prefix: number): void {
    const { words } = this.#memory;
    const previous = this.#get(prefix, PREFIX_IDLE_PREVIOUS);
    const next = this.#get(prefix, PREFIX_IDLE_NEXT);
    if (previous === 0) words[WORD_IDLE_HEAD] = next;
    else this.#set(previous - 1, PREFIX_IDLE_NEXT, next);
    if (next === 0) words[WORD_IDLE_TAIL] = previous;
    else this.#set(next - 1, PREFIX_IDLE_PREVIOUS, previous);
  }

  #bucketOf(): number {
    return this.#hash(this.#key, 0) & (this.#memory.buckets.length - 1);
  }

  #hash(words: Int32Array, start: number): number {
    let hash = this.#seed;
    for (let index = 0; index < KEY_WORDS; index += 1) {
      hash = Math.imul(hash ^ (words[start + index] ?? 0), 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85eb_ca6b);
    return hash ^ (hash >>> 13);
  }

  #isKeyOf(prefix: number): boolean {
    const start = prefix * PREFIX_WORDS + PREFIX_KEY;
    for (let index = 0; index < KEY_WORDS; index += 1) {
      if (this.#memory.prefixes[start + index] !== this.#key[index]) return false;
    }
    return true;
  }

  #get(prefix: number, field: number): number {
    return this.#memory.prefixes[prefix * PREFIX_WORDS + field] ?? 0;
  }

  #set(prefix: number, field: number, value: number): void {
    this.#memory.prefixes[prefix * PREFIX_WORDS + field] = value;
  }
}
