/**
 * Takes the H.264 out of an MPEG-TS that anybody may have written: finds the packets, follows the tables of the first
 * programme, and gives each PES packet of its video with its times. Everything else is counted and dropped, and so is
 * what cannot be read; nothing here throws. It keeps one PES packet, one section of each table, and less than three packets.
 */
// ISO/IEC 13818-1 (2.4.3 packets, 2.4.3.6 PES, 2.4.4 tables)
import { joinBytes } from "#common/join-bytes.ts";
import {
  crc32Mpeg,
  PAT_PID,
  STREAM_TYPE_H264,
  TS_PACKET_BYTES,
  TS_SYNC_BYTE,
} from "#common/formats/mpegts.ts";
import { MEBIBYTE } from "#common/units.ts";

/** A PES packet as large as this is dropped: a second of 40 Mbit/s fits. */
const PES_BYTES_MAX = 5 * MEBIBYTE;
/** So many packets of it are kept: each as a view on what was received, however little is in it. */
const PES_PACKETS_MAX = (2 * PES_BYTES_MAX) / TS_PACKET_BYTES;
/** Sync bytes one after the other before packets are believed. */
const SYNC_PACKETS = 3;
const SYNC_SPAN = (SYNC_PACKETS - 1) * TS_PACKET_BYTES;
const HEADER_BYTES = 4;
/** Longest section of these tables, and what every section has around its content. */
const SECTION_BYTES_MAX = 1024;
const SECTION_HEAD_BYTES = 3;
const STUFFING_BYTE = 0xff;
const PAT_TABLE = 0;
const PMT_TABLE = 2;
const CHECKSUM_BYTES = 4;
const NULL_PID = 0x1fff;
/** `stream_type` of MPEG audio, AAC in both framings, and of what ATSC and Blu-ray add (AC-3, DTS and their kin). */
const AUDIO_TYPES = new Set([0x03, 0x04, 0x0f, 0x11, 0x1c, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87]);
const STREAM_TYPE_PRIVATE = 0x06;
/** Descriptors that say of private data that it is AC-3, E-AC-3, DTS or AAC (ETSI EN 300 468), or Opus and others by name. */
const AUDIO_DESCRIPTORS = new Set([0x6a, 0x7a, 0x7b, 0x7c]);
const REGISTRATION_DESCRIPTOR = 0x05;
const AUDIO_REGISTRATIONS = new Set(["Opus", "AC-3", "EAC3", "BSSD"]);
const PES_HEAD_BYTES = 9;

/** One PES packet of the video: with every multiplexer in use one picture. */
export interface VideoPes {
  /** 90 kHz, 33 bits. Absent where the header has none. */
  readonly ptsTicks: number | undefined;
  /** The same where the header has only one time. */
  readonly dtsTicks: number | undefined;
  readonly data: Uint8Array;
}

/** Totals since the first byte. */
export interface DemuxCounts {
  packets: number;
  /** Bytes that belong to no packet. */
  skippedBytes: number;
  /** Packets missing before others of a PID that is read, each time as one. */
  continuityErrors: number;
  /** Packets of audio, and of whatever is neither video nor a table. */
  audioPackets: number;
  otherPackets: number;
  /** Sections with a wrong checksum, PES packets without a readable header or too large. */
  unreadable: number;
}

export interface DemuxerHandlers {
  readonly onPes: (pes: VideoPes) => void;
  /** Video is missing before the next PES packet: one of which a part is missing is left out whole. */
  readonly onLoss: () => void;
  /** The tables name another stream as the video, or the first one. */
  readonly onVideo: () => void;
}

/** Bytes of a PES packet so far. */
interface Assembly {
  chunks: Uint8Array[];
  bytes: number;
}

interface Packet {
  readonly pid: number;
  readonly isStart: boolean;
  readonly payload: Uint8Array;
}

export class TsDemuxer {
  readonly counts: DemuxCounts = {
    packets: 0,
    skippedBytes: 0,
    continuityErrors: 0,
    audioPackets: 0,
    otherPackets: 0,
    unreadable: 0,
  };
  readonly #handlers: DemuxerHandlers;
  #rest: Uint8Array = new Uint8Array(0);
  #isSynced = false;
  /** By PID: what has come of a section that is not whole. */
  readonly #sections = new Map<number, Uint8Array>();
  /** Last counter of each PID that is read. */
  readonly #counters = new Map<number, number>();
  #programme: number | undefined;
  #mapPid: number | undefined;
  #videoPid: number | undefined;
  #audioPids: ReadonlySet<number> = new Set();
  #streamTypes: readonly number[] | undefined;
  #pes: Assembly | undefined;

  constructor(handlers: DemuxerHandlers) {
    this.#handlers = handlers;
  }

  /** What the programme has where that is no H.264, as `stream_type`; `undefined` before its map, and where there is some. */
  get otherStreams(): readonly number[] | undefined {
    return this.#videoPid === undefined ? this.#streamTypes : undefined;
  }

