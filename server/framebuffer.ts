/**
 * The canvas and the counters of all pixel threads, in one `WebAssembly.Memory({shared: true})` that is laid out once
 * and never grows: pixel threads write, the encoder and `/canvas.png` copy out, scrapes sum the counters. Nothing
 * outside the server writes here. Another thread gets {@link SharedFramebuffer} by a message and opens its own views.
 */
import assert from "node:assert/strict";
import { COUNTER_SLOT_BYTES, CounterSlot } from "./counters.ts";

/** Bytes of a pixel in memory: r, g, b, a. */
export const BYTES_PER_PIXEL = 4;
/** Alpha of every pixel of the canvas, as the top byte of a little-endian word: blending is done on the way in. */
export const OPAQUE = 0xff00_0000;
/** Most threads that can count. */
export const THREADS_MAX = 64;

/** A page of WebAssembly memory, in bytes. */
const PAGE_BYTES = 65_536;
/** The canvas begins at a multiple of this: a cache line, and more than any SIMD load wants. */
const CANVAS_ALIGNMENT_BYTES = 64;
/** Readable bytes behind the canvas, so that a load of a whole block at the last pixel stays inside the memory. */
const SLACK_BYTES = 256;
/** Counters lie before the canvas: then their place does not depend on its size. */
const COUNTERS_OFFSET_BYTES = 0;
const COUNTERS_BYTES = THREADS_MAX * COUNTER_SLOT_BYTES;

export interface CanvasSize {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** What another thread needs to open the same framebuffer. Passes through `postMessage`. */
export interface SharedFramebuffer extends CanvasSize {
  readonly memory: WebAssembly.Memory;
}

/** One thread's views of the shared memory. */
export interface Framebuffer extends SharedFramebuffer {
  /** Where the canvas begins in the memory. */
  readonly canvasOffsetBytes: number;
  /** The canvas as bytes r, g, b, a, row after row from the top left; a is always 255. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  /** The same as one little-endian word a pixel: r is its lowest byte. */
  readonly pixels: Uint32Array<ArrayBufferLike>;
  /** The counters of all threads, by the thread's index. */
  readonly counters: readonly CounterSlot[];
}

/** A black canvas with all counters 0. */
export function createFramebuffer({ width, height }: CanvasSize): Framebuffer {
  assert(Number.isSafeInteger(width) && width > 0 && Number.isSafeInteger(height) && height > 0);
  const lengthBytes = canvasOffset() + width * height * BYTES_PER_PIXEL + SLACK_BYTES;
  const pages = Math.ceil(lengthBytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const framebuffer = openFramebuffer({ memory, width, height });
  framebuffer.pixels.fill(OPAQUE);
  return framebuffer;
}

/** Views of a framebuffer that {@link createFramebuffer} made, perhaps in another thread. */
export function openFramebuffer({ memory, width, height }: SharedFramebuffer): Framebuffer {
  const { buffer } = memory;
  const canvasOffsetBytes = canvasOffset();
  const pixelCount = width * height;
  return {
    memory,
    width,
    height,
    canvasOffsetBytes,
    bytes: new Uint8Array(buffer, canvasOffsetBytes, pixelCount * BYTES_PER_PIXEL),
    pixels: new Uint32Array(buffer, canvasOffsetBytes, pixelCount),
    counters: Array.from({ length: THREADS_MAX }, (_, index) => {
      const offset = COUNTERS_OFFSET_BYTES + index * COUNTER_SLOT_BYTES;
      return new CounterSlot(new Float64Array(buffer, offset, COUNTER_SLOT_BYTES / 8));
    }),
  };
}

function canvasOffset(): number {
  const end = COUNTERS_OFFSET_BYTES + COUNTERS_BYTES;
  return Math.ceil(end / CANVAS_ALIGNMENT_BYTES) * CANVAS_ALIGNMENT_BYTES;
}
