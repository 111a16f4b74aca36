/**
 * Where the receive path of Linux keeps its state in the shared memory, so that any thread can serve any connection
 * next: its fields of a connection's record, a header, and blocks for bytes that wait. All of it is right when it is
 * zero, so nobody has to set it up: links are indexes + 1. See `connection-table.ts`, `hold-blocks.ts` and
 * `stalled-peers.ts`.
 */
import { DENIED_LINGERING_MAX } from "./admission.ts";
import { HELD_BYTES_MAX } from "./connection.ts";
import { STATE_HOST, STATE_TAIL } from "./kernel/layout.ts";

// Fields of a record, in 32-bit words from its beginning.
const FIRST_WORD = STATE_HOST / 4;
/** Who may touch the connection: OWNED_BY below. */
export const RECORD_OWNER = FIRST_WORD;
export const RECORD_SOCKET = FIRST_WORD + 1;
/** Counts the connections that used the record, so that an old event is not taken for one of the present connection. */
export const RECORD_GENERATION = FIRST_WORD + 2;
/** The index that `PlayerShares.admit` gave; -1 while there is none. */
export const RECORD_PREFIX = FIRST_WORD + 3;
/** Bits of RECORD_FLAGS below. */
export const RECORD_FLAGS = FIRST_WORD + 4;
/** The most that the next read may bring: little after a stall. */
export const RECORD_READ_BYTES = FIRST_WORD + 5;
/** Link to the next unused record. */
export const RECORD_NEXT_FREE = FIRST_WORD + 6;
/** Bytes of a load balancer's header that lie at RECORD_OPENING_BYTE. */
export const RECORD_OPENING_LENGTH = FIRST_WORD + 7;
/** Replies that the peer has not taken, in hold blocks: a link, where they begin in that block, their length. */
export const RECORD_UNSENT = FIRST_WORD + 8;
/** What was read and not yet parsed: the same three words. */
export const RECORD_REST = FIRST_WORD + 11;
/** Links to who stalled before and behind this one; the last has STALLED_END behind it, 0 is who does not stall. */
export const RECORD_STALLED_BEFORE = FIRST_WORD + 14;
export const RECORD_STALLED_BEHIND = FIRST_WORD + 15;
/** Calls on the socket in a row that failed without saying that it is of no more use. */
export const RECORD_FAILURES = FIRST_WORD + 20;

/**
 * What comes instead of commands, from this byte of a record on: a load balancer's header, or what is known of a
 * browser's request. The kernel keeps no tail before the one is over, nor once the other has begun.
 */
export const RECORD_OPENING_BYTE = STATE_TAIL;

// Fields in 64-bit words from the record's beginning.
const FIRST_DOUBLE = STATE_HOST / 8;
/** When the connection has overstayed, in milliseconds of the monotonic clock; 0 for never. */
export const RECORD_DEADLINE_MS = FIRST_DOUBLE + 12;
/** Since when something has been held without a moment in which all of it was taken; 0 for nothing. */
export const RECORD_STALLED_MS = FIRST_DOUBLE + 13;
/** When the last bytes came, or the peer could not send any. Kept only where players may not be idle for ever. */
export const RECORD_HEARD_MS = FIRST_DOUBLE + 14;

// A record's owner is one of these, or OWNED_BY + the index of the thread that serves it. Who finds it ARMED and
// changes that by one atomic step may touch the connection; all others leave it alone.

/** Not in use. All records at first. */
export const OWNER_NONE = 0;
/** In the epoll set: whoever gets its event, or takes it for its deadline, owns it. */
export const OWNER_ARMED = 1;
/** In the queue of players: whoever takes it there owns it. */
export const OWNER_QUEUE = 2;
/** Plus a thread's index: only this thread touches it. */
export const OWNED_BY = 16;
/** Plus a thread's index: being put into the epoll set. Its event may come before the thread has noted that. */
export const ARMED_BY = 1_024;

/** We have said our last word: what still comes is counted and dropped. */
export const FLAG_IS_ENDING = 1;
/** The peer sent FIN. */
export const FLAG_HAS_PEER_FINISHED = 2;
/** A browser, whose request is read. */
export const FLAG_IS_BROWSER = 4;
/** The last event was EPOLLERR or EPOLLHUP. */
export const FLAG_IS_HUNG_UP = 8;
/** A load balancer's, which has not told yet whose it is, or told of somebody not let in: it counts as no player's. */
export const FLAG_IS_PROXY = 16;

// The header, in 32-bit words. Locks have a cache line each.
export const WORD_TABLE_LOCK = 0;
export const WORD_FREE_RECORDS = 16;
/** Records ever used. */
export const WORD_RECORDS_USED = 17;
/** The second in which deadlines were last checked. */
export const WORD_DEADLINE_SECOND = 18;
export const WORD_HOLD_LOCK = 32;
export const WORD_FREE_BLOCKS = 48;
/** Hold blocks ever used, and in use now. */
export const WORD_BLOCKS_USED = 49;
export const WORD_BLOCKS_HELD = 50;
/** Links to who has stalled longest and who stalled last, under the same lock. */
export const WORD_STALLED_FIRST = 51;
export const WORD_STALLED_LAST = 52;
const HEADER_BYTES = 256;

/** In place of a link: who stalled last has nobody behind it. */
export const STALLED_END = -1;

// A thread's system area, in bytes: the events that the set returns and the one that is passed to it; the address of a
// socket and its length; a descriptor to spare, plus 1; sockets of those not let in, as a ring: the place of the first,
// how many, and for each descriptor and deadline.
export const SYSTEM_EVENTS = 0;
export const SYSTEM_ADDRESS = 1_536;
export const SYSTEM_SPARE = 1_728;
export const SYSTEM_DENIED_FIRST = 2_048;
export const SYSTEM_DENIED_COUNT = 2_052;
export const SYSTEM_DENIED_SOCKETS = 2_112;
export const SYSTEM_DENIED_DEADLINES = SYSTEM_DENIED_SOCKETS + 4 * DENIED_LINGERING_MAX;

/** A hold block: most replies that wait fit into a few. */
export const HOLD_BLOCK_BYTES = 16_384;
/** All hold blocks together bound what is kept for peers which take no replies. */
export const HOLD_BLOCKS = HELD_BYTES_MAX / HOLD_BLOCK_BYTES;

/** Views of the region. */
export interface ReceiverMemory {
  /** The header. */
  readonly words: Int32Array<ArrayBufferLike>;
  /** For each hold block the link to the next of its chain. */
  readonly nextBlocks: Int32Array<ArrayBufferLike>;
  /** Where the first hold block begins in the shared memory. */
  readonly blocksOffset: number;
}

/** Bytes of the region. */
export const RECEIVER_BYTES = HEADER_BYTES + HOLD_BLOCKS * (4 + HOLD_BLOCK_BYTES);

/** Views of the region at `offset`, a multiple of a cache line. */
export function openReceiverMemory(buffer: ArrayBufferLike, offset: number): ReceiverMemory {
  return {
    words: new Int32Array(buffer, offset, HEADER_BYTES / 4),
    nextBlocks: new Int32Array(buffer, offset + HEADER_BYTES, HOLD_BLOCKS),
    blocksOffset: offset + HEADER_BYTES + HOLD_BLOCKS * 4,
  };
}