  /** Takes the next bytes, in pieces of any size. */
  push(chunk: Uint8Array): void {
    const bytes = this.#rest.length === 0 ? chunk : joinBytes([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      if (!this.#isSynced) {
        const start = findSync(bytes, at);
        this.counts.skippedBytes += start - at;
        at = start;
        if (bytes.length - at <= SYNC_SPAN) break;
        this.#isSynced = true;
      }
      if (bytes.length - at < TS_PACKET_BYTES) break;
      if (bytes[at] !== TS_SYNC_BYTE) {
        this.#isSynced = false;
        this.#loseVideo();
        continue;
      }
      this.#readPacket(bytes.subarray(at, at + TS_PACKET_BYTES));
      at += TS_PACKET_BYTES;
    }
    this.#rest = bytes.slice(at);
  }

  /** The stream has ended: gives what was not known to be whole. */
  finish(): void {
    this.#endPes();
  }

  #readPacket(packet: Uint8Array): void {
    const [, high = 0, low = 0, control = 0, fieldBytes = 0, flags = 0] = packet;
    this.counts.packets++;
    const pid = ((high & 0x1f) << 8) | low;
    const isRead = pid === PAT_PID || pid === this.#mapPid || pid === this.#videoPid;
    if (!isRead) {
      if (this.#audioPids.has(pid)) this.counts.audioPackets++;
      else if (pid !== NULL_PID) this.counts.otherPackets++;
      return;
    }
    const hasField = (control & 0x20) !== 0;
    const isAnnounced = hasField && fieldBytes > 0 && (flags & 0x80) !== 0;
    // Damaged on its way, or scrambled: nothing of it can be used.
    if ((high & 0x80) !== 0 || (control & 0xc0) !== 0) {
      this.#lose(pid);
      return;
    }
    if ((control & 0x10) === 0 || !this.#isNext(pid, control & 0x0f, isAnnounced)) return;
    const start = HEADER_BYTES + (hasField ? 1 + fieldBytes : 0);
    if (start >= TS_PACKET_BYTES) {
      this.#lose(pid);
      return;
    }
    const isStart = (high & 0x40) !== 0;
    const read = { pid, isStart, payload: packet.subarray(start) };
    if (pid === this.#videoPid) this.#addToPes(read);
    else this.#addToSections(read);
  }

  /** False for a packet that is sent twice, which is allowed once. */
  #isNext(pid: number, counter: number, isAnnounced: boolean): boolean {
    const before = this.#counters.get(pid);
    this.#counters.set(pid, counter);
    if (before === undefined || isAnnounced) return true;
    if (counter === before) return false;
    if (counter !== ((before + 1) & 0x0f)) this.#lose(pid);
    return true;
  }

  #lose(pid: number): void {
    this.counts.continuityErrors++;
    if (pid === this.#videoPid) this.#loseVideo();
    else this.#sections.delete(pid);
  }

  #loseVideo(): void {
    this.#pes = undefined;
    if (this.#videoPid !== undefined) this.#handlers.onLoss();
  }

  /** In a packet that says so a section begins behind a pointer, before which the one before may end. */
  #addToSections({ pid, isStart, payload }: Packet): void {
    const begin = isStart ? 1 + (payload[0] ?? 0) : 0;
    this.#extendSection(pid, isStart ? payload.subarray(1, begin) : payload);
    if (!isStart) return;
    this.#sections.set(pid, EMPTY);
    this.#extendSection(pid, payload.subarray(begin));
  }

  /** Sections follow each other until there is only stuffing. */
  #extendSection(pid: number, part: Uint8Array): void {
    const open = this.#sections.get(pid);
    if (open === undefined) return;
    this.#sections.delete(pid);
    let bytes: Uint8Array = joinBytes([open, part]);
    while (bytes.length >= SECTION_HEAD_BYTES && bytes[0] !== STUFFING_BYTE) {
      const length = SECTION_HEAD_BYTES + lengthAt(bytes, 1);
      if (length > SECTION_BYTES_MAX) return;
      if (bytes.length < length) break;
      this.#readSection(pid, bytes.subarray(0, length));
      bytes = bytes.subarray(length);
    }
    if (bytes.length > 0 && bytes[0] !== STUFFING_BYTE) this.#sections.set(pid, bytes);
  }

  #readSection(pid: number, section: Uint8Array): void {
    // What is not yet valid will come again when it is.
    if (((section[5] ?? 0) & 1) === 0) return;
    if (crc32Mpeg(section) !== 0) {
      this.counts.unreadable++;
      return;
    }
    const content = section.subarray(0, section.length - CHECKSUM_BYTES);
    if (pid === PAT_PID && section[0] === PAT_TABLE) this.#readAssociation(content);
    else if (pid === this.#mapPid && section[0] === PMT_TABLE) this.#readMap(content);
  }

  /** The first programme of the first section of many: number 0 names a network table. */
  #readAssociation(section: Uint8Array): void {
    if ((section[6] ?? 0) !== 0) return;
    for (let at = 8; at + 4 <= section.length; at += 4) {
      const programme = numberAt(section, at);
      if (programme === 0) continue;
      this.#programme = programme;
      const pid = pidAt(section, at + 2);
      if (this.#mapPid !== undefined && pid !== this.#mapPid) this.#sections.delete(this.#mapPid);
      this.#mapPid = pid;
      return;
    }
  }

  /** Programmes may have their maps in packets of one PID. */
  #readMap(section: Uint8Array): void {
    if (numberAt(section, 3) !== this.#programme) return;
    const audio = new Set<number>();
    const types: number[] = [];
    let video: number | undefined;
    let at = 12 + lengthAt(section, 10);
    while (at + 5 <= section.length) {
      const type = section[at] ?? 0;
      const pid = pidAt(section, at + 1);
      const descriptors = section.subarray(at + 5, at + 5 + lengthAt(section, at + 3));
      types.push(type);
      if (type === STREAM_TYPE_H264) video ??= pid;
      else if (isAudio(type, descriptors)) audio.add(pid);
      at += 5 + lengthAt(section, at + 3);
    }
    this.#audioPids = audio;
    this.#streamTypes = types;
    if (video === this.#videoPid) return;
    this.#endPes();
    this.#videoPid = video;
    if (video !== undefined) this.#counters.delete(video);
    this.#handlers.onVideo();
  }

  #addToPes({ isStart, payload }: Packet): void {
    if (isStart) {
      this.#endPes();
      this.#pes = { chunks: [], bytes: 0 };
    }
    if (this.#pes === undefined) return;
    this.#pes.chunks.push(payload);
    this.#pes.bytes += payload.length;
    if (this.#pes.bytes > PES_BYTES_MAX || this.#pes.chunks.length > PES_PACKETS_MAX) {
      this.counts.unreadable++;
      this.#loseVideo();
      return;
    }
    const [first = EMPTY] = this.#pes.chunks;
    const stated = first.length < 6 ? 0 : ((first[4] ?? 0) << 8) | (first[5] ?? 0);
    if (stated !== 0 && this.#pes.bytes >= stated + 6) this.#endPes();
  }

  #endPes(): void {
    if (this.#pes === undefined) return;
    const read = readPes(joinBytes(this.#pes.chunks));
    this.#pes = undefined;
    if (read !== undefined) {
      this.#handlers.onPes(read);
      return;
    }
    this.counts.unreadable++;
    this.#handlers.onLoss();
  }
}

const EMPTY = new Uint8Array(0);

/** Where packets begin at or after `from`; where they could begin, if more bytes follow. */
function findSync(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    if (bytes[at] !== TS_SYNC_BYTE) continue;
    let isSync = true;
    for (
      let next = at + TS_PACKET_BYTES;
      next <= at + SYNC_SPAN && next < bytes.length;
      next += TS_PACKET_BYTES
    ) {
      isSync &&= bytes[next] === TS_SYNC_BYTE;
    }
    if (isSync) return at;
  }
  return bytes.length;
}

function numberAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function pidAt(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) & 0x1f) << 8) | (bytes[at + 1] ?? 0);
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) & 0x0f) << 8) | (bytes[at + 1] ?? 0);
}

