/**
 * The Pixelflut kernel as a pixel thread calls it: an instance of the WebAssembly module on the shared memory. One call
 * takes a read, which already lies in that memory, to pixels and replies. Guarded by
 * `bench/micro/pixelflut-parser.bench.ts`.
 */
import assert from "node:assert/strict";
import type { Log } from "#common/log.ts";
import { COUNTER_SLOT_BYTES } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { FLAG_BLENDS, FLAG_OUTSIDE_GETS_BLACK, FLAG_STRICT } from "./kernel/layout.ts";
import { buildKernel } from "./kernel-build.ts";
import { REPLIES_BYTES, TEXTS_BYTES, THREADS_MAX } from "./memory-layout.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";
import { encodeHelp, encodeSize, STOP_HELP_REPLY, STRICT_REPLY } from "./pixelflut-replies.ts";

/** What the module exports; addresses and lengths are bytes. See `kernel/parse.ts`. */
interface KernelExports {
  start(): void;
  configureCanvas(at: number, columns: number, rows: number, flags: number): void;
  configureCounters(at: number, slotBytes: number, slotCount: number, own: number): void;
  configureReplies(at: number, bytes: number): void;
  configureScratch(at: number): void;
  configureHelp(at: number, bytes: number): void;
  configureSize(at: number, bytes: number): void;
  configureStopHelp(at: number, bytes: number): void;
  configureStrict(at: number, bytes: number): void;
  resetRecord(record: number): void;
  parse(record: number, start: number, end: number, nowMs: number): number;
  repliesLength(): number;
  clearReplies(): void;
}

/** One thread's kernel. All addresses are bytes from the beginning of the shared memory. */
export interface Kernel {
  /** Where this thread's reads go, READ_BYTES_MAX bytes. */
  readonly readOffset: number;
  /** Where replies are appended. */
  readonly repliesOffset: number;
  /** Makes `record`, STATE_BYTES long, the record of a new connection. Leaves the host's bytes in it zero. */
  resetRecord(record: number): void;
  /**
   * Takes the bytes at `[start, end)` as the next ones of a connection. READ_FRONT_BYTES before them are overwritten,
   * READ_SLACK_BYTES behind them may be read. The outcome is the same however the bytes are cut into calls.
   *
   * @param nowMs a monotonic time
   * @returns the address behind the last byte taken: less than `end` where the reply buffer has no room (offer the rest
   * again when it is empty) or where the record's phase became PHASE_HTTP and the rest is the browser's request
   */
  parse(record: number, start: number, end: number, nowMs: number): number;
  /** Bytes of replies that wait to be sent. */
  repliesLength(): number;
  clearReplies(): void;
}

export interface KernelOptions {
  /** From {@link loadKernel}. */
  readonly module: WebAssembly.Module;
  readonly framebuffer: Framebuffer;
  /** Index of the thread: of its area and its counters. */
  readonly thread: number;
  readonly protocol: ProtocolOptions;
}

/**
 * Compiles the kernel for {@link openKernel}; passes through `postMessage`. Builds it where that has not been done.
 *
 * @param log is told of the building. Default: nobody is
 */
export async function loadKernel(log?: Pick<Log, "info">): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await buildKernel(log === undefined ? {} : { log }));
}

/** An instance for one thread. */
export function openKernel({ module, framebuffer, thread, protocol }: KernelOptions): Kernel {
  const { memory, map, width, height } = framebuffer;
  const area = map.threadAreas[thread];
  assert(area !== undefined, `the memory has an area for thread ${thread}`);
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  // The module is built from kernel/parse.ts, whose exports these are.
  const kernel = instance.exports as unknown as KernelExports;
  kernel.start();
  const flags =
    (protocol.alpha === "blend" ? FLAG_BLENDS : 0) |
    (protocol.outsideGets === "black" ? FLAG_OUTSIDE_GETS_BLACK : 0) |
    (protocol.isStrict ? FLAG_STRICT : 0);
  kernel.configureCanvas(map.canvasOffset, width, height, flags);
  kernel.configureCounters(map.countersOffset, COUNTER_SLOT_BYTES, THREADS_MAX, thread);
  kernel.configureScratch(area.scratchOffset);
  kernel.configureReplies(area.repliesOffset, REPLIES_BYTES);
  configureTexts(kernel, framebuffer, protocol);
  const { resetRecord, parse, repliesLength, clearReplies } = kernel;
  const { readOffset, repliesOffset } = area;
  return { readOffset, repliesOffset, resetRecord, parse, repliesLength, clearReplies };
}

/** Writes what the kernel answers with into the memory: all threads write the same. */
function configureTexts(kernel: KernelExports, framebuffer: Framebuffer, protocol: ProtocolOptions): void {
  const { memory, map } = framebuffer;
  let at = map.textsOffset;
  const write = (text: Uint8Array): [number, number] => {
    const start = at;
    at += text.length;
    assert(at <= map.textsOffset + TEXTS_BYTES, "the texts fit into their place");
    new Uint8Array(memory.buffer, start, text.length).set(text);
    return [start, text.length];
  };
  kernel.configureHelp(...write(encodeHelp(framebuffer, protocol)));
  kernel.configureSize(...write(encodeSize(framebuffer)));
  kernel.configureStopHelp(...write(STOP_HELP_REPLY));
  kernel.configureStrict(...write(STRICT_REPLY));
}
