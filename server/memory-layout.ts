/**
 * The map of the server's one shared WebAssembly memory: what lies where, from the kernel's own data at its bottom to
 * the records of connections. It is laid out once and never grows; pages that nobody touches cost nothing. Every thread
 * computes the same map from the same {@link MemorySize}.
 */
import { COUNTER_SLOT_BYTES } from "./counters.ts";
import {
  READ_BYTES_MAX,
  READ_FRONT_BYTES,
  READ_SLACK_BYTES,
  SCRATCH_BYTES,
  STATE_BYTES,
  STATIC_BYTES,
} from "./kernel/layout.ts";
import { sharesBytes } from "./player-shares-memory.ts";
import { RECEIVER_BYTES } from "./receiver-memory.ts";

/** Bytes of a pixel in memory: r, g, b, a. */
export const BYTES_PER_PIXEL = 4;
/** Most threads that can count. */
export const THREADS_MAX = 64;
/** Bytes of a thread's reply buffer. */
export const REPLIES_BYTES = 65_536;

/** A page of WebAssembly memory, in bytes. */
export const PAGE_BYTES = 65_536;
/** Every region begins at a multiple of this: a cache line, and more than any SIMD load wants. */
const ALIGNMENT_BYTES = 64;
/** Readable bytes behind the canvas, so that a load of a whole block at the last pixel stays inside the memory. */
const CANVAS_SLACK_BYTES = 256;
/** Room for HELP's and SIZE's answers, one text behind the other. */
export const TEXTS_BYTES = 8_192;
/** Bytes in which a thread passes structures to the system, and keeps sockets beside connections (`receiver-memory.ts`). */
const SYSTEM_BYTES = 8_192;
/** Words that threads use to agree with each other, each on a cache line of its own where that matters. */
const CONTROL_BYTES = 4_096 + THREADS_MAX * ALIGNMENT_BYTES;

/** What the size of the memory depends on. */
export interface MemorySize {
  /** Of the canvas, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Pixel threads, each with an area for its reads and replies. */
  readonly threads: number;
  /** Most connections that are open at once. */
  readonly connectionsMax: number;
}

/** Where one thread works. */
export interface ThreadArea {
  /** Reads go here: READ_BYTES_MAX bytes, with READ_FRONT_BYTES before and READ_SLACK_BYTES behind them. */
  readonly readOffset: number;
  /** Replies: {@link REPLIES_BYTES}. */
  readonly repliesOffset: number;
  /** One record of STATE_BYTES, for a receive path that keeps its connections elsewhere. */
  readonly recordOffset: number;
  /** SCRATCH_BYTES for the kernel. */
  readonly scratchOffset: number;
  /** What is passed to the system beside reads and replies. */
  readonly systemOffset: number;
}

/** Byte offsets of all regions. */
export interface MemoryMap {
  readonly countersOffset: number;
  readonly controlOffset: number;
  readonly textsOffset: number;
  readonly canvasOffset: number;
  readonly threadAreas: readonly ThreadArea[];
  /** Records of connections, STATE_BYTES each. */
  readonly connectionsOffset: number;
  /** Limits and fairness of players (`player-shares-memory.ts`). */
  readonly sharesOffset: number;
  /** The receive path of Linux (`receiver-memory.ts`). */
  readonly receiverOffset: number;
  /** Length of the whole. */
  readonly totalBytes: number;
}

/** The map for a size. */
export function mapMemory({ width, height, threads, connectionsMax }: MemorySize): MemoryMap {
  let end = STATIC_BYTES;
  const take = (bytes: number): number => {
    const offset = Math.ceil(end / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    end = offset + bytes;
    return offset;
  };
  const countersOffset = take(THREADS_MAX * COUNTER_SLOT_BYTES);
  const controlOffset = take(CONTROL_BYTES);
  const textsOffset = take(TEXTS_BYTES);
  const canvasOffset = take(width * height * BYTES_PER_PIXEL + CANVAS_SLACK_BYTES);
  const threadAreas = Array.from({ length: threads }, () => ({
    readOffset: take(READ_FRONT_BYTES + READ_BYTES_MAX + READ_SLACK_BYTES) + READ_FRONT_BYTES,
    repliesOffset: take(REPLIES_BYTES),
    recordOffset: take(STATE_BYTES),
    scratchOffset: take(SCRATCH_BYTES),
    systemOffset: take(SYSTEM_BYTES),
  }));
  const connectionsOffset = take(connectionsMax * STATE_BYTES);
  const sharesOffset = take(sharesBytes({ threads, connectionsMax }));
  const receiverOffset = take(RECEIVER_BYTES);
  return {
    countersOffset,
    controlOffset,
    textsOffset,
    canvasOffset,
    threadAreas,
    connectionsOffset,
    sharesOffset,
    receiverOffset,
    totalBytes: end,
  };
}
