/**
 * Huge pages for the part of the shared memory that floods keep busy, the canvas and the threads' areas: random writes
 * to a canvas of small pages miss the processor's table of pages at almost every pixel.
 */
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { addressOf, LinuxSockets } from "./linux-sockets.ts";
import type { MemoryMap } from "./memory-layout.ts";

/** The least that the system maps, on all its machines, and the size of a huge page on most. */
const PAGE_BYTES_MAX = 65_536;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/**
 * To be called before anything there is written, else the pages are small already. Where it cannot be done it is not.
 * Asks for more than the canvas and the areas on both sides: a huge page that reaches out of what was asked for is
 * small pages.
 */
export function adviseHugePages(memory: WebAssembly.Memory, map: MemoryMap, log: Log): void {
  try {
    const sockets = new LinuxSockets();
    const base = addressOf(new Uint8Array(memory.buffer));
    const start = Math.floor(base / PAGE_BYTES_MAX) * PAGE_BYTES_MAX;
    const wanted = Math.ceil((base + map.connectionsOffset) / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
    const last = Math.floor((base + memory.buffer.byteLength) / PAGE_BYTES_MAX) * PAGE_BYTES_MAX;
    const end = Math.min(wanted, last);
    const isTaken = end > start && sockets.adviseHugePages(start, end - start);
    log.debug("Huge pages for the canvas", { asked: isTaken });
  } catch (error) {
    log.debug("No huge pages for the canvas", { reason: describeError(error) });
  }
}
