/**
 * Looks into MPEG-TS from anywhere: tables, continuity, clock, presentation times, and where a viewer may join. The
 * edge's relay finds join points with it, the load tester counts errors. It copies no payload and keeps less than
 * three packets.
 */
// ISO/IEC 13818-1 (2.4.3 packets, 2.4.4 PSI, 2.4.3.6 PES)
import { crc32Mpeg, PAT_PID, TS_PACKET_BYTES, TS_SYNC_BYTE } from "#common/formats/mpegts.ts";
import { TICKS_WRAP } from "#common/units.ts";

/** Packets that must begin with the sync byte, one after the other, before a stream is believed. */
const SYNC_PACKETS = 3;
const PID_COUNT = 8192;
const NULL_PID = 0x1fff;
const UNSEEN = 0xff;
const HEADER_BYTES = 4;

/** A key frame where decoding may start. Offsets count from the first byte ever pushed. */
export interface RandomAccessPoint {
  /** Of the tables directly before the key frame if there are any, else of its first packet: cut here. */
  readonly startOffset: number;
  /** 90 kHz, 33 bits; absent where the PES header has none. */
  readonly ptsTicks: number | undefined;
}

export interface TsAccessUnit {
  readonly ptsTicks: number | undefined;
  readonly isRandomAccess: boolean;
}

export interface TsInspectorHandlers {
  readonly onRandomAccess?: (point: RandomAccessPoint) => void;
  /** Each start of a PES packet on the video's PID. */
  readonly onAccessUnit?: (unit: TsAccessUnit) => void;
}

/** Totals since the first byte. */
export interface TsCounts {
  packets: number;
  /** Bytes thrown away while looking for the sync byte, and how often that was lost. */
  skippedBytes: number;
  syncLosses: number;
  /** Packets whose counter is not the next one, where no discontinuity was announced. */
  continuityErrors: number;
  /** Packets sent twice, which is allowed once. */
  duplicates: number;
  /** Announced by the discontinuity indicator on the video's PID. */
  discontinuities: number;
  /** Packets marked damaged by whoever received them first. */
  transportErrors: number;
  /** Tables whose checksum is wrong. */
  tableErrors: number;
  references: number;
  accessUnits: number;
  randomAccessPoints: number;
}

export class TsInspector {
  readonly counts: TsCounts = {
    packets: 0,
    skippedBytes: 0,
    syncLosses: 0,
    continuityErrors: 0,
    duplicates: 0,
    discontinuities: 0,
    transportErrors: 0,
    tableErrors: 0,
    references: 0,
    accessUnits: 0,
    randomAccessPoints: 0,
  };
  /** As the tables say; `undefined` until they have come. */
  programMapPid: number | undefined;
  videoPid: number | undefined;
  videoStreamType: number | undefined;
  /** Latest clock reference and presentation time, 90 kHz ticks of 33 bits. */
  pcrTicks: number | undefined;
  ptsTicks: number | undefined;
  /** Longest step between two clock references without an announced discontinuity between them. */
  pcrGapTicksMax = 0;

  readonly #handlers: TsInspectorHandlers;
  readonly #counters = new Uint8Array(PID_COUNT).fill(UNSEEN);
  readonly #isRepeated = new Uint8Array(PID_COUNT);
  #rest: Uint8Array = new Uint8Array(0);
  /** Offset of the first byte of `#rest`. */
  #offset = 0;
  #isSynced = false;
  /** Start of the tables that the next packet directly follows. */
  #tablesOffset: number | undefined;

  constructor(handlers: TsInspectorHandlers = {}) {
    this.#handlers = handlers;
  }

  /** Takes the next bytes, in chunks of any size. Never throws: what is no MPEG-TS is counted. */
  push(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let position = 0;
    for (;;) {
      if (!this.#isSynced) {
        const found = findSync(bytes, position);
        this.counts.skippedBytes += found.position - position;
        ({ position, isSynced: this.#isSynced } = found);
        if (!this.#isSynced) break;
      }
      if (position + TS_PACKET_BYTES > bytes.length) break;
      if (bytes[position] !== TS_SYNC_BYTE) {
        this.counts.syncLosses++;
        this.#isSynced = false;
        continue;
      }
      this.#onPacket(bytes.subarray(position, position + TS_PACKET_BYTES), this.#offset + position);
      position += TS_PACKET_BYTES;
    }
    this.#rest = bytes.slice(position);
    this.#offset += position;
  }

  #onPacket(packet: Uint8Array, offset: number): void {
    this.counts.packets++;
    const [, high = 0, low = 0, control = 0, fieldBytes = 0, fieldFlags = 0] = packet;
    if (high & 0x80) {
      this.counts.transportErrors++;
      return;
    }
    const pid = ((high & 0x1f) << 8) | low;
    if (pid === NULL_PID) return;
    const flags = control & 0x20 && fieldBytes > 0 ? fieldFlags : 0;
    const hasPayload = (control & 0x10) !== 0;
    const isDiscontinuity = (flags & 0x80) !== 0;
    const isNew = this.#checkCounter({ pid, counter: control & 0x0f, hasPayload, isDiscontinuity });
    if (pid === this.videoPid && isDiscontinuity) this.counts.discontinuities++;
    if (flags & 0x10 && fieldBytes >= 7) this.#onReference(packet, isDiscontinuity);
    const payloadStart = HEADER_BYTES + (control & 0x20 ? 1 + fieldBytes : 0);
    const isStart = (high & 0x40) !== 0;
    const payload = hasPayload && isStart && isNew ? packet.subarray(payloadStart) : undefined;
    if (pid === PAT_PID || pid === this.programMapPid) {
      this.#tablesOffset = pid === PAT_PID ? offset : (this.#tablesOffset ?? offset);
      if (payload !== undefined) this.#onTable(pid, payload);
      return;
    }
    if (pid === this.videoPid && payload !== undefined) {
      this.#onPesStart(payload, { offset, isRandomAccess: (flags & 0x40) !== 0 });
    }
    this.#tablesOffset = undefined;
  }

  /** False for a packet that repeats the one before. */
  #checkCounter(packet: {
    readonly pid: number;
    readonly counter: number;
    readonly hasPayload: boolean;
    readonly isDiscontinuity: boolean;
  }): boolean {
    const { pid, counter, hasPayload, isDiscontinuity } = packet;
    const last = this.#counters[pid] ?? UNSEEN;
    const isRepeated = this.#isRepeated[pid] === 1;
    this.#counters[pid] = counter;
    this.#isRepeated[pid] = 0;
    if (last === UNSEEN || isDiscontinuity) return true;
    if (!hasPayload) {
      if (counter !== last) this.counts.continuityErrors++;
      return true;
    }
    if (counter === last && !isRepeated) {
      this.#isRepeated[pid] = 1;
      this.counts.duplicates++;
      return false;
    }
    if (counter !== ((last + 1) & 0x0f)) this.counts.continuityErrors++;
    return true;
  }

