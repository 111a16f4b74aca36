/**
 * Huge pages for the part of the shared memory that floods keep busy, the canvas and the threads' areas: random writes
 * to a canvas of small pages miss the processor's table of pages at almost every pixel.
 */
import { readFileSync } from "node:fs";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { addressOf, LinuxSockets } from "./linux-sockets.ts";
import type { MemoryMap } from "./memory-layout.ts";

/** The least that the system maps, on all its machines, and the size of a huge page on most. */
const PAGE_BYTES_MAX = 65_536;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;
/** The system's choice, the one in brackets: `always [madvise] never`. */
const CHOICE_PATH = "/sys/kernel/mm/transparent_hugepage/enabled";

/**
 * To be called before anything there is written, else the pages are small already. Where it cannot be done it is not.
 * Asks for more than the canvas and the areas on both sides: a huge page that reaches out of what was asked for is
 * small pages.
 *
 * @returns true where the system gives huge pages from here on, as far as it has some
 */
export function adviseHugePages(memory: WebAssembly.Memory, map: MemoryMap, log: Log): boolean {
  try {
    const sockets = new LinuxSockets();
    const base = addressOf(new Uint8Array(memory.buffer));
    const start = Math.floor(base / PAGE_BYTES_MAX) * PAGE_BYTES_MAX;
    const wanted = Math.ceil((base + map.connectionsOffset) / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
    const last = Math.floor((base + memory.buffer.byteLength) / PAGE_BYTES_MAX) * PAGE_BYTES_MAX;
    const end = Math.min(wanted, last);
    // The advice is taken even where nothing follows from it.
    return end > start && sockets.adviseHugePages(start, end - start) && allowsHugePages();
  } catch (error) {
    log.debug("No huge pages for the canvas", { reason: describeError(error) });
    return false;
  }
}

/** True where the system gives huge pages to those who ask for them. Throws where it has none, on another system. */
export function allowsHugePages(): boolean {
  return !readFileSync(CHOICE_PATH, "utf8").includes("[never]");
}
