/**
 * The bare kernel behind the parsers' interface, for tests: reads lie in the shared memory until all of them is taken,
 * records of connections stay there, as in the receive path of Linux. `kernel-parser.ts` is the one that a server runs.
 */
import assert from "node:assert/strict";
import { openKernel, type Kernel, type KernelOptions } from "./kernel.ts";
import {
  PHASE_CLOSING,
  PHASE_OPEN,
  READ_BYTES_MAX,
  READ_SLACK_BYTES,
  STATE_BYTES,
  STATE_HOST,
  STATE_HOST_BYTES,
  STATE_PHASE,
} from "./kernel/layout.ts";
import type { ParserPhase, ParserState, PixelflutParser, Replies } from "./pixelflut-parser.ts";

/** Stands in the bytes of a record that belong to its host. */
const HOST_BYTE = 0xa5;

/** A connection: its record in the shared memory. */
export class PlacedState implements ParserState {
  /** The record's address. */
  readonly address: number;
  readonly record: Uint8Array;

  constructor(memory: WebAssembly.Memory, address: number) {
    this.address = address;
    this.record = new Uint8Array(memory.buffer, address, STATE_BYTES);
  }

  get phase(): ParserPhase {
    // A phase fits into its lowest byte.
    const phase = this.record[STATE_PHASE];
    if (phase === PHASE_OPEN) return "open";
    return phase === PHASE_CLOSING ? "closing" : "http";
  }
}

/** A read of which not all is taken: its connection, and where the rest lies. */
interface Rest {
  readonly state: ParserState;
  readonly start: number;
  readonly end: number;
}

export class PlacedKernelParser implements PixelflutParser<PlacedState> {
  readonly replies: Replies;
  /** What lies behind the next read: READ_SLACK_BYTES. */
  trap: Uint8Array = new Uint8Array(READ_SLACK_BYTES);
  readonly #kernel: Kernel;
  readonly #memory: WebAssembly.Memory;
  readonly #free: number[];
  readonly #open = new Set<PlacedState>();
  /** The place for reads, with what is behind it. */
  readonly #read: Uint8Array;
  #rest: Rest | undefined;
  #damage: string | undefined;

  constructor(options: KernelOptions) {
    const { memory, map, connectionsMax } = options.framebuffer;
    const kernel = openKernel(options);
    this.#kernel = kernel;
    this.#memory = memory;
    this.#free = Array.from(
      { length: connectionsMax },
      (_, index) => map.connectionsOffset + index * STATE_BYTES,
    );
    this.#read = new Uint8Array(memory.buffer, kernel.readOffset, READ_BYTES_MAX + READ_SLACK_BYTES);
    this.replies = {
      get length() {
        return kernel.repliesLength();
      },
      view: () => new Uint8Array(memory.buffer, kernel.repliesOffset, kernel.repliesLength()),
      clear: () => kernel.clearReplies(),
    };
  }

  open(): PlacedState {
    const address = this.#free.shift();
    assert(address !== undefined, "there is a record for every connection");
    this.#kernel.resetRecord(address);
    const state = new PlacedState(this.#memory, address);
    hostBytesOf(state).fill(HOST_BYTE);
    this.#open.add(state);
    return state;
  }

  close(state: ParserState): void {
    if (!(state instanceof PlacedState) || !this.#open.delete(state)) return;
    this.#checkHostBytes(state);
    this.#free.push(state.address);
  }

  parse(state: PlacedState, bytes: Uint8Array, nowMs: number): number {
    const { readOffset } = this.#kernel;
    const rest = this.#rest;
    this.#rest = undefined;
    let taken = 0;
    if (rest?.state === state && rest.end - rest.start === bytes.length) {
      taken = this.#parsePlaced(state, rest, nowMs);
      if (taken < bytes.length) return taken;
    }
    while (taken < bytes.length) {
      const piece = bytes.subarray(taken, taken + READ_BYTES_MAX);
      this.#read.set(piece);
      this.#read.set(this.trap, piece.length);
      const end = readOffset + piece.length;
      const part = this.#parsePlaced(state, { state, start: readOffset, end }, nowMs);
      taken += part;
      if (part < piece.length) break;
    }
    return taken;
  }

  /** Looks for records in which the kernel wrote to its host's bytes. */
  findDamage(): string | undefined {
    for (const state of this.#open) this.#checkHostBytes(state);
    return this.#damage;
  }

  /** Parses what lies at its place. Returns how much was taken, and remembers the rest. */
  #parsePlaced(state: PlacedState, { start, end }: Rest, nowMs: number): number {
    const taken = this.#kernel.parse(state.address, start, end, nowMs) - start;
    if (start + taken < end) this.#rest = { state, start: start + taken, end };
    return taken;
  }

  #checkHostBytes(state: PlacedState): void {
    if (hostBytesOf(state).some((byte) => byte !== HOST_BYTE)) {
      this.#damage = "writes into the host's bytes of a record";
    }
  }
}

function hostBytesOf({ record }: PlacedState): Uint8Array {
  return record.subarray(STATE_HOST, STATE_HOST + STATE_HOST_BYTES);
}