function isAudio(type: number, descriptors: Uint8Array): boolean {
  if (type !== STREAM_TYPE_PRIVATE) return AUDIO_TYPES.has(type);
  for (let at = 0; at + 2 <= descriptors.length; at += 2 + (descriptors[at + 1] ?? 0)) {
    const tag = descriptors[at] ?? 0;
    if (AUDIO_DESCRIPTORS.has(tag)) return true;
    const name = new TextDecoder("latin1").decode(descriptors.subarray(at + 2, at + 6));
    if (tag === REGISTRATION_DESCRIPTOR && AUDIO_REGISTRATIONS.has(name)) return true;
  }
  return false;
}

function readPes(pes: Uint8Array): VideoPes | undefined {
  const [zero, alsoZero, one, id = 0, , , mark = 0, flags = 0, headerBytes = 0] = pes;
  const isVideo = zero === 0 && alsoZero === 0 && one === 1 && id >> 4 === 0x0e && mark >> 6 === 2;
  const start = PES_HEAD_BYTES + headerBytes;
  const hasPts = (flags & 0x80) !== 0;
  const hasDts = (flags & 0xc0) === 0xc0;
  if (!isVideo || start > pes.length || headerBytes < (hasDts ? 10 : hasPts ? 5 : 0)) return undefined;
  const ptsTicks = hasPts ? ticksAt(pes, PES_HEAD_BYTES) : undefined;
  const dtsTicks = hasDts ? ticksAt(pes, PES_HEAD_BYTES + 5) : ptsTicks;
  return { ptsTicks, dtsTicks, data: pes.subarray(start) };
}

/** 33 bits in five bytes, a marker behind 3, 18 and 33 of them. */
function ticksAt(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = bytes.subarray(at, at + 5);
  return ((a >> 1) & 7) * 2 ** 30 + ((b << 22) | ((c >> 1) << 15) | (d << 7) | (e >> 1));
}
