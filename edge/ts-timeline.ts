/**
 * Keeps the time stamps of a relayed stream going forward whatever becomes of its source: where the next one, or a new
 * run of the same, begins at another time, all of it is shifted so that it goes on right behind what viewers have.
 * Packets are changed in place, once for all viewers, and only while there is something to shift.
 */
// ISO/IEC 13818-1 2.4.3.5 (PCR), 2.4.3.7 (PTS and DTS of 33 bits)
import { secondsToMs, TICKS_PER_SECOND, TICKS_WRAP } from "#common/units.ts";
import type { Block } from "./gop-cutter.ts";
import { PACKET_BYTES, shiftTimes } from "./ts-packets.ts";

/** From the last picture before a jump to the first behind it: one of 25 a second. */
const JOINT_TICKS = TICKS_PER_SECOND / 25;
/** A picture may be missing, or several, and the times still go on; past this they have jumped. */
const GAP_TICKS_MAX = 2 * TICKS_PER_SECOND;

/** The time line of one relay's viewers. */
export class TsTimeline {
  /** Times that it was joined on to. */
  shifts = 0;
  /** Added to every time stamp, in ticks. */
  #offset = 0;
  /** PTS of the newest picture as viewers have it, and when it came, on the monotonic clock. */
  #lastPts: number | undefined;
  #lastMs = 0;

  /** What comes next is of another connection: time that has passed meanwhile is left out. */
  breakOff(): void {
    this.#lastMs = Number.POSITIVE_INFINITY;
  }

  /** Shifts the packets of the next block, which may be one that starts anew. */
  shift({ bytes, startPts, lastPts }: Block, nowMs: number): void {
    if (startPts !== undefined) this.#joinOn(startPts, nowMs);
    if (this.#offset !== 0) {
      for (let at = 0; at + PACKET_BYTES <= bytes.length; at += PACKET_BYTES) {
        shiftTimes(bytes, at, this.#offset);
      }
    }
    if (lastPts === undefined) return;
    this.#lastPts = wrap(lastPts + this.#offset);
    this.#lastMs = nowMs;
  }

  #joinOn(startPts: number, nowMs: number): void {
    if (this.#lastPts === undefined) return;
    const aheadTicks = wrap(startPts + this.#offset - this.#lastPts);
    const passedTicks = (Math.max(0, nowMs - this.#lastMs) * TICKS_PER_SECOND) / secondsToMs(1);
    if (aheadTicks > 0 && aheadTicks <= GAP_TICKS_MAX + passedTicks) return;
    this.#offset = wrap(this.#lastPts + JOINT_TICKS - startPts);
    this.shifts++;
  }
}

function wrap(ticks: number): number {
  return ((ticks % TICKS_WRAP) + TICKS_WRAP) % TICKS_WRAP;
}
