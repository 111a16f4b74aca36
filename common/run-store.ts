/**
 * What makes frame numbers go up for ever, over restarts and kill -9: a tiny record in `<data-dir>/<role>/` of the
 * ordinal of the run and of the last segment whose frames may have been shown. A segment is reserved there before its
 * first frame is shown to anybody; a new run begins after it, so no number is used twice. Which number belongs to which
 * moment stays the same over all runs: what is shown between two of them has the numbers that lie between theirs.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode } from "#common/errors.ts";
import { framesPerSegment, type Run, SEGMENT_SECONDS } from "#common/formats/frame.ts";
import type { Log } from "#common/log.ts";
import { framesToMs, msToSeconds, secondsToMs } from "#common/units.ts";
import { openDataFolder } from "./data-folder.ts";

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

/** A run that begins is told of so long before its first frame at least: its encoder is opened meanwhile. */
const BEGIN_MS = 500;
const SEGMENT_MS = secondsToMs(SEGMENT_SECONDS);

/** The fields of a {@link Run} that must not go back. */
export interface RunStart extends Pick<Run, "id" | "ordinal" | "startFrame"> {
  /**
   * When its first frame is due, milliseconds since 1970; not before {@link BEGIN_MS} from now. Further ahead than a few
   * seconds where the clock was set back: then dates run ahead of it, as they must not go back. 0 where it is all one.
   */
  readonly startTimeMsMin: number;
}

interface RunRecord {
  readonly ordinal: number;
  readonly lastSegment: number;
  /** When that segment began by the dates of its run, milliseconds since 1970. Absent in records of earlier versions. */
  readonly lastSegmentMs?: number;
}

export interface RunStoreOptions {
  /** `--data-dir`; the role's folder in it is made where it is missing. */
  readonly dataDir: string;
  /** Who gives the runs their numbers: the server to those of its encoder, an origin to those of a source that has none. */
  readonly role: "server" | "origin";
  readonly clock: Clock;
  readonly log: Log;
}

/** The ordinal of a run without a record before it. */
function firstOrdinal(wallMs: number): number {
  return Math.max(0, Math.floor((wallMs - ORDINAL_START_MS) / MILLISECONDS_PER_HOUR));
}

/** The record on disk, and the lock that keeps a second process from it. */
export class RunStore {
  readonly #options: RunStoreOptions;
  readonly #path: string;
  readonly #unlock: () => void;
  #record: RunRecord | undefined;
  /** Of the run at hand; in the record once it has shown a frame. */
  #ordinal: number | undefined;
  /** The latest end of a frame, by the dates of its run; `undefined` where this process has shown none. */
  #shownEndMs: number | undefined;
  #isFailing = false;

  /** Throws `StartError` where the folder cannot be used or is in use. */
  constructor(options: RunStoreOptions) {
    this.#options = options;
    const folder = join(options.dataDir, options.role);
    this.#unlock = openDataFolder(folder);
    this.#path = join(folder, RECORD_FILE);
    this.#record = this.#read();
  }

  /** Begins a run at the first segment that was never reserved: of the server, at the first whose moment is still to come. */
  beginRun(fps: number): RunStart {
    const wallMs = this.#options.clock.wallMs();
    const id = randomBytes(4).toString("hex");
    const record = this.#record;
    const { segment, startTimeMsMin } =
      this.#options.role === "server" ? slotAfter(record, wallMs) : this.#nextInRow(wallMs);
    // Not yet reserved: a run that never shows a frame uses up no number, and origins go on with the next one.
    const ordinal = record === undefined ? firstOrdinal(wallMs) : record.ordinal + 1;
    this.#ordinal = ordinal;
    return { id, ordinal, startFrame: segment * framesPerSegment(fps), startTimeMsMin };
  }

