/**
 * The newest batches of one endless MPEG-TS, as they lie in memory for all viewers of it (`ts-fan-out.ts`): bounded in
 * bytes and in time, with the newest key frame known, and with discontinuities marked where the stream breaks off.
 */
// ISO/IEC 13818-1 2.4.3.5 (discontinuity_indicator, random_access_indicator)
import assert from "node:assert";
import type { Clock } from "#common/clock.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { MEBIBYTE } from "#common/units.ts";

/** A viewer may be so far behind, or two groups of pictures where those are more: over 5 s of 6 Mbit/s. */
export const LAG_BYTES_MIN = 4 * MEBIBYTE;
/** And so long, whatever the bit rate. */
export const LAG_MS_MAX = 10_000;
/** A longer group of pictures does not raise that bound. */
const GROUP_BYTES_MAX = 32 * MEBIBYTE;
/** Of all logs of a node together; each has an equal share at most. */
export const LOGS_BYTES_MAX = 64 * MEBIBYTE;

const NO_BYTES = new Uint8Array(0);

/** Whole packets that are written at once. A key frame is only ever at the beginning, behind its tables. */
export interface TsBatch {
  readonly bytes: Uint8Array;
  /** True when a decoder can begin with it. */
  readonly isKey: boolean;
  /** What goes first for who begins here, such as tables that the stream has elsewhere. Default: nothing. */
  readonly opening?: Uint8Array;
}

/** A batch in the log. */
export interface TsLogEntry {
  /** As it was pushed. */
  readonly batch: TsBatch;
  /** As those get it who had the one before. */
  readonly bytes: Uint8Array;
  readonly isKey: boolean;
  /** Bytes of all entries ever, up to the end of this one. */
  readonly endBytes: number;
  /** On the monotonic clock. */
  readonly pushedMs: number;
}

interface Entry extends TsLogEntry {
  /** What who begins here gets, and who resumes here, once somebody does. */
  beginning: Uint8Array | undefined;
  resumption: Uint8Array | undefined;
}

/** Counts over all logs of a node. */
export interface TsLogTotals {
  /** Logs that are open, and what lies in them. */
  open: number;
  loggedBytes: number;
}

export interface TsLogOptions {
  readonly clock: Clock;
  readonly totals: TsLogTotals;
  /** A key frame's batch as it is for those who missed what came before: with the discontinuity indicator. */
  readonly markDiscontinuity: (batch: TsBatch) => Uint8Array;
  /** Default {@link LOGS_BYTES_MAX}. */
  readonly logsBytesMax?: number;
}

/** Entries by number, counted from the stream's first. */
export class TsLog {
  /** Of the first entry that is still there. */
  firstNumber = 0;
  /** Bytes of all entries ever. */
  endBytes = 0;
  /** Of the newest entry with a key frame, -1 while there is none to begin with; and bytes of all before it. */
  newestKey = -1;
  newestKeyBytes = 0;
  /** Entries with a key frame ever, each the beginning of a group of pictures. */
  keys = 0;
  readonly #options: TsLogOptions;
  #entries: Entry[] = [];
  #bytes = 0;
  /** Since the newest key frame, and of the longest group so far. */
  #groupBytes = 0;
  #groupBytesMost = 0;
  /** True until the next key frame after packets were missing. */
  #isBroken = false;
  #isClosed = false;

  constructor(options: TsLogOptions) {
    this.#options = options;
    options.totals.open++;
  }

  /** Of the entry that comes next. */
  get endNumber(): number {
    return this.firstNumber + this.#entries.length;
  }

  /** `undefined` for what is forgotten and for what is to come. */
  at(number: number): TsLogEntry | undefined {
    return this.#entries[number - this.firstNumber];
  }

  /** Number `number`, a key frame, for who begins with it. */
  beginningAt(number: number): Uint8Array {
    const entry = this.#keyAt(number);
    return (entry.beginning ??= beginningOf(entry.batch));
  }

