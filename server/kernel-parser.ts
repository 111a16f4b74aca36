/**
 * The kernel behind the same interface as the plain parser, for receive paths that get their bytes elsewhere than in
 * the shared memory: it copies each read in, and keeps the connections' records outside.
 */
import assert from "node:assert/strict";
import { openKernel, type Kernel, type KernelOptions } from "./kernel.ts";
import {
  PHASE_CLOSING,
  PHASE_OPEN,
  READ_BYTES_MAX,
  STATE_BYTES,
  STATE_PHASE,
  STATE_TAIL,
  STATE_TAIL_LENGTH,
} from "./kernel/layout.ts";
import { REPLIES_BYTES } from "./memory-layout.ts";
import type { ParserPhase, ParserState, PixelflutParser, Replies } from "./pixelflut-parser.ts";

/** A connection as this parser knows it: the used part of its record. */
export class KernelState implements ParserState {
  record: Uint8Array;

  constructor(record: Uint8Array) {
    this.record = record;
  }

  get phase(): ParserPhase {
    // A phase fits into its lowest byte.
    const phase = this.record[STATE_PHASE];
    if (phase === PHASE_OPEN) return "open";
    return phase === PHASE_CLOSING ? "closing" : "http";
  }
}

export class KernelParser implements PixelflutParser<KernelState> {
  readonly replies: Replies;
  readonly #kernel: Kernel;
  readonly #recordOffset: number;
  /** The thread's record and its place for reads. */
  readonly #record: Uint8Array;
  readonly #tailLength: Uint32Array;
  readonly #read: Uint8Array;

  constructor(options: KernelOptions) {
    const { memory, map } = options.framebuffer;
    const area = map.threadAreas[options.thread];
    assert(area !== undefined, `the memory has an area for thread ${options.thread}`);
    const kernel = openKernel(options);
    this.#kernel = kernel;
    this.#recordOffset = area.recordOffset;
    this.#record = new Uint8Array(memory.buffer, area.recordOffset, STATE_BYTES);
    this.#tailLength = new Uint32Array(memory.buffer, area.recordOffset + STATE_TAIL_LENGTH, 1);
    this.#read = new Uint8Array(memory.buffer, area.readOffset, READ_BYTES_MAX);
    this.replies = new KernelReplies(
      kernel,
      new Uint8Array(memory.buffer, area.repliesOffset, REPLIES_BYTES),
    );
  }

  open(): KernelState {
    this.#kernel.resetRecord(this.#recordOffset);
    return new KernelState(this.#record.slice(0, STATE_TAIL));
  }

  parse(state: KernelState, bytes: Uint8Array, nowMs: number): number {
    const { readOffset } = this.#kernel;
    this.#record.set(state.record);
    let taken = 0;
    while (taken < bytes.length) {
      const piece = bytes.subarray(taken, taken + READ_BYTES_MAX);
      this.#read.set(piece);
      const end = this.#kernel.parse(this.#recordOffset, readOffset, readOffset + piece.length, nowMs);
      taken += end - readOffset;
      if (end - readOffset < piece.length) break;
    }
    this.#keep(state);
    return taken;
  }

  /** Copies the record out again, into the same array while its length allows. */
  #keep(state: KernelState): void {
    const lengthBytes = STATE_TAIL + (this.#tailLength[0] ?? 0);
    if (state.record.length < lengthBytes || lengthBytes === STATE_TAIL) {
      state.record = this.#record.slice(0, lengthBytes);
    } else {
      state.record.set(this.#record.subarray(0, lengthBytes));
    }
  }
}

class KernelReplies implements Replies {
  readonly #kernel: Kernel;
  readonly #bytes: Uint8Array;

  constructor(kernel: Kernel, bytes: Uint8Array) {
    this.#kernel = kernel;
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#kernel.repliesLength();
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  clear(): void {
    this.#kernel.clearReplies();
  }
}
