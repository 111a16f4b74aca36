/**
 * The canvas and the counters of all pixel threads, in one `WebAssembly.Memory({shared: true})` that is laid out once
 * and never grows: pixel threads write, the encoder and `/canvas.png` copy out, scrapes sum the counters. Nothing
 * outside the server writes here. Another thread gets {@link SharedFramebuffer} by a message and opens its own views.
 */
import assert from "node:assert/strict";
import { COUNTER_SLOT_BYTES, CounterSlot } from "./counters.ts";
import {
  BYTES_PER_PIXEL,
  mapMemory,
  PAGE_BYTES,
  THREADS_MAX,
  type MemoryMap,
  type MemorySize,
} from "./memory-layout.ts";

/** Alpha of every pixel of the canvas, as the top byte of a little-endian word: blending is done on the way in. */
export const OPAQUE = 0xff00_0000;

/** For whoever needs only a canvas: an area for one thread, records for a few connections. */
const THREADS_DEFAULT = 1;
const CONNECTIONS_DEFAULT = 1_024;

export interface CanvasSize {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** What another thread needs to open the same framebuffer. Passes through `postMessage`. */
export interface SharedFramebuffer extends MemorySize {
  readonly memory: WebAssembly.Memory;
}

/** One thread's views of the shared memory. */
export interface Framebuffer extends SharedFramebuffer {
  /** Where everything lies in the memory. */
  readonly map: MemoryMap;
  /** Where the canvas begins in the memory. */
  readonly canvasOffsetBytes: number;
  /** The canvas as bytes r, g, b, a, row after row from the top left; a is always 255. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  /** The same as one little-endian word a pixel: r is its lowest byte. */
  readonly pixels: Uint32Array<ArrayBufferLike>;
  /** The counters of all threads, by the thread's index. */
  readonly counters: readonly CounterSlot[];
}

/** A black canvas with all counters 0. `prepare` gets the memory before anything is written to it. */
export function createFramebuffer({
  width,
  height,
  threads = THREADS_DEFAULT,
  connectionsMax = CONNECTIONS_DEFAULT,
  prepare,
}: CanvasSize &
  Partial<MemorySize> & {
    readonly prepare?: (memory: WebAssembly.Memory, map: MemoryMap) => void;
  }): Framebuffer {
  assert(Number.isSafeInteger(width) && width > 0 && Number.isSafeInteger(height) && height > 0);
  const size: MemorySize = { width, height, threads, connectionsMax };
  const map = mapMemory(size);
  const { totalBytes } = map;
  // The kernel returns addresses as signed numbers.
  assert(totalBytes < 2 ** 31, "the memory is smaller than 2 GiB");
  const pages = Math.ceil(totalBytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  prepare?.(memory, map);
  const framebuffer = openFramebuffer({ memory, ...size });
  framebuffer.pixels.fill(OPAQUE);
  return framebuffer;
}

/** Views of a framebuffer that {@link createFramebuffer} made, perhaps in another thread. */
export function openFramebuffer({
  memory,
  width,
  height,
  threads,
  connectionsMax,
}: SharedFramebuffer): Framebuffer {
  const { buffer } = memory;
  const map = mapMemory({ width, height, threads, connectionsMax });
  const { canvasOffset } = map;
  const pixelCount = width * height;
  return {
    memory,
    width,
    height,
    threads,
    connectionsMax,
    map,
    canvasOffsetBytes: canvasOffset,
    bytes: new Uint8Array(buffer, canvasOffset, pixelCount * BYTES_PER_PIXEL),
    pixels: new Uint32Array(buffer, canvasOffset, pixelCount),
    counters: Array.from({ length: THREADS_MAX }, (_, index) => {
      const offset = map.countersOffset + index * COUNTER_SLOT_BYTES;
      return new CounterSlot(new Float64Array(buffer, offset, COUNTER_SLOT_BYTES / 8));
    }),
  };
}

/** What a message to another thread carries, for {@link openFramebuffer}. */
export function shareFramebuffer(framebuffer: Framebuffer): SharedFramebuffer {
  const { memory, width, height, threads, connectionsMax } = framebuffer;
  return { memory, width, height, threads, connectionsMax };
}