  /** Where segments are as long as a source makes them, numbers keep to no time: the next one follows. */
  #nextInRow(wallMs: number): Slot {
    const segment = this.#record === undefined ? firstSegment(wallMs) : this.#record.lastSegment + 1;
    return { segment, startTimeMsMin: this.#shownEndMs ?? endOfRecord(this.#record, wallMs) };
  }

  /** To be called before frame `number` of `run` is shown to anybody. Writes once a segment. */
  reserve(number: number, run: Pick<Run, "fps" | "startFrame" | "startTimeMs">): void {
    const segmentFrames = framesPerSegment(run.fps);
    const segment = Math.floor(number / segmentFrames);
    const startMs = dueMs(run, segment * segmentFrames);
    this.reserveSegment(segment, { startMs, shownEndMs: dueMs(run, number + 1) });
  }

  /** The same where segments are as long as they are: `startMs` is when it began, `shownEndMs` when what it shows will end. */
  reserveSegment(
    segment: number,
    { startMs, shownEndMs }: { readonly startMs: number; readonly shownEndMs: number },
  ): void {
    if (this.#ordinal === undefined) throw new TypeError("No run was begun");
    // A source that paused and its slate are numbered in turn, each by the dates of its own run.
    this.#shownEndMs = Math.max(this.#shownEndMs ?? shownEndMs, shownEndMs);
    if (this.#record !== undefined && segment <= this.#record.lastSegment) return;
    const lastSegmentMs = Math.round(startMs);
    this.#record = { ordinal: this.#ordinal, lastSegment: segment, lastSegmentMs };
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

/** When frame `number` is due by the dates of its run. */
function dueMs(
  { startFrame, startTimeMs, fps }: Pick<Run, "fps" | "startFrame" | "startTimeMs">,
  number: number,
): number {
  return startTimeMs + framesToMs(number - startFrame, fps);
}

/** Where a run may begin. */
type Slot = Pick<RunStart, "startTimeMsMin"> & { readonly segment: number };

/** The number of the first segment where there is no record. */
function firstSegment(wallMs: number): number {
  return Math.floor(msToSeconds(wallMs) / SEGMENT_SECONDS) + 1;
}

/** The first slot that is still to come, by the numbers and dates of the run before. */
function slotAfter(record: RunRecord | undefined, wallMs: number): Slot {
  if (record === undefined) return { segment: firstSegment(wallMs), startTimeMsMin: 0 };
  const { lastSegment, lastSegmentMs } = record;
  if (lastSegmentMs === undefined) return { segment: lastSegment + 1, startTimeMsMin: 0 };
  const slots = Math.max(1, Math.ceil((wallMs + BEGIN_MS - lastSegmentMs) / SEGMENT_MS));
  return { segment: lastSegment + slots, startTimeMsMin: lastSegmentMs + slots * SEGMENT_MS };
}

/**
 * Where what another process has shown ends at the latest, or 0: after a kill the frame is not known, only the segment,
 * and dates that run ahead of the clock for good are worth avoiding. The end matters where the clock was set back.
 */
function endOfRecord(record: RunRecord | undefined, wallMs: number): number {
  const segmentMs = record?.lastSegmentMs;
  return segmentMs === undefined || wallMs >= segmentMs ? 0 : segmentMs + SEGMENT_MS;
}

function parseRecord(text: string): RunRecord {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new TypeError("not an object");
  const {
    ordinal,
    lastSegment,
    lastSegmentMs,
  }: { ordinal?: unknown; lastSegment?: unknown; lastSegmentMs?: unknown } = value;
  if (!isRecorded(ordinal) || !isRecorded(lastSegment)) {
    throw new TypeError("ordinal or lastSegment is out of range");
  }
  return { ordinal, lastSegment, ...(isRecorded(lastSegmentMs) && { lastSegmentMs }) };
}

function isRecorded(field: unknown): field is number {
  return typeof field === "number" && Number.isSafeInteger(field) && field >= 0 && field < RECORD_NUMBER_MAX;
}
