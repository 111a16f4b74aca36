/**
 * What makes frame numbers go up for ever, over restarts and kill -9: a tiny record in `<data-dir>/server/` of the
 * ordinal of the run and of the last segment whose frames may have been shown. A segment is reserved there before its
 * first frame leaves the encoder; a new run begins at the one after it, so no number is used twice and none is left out.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode } from "#common/errors.ts";
import { framesPerSegment, type Run, SEGMENT_SECONDS } from "#common/formats/frame.ts";
import type { Log } from "#common/log.ts";
import { msToSeconds } from "#common/units.ts";
import { openDataFolder } from "./run-store-lock.ts";

const RECORD_FILE = "run.json";
/** Records count segments, so that a changed frame rate keeps the order. Times 2 s times the highest frame rate, a lower number stays whole in floating point. */
const RECORD_NUMBER_MAX = 2 ** 43;
/**
 * Where no record tells the last ordinal, hours since this moment are one that is hardly lower. Not finer: players
 * keep an array with an entry for each discontinuity number (hls.js copies it at every new time stamp), so a number
 * in the millions stops them.
 */
const ORDINAL_START_MS = Date.UTC(2026, 0, 1);
const MILLISECONDS_PER_HOUR = 3_600_000;

/** The fields of a {@link Run} that must not go back. */
export type RunStart = Pick<Run, "id" | "ordinal" | "startFrame">;

interface RunRecord {
  readonly ordinal: number;
  readonly lastSegment: number;
}

export interface RunStoreOptions {
  /** `--data-dir`; the server's folder in it is made where it is missing. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The ordinal of a run without a record before it. */
function firstOrdinal(wallMs: number): number {
  return Math.max(0, Math.floor((wallMs - ORDINAL_START_MS) / MILLISECONDS_PER_HOUR));
}

/** The record on disk, and the lock that keeps a second server from it. */
export class RunStore {
  readonly #options: RunStoreOptions;
  readonly #path: string;
  readonly #unlock: () => void;
  #record: RunRecord | undefined;
  #isFailing = false;

  /** Throws `StartError` where the folder cannot be used or is in use. */
  constructor(options: RunStoreOptions) {
    this.#options = options;
    const folder = join(options.dataDir, "server");
    this.#unlock = openDataFolder(folder);
    this.#path = join(folder, RECORD_FILE);
    this.#record = this.#read();
  }

  /** Begins a run at the first segment that was never reserved, and reserves it. */
  beginRun(fps: number): RunStart {
    const wallMs = this.#options.clock.wallMs();
    const ordinal = this.#record === undefined ? firstOrdinal(wallMs) : this.#record.ordinal + 1;
    const segment =
      this.#record === undefined
        ? Math.floor(msToSeconds(wallMs) / SEGMENT_SECONDS) + 1
        : this.#record.lastSegment + 1;
    // Not yet reserved: a run that never shows a frame uses up no number.
    this.#record = { ordinal, lastSegment: segment - 1 };
    return { id: randomBytes(4).toString("hex"), ordinal, startFrame: segment * framesPerSegment(fps) };
  }

  /** To be called before frame `number` is shown to anybody. Writes once a segment. */
  reserve(number: number, fps: number): void {
    const segment = Math.floor(number / framesPerSegment(fps));
    if (this.#record === undefined) throw new TypeError("No run was begun");
    if (segment <= this.#record.lastSegment) return;
    this.#record = { ordinal: this.#record.ordinal, lastSegment: segment };
    this.#write(this.#record);
  }

  /** Gives the folder free. */
  close(): void {
    this.#unlock();
  }

  #read(): RunRecord | undefined {
    try {
      return parseRecord(readFileSync(this.#path, "utf8"));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") {
        this.#options.log.warn(
          `Cannot read ${this.#path}, numbers start from the time of day: ${describeError(error)}`,
        );
      }
      return undefined;
    }
  }

  /**
   * Replaced as a whole, so that whoever is killed here leaves the old record or the new one. A disk that is full
   * must not stop the stream: it is said once, and again when it works.
   */
  #write(record: RunRecord): void {
    const { log } = this.#options;
    try {
      writeFileSync(`${this.#path}.new`, `${JSON.stringify(record)}\n`);
      renameSync(`${this.#path}.new`, this.#path);
      if (this.#isFailing) log.info(`${this.#path} is written again`);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) {
        log.error(
          `Cannot write ${this.#path}, numbers may go back at the next start: ${describeError(error)}`,
        );
      }
      this.#isFailing = true;
    }
  }
}

function parseRecord(text: string): RunRecord {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new TypeError("not an object");
  const { ordinal, lastSegment }: { ordinal?: unknown; lastSegment?: unknown } = value;
  if (!isRecorded(ordinal) || !isRecorded(lastSegment)) {
    throw new TypeError("ordinal or lastSegment is out of range");
  }
  return { ordinal, lastSegment };
}

function isRecorded(field: unknown): field is number {
  return typeof field === "number" && Number.isSafeInteger(field) && field >= 0 && field < RECORD_NUMBER_MAX;
}
