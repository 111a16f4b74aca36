/**
 * What the relay must see in a transport stream: packet borders, the tables, where a decoder can begin, and the
 * counters that tell a decoder whether something is missing. Nothing is decoded; a few bytes a packet are read.
 */
// ISO/IEC 13818-1 2.4.3 (packets, adaptation field), 2.4.4 (PAT, PMT), 2.4.3.6 (PES)
import { TICKS_WRAP } from "#common/units.ts";

export const PACKET_BYTES = 188;
export const SYNC_BYTE = 0x47;
const PAT_PID = 0;
const NULL_PID = 0x1fff;
/** A packet that every reader throws away (2.4.3.3). */
export const NULL_PACKET = new Uint8Array(PACKET_BYTES).fill(0xff);
NULL_PACKET.set([SYNC_BYTE, NULL_PID >> 8, NULL_PID & 0xff, 0x10]);
/** H.264, HEVC, MPEG-2 video (2.4.4.10). */
const VIDEO_STREAM_TYPES: ReadonlySet<number> = new Set([0x1b, 0x24, 0x02]);
const ADAPTATION_DISCONTINUITY = 0x80;
const ADAPTATION_RANDOM_ACCESS = 0x40;
const ADAPTATION_PCR = 0x10;
/** Up to the length of the optional fields (table 2-21). */
const PES_HEADER_BYTES_MIN = 9;

/** The 13-bit packet identifier of the packet at `offset`. */
export function pidAt(bytes: Uint8Array, offset: number): number {
  return ((byteAt(bytes, offset + 1) & 0x1f) << 8) | byteAt(bytes, offset + 2);
}

export function startsUnit(bytes: Uint8Array, offset: number): boolean {
  return (byteAt(bytes, offset + 1) & 0x40) !== 0;
}

/** True for `random_access_indicator`: a decoder can begin here. */
export function isRandomAccess(bytes: Uint8Array, offset: number): boolean {
  const hasAdaptation = (byteAt(bytes, offset + 3) & 0x20) !== 0;
  const isFilled = byteAt(bytes, offset + 4) > 0;
  return hasAdaptation && isFilled && (byteAt(bytes, offset + 5) & ADAPTATION_RANDOM_ACCESS) !== 0;
}

/** First program's PMT PID out of a PAT packet that starts a section; `undefined` if it has none. */
export function readPat(packet: Uint8Array): number | undefined {
  const section = sectionStart(packet);
  const end = Math.min(sectionEnd(packet, section), PACKET_BYTES) - 4;
  for (let at = section + 8; at + 4 <= end; at += 4) {
    const program = (byteAt(packet, at) << 8) | byteAt(packet, at + 1);
    if (program !== 0) return ((byteAt(packet, at + 2) & 0x1f) << 8) | byteAt(packet, at + 3);
  }
  return undefined;
}

/** PID of the first video stream out of a PMT packet that starts a section; `undefined` if it has none. */
export function readPmt(packet: Uint8Array): number | undefined {
  const section = sectionStart(packet);
  const end = Math.min(sectionEnd(packet, section), PACKET_BYTES) - 4;
  const infoBytes = ((byteAt(packet, section + 10) & 0x0f) << 8) | byteAt(packet, section + 11);
  let at = section + 12 + infoBytes;
  while (at + 5 <= end) {
    const pid = ((byteAt(packet, at + 1) & 0x1f) << 8) | byteAt(packet, at + 2);
    if (VIDEO_STREAM_TYPES.has(byteAt(packet, at))) return pid;
    at += 5 + (((byteAt(packet, at + 3) & 0x0f) << 8) | byteAt(packet, at + 4));
  }
  return undefined;
}

/** Presentation time stamp of the PES packet that starts in this packet, in ticks; `undefined` without one. */
export function readPts(bytes: Uint8Array, offset: number): number | undefined {
  const at = payloadStart(bytes, offset);
  const end = offset + PACKET_BYTES;
  if (
    at + 14 > end ||
    byteAt(bytes, at) !== 0 ||
    byteAt(bytes, at + 1) !== 0 ||
    byteAt(bytes, at + 2) !== 1
  ) {
    return undefined;
  }
  if ((byteAt(bytes, at + 7) & 0x80) === 0) return undefined;
  return stampAt(bytes, at + 9);
}

/**
 * Adds `ticks` to the clock reference, the presentation and the decoding time that the packet at `offset` carries, in
 * place. Payload that is scrambled or of a kind without times stays as it is.
 */