  /** The same for who missed what came before it. */
  resumptionAt(number: number): Uint8Array {
    const entry = this.#keyAt(number);
    return (entry.resumption ??= this.#options.markDiscontinuity(entry.batch));
  }

  /** True when who gets the key frame `entry` next is so far behind that a newer one is better. */
  isFarBehind({ pushedMs, endBytes, bytes }: TsLogEntry): boolean {
    const isLong = this.#options.clock.monotonicMs() - pushedMs > LAG_MS_MAX;
    return isLong || this.endBytes - (endBytes - bytes.length) > this.#lagBytesMax;
  }

  /** Adds a batch. False where it is left out: from a break to the next key frame. */
  push(batch: TsBatch): boolean {
    if (this.#isClosed || (this.#isBroken && !batch.isKey)) return false;
    const marked = this.#isBroken ? this.#options.markDiscontinuity(batch) : undefined;
    const bytes = marked ?? batch.bytes;
    this.#isBroken = false;
    this.#append({
      batch,
      bytes,
      isKey: batch.isKey,
      endBytes: this.endBytes + bytes.length,
      pushedMs: this.#options.clock.monotonicMs(),
      beginning: marked,
      resumption: marked,
    });
    return true;
  }

  /** What follows does not continue what was pushed. */
  breakOff(): void {
    this.#isBroken = true;
    this.newestKey = -1;
  }

  /** Gives the memory back. Nothing can be added any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { totals } = this.#options;
    totals.open--;
    totals.loggedBytes -= this.#bytes;
    this.firstNumber = this.endNumber;
    this.#entries = [];
    this.#bytes = 0;
    this.newestKey = -1;
  }

  /** What a viewer may be behind. A whole group must fit, or who fell behind once would never get one again. */
  get #lagBytesMax(): number {
    const { totals, logsBytesMax = LOGS_BYTES_MAX } = this.#options;
    const wanted = Math.max(LAG_BYTES_MIN, 2 * this.#groupBytesMost);
    return Math.min(wanted, logsBytesMax / totals.open / 2);
  }

  #keyAt(number: number): Entry {
    const entry = this.#entries[number - this.firstNumber];
    assert(entry?.isKey === true, "viewers begin and resume at key frames that are there");
    return entry;
  }

  #append(entry: Entry): void {
    const { length } = entry.bytes;
    if (entry.isKey) {
      this.keys++;
      this.newestKey = this.endNumber;
      this.newestKeyBytes = this.endBytes;
      this.#groupBytes = 0;
    }
    this.#entries.push(entry);
    this.endBytes = entry.endBytes;
    this.#bytes += length;
    this.#options.totals.loggedBytes += length;
    this.#groupBytes += length;
    this.#groupBytesMost = Math.min(GROUP_BYTES_MAX, Math.max(this.#groupBytesMost, this.#groupBytes));
    this.#forget(entry.pushedMs);
  }

  /** Keeps twice of what a viewer may be behind, so that who is past that has time to finish its group. */
  #forget(nowMs: number): void {
    const bytesMax = 2 * this.#lagBytesMax;
    for (let first = this.#entries[0]; first !== undefined; first = this.#entries[0]) {
      const isTooMuch = this.#bytes > bytesMax && this.#entries.length > 1;
      const isTooOld = nowMs - first.pushedMs > 2 * LAG_MS_MAX && this.firstNumber !== this.newestKey;
      if (!isTooMuch && !isTooOld) return;
      this.#entries.shift();
      if (this.newestKey === this.firstNumber) this.newestKey = -1;
      this.firstNumber++;
      this.#bytes -= first.bytes.length;
      this.#options.totals.loggedBytes -= first.bytes.length;
    }
  }
}

function beginningOf({ opening = NO_BYTES, bytes }: TsBatch): Uint8Array {
  return opening.length === 0 ? bytes : joinBytes([opening, bytes]);
}
