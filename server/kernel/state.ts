/**
 * What the kernel's parts share: where things are, how the server treats colours and mistakes, and what has been
 * counted since the last flush. An instance belongs to one thread, so these are that thread's own.
 */
import {
  COUNTER_GETS,
  COUNTER_INVALID_LINES,
  COUNTER_LONG_LINES,
  COUNTER_OUTSIDE_GETS,
  COUNTER_OUTSIDE_SETS,
  COUNTER_PIXELS,
  COUNTER_REFUSED_HELPS,
  FLAG_BLENDS,
  FLAG_OUTSIDE_GETS_BLACK,
  FLAG_STRICT,
} from "./layout.ts";

/** Of the canvas, in pixels. */
export let width: i32 = 0;
export let height: i32 = 0;
/** Address of its first pixel: a little-endian word r, g, b, 255. */
export let canvas: usize = 0;
/** True when alpha is blended rather than ignored. */
export let blends: bool = false;
export let answersOutsideGets: bool = false;
export let isStrict: bool = false;
/** Counter slots of all threads, and how many doubles apart they are. */
export let slots: usize = 0;
export let slotBytes: usize = 0;
export let slotCount: i32 = 0;

/** SCRATCH_BYTES of this thread's own. */
export let scratch: usize = 0;

let slot: usize = 0;

// Counted here while a read is parsed.
export let pixels: u32 = 0;
export let outsideSets: u32 = 0;
export let gets: u32 = 0;
export let outsideGets: u32 = 0;
export let invalidLines: u32 = 0;
export let longLines: u32 = 0;
export let refusedHelps: u32 = 0;

/** @param flags FLAG_BLENDS and others, of `layout.ts` */
export function configureCanvas(at: usize, columns: i32, rows: i32, flags: i32): void {
  canvas = at;
  width = columns;
  height = rows;
  blends = (flags & FLAG_BLENDS) !== 0;
  answersOutsideGets = (flags & FLAG_OUTSIDE_GETS_BLACK) !== 0;
  isStrict = (flags & FLAG_STRICT) !== 0;
}

/** @param at SCRATCH_BYTES that only this instance uses */
export function configureScratch(at: usize): void {
  scratch = at;
}

/** @param own the index of this thread's slot */
export function configureCounters(at: usize, bytes: usize, count: i32, own: i32): void {
  slots = at;
  slotBytes = bytes;
  slotCount = count;
  slot = at + bytes * <usize>own;
}

export function countPixels(inside: u32, outside: u32): void {
  pixels += inside;
  outsideSets += outside;
}
export function countGets(count: u32): void {
  gets += count;
}
export function countOutsideGet(): void {
  outsideGets += 1;
}
export function countInvalidLine(): void {
  invalidLines += 1;
}
export function countLongLine(): void {
  longLines += 1;
}
export function countRefusedHelp(): void {
  refusedHelps += 1;
}

/** Adds what was counted to the thread's slot: once a read, and before STATS. */
export function flushCounters(): void {
  flush(COUNTER_PIXELS, pixels);
  flush(COUNTER_OUTSIDE_SETS, outsideSets);
  flush(COUNTER_GETS, gets);
  flush(COUNTER_OUTSIDE_GETS, outsideGets);
  flush(COUNTER_INVALID_LINES, invalidLines);
  flush(COUNTER_LONG_LINES, longLines);
  flush(COUNTER_REFUSED_HELPS, refusedHelps);
  pixels = 0;
  outsideSets = 0;
  gets = 0;
  outsideGets = 0;
  invalidLines = 0;
  longLines = 0;
  refusedHelps = 0;
}

function flush(counter: i32, amount: u32): void {
  if (amount === 0) return;
  const at = slot + ((<usize>counter) << 3);
  store<f64>(at, load<f64>(at) + <f64>amount);
}

/** The sum of one counter over all threads. */
export function sumCounter(counter: i32): f64 {
  let sum: f64 = 0;
  let at = slots + ((<usize>counter) << 3);
  for (let index = 0; index < slotCount; index++) {
    sum += load<f64>(at);
    at += slotBytes;
  }
  return sum;
}
