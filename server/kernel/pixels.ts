/** Chooses among the loops for text commands about pixels by how the last ones looked. */
import { isOdd, passOdd } from "./odd-lines.ts";
import { runSerial } from "./pixel-lines.ts";
import { BLOCK_BYTES, runChains } from "./pixel-chains.ts";
import { runSame } from "./pixel-same.ts";
import { runShort } from "./short-lines.ts";
import { GREY_BYTES_MAX, PX_, PX_MASK, SET_BYTES_MAX } from "./words.ts";

/** Fewer bytes are not worth the beginning of a fast loop. */
const FAST_BYTES_MIN: usize = 256;
/** A run of one shape that pays, and how many that do not are tried before the chains have their turn. */
const RUN_BYTES_MIN: usize = 640;
const RUN_TRIES: i32 = 8;
/** The chains' turn, after which runs are tried again. */
const CHAINS_BYTES: usize = 65_536;
/** Bytes taken one command at a time: where a run's shape changes; after the chains met something, early or late. */
const SERIAL_BYTES_RUN: usize = 32;
const SERIAL_BYTES_EARLY: usize = 4_096;
const SERIAL_BYTES_LATE: usize = 256;
/** Runs that may still fail. Kept from one read to the next: streams are alike. */
let tries: i32 = RUN_TRIES;

/**
 * Carries out text commands that set or get pixels, as long as they are of the usual shapes.
 *
 * @returns the address of the first command that is not, or is too near to the end to tell
 */
export function runPixels(record: usize, from: usize, to: usize, offsetX: i32, offsetY: i32): usize {
  let at = from;
  while (to - at >= FAST_BYTES_MIN) {
    // The fast loops look only at what stands behind the first `PX `.
    if ((load<u32>(at) & PX_MASK) !== PX_) return at;
    const start = at;
    let serialBytes = SERIAL_BYTES_RUN;
    if (tries > 0) {
      at = runSame(at, to, offsetX, offsetY);
      tries = at - start >= RUN_BYTES_MIN ? RUN_TRIES : tries - 1;
      if (at !== start) {
        // What a single odd line has ended goes on behind it.
        if (isOdd(at)) at = passOdd(record, at, to, offsetX, offsetY);
        continue;
      }
    } else {
      const turn = min(to, at + CHAINS_BYTES);
      at = runChains(record, at, turn, offsetX, offsetY);
      if (turn - at < FAST_BYTES_MIN) {
        tries = 1;
        continue;
      }
      serialBytes = at - start < BLOCK_BYTES ? SERIAL_BYTES_EARLY : SERIAL_BYTES_LATE;
    }
    const before = min(at + serialBytes, to - SET_BYTES_MAX);
    at = runSerial(at, before, offsetX, offsetY);
    if (at < before) {
      const stopped = at;
      at = runShort(at, to - GREY_BYTES_MAX, offsetX, offsetY);
      if (at === stopped) at = passOdd(record, at, to, offsetX, offsetY);
      if (at === stopped) return at;
    }
  }
  if (to - at > SET_BYTES_MAX) at = runSerial(at, to - SET_BYTES_MAX, offsetX, offsetY);
  return at;
}
