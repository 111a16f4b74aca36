/**
 * Writes MPEG-TS: one programme with one H.264 stream, for segments and for the endless `.ts`. The bytes of a group of
 * pictures are a function of its frames and of their numbers alone, so that a restarted origin makes the same ones,
 * and continuity counters go on from one group to the next whoever wrote it: each group begins at counter 0 and is
 * padded to a multiple of 16 packets.
 *
 * Groups are the seconds of a constant frame rate, or what each frame says ({@link TsFrame.times}).
 */
// ISO/IEC 13818-1 (2.4.3 packets and adaptation fields, 2.4.3.6 PES, 2.4.4 PSI, 2.14 H.264 in it)
import assert from "node:assert";
import { readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { BITS_PER_BYTE, framesToTicks, TICKS_PER_SECOND, TICKS_WRAP } from "#common/units.ts";

export const TS_PACKET_BYTES = 188;
export const TS_SYNC_BYTE = 0x47;
/** PID of the programme association table (2.4.4.3). */
export const PAT_PID = 0;
/** Where our own streams have their programme map and their video. */
export const PMT_PID = 0x1000;
export const VIDEO_PID = 0x100;
/** `stream_type` of H.264 in a programme map (table 2-34). */
export const STREAM_TYPE_H264 = 0x1b;
/** From a frame's clock reference to its presentation: how long a strict decoder buffers. */
export const PTS_LEAD_TICKS = 18_000;

/** Clock references may not be further apart (2.7.2). */
const PCR_GAP_TICKS_MAX = TICKS_PER_SECOND / 10;
/** Continuity counters wrap here. */
const COUNTER_WRAP = 16;
const HEADER_BYTES = 4;
/** Adaptation field with a clock reference, its length byte included. */
const PCR_FIELD_BYTES = 8;
/** With a presentation time; with a decoding time too. */
const PES_HEADER_BYTES = 14;
const PES_HEADER_BYTES_MAX = 19;
/** Marks of those times: the only one, the first of two, the second (table 2-21). */
const MARK_PRESENTATION = 0x21;
const MARK_PRESENTATION_OF_TWO = 0x31;
const MARK_DECODING = 0x11;
/** What a frame takes besides its own bytes (last packet, headers), and a group (see {@link tsBitsMax}), in packets. */
const FRAME_PACKETS_MAX = 1.2;
const GROUP_PACKETS_MAX = 30;
const START_CODE_BYTES = 4;
/** Access unit delimiter: any slice type follows. */
const DELIMITER = Uint8Array.of(0x09, 0xf0);
const NAL_SEQUENCE_PARAMETERS = 7;
const NAL_DELIMITER = 9;

const PAYLOAD_ONLY = 0x10;
const FIELD_ONLY = 0x20;
const FIELD_AND_PAYLOAD = 0x30;
/** Flags of the adaptation field. */
const DISCONTINUITY = 0x80;
const RANDOM_ACCESS = 0x40;
const HAS_PCR = 0x10;

export interface TsMuxerOptions {
  readonly rendition: { readonly avcC: Uint8Array };
  readonly fps: number;
}

/** Of a frame that follows no constant rate: 90 kHz ticks, not wrapped, and its place. */
export interface TsFrameTimes {
  /** From the start of the run. */
  readonly decodeTicks: number;
  readonly durationTicks: number;
  /** From its decoding to its showing. */
  readonly compositionTicks: number;
  /** True where the next frame is a key frame. */
  readonly isGroupEnd: boolean;
}

/** One frame to be written. Frames come in order; the first one must be a key frame, at a multiple of `fps`. */
export interface TsFrame {
  /** Counted from the start of the run. */
  readonly index: number;
  readonly isKey: boolean;
  /** NAL units, each behind its length in four bytes. */
  readonly data: Uint8Array;
  /** True where the stream does not continue what was sent before. The first frame of a run always says so. */
  readonly isDiscontinuity?: boolean;
  /** Where the rate is not constant, or key frames do not come once a second. */
  readonly times?: TsFrameTimes;
}

export interface TsMuxer {
  /** The packets of one frame; a key frame comes with the tables before it. */
  muxFrame(frame: TsFrame): Uint8Array<ArrayBuffer>;
}

/**
 * Bits that a second of frames with `frameBits` in all, from a key frame on, takes at most: each frame has a packet that
 * is not full and a few bytes of its own, a group its tables, parameter sets, stuffing and clock references.
 */
export function tsBitsMax({ frameBits, fps }: { readonly frameBits: number; readonly fps: number }): number {
  const fullPackets = Math.ceil(frameBits / BITS_PER_BYTE / (TS_PACKET_BYTES - HEADER_BYTES));
  const packets = fullPackets + Math.ceil(fps * FRAME_PACKETS_MAX) + GROUP_PACKETS_MAX;
  return packets * TS_PACKET_BYTES * BITS_PER_BYTE;
}

/** A writer for one run of one rendition. */
export function createTsMuxer({ rendition, fps }: TsMuxerOptions): TsMuxer {
  const config = readAvcConfig(rendition.avcC);
  assert(config !== undefined, "the rendition's avcC has been read before");
  const parameterSets = [...config.sequenceParameterSets, ...config.pictureParameterSets];
  /** Packets with payload in this group so far; and how many groups were begun. */
  let groupPackets = 0;
  let groups = 0;
  return {
    muxFrame({ index, isKey, data, isDiscontinuity = index === 0, times }) {
      if (times === undefined ? index % fps === 0 : isKey) groupPackets = 0;
      const { decodeTicks, durationTicks, compositionTicks, isGroupEnd } = times ?? evenTicks(index, fps);
      const unit = writeAccessUnit(data, isKey ? parameterSets : []);
      const pes = writePes(unit, decodeTicks + PTS_LEAD_TICKS, compositionTicks);
      const packetCount = countPackets(pes.length, isGroupEnd ? groupPackets : undefined);
      const packets = packetize({ pes, packetCount, counter: groupPackets, clockTicks: decodeTicks, isKey });
      groupPackets += packetCount;
      const references = writeReferences({ decodeTicks, durationTicks, counter: groupPackets - 1 });
      const group = times === undefined ? Math.floor(index / fps) : groups;
      const tables = isKey ? writeTables(group) : [];
      if (isKey) groups++;
      const bytes = joinBytes([...tables, packets, ...references]);
      return isDiscontinuity ? markDiscontinuity(bytes) : bytes;
    },
  };
}

/** The times of frame `index` at a constant rate with a group a second. */
function evenTicks(index: number, fps: number): TsFrameTimes {
  const decodeTicks = framesToTicks(index, fps);
  return {
    decodeTicks,
    durationTicks: framesToTicks(index + 1, fps) - decodeTicks,
    compositionTicks: 0,
    isGroupEnd: index % fps === fps - 1,
  };
}

/** The frame as Annex B: delimiter, parameter sets, and its NAL units without any such of their own. */
function writeAccessUnit(data: Uint8Array, parameterSets: readonly Uint8Array[]): Uint8Array {
  const units = [DELIMITER, ...parameterSets];
  for (const unit of splitNalUnits(data) ?? []) {
    const type = (unit[0] ?? 0) & 0x1f;
    if (type < NAL_SEQUENCE_PARAMETERS || type > NAL_DELIMITER) units.push(unit);
  }
  const bytes = new Uint8Array(units.reduce((sum, unit) => sum + START_CODE_BYTES + unit.length, 0));
  let offset = 0;
  for (const unit of units) {
    bytes[offset + 3] = 1;
    bytes.set(unit, offset + START_CODE_BYTES);
    offset += START_CODE_BYTES + unit.length;
  }
  return bytes;
}

/** Start code, video stream 0, unbounded length, aligned to an access unit, and its times: one where they are the same. */
function writePes(unit: Uint8Array, decodeTicks: number, compositionTicks: number): Uint8Array {
  const hasBoth = compositionTicks !== 0;
  const headerBytes = hasBoth ? PES_HEADER_BYTES_MAX : PES_HEADER_BYTES;
  const pes = new Uint8Array(headerBytes + unit.length);
  pes.set([0, 0, 1, 0xe0, 0, 0, 0x84, hasBoth ? 0xc0 : 0x80, headerBytes - 9]);
  const mark = hasBoth ? MARK_PRESENTATION_OF_TWO : MARK_PRESENTATION;
  writeTime(pes.subarray(9), mark, decodeTicks + compositionTicks);
  if (hasBoth) writeTime(pes.subarray(14), MARK_DECODING, decodeTicks);
  pes.set(unit, headerBytes);
  return pes;
}

function writeTime(bytes: Uint8Array, mark: number, unwrappedTicks: number): void {
  const ticks = unwrappedTicks % TICKS_WRAP;
  bytes[0] = mark | (Math.floor(ticks / 2 ** 29) & 0x0e);
  bytes[1] = Math.floor(ticks / 2 ** 22) & 0xff;
  bytes[2] = (Math.floor(ticks / 2 ** 14) & 0xfe) | 1;
  bytes[3] = Math.floor(ticks / 2 ** 7) & 0xff;
  bytes[4] = ((ticks * 2) & 0xfe) | 1;
}

/**
 * How many packets carry `pesBytes`. For the last frame of a group, `groupPackets` is given and the number is raised
 * until the group's is a multiple of 16: every PES is longer than 16 bytes, so each packet has at least one.
 */
function countPackets(pesBytes: number, groupPackets: number | undefined): number {
  const room = TS_PACKET_BYTES - HEADER_BYTES;
  const least = Math.max(1, Math.ceil((pesBytes + PCR_FIELD_BYTES) / room));
  if (groupPackets === undefined) return least;
  return Math.ceil((groupPackets + least) / COUNTER_WRAP) * COUNTER_WRAP - groupPackets;
}

interface Packetizing {
  readonly pes: Uint8Array;
  readonly packetCount: number;
  /** Packets with payload that went before in this group. */
  readonly counter: number;
  readonly clockTicks: number;
  readonly isKey: boolean;
}

function packetize({ pes, packetCount, counter, clockTicks, isKey }: Packetizing): Uint8Array {
  const packets = new Uint8Array(packetCount * TS_PACKET_BYTES).fill(0xff);
  let taken = 0;
  for (let number = 0; number < packetCount; number++) {
    const packet = packets.subarray(number * TS_PACKET_BYTES, (number + 1) * TS_PACKET_BYTES);
    const isFirst = number === 0;
    const room = TS_PACKET_BYTES - HEADER_BYTES - (isFirst ? PCR_FIELD_BYTES : 0);
    const payloadBytes = Math.min(room, pes.length - taken - (packetCount - 1 - number));
    const fieldBytes = TS_PACKET_BYTES - HEADER_BYTES - payloadBytes;
    const control = fieldBytes > 0 ? FIELD_AND_PAYLOAD : PAYLOAD_ONLY;
    writeHeader(packet, { pid: VIDEO_PID, isStart: isFirst, control, counter: counter + number });
    if (fieldBytes > 0) packet[4] = fieldBytes - 1;
    if (fieldBytes > 1) packet[5] = isFirst ? HAS_PCR | (isKey ? RANDOM_ACCESS : 0) : 0;
    if (isFirst) writeReference(packet, clockTicks);
    packet.set(pes.subarray(taken, taken + payloadBytes), HEADER_BYTES + fieldBytes);
    taken += payloadBytes;
  }
  return packets;
}

/** Packets with nothing but a clock reference, where frames are further apart than those may be. */
function writeReferences({
  decodeTicks,
  durationTicks,
  counter,
}: Pick<TsFrameTimes, "decodeTicks" | "durationTicks"> & { readonly counter: number }): Uint8Array[] {
  const parts = Math.ceil(durationTicks / PCR_GAP_TICKS_MAX);
  const packets: Uint8Array[] = [];
  for (let part = 1; part < parts; part++) {
    const packet = new Uint8Array(TS_PACKET_BYTES).fill(0xff);
    // A packet without payload repeats the counter of the one before.
    writeHeader(packet, { pid: VIDEO_PID, isStart: false, control: FIELD_ONLY, counter });
    packet[4] = TS_PACKET_BYTES - HEADER_BYTES - 1;
    packet[5] = HAS_PCR;
    writeReference(packet, decodeTicks + Math.round((durationTicks * part) / parts));
    packets.push(packet);
  }
  return packets;
}

function writeHeader(
  packet: Uint8Array,
  header: {
    readonly pid: number;
    readonly isStart: boolean;
    readonly control: number;
    readonly counter: number;
  },
): void {
  packet[0] = TS_SYNC_BYTE;
  packet[1] = (header.isStart ? 0x40 : 0) | (header.pid >> 8);
  packet[2] = header.pid & 0xff;
  packet[3] = header.control | (header.counter % COUNTER_WRAP);
}

/** The 33-bit base in 90 kHz ticks, six reserved bits, and an extension of 0 (2.4.3.5). */
function writeReference(packet: Uint8Array, clockTicks: number): void {
  const base = clockTicks % TICKS_WRAP;
  const view = new DataView(packet.buffer, packet.byteOffset);
  view.setUint32(6, Math.floor(base / 2));
  view.setUint16(10, ((base % 2) << 15) | 0x7e00);
}

/** PIDs in tables: three reserved bits, then thirteen of the PID. */
const PMT_PID_HIGH = 0xe0 | (PMT_PID >> 8);
const VIDEO_PID_HIGH = 0xe0 | (VIDEO_PID >> 8);
const VIDEO_PID_LOW = VIDEO_PID & 0xff;
/** Table id, length, id and version of the table; then programme 1, described at {@link PMT_PID}. */
const PAT_HEAD = [0x00, 0xb0, 13, 0, 1, 0xc1, 0, 0];
const PAT_SECTION = withChecksum([...PAT_HEAD, 0, 1, PMT_PID_HIGH, PMT_PID & 0xff]);
/** The same; then the PID of the clock, and the one stream, each without descriptors. */
const PMT_HEAD = [0x02, 0xb0, 18, 0, 1, 0xc1, 0, 0, VIDEO_PID_HIGH, VIDEO_PID_LOW, 0xf0, 0];
const PMT_SECTION = withChecksum([...PMT_HEAD, STREAM_TYPE_H264, VIDEO_PID_HIGH, VIDEO_PID_LOW, 0xf0, 0]);

function writeTables(groupIndex: number): Uint8Array[] {
  return [writeTable(PAT_PID, PAT_SECTION, groupIndex), writeTable(PMT_PID, PMT_SECTION, groupIndex)];
}

function writeTable(pid: number, section: Uint8Array, counter: number): Uint8Array {
  const packet = new Uint8Array(TS_PACKET_BYTES).fill(0xff);
  writeHeader(packet, { pid, isStart: true, control: PAYLOAD_ONLY, counter });
  packet[4] = 0;
  packet.set(section, 5);
  return packet;
}

function withChecksum(section: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(section.length + 4);
  bytes.set(section);
  new DataView(bytes.buffer).setUint32(section.length, crc32Mpeg(bytes.subarray(0, section.length)));
  return bytes;
}

/** The checksum of tables (annex A): polynomial 0x04C11DB7, not reflected. Over a whole section it is 0. */
export function crc32Mpeg(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  return crc >>> 0;
}

/**
 * A copy of packets that begin with tables and a key frame, saying that counters and clock jump here: for a viewer
 * who lost what came before. No packet is added, so all other bytes stay as they are.
 */
export function markDiscontinuity(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const marked = new Uint8Array(bytes);
  for (let offset = 0; offset + TS_PACKET_BYTES <= marked.length; offset += TS_PACKET_BYTES) {
    const packet = marked.subarray(offset, offset + TS_PACKET_BYTES);
    const control = (packet[3] ?? 0) & FIELD_AND_PAYLOAD;
    if (control === PAYLOAD_ONLY) {
      // A table: its last bytes are padding and make room for an adaptation field of two.
      packet.copyWithin(HEADER_BYTES + 2, HEADER_BYTES, TS_PACKET_BYTES - 2);
      packet.set([(packet[3] ?? 0) | FIELD_AND_PAYLOAD, 1, DISCONTINUITY], 3);
      continue;
    }
    packet[5] = (packet[5] ?? 0) | DISCONTINUITY;
    break;
  }
  return marked;
}
