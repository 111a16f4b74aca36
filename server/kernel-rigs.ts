/**
 * The kernel for tests and the differential fuzz: in both ways that the receive paths use it, with traps behind every read
 * and a fence around the memory that is not its own. `pixelflut-parsers.ts` has them in its table.
 */
import { COUNTER_SLOT_BYTES } from "./counters.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { KernelParser } from "./kernel-parser.ts";
import {
  READ_BYTES_MAX,
  READ_FRONT_BYTES,
  READ_SLACK_BYTES,
  STATE_HELP_COUNT,
  STATE_HELP_WINDOW_MS,
  STATE_IS_DROPPING,
  STATE_IS_FRESH,
  STATE_MULTI_INDEX,
  STATE_MULTI_REMAINING,
  STATE_OFFSET_X,
  STATE_OFFSET_Y,
  STATE_TAIL,
  STATE_TAIL_LENGTH,
} from "./kernel/layout.ts";
import type { MemoryMap } from "./memory-layout.ts";
import type { ParserState } from "./pixelflut-parser.ts";
import type { ConnectionSnapshot, ParserRig, ParserSetting } from "./pixelflut-parsers.ts";
import { PlacedKernelParser } from "./placed-kernel-parser.ts";

/** A connection whose record, or the used part of it, can be seen. */
interface RecordState extends ParserState {
  readonly record: Uint8Array;
}

/** What an earlier read may have left behind the present one. */
const TRAPS = [
  "\n",
  "0",
  "f",
  "PX 1 1 ffffff\n",
  " 1 ff\n",
  "ffffff\n",
  "PB\x01\0\x01\0\0\0\0\xff",
  "E\nHELP",
].map((text) => Uint8Array.from({ length: READ_SLACK_BYTES }, (_, at) => text.charCodeAt(at % text.length)));

/** {@link KernelParser}, which copies reads and records in and out. */
export function createKernelRig(
  module: WebAssembly.Module,
  { protocol, ...size }: ParserSetting,
): ParserRig<RecordState> {
  const framebuffer = createFencedFramebuffer(size);
  const { memory, map } = framebuffer;
  const parser = new KernelParser({ module, framebuffer, thread: 0, protocol });
  const [area] = map.threadAreas;
  if (area === undefined) throw new RangeError("There is an area for the first thread");
  const place = new Uint8Array(memory.buffer, area.readOffset, READ_BYTES_MAX + READ_SLACK_BYTES);
  return {
    framebuffer,
    parser,
    describe: describeRecord,
    prepare(bytes, { start, end }) {
      if (end - start <= READ_BYTES_MAX) place.set(trapBehind(bytes, end), end - start);
    },
    close() {},
    findDamage: fence(framebuffer),
  };
}

/** The bare kernel, as {@link PlacedKernelParser} calls it. */
export function createPlacedKernelRig(
  module: WebAssembly.Module,
  { protocol, ...size }: ParserSetting,
): ParserRig<RecordState> {
  const framebuffer = createFencedFramebuffer(size);
  const parser = new PlacedKernelParser({ module, framebuffer, thread: 0, protocol });
  const findDamage = fence(framebuffer);
  return {
    framebuffer,
    parser,
    describe: describeRecord,
    prepare(bytes, { end }) {
      parser.trap = trapBehind(bytes, end);
    },
    close: (state) => parser.close(state),
    findDamage: () => parser.findDamage() ?? findDamage(),
  };
}

/** With room for a second thread, which shows whether the first one stays in its own. */
function createFencedFramebuffer(size: { readonly width: number; readonly height: number }): Framebuffer {
  return createFramebuffer({ ...size, threads: 2 });
}

/** Behind a read lies what goes on with it, and then what could: for whoever looks too far. */
function trapBehind(bytes: Uint8Array, end: number): Uint8Array {
  const trap = TRAPS[end % TRAPS.length]?.slice() ?? new Uint8Array(READ_SLACK_BYTES);
  trap.set(bytes.subarray(end, end + READ_SLACK_BYTES));
  return trap;
}

/** Behind the records so much is looked at: to touch all of the rest would take long. */
const FENCE_BYTES_MAX = 65_536;

/** Says from now on whether anything has changed where the first thread may not write. */
function fence({ memory, map, bytes }: Framebuffer): () => string | undefined {
  const owned = [
    // The first thread's slot, and the second's, in which whoever tests may count.
    [map.countersOffset, map.countersOffset + 2 * COUNTER_SLOT_BYTES],
    [bytes.byteOffset, bytes.byteOffset + bytes.length],
    [frontOf(map, 0), frontOf(map, 1)],
    [map.connectionsOffset, map.sharesOffset],
  ] as const;
  const fenced: Uint8Array[] = [];
  let end = map.countersOffset;
  for (const [start, next] of owned.toSorted((a, b) => a[0] - b[0])) {
    fenced.push(new Uint8Array(memory.buffer, end, start - end));
    end = next;
  }
  const behindBytes = Math.min(FENCE_BYTES_MAX, memory.buffer.byteLength - end);
  fenced.push(new Uint8Array(memory.buffer, end, behindBytes));
  const before = fenced.map((part) => part.slice());
  return () => {
    const part = fenced.find((part, at) => Buffer.compare(part, before[at] ?? part) !== 0);
    return part === undefined
      ? undefined
      : `writes into [${part.byteOffset}, ${part.byteOffset + part.length})`;
  };
}

/** Where a thread's area begins. */
function frontOf(map: MemoryMap, thread: number): number {
  return (map.threadAreas[thread]?.readOffset ?? map.connectionsOffset + READ_FRONT_BYTES) - READ_FRONT_BYTES;
}

function describeRecord({ record, phase }: RecordState): ConnectionSnapshot {
  const view = new DataView(record.buffer, record.byteOffset, STATE_TAIL);
  return {
    phase,
    isFresh: view.getInt32(STATE_IS_FRESH, true) === 1,
    offsetX: view.getInt32(STATE_OFFSET_X, true),
    offsetY: view.getInt32(STATE_OFFSET_Y, true),
    tail: record.slice(STATE_TAIL, STATE_TAIL + view.getInt32(STATE_TAIL_LENGTH, true)),
    isDroppingLine: view.getInt32(STATE_IS_DROPPING, true) === 1,
    multiRemaining: view.getUint32(STATE_MULTI_REMAINING, true),
    multiIndex: view.getInt32(STATE_MULTI_INDEX, true),
    helpCount: view.getInt32(STATE_HELP_COUNT, true),
    helpWindowStartMs: view.getFloat64(STATE_HELP_WINDOW_MS, true),
  };
}
