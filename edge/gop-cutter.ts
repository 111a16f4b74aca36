/**
 * Cuts a transport stream as it arrives into blocks that start either anywhere or exactly where a decoder can
 * begin, tables in front. The relay sends blocks on and keeps those of the newest group of pictures for whoever
 * comes next.
 */
// ISO/IEC 13818-1 2.4.3
import { joinBytes } from "#common/join-bytes.ts";
import { TICKS_WRAP } from "#common/units.ts";
import {
  isPat,
  isRandomAccess,
  PACKET_BYTES,
  pidAt,
  readPat,
  readPmt,
  readPts,
  startsUnit,
  SYNC_BYTE,
} from "./ts-packets.ts";

/** Packets collected before a block is given out whatever the clock says: 4 MiB. */
const BLOCK_BYTES_MAX = Math.floor((4 * 1024 * 1024) / PACKET_BYTES) * PACKET_BYTES;

/** Whole packets, in order. */
export interface Block {
  readonly bytes: Uint8Array;
  /** True when a decoder can begin with it. */
  readonly isGopStart: boolean;
  /** PAT and PMT to send first to whoever begins here, where the stream has none at this place. */
  readonly tables: Uint8Array;
  /** PTS of its first picture, in ticks, where it is a start that has one. */
  readonly startPts: number | undefined;
  /** Greatest PTS of the pictures that begin in it, in ticks; `undefined` where none does. */
  readonly lastPts: number | undefined;
  /** Offset of the packet with which the last picture begins; `undefined` where none does. */
  readonly pictureAt: number | undefined;
}

const NO_BYTES = new Uint8Array(0);

/** Takes bytes in, gives blocks out. One for each upstream connection. */
export class GopCutter {
  /** Bytes skipped in search of a packet's beginning. */
  skippedBytes = 0;
  readonly #onBlock: (block: Block) => void;
  #rest = NO_BYTES;
  #pending = new Uint8Array(64 * PACKET_BYTES);
  #pendingBytes = 0;
  /** Where the tables begin that stand at the end of what is pending; -1 when something else stands there. */
  #tablesAt = -1;
  /** Whether a PMT is among them: some muxers send the two tables at different times. */
  #hasPmt = false;
  #lastPts: number | undefined;
  #pictureAt: number | undefined;
  #start: { readonly tables: Uint8Array; readonly pts: number | undefined } | undefined;
  #pat: Uint8Array | undefined;
  #pmt: Uint8Array | undefined;
  #pmtPid: number | undefined;
  #videoPid: number | undefined;

  constructor(onBlock: (block: Block) => void) {
    this.#onBlock = onBlock;
  }

  /** Takes a chunk of any size. A block is given out before each start. */
  push(chunk: Uint8Array): void {
    const bytes = this.#rest.length === 0 ? chunk : joinBytes([this.#rest, chunk]);
    let at = 0;
    while (at + PACKET_BYTES <= bytes.length) {
      if (isInSync(bytes, at)) {
        this.#packet(bytes, at);
        at += PACKET_BYTES;
      } else {
        at++;
        this.skippedBytes++;
      }
    }
    this.#rest = bytes.slice(at);
  }

  /** Gives out what is pending, but for tables at its end: they belong to what follows. */
  flush(): void {
    this.#emit(this.#tablesAt === -1 ? this.#pendingBytes : this.#tablesAt);
  }

  #packet(bytes: Uint8Array, at: number): void {
    const pid = pidAt(bytes, at);
    const isTable = this.#readTable(bytes, at, pid);
    if (isTable) {
      if (!isPat(bytes, at)) this.#hasPmt = true;
      else if (this.#tablesAt === -1) {
        this.#tablesAt = this.#pendingBytes;
        this.#hasPmt = false;
      }
    } else {
      if (pid === this.#videoPid && startsUnit(bytes, at)) this.#picture(bytes, at);
      this.#tablesAt = -1;
    }
    if (this.#pendingBytes >= BLOCK_BYTES_MAX) this.flush();
    this.#append(bytes, at);
  }

  #readTable(bytes: Uint8Array, at: number, pid: number): boolean {
    if (isPat(bytes, at)) {
      const packet = bytes.slice(at, at + PACKET_BYTES);
      if (startsUnit(packet, 0)) {
        this.#pmtPid = readPat(packet) ?? this.#pmtPid;
        this.#pat = packet;
      }
      return true;
    }
    if (pid !== this.#pmtPid) return false;
    const packet = bytes.slice(at, at + PACKET_BYTES);
    if (startsUnit(packet, 0)) {
      this.#videoPid = readPmt(packet) ?? this.#videoPid;
      this.#pmt = packet;
    }
    return true;
  }

  #picture(bytes: Uint8Array, at: number): void {
    const pts = readPts(bytes, at);
    if (isRandomAccess(bytes, at) && this.#pat !== undefined && this.#pmt !== undefined) {
      const hasTables = this.#tablesAt !== -1 && this.#hasPmt;
      this.#emit(hasTables ? this.#tablesAt : this.#pendingBytes);
      this.#start = { tables: hasTables ? NO_BYTES : joinBytes([this.#pat, this.#pmt]), pts };
    }
    this.#pictureAt = this.#pendingBytes;
    if (pts !== undefined && isAhead(pts, this.#lastPts)) this.#lastPts = pts;
  }

  #append(bytes: Uint8Array, at: number): void {
    if (this.#pendingBytes + PACKET_BYTES > this.#pending.length) {
      const larger = new Uint8Array(this.#pending.length * 2);
      larger.set(this.#pending);
      this.#pending = larger;
    }
    this.#pending.set(bytes.subarray(at, at + PACKET_BYTES), this.#pendingBytes);
    this.#pendingBytes += PACKET_BYTES;
  }

  #emit(size: number): void {
    if (size === 0) return;
    const start = this.#start;
    this.#start = undefined;
    const block: Block = {
      bytes: this.#pending.slice(0, size),
      isGopStart: start !== undefined,
      tables: start?.tables ?? NO_BYTES,
      startPts: start?.pts,
      lastPts: this.#lastPts,
      pictureAt: this.#pictureAt,
    };
    this.#lastPts = undefined;
    this.#pictureAt = undefined;
    this.#pending.copyWithin(0, size, this.#pendingBytes);
    this.#pendingBytes -= size;
    if (this.#tablesAt !== -1) this.#tablesAt -= size;
    this.#onBlock(block);
  }
}

/** Pictures come in the order of decoding: one may be shown before another that came before it. */
function isAhead(pts: number, last: number | undefined): boolean {
  return last === undefined || (pts - last + TICKS_WRAP) % TICKS_WRAP < TICKS_WRAP / 2;
}

/** A sync byte here, and where the next packet is already there, at its beginning too. */
function isInSync(bytes: Uint8Array, at: number): boolean {
  const next = bytes[at + PACKET_BYTES];
  return bytes[at] === SYNC_BYTE && (next === undefined || next === SYNC_BYTE);
}
