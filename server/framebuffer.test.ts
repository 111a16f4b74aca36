/** The shared memory's layout, and counters in it. */
import { expect, test } from "bun:test";
import { openConnections, sumCounters } from "./counters.ts";
import { createFramebuffer, openFramebuffer, shareFramebuffer } from "./framebuffer.ts";
import { THREADS_MAX } from "./memory-layout.ts";

test("createFramebuffer() lays out a black, opaque, shared and aligned canvas that never grows", () => {
  const { memory, pixels, bytes, canvasOffsetBytes } = createFramebuffer({ width: 33, height: 7 });
  expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(canvasOffsetBytes % 64).toBe(0);
  expect(memory.buffer.byteLength).toBeGreaterThanOrEqual(canvasOffsetBytes + 33 * 7 * 4 + 64);
  expect(() => memory.grow(1)).toThrow();
  expect(pixels.every((word) => word === 0xff00_0000)).toBe(true);
  pixels[34] = 0xff03_0201;
  expect([...bytes.subarray(136, 140)]).toEqual([1, 2, 3, 255]);
});

test("openFramebuffer() sees the same canvas and counters as the thread that made it", () => {
  const made = createFramebuffer({ width: 4, height: 4 });
  const opened = openFramebuffer(shareFramebuffer(made));
  opened.pixels[5] = 0xffab_cdef;
  opened.counters[THREADS_MAX - 1]?.add("pixels", 3);
  expect(made.pixels[5]).toBe(0xffab_cdef);
  expect(sumCounters(made.counters).pixels).toBe(3);
});

test("CounterSlot counts exactly beyond 32 bits, and sums over threads", () => {
  const { counters, pixels } = createFramebuffer({ width: 1, height: 1 });
  for (const slot of counters) {
    slot.add("receivedBytes", 2 ** 40);
    slot.add("receivedBytes", 1);
  }
  counters[0]?.add("accepted", 5);
  counters[1]?.add("closed", 2);
  expect(sumCounters(counters).receivedBytes).toBe(THREADS_MAX * (2 ** 40 + 1));
  expect(openConnections(counters)).toBe(3);
  expect(pixels[0]).toBe(0xff00_0000);
});
