/**
 * Where the kernel and its host find things in the shared memory: the places inside one connection's record and the
 * kernel's flags. Read by both compilers (AssemblyScript and TypeScript), so nothing but whole numbers stands here.
 */

/** The kernel's static data lies below this address; whatever the host lays out begins here. */
export const STATIC_BYTES = 65536;

/** Most bytes of one read; the kernel is given a read in one piece. */
export const READ_BYTES_MAX = 262144;
/** Free bytes before a read, where the kernel puts the connection's tail, and behind it, where whole blocks are loaded. */
export const READ_FRONT_BYTES = 2048;
export const READ_SLACK_BYTES = 256;

// A connection's record: the kernel's fields, then RECORD_HOST_BYTES which it never touches, then the tail.

/** i32: 0 open, 1 closing, 2 http. */
export const STATE_PHASE = 0;
/** i32: 1 until the first command is over. */
export const STATE_IS_FRESH = 4;
/** i32: added to the coordinates of PX. */
export const STATE_OFFSET_X = 8;
export const STATE_OFFSET_Y = 12;
/** i32: bytes of the tail. */
export const STATE_TAIL_LENGTH = 16;
/** i32: 1 while the rest of a line that is too long is dropped. */
export const STATE_IS_DROPPING = 20;
/** u32: pixels of PXMULTI still to come. */
export const STATE_MULTI_REMAINING = 24;
/** i32: where the next of them goes, or -1 where they are swallowed. */
export const STATE_MULTI_INDEX = 28;
/** i32: HELPs in the present window. */
export const STATE_HELP_COUNT = 32;
/** f64: when that window began, in milliseconds. */
export const STATE_HELP_WINDOW_MS = 40;
/** The first byte that belongs to the host. */
export const STATE_HOST = 64;
/** Bytes at {@link STATE_HOST}. */
export const STATE_HOST_BYTES = 192;
/** The tail: at most LINE_BYTES_MAX bytes. */
export const STATE_TAIL = 256;
export const TAIL_BYTES_MAX = 1024;
/** Bytes of a record, a multiple of a cache line. */
export const STATE_BYTES = 1344;

export const PHASE_OPEN = 0;
export const PHASE_CLOSING = 1;
export const PHASE_HTTP = 2;

// What `configure` is told, as bits.

/** Alpha is blended; without it every colour is opaque. */
export const FLAG_BLENDS = 1;
/** A get outside the canvas is answered with black. */
export const FLAG_OUTSIDE_GETS_BLACK = 2;
/** A line that is no command is answered with ERR and ends the connection. */
export const FLAG_STRICT = 4;

/** Places of the kernel's counters in a thread's slot, in doubles: the order of `COUNTER_NAMES`. */
export const COUNTER_PIXELS = 0;
export const COUNTER_ACCEPTED = 3;
export const COUNTER_CLOSED = 4;
export const COUNTER_OUTSIDE_SETS = 5;
export const COUNTER_GETS = 6;
export const COUNTER_OUTSIDE_GETS = 7;
export const COUNTER_INVALID_LINES = 8;
export const COUNTER_LONG_LINES = 9;
export const COUNTER_REFUSED_HELPS = 10;

// The kernel's tables, in its static region: the same bytes whoever writes them.

/** 1,024 shuffles of 16 bytes, by the places of the spaces in the ten bytes behind `PX `, for colours of six digits. */
export const TABLE_SHUFFLES = 16384;
/** The same for greys, of two digits. */
export const TABLE_GREY_SHUFFLES = 32768;
/** For each shape the bytes of the whole command with a colour of six digits, or two, and its LF. */
export const TABLE_LENGTHS = 49152;
export const TABLE_GREY_LENGTHS = 50176;
/** Value of a hexadecimal digit by byte; NOT_HEX for all others. */
export const TABLE_HEX = 51200;
/** The two digits of each byte in lower case, as u16. */
export const TABLE_HEX_DIGITS = 51712;

/** Bytes that a thread's kernel may use while it parses. */
export const SCRATCH_BYTES = 2048;

/** No single reply is longer: a black answer quotes two numbers of a line, HELP is a page. */
export const REPLY_BYTES_MAX = 2048;
/** A line longer than this before its LF is dropped, however it arrives. */
export const LINE_BYTES_MAX = 1024;
/** HELPs answered to one connection in {@link HELP_WINDOW_MS}; the next one gets a short refusal, the others nothing. */
export const HELPS_PER_WINDOW = 3;
export const HELP_WINDOW_MS = 1000;
/** No hexadecimal digit: its own bit, so that one test of an OR over several digits finds it. */
export const NOT_HEX = 0x100;