  #onReference(packet: Uint8Array, isDiscontinuity: boolean): void {
    const view = new DataView(packet.buffer, packet.byteOffset);
    const ticks = view.getUint32(6) * 2 + (view.getUint8(10) >> 7);
    if (this.pcrTicks !== undefined && !isDiscontinuity) {
      const gap = (ticks - this.pcrTicks + TICKS_WRAP) % TICKS_WRAP;
      this.pcrGapTicksMax = Math.max(this.pcrGapTicksMax, gap);
    }
    this.pcrTicks = ticks;
    this.counts.references++;
  }

  /** Tables of one packet; longer ones (many programmes) are beyond what any source here sends. */
  #onTable(pid: number, payload: Uint8Array): void {
    const section = payload.subarray(1 + (payload[0] ?? 0));
    const [tableId, high = 0, low = 0] = section;
    const length = 3 + (((high & 0x0f) << 8) | low);
    if (length < 12 || length > section.length || crc32Mpeg(section.subarray(0, length)) !== 0) {
      this.counts.tableErrors++;
      return;
    }
    const body = section.subarray(8, length - 4);
    if (pid === PAT_PID && tableId === 0) this.#readPrograms(body);
    else if (tableId === 2) this.#readStreams(body);
  }

  #readPrograms(body: Uint8Array): void {
    for (let at = 0; at + 4 <= body.length; at += 4) {
      const [numberHigh = 0, numberLow = 0, pidHigh = 0, pidLow = 0] = body.subarray(at);
      if (numberHigh === 0 && numberLow === 0) continue;
      this.programMapPid = ((pidHigh & 0x1f) << 8) | pidLow;
      return;
    }
  }

  #readStreams(body: Uint8Array): void {
    const skipped = (((body[2] ?? 0) & 0x0f) << 8) | (body[3] ?? 0);
    for (let at = 4 + skipped; at + 5 <= body.length;) {
      const [type = 0, pidHigh = 0, pidLow = 0, infoHigh = 0, infoLow = 0] = body.subarray(at);
      if (VIDEO_STREAM_TYPES.has(type)) {
        this.videoPid = ((pidHigh & 0x1f) << 8) | pidLow;
        this.videoStreamType = type;
        return;
      }
      at += 5 + (((infoHigh & 0x0f) << 8) | infoLow);
    }
  }

  #onPesStart(payload: Uint8Array, at: { readonly offset: number; readonly isRandomAccess: boolean }): void {
    const ptsTicks = readPts(payload);
    this.ptsTicks = ptsTicks ?? this.ptsTicks;
    this.counts.accessUnits++;
    this.#handlers.onAccessUnit?.({ ptsTicks, isRandomAccess: at.isRandomAccess });
    if (!at.isRandomAccess) return;
    this.counts.randomAccessPoints++;
    this.#handlers.onRandomAccess?.({ startOffset: this.#tablesOffset ?? at.offset, ptsTicks });
  }
}

/** MPEG-1, MPEG-2, MPEG-4 part 2, H.264, H.265 (table 2-34). */
const VIDEO_STREAM_TYPES: ReadonlySet<number> = new Set([0x01, 0x02, 0x10, 0x1b, 0x24]);

/** Presentation time in a PES header (2.4.3.7), if the header has one. */
function readPts(payload: Uint8Array): number | undefined {
  const [zero, nought, one, , , , , flags = 0, headerBytes = 0] = payload;
  if (zero !== 0 || nought !== 0 || one !== 1 || !(flags & 0x80) || headerBytes < 5) return undefined;
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0] = payload.subarray(9);
  return (
    ((first >> 1) & 7) * 2 ** 30 + second * 2 ** 22 + (third >> 1) * 2 ** 15 + fourth * 2 ** 7 + (fifth >> 1)
  );
}

/** The next place where several sync bytes stand a packet apart, or how much can be thrown away. */
function findSync(
  bytes: Uint8Array,
  from: number,
): { readonly position: number; readonly isSynced: boolean } {
  const spanBytes = (SYNC_PACKETS - 1) * TS_PACKET_BYTES + 1;
  let position = from;
  for (; position + spanBytes <= bytes.length; position++) {
    let number = 0;
    while (number < SYNC_PACKETS && bytes[position + number * TS_PACKET_BYTES] === TS_SYNC_BYTE) number++;
    if (number === SYNC_PACKETS) return { position, isSynced: true };
  }
  return { position, isSynced: false };
}
