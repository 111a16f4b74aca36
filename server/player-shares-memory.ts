/**
 * Where {@link PlayerShares} keeps its state in the shared memory: a header, a record for each prefix, one for each
 * connection, two heaps of prefixes, a hash table. All of it is right when it is zero, so nobody has to set it up:
 * links are indexes + 1.
 */

// Header, in 32-bit words. The lock has a cache line of its own.
export const WORD_LOCK = 0;
/** Connections admitted, and prefixes that have some. */
export const WORD_CONNECTIONS = 16;
export const WORD_PREFIXES = 17;
/** Connections queued. */
export const WORD_WAITING = 18;
/** Prefixes in the heap of those that may be served, and in that of those which wait for their budget. */
export const WORD_READY_SIZE = 19;
export const WORD_DUE_SIZE = 20;
/** Threads that sleep; and 1 while somebody has called one of them and nobody has heard it. */
export const WORD_SLEEPERS = 21;
export const WORD_IS_CALLED = 22;
/** Prefix records ever used. */
export const WORD_RECORDS_USED = 23;
/** Prefixes without connections, least recently used first: these records may be used again. Links. */
export const WORD_IDLE_HEAD = 24;
export const WORD_IDLE_TAIL = 25;
/** The header's doubles, in 64-bit words. */
export const DOUBLE_VIRTUAL_TIME = 16;
export const DOUBLE_SEQUENCE = 17;
const HEADER_BYTES = 192;

// A prefix's record, in 32-bit words; the doubles in 64-bit words.
export const PREFIX_WORDS = 32;
export const PREFIX_DOUBLES = PREFIX_WORDS / 2;
export const PREFIX_VIRTUAL_TIME = 0;
export const PREFIX_EXPECTED_COST = 1;
/** Bytes of its budget that are used up, as of a time. */
export const PREFIX_SPENT = 2;
export const PREFIX_SPENT_AT_MS = 3;
/** When there is a budget again, while it is limited. */
export const PREFIX_DUE_MS = 4;
/** The sequence of the connection at the head of its queue. */
export const PREFIX_HEAD_SEQUENCE = 5;
export const PREFIX_KEY = 12;
export const PREFIX_HASH_NEXT = 16;
export const PREFIX_CONNECTIONS = 17;
export const PREFIX_QUEUE_HEAD = 18;
export const PREFIX_QUEUE_TAIL = 19;
export const PREFIX_WAITING = 20;
export const PREFIX_RUNNING = 21;
/** 0 in none, else one of the heaps below. */
export const PREFIX_HEAP = 22;
export const PREFIX_HEAP_PLACE = 23;
/** 1 while its budget is used up. */
export const PREFIX_IS_LIMITED = 24;
export const PREFIX_IDLE_PREVIOUS = 25;
export const PREFIX_IDLE_NEXT = 26;

export const HEAP_NONE = 0;
export const HEAP_READY = 1;
export const HEAP_DUE = 2;

// A connection's record, in 32-bit words; the doubles in 64-bit words.
export const CONNECTION_WORDS = 10;
export const CONNECTION_DOUBLES = CONNECTION_WORDS / 2;
/** When it was queued, as a number that grows by one with each. */
export const CONNECTION_SEQUENCE = 0;
/** What its prefix was charged in advance. */
export const CONNECTION_CHARGED = 1;
export const CONNECTION_STATE = 4;
/** The prefix's index. */
export const CONNECTION_PREFIX = 5;
export const CONNECTION_NEXT = 6;
export const CONNECTION_PREVIOUS = 7;

export const CONNECTION_IS_IDLE = 0;
export const CONNECTION_IS_QUEUED = 1;
export const CONNECTION_IS_RUNNING = 2;

/** Views of the region. */
export interface SharesMemory {
  /** The header. */
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly prefixes: Int32Array;
  readonly prefixDoubles: Float64Array;
  readonly connections: Int32Array;
  readonly connectionDoubles: Float64Array;
  /** Prefix indexes, the heap of those that may be served. */
  readonly ready: Int32Array;
  /** The heap of those whose budget is used up. */
  readonly due: Int32Array;
  /** Links to the first prefix of each chain; the length is a power of two. */
  readonly buckets: Int32Array;
  /** For each thread, the prefixes of the connections that it admitted: counts. */
  readonly admitted: readonly Int32Array[];
  /** For each thread 1 while it sleeps. */
  readonly sleeping: Int32Array;
}

/** What the region's length depends on. */
export interface SharesSize {
  readonly threads: number;
  readonly connectionsMax: number;
}

/** Bytes of the region. */
export function sharesBytes(size: SharesSize): number {
  const { buckets, records, perThread } = lengths(size);
  return HEADER_BYTES + 4 * (records + buckets + perThread);
}

/** Views of the region at `offset`, a multiple of 8. */
export function openSharesMemory(buffer: ArrayBufferLike, offset: number, size: SharesSize): SharesMemory {
  const { connectionsMax, threads } = size;
  const { buckets } = lengths(size);
  let end = offset + HEADER_BYTES;
  const take = (words: number): number => {
    const start = end;
    end += words * 4;
    return start;
  };
  const prefixesOffset = take(connectionsMax * PREFIX_WORDS);
  const connectionsOffset = take(connectionsMax * CONNECTION_WORDS);
  const words = (length: number): Int32Array => new Int32Array(buffer, take(length), length);
  return {
    words: new Int32Array(buffer, offset, HEADER_BYTES / 4),
    doubles: new Float64Array(buffer, offset, HEADER_BYTES / 8),
    prefixes: new Int32Array(buffer, prefixesOffset, connectionsMax * PREFIX_WORDS),
    prefixDoubles: new Float64Array(buffer, prefixesOffset, connectionsMax * PREFIX_DOUBLES),
    connections: new Int32Array(buffer, connectionsOffset, connectionsMax * CONNECTION_WORDS),
    connectionDoubles: new Float64Array(buffer, connectionsOffset, connectionsMax * CONNECTION_DOUBLES),
    ready: words(connectionsMax),
    due: words(connectionsMax),
    buckets: words(buckets),
    admitted: Array.from({ length: threads }, () => words(connectionsMax)),
    sleeping: words(threads),
  };
}

function lengths({ threads, connectionsMax }: SharesSize) {
  return {
    buckets: 2 ** Math.ceil(Math.log2(Math.max(connectionsMax, 2))),
    records: connectionsMax * (PREFIX_WORDS + CONNECTION_WORDS + 2),
    perThread: (connectionsMax + 1) * threads,
  };
}
