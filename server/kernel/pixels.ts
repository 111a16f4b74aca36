/** Chooses among the loops for text commands about pixels by how the last ones looked. */
import { runSerial } from "./pixel-lines.ts";
import { BLOCK_BYTES, runChains, runSame } from "./pixel-pairs.ts";
import { runShort } from "./short-lines.ts";

const PX_: u32 = 0x20_5850;
const PX_MASK: u32 = 0xff_ffff;
/** No command that sets a pixel is longer here: `PX dddd dddd rrggbbaa` with its LF. */
const LINE_BYTES_MAX: usize = 22;
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
export function runPixels(from: usize, to: usize, offsetX: i32, offsetY: i32): usize {
  let at = from;
  while (to - at >= FAST_BYTES_MIN) {
    // The fast loops look only at what stands behind the first `PX `.
    if ((load<u32>(at) & PX_MASK) !== PX_) return at;
    const start = at;
    let serialBytes = SERIAL_BYTES_RUN;
    if (tries > 0) {
      at = runSame(at, to, offsetX, offsetY);
      tries = at - start >= RUN_BYTES_MIN ? RUN_TRIES : tries - 1;
      if (at !== start) continue;
    } else {
      const turn = min(to, at + CHAINS_BYTES);
      at = runChains(at, turn, offsetX, offsetY);
      if (turn - at < FAST_BYTES_MIN) {
        tries = 1;
        continue;
      }
      serialBytes = at - start < BLOCK_BYTES ? SERIAL_BYTES_EARLY : SERIAL_BYTES_LATE;
    }
    const before = min(at + serialBytes, to - LINE_BYTES_MAX);
    at = runSerial(at, before, offsetX, offsetY);
    if (at < before) {
      const stopped = at;
      at = runShort(at, to, offsetX, offsetY);
      if (at === stopped) return at;
    }
  }
  if (to - at > LINE_BYTES_MAX) at = runSerial(at, to - LINE_BYTES_MAX, offsetX, offsetY);
  return at;
}
