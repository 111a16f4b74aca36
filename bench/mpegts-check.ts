/**
 * Checks an endless MPEG-TS stream as it arrives, cheaply enough for a thousand streams at once: sync bytes,
 * continuity counters of each PID, and whether the stream begins as a decoder needs it.
 *
 * Hot path: one call per chunk from the kernel, no allocation, a few loads a packet.
 */
// ISO/IEC 13818-1 2.4.3

const PACKET_BYTES = 188;
const SYNC_BYTE = 0x47;
const PIDS = 0x2000;
const PID_PAT = 0;
const PID_NULL = 0x1fff;
const COUNTER_UNKNOWN = -1;
/** Sync bytes in a row that make a boundary believed after it was lost. */
const RESYNC_PACKETS = 3;

/** Checks one stream. Feed it every byte in order. */
export class MpegtsCheck {
  readonly #counters = new Int8Array(PIDS).fill(COUNTER_UNKNOWN);
  readonly #partial = new Uint8Array(PACKET_BYTES);
  #partialBytes = 0;
  #pmtPid = COUNTER_UNKNOWN;
  /** Packets seen. */
  packets = 0;
  /** Packets whose counter does not follow its predecessor's. */
  continuityErrors = 0;
  /** Packets that announce a discontinuity. */
  discontinuities = 0;
  /** Times that the packet boundary was lost. */
  syncErrors = 0;
  /** Bytes passed over while looking for the boundary. */
  skippedBytes = 0;
  /** True when the first two packets are PAT and PMT. */
  beginsWithTables = false;
  /** True when the first video packet begins at a random access point; `undefined` before there is one. */
  beginsAtRandomAccess: boolean | undefined = undefined;

  /** Takes the next bytes of the stream, cut anywhere. */
  push(chunk: Uint8Array): void {
    let offset = 0;
    if (this.#partialBytes > 0) {
      offset = Math.min(chunk.length, PACKET_BYTES - this.#partialBytes);
      this.#partial.set(chunk.subarray(0, offset), this.#partialBytes);
      this.#partialBytes += offset;
      if (this.#partialBytes < PACKET_BYTES) return;
      this.#partialBytes = 0;
      this.#readPacket(this.#partial, 0);
    }
    while (offset + PACKET_BYTES <= chunk.length) {
      if (chunk[offset] === SYNC_BYTE) {
        this.#readPacket(chunk, offset);
        offset += PACKET_BYTES;
      } else {
        const found = findBoundary(chunk, offset);
        this.syncErrors += 1;
        this.skippedBytes += found - offset;
        offset = found;
      }
    }
    const rest = chunk.subarray(offset);
    // What does not begin with a sync byte cannot be the front of a packet: its rest is looked through next time.
    this.#partial.set(rest);
    this.#partialBytes = rest.length;
  }

  #readPacket(bytes: Uint8Array, at: number): void {
    if (bytes[at] !== SYNC_BYTE) {
      this.syncErrors += 1;
      this.skippedBytes += PACKET_BYTES;
      return;
    }
    this.packets += 1;
    const second = bytes[at + 1] ?? 0;
    const pid = ((second & 0x1f) << 8) | (bytes[at + 2] ?? 0);
    const fourth = bytes[at + 3] ?? 0;
    const hasAdaptation = (fourth & 0x20) !== 0;
    const hasPayload = (fourth & 0x10) !== 0;
    const flags = hasAdaptation && (bytes[at + 4] ?? 0) > 0 ? (bytes[at + 5] ?? 0) : 0;
    if (this.beginsAtRandomAccess === undefined) this.#readBeginning({ bytes, at, pid, flags });
    if (pid === PID_NULL) return;
    this.#checkCounter({ pid, counter: fourth & 0x0f, hasPayload, isDiscontinuous: (flags & 0x80) !== 0 });
  }

  /** 2.4.3.3: counts payload packets; one packet may be sent twice; a discontinuity may be announced. */
  #checkCounter(packet: {
    readonly pid: number;
    readonly counter: number;
    readonly hasPayload: boolean;
    readonly isDiscontinuous: boolean;
  }): void {
    const { pid, counter, hasPayload, isDiscontinuous } = packet;
    const last = this.#counters[pid] ?? COUNTER_UNKNOWN;
    this.#counters[pid] = counter;
    if (isDiscontinuous) this.discontinuities += 1;
    if (last === COUNTER_UNKNOWN || isDiscontinuous || counter === last) return;
    const expected = hasPayload ? (last + 1) & 0x0f : last;
    if (counter !== expected) this.continuityErrors += 1;
  }

  #readBeginning(packet: {
    readonly bytes: Uint8Array;
    readonly at: number;
    readonly pid: number;
    readonly flags: number;
  }): void {
    const { bytes, at, pid, flags } = packet;
    if (pid === PID_PAT && this.#pmtPid === COUNTER_UNKNOWN) {
      // Pointer field, table header of 8 bytes, then program number and PID (2.4.4.3).
      const table = at + 5 + (bytes[at + 4] ?? 0);
      this.#pmtPid = (((bytes[table + 10] ?? 0) & 0x1f) << 8) | (bytes[table + 11] ?? 0);
      return;
    }
    if (this.packets === 2) this.beginsWithTables = pid === this.#pmtPid;
    const isPayloadStart = ((bytes[at + 1] ?? 0) & 0x40) !== 0;
    // The first PES packet: its start code prefix, then a stream id of video (2.4.3.6).
    const payload = at + 4 + (((bytes[at + 3] ?? 0) & 0x20) === 0 ? 0 : 1 + (bytes[at + 4] ?? 0));
    const isVideo =
      bytes[payload] === 0 &&
      bytes[payload + 1] === 0 &&
      bytes[payload + 2] === 1 &&
      ((bytes[payload + 3] ?? 0) & 0xf0) === 0xe0;
    if (isPayloadStart && isVideo) this.beginsAtRandomAccess = (flags & 0x40) !== 0;
  }
}

/** The next offset after `from` where packets seem to begin; the end of the chunk if there is none. */
function findBoundary(chunk: Uint8Array, from: number): number {
  for (let offset = from + 1; offset < chunk.length; offset += 1) {
    let isBoundary = true;
    for (let packet = 0; packet < RESYNC_PACKETS && isBoundary; packet += 1) {
      const at = offset + packet * PACKET_BYTES;
      isBoundary = at >= chunk.length || chunk[at] === SYNC_BYTE;
    }
    if (isBoundary) return offset;
  }
  return chunk.length;
}
