/** How pixel threads stand with the scheduler. */
import { getPriority, setPriority } from "node:os";

/** Added to the process's niceness: a third of the processor time of one that competes. */
const NICENESS_ADDED = 5;
const NICENESS_MAX = 19;

/**
 * Lets the calling thread give way: a flood takes every processor there is, and frames have to be captured and encoded in
 * time all the same. Only on Linux, where threads have a niceness of their own; elsewhere it is the whole process's.
 */
export function giveWay(): void {
  if (process.platform !== "linux") return;
  setPriority(0, Math.min(getPriority(0) + NICENESS_ADDED, NICENESS_MAX));
}