export function shiftTimes(bytes: Uint8Array, offset: number, ticks: number): void {
  const control = byteAt(bytes, offset + 3);
  const fieldBytes = (control & 0x20) === 0 ? 0 : byteAt(bytes, offset + 4);
  // Flags and six bytes of the reference.
  if (fieldBytes >= 7 && (byteAt(bytes, offset + 5) & ADAPTATION_PCR) !== 0) {
    shiftReference(bytes, offset + 6, ticks);
  }
  const hasPayload = (control & 0x10) !== 0 && (control & 0xc0) === 0;
  if (!hasPayload || !startsUnit(bytes, offset)) return;
  const at = payloadStart(bytes, offset);
  const end = offset + PACKET_BYTES;
  const isPes =
    at + PES_HEADER_BYTES_MIN <= end &&
    byteAt(bytes, at) === 0 &&
    byteAt(bytes, at + 1) === 0 &&
    byteAt(bytes, at + 2) === 1 &&
    // Marker bits that only a header with optional fields has (table 2-21).
    (byteAt(bytes, at + 6) & 0xc0) === 0x80;
  if (!isPes) return;
  const flags = byteAt(bytes, at + 7);
  if ((flags & 0x80) !== 0 && at + 14 <= end) shiftStamp(bytes, at + 9, ticks);
  if ((flags & 0xc0) === 0xc0 && at + 19 <= end) shiftStamp(bytes, at + 14, ticks);
}

/** True when `pts` is `last` or before it, by `ticksMax` at most: the same pictures once more. Both wrap at 33 bits. */
export function isRepeat(pts: number, last: number, ticksMax: number): boolean {
  return (last - pts + TICKS_WRAP) % TICKS_WRAP <= ticksMax;
}

/**
 * Packets to send before `bytes` to someone who missed what came before: one for each PID in it, without payload,
 * with `discontinuity_indicator` set and the counter just before the first that follows. Whole packets only.
 */
export function discontinuityPackets(bytes: Uint8Array): Uint8Array {
  const firstCounters = new Map<number, number>();
  for (let at = 0; at + PACKET_BYTES <= bytes.length; at += PACKET_BYTES) {
    const pid = pidAt(bytes, at);
    const hasPayload = (byteAt(bytes, at + 3) & 0x10) !== 0;
    if (pid === NULL_PID || !hasPayload || firstCounters.has(pid)) continue;
    firstCounters.set(pid, byteAt(bytes, at + 3) & 0x0f);
  }
  const packets = new Uint8Array(firstCounters.size * PACKET_BYTES).fill(0xff);
  let at = 0;
  for (const [pid, counter] of firstCounters) {
    const adaptationBytes = PACKET_BYTES - 5;
    packets.set([SYNC_BYTE, pid >> 8, pid & 0xff, 0x20 | ((counter + 15) & 0x0f), adaptationBytes], at);
    packets[at + 5] = ADAPTATION_DISCONTINUITY;
    at += PACKET_BYTES;
  }
  return packets;
}

export function isPat(bytes: Uint8Array, offset: number): boolean {
  return pidAt(bytes, offset) === PAT_PID;
}

/** 33 bits in 3, 15 and 15, each group closed by a marker bit, behind four bits that say what it is. */
function stampAt(bytes: Uint8Array, at: number): number {
  const high = (byteAt(bytes, at) >> 1) & 0x07;
  const middle = (byteAt(bytes, at + 1) << 7) | (byteAt(bytes, at + 2) >> 1);
  const low = (byteAt(bytes, at + 3) << 7) | (byteAt(bytes, at + 4) >> 1);
  return high * 2 ** 30 + middle * 2 ** 15 + low;
}

function shiftStamp(bytes: Uint8Array, at: number, ticks: number): void {
  const stamp = (stampAt(bytes, at) + ticks) % TICKS_WRAP;
  bytes[at] = (byteAt(bytes, at) & 0xf1) | (Math.floor(stamp / 2 ** 30) << 1);
  bytes[at + 1] = (stamp >> 22) & 0xff;
  bytes[at + 2] = ((stamp >> 14) & 0xfe) | 1;
  bytes[at + 3] = (stamp >> 7) & 0xff;
  bytes[at + 4] = ((stamp << 1) & 0xfe) | 1;
}

/** 33 bits of base, six reserved ones and nine of extension, which stays as it is. */
function shiftReference(bytes: Uint8Array, at: number, ticks: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 6);
  const base = view.getUint32(0) * 2 + (byteAt(bytes, at + 4) >> 7);
  const shifted = (base + ticks) % TICKS_WRAP;
  view.setUint32(0, Math.floor(shifted / 2));
  bytes[at + 4] = (byteAt(bytes, at + 4) & 0x7f) | ((shifted % 2) << 7);
}

function payloadStart(bytes: Uint8Array, offset: number): number {
  const hasAdaptation = (byteAt(bytes, offset + 3) & 0x20) !== 0;
  return offset + 4 + (hasAdaptation ? 1 + byteAt(bytes, offset + 4) : 0);
}

/** Behind the pointer field. */
function sectionStart(packet: Uint8Array): number {
  const payload = payloadStart(packet, 0);
  return payload + 1 + byteAt(packet, payload);
}

function sectionEnd(packet: Uint8Array, section: number): number {
  return section + 3 + (((byteAt(packet, section + 1) & 0x0f) << 8) | byteAt(packet, section + 2));
}

/** A byte, 0 past the end: a cut packet reads as an empty one. */
function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
