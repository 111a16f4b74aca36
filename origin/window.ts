/**
 * The bounded window of one rendition in one format: the segments that a playlist lists, the open one, and those that
 * have left the list and must stay fetchable for a while. Everything is in memory, oldest out first.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.2 (how long media stays available)
import { type Run, SEGMENT_SECONDS } from "#common/formats/frame.ts";
import type { ListedSegment } from "#common/formats/playlist.ts";
import { joinBytes } from "#common/join-bytes.ts";
import type { Position } from "#common/playlist-reach.ts";
import { msToUnits, secondsToMs, unitsToMs } from "#common/units.ts";

/** How the resources of one format are called. Names carry the run, so none is ever used for other bytes. */
export interface MediaNames {
  /** Initialization segment; absent in MPEG-TS. */
  readonly init?: (run: Run) => string;
  readonly segment: (run: Run, segmentNumber: number) => string;
  /** Absent where a segment has no parts. */
  readonly part?: (run: Run, segmentNumber: number, part: number) => string;
}

export interface WindowOptions {
  readonly names: MediaNames;
  /** Length of a whole segment. */
  readonly segmentSeconds: number;
  /** Whole segments that the playlist lists. */
  readonly listedMax: number;
  /** More are listed where those are shorter than this in all. Default 0. */
  readonly listedMsMin?: number;
  readonly bytesMax: number;
}

/** A part as the window takes it. Its times are in units of the run's timescale. */
export interface NewPart {
  readonly run: Run;
  readonly segmentNumber: number;
  /** From the start of the run. */
  readonly startUnits: number;
  readonly durationUnits: number;
  readonly isIndependent: boolean;
  /** True where any of its frames is the origin's own: another origin may have those of the source. */
  readonly isSlate: boolean;
  readonly isLast: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What {@link SegmentWindow.next} tells. */
export interface NextPart {
  readonly run: Run;
  readonly position: Position;
  /** What it will be called if it is as the one before it: the source's, or the slate's. `undefined` without parts. */
  readonly name: string | undefined;
  /** True where an initialization segment comes before it. */
  readonly hasNewInit: boolean;
}

interface StoredPart {
  readonly uri: string;
  readonly durationUnits: number;
  readonly isIndependent: boolean;
  bytes: Uint8Array<ArrayBuffer>;
}

interface StoredSegment {
  readonly run: Run;
  readonly number: number;
  /** From the start of the run. */
  readonly startUnits: number;
  readonly parts: StoredPart[];
  /** True where numbers go on with it from another run. */
  readonly isFirstOfRun: boolean;
  /** True where any of its parts is the slate's. */
  isSlate: boolean;
  durationUnits: number;
  byteCount: number;
  isComplete: boolean;
  /** Broken off by a hole in its run: it never becomes whole, and its successor begins a new list. */
  isAbandoned: boolean;
  /** Never made: its number is there, its media is not. */
  isGap: boolean;
}

/** Longer outages are not listed as gaps: half of the shortest window, so that something to play is listed beside them. */
const GAP_SECONDS_MAX = 6;

export class SegmentWindow {
  readonly #options: WindowOptions;
  /** Oldest first; the last one may be open. */
  #kept: StoredSegment[] = [];
  /** The list begins here. */
  #listedFrom = 0;
  /** The list ends before this one; given from where numbers do not go on until a segment after that is whole. */
  #listedTo: number | undefined;
  /** True where the newest part is the slate's. */
  #endsInSlate = false;
  readonly #media = new Map<string, Uint8Array<ArrayBuffer>>();
  #byteCount = 0;
  /** Segments dropped because of their bytes, before their time. */
  evictedEarly = 0;
  /** How often the list began anew because numbers did not go on. */
  restarts = 0;

  constructor(options: WindowOptions) {
    this.#options = options;
  }

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Adds the next part. */
  append(part: NewPart): void {
    let segment = this.#openSegment();
    if (segment?.number !== part.segmentNumber || segment.run.id !== part.run.id) {
      if (segment?.run.id === part.run.id) this.abandonOpen();
      else this.closeOpen();
      segment = this.#begin(part);
    }
    this.#addPart(segment, part);
    if (part.isLast) this.#complete(segment);
    this.#evict();
  }

  /** Ends the open segment as it is. */
  closeOpen(): void {
    const segment = this.#openSegment();
    if (segment !== undefined) this.#complete(segment);
  }

  /** Frames of the open segment are missing: under its name only the whole one may ever be had. */
  abandonOpen(): void {
    const segment = this.#openSegment();
    if (segment !== undefined) segment.isAbandoned = true;
  }

  /** Bytes of a segment or part, or `undefined` if it is not there (yet, or any more). */
  find(name: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#media.get(name);
  }

  /** True while any segment of the run is kept. */
  hasRun(run: Run): boolean {
    return this.#kept.some((segment) => segment.run.id === run.id);
  }

  /** What a playlist lists, oldest first; empty until the first whole segment. */
  listed(): ListedSegment[] {
    const stored = this.#listedStored();
    if (!stored.some((segment) => segment.isComplete)) return [];
    const listsOpen = this.#options.names.part !== undefined;
    return stored.filter((segment) => segment.isComplete || listsOpen).map((one) => this.#describe(one));
  }

  /** The newest part that is listed, or `undefined`. */
  newest(): Position | undefined {
    const last = this.#listedStored().at(-1);
    return last === undefined ? undefined : { segmentNumber: last.number, part: last.parts.length - 1 };
  }

  /** Number of the newest listed segment that is whole. */
  newestComplete(): number | undefined {
    return this.#listedStored().findLast((segment) => segment.isComplete)?.number;
  }

  /**
   * The part that comes next, if `run` goes on as it should: where the list is to begin anew, or goes on with another
   * run, that is the first part of what follows.
   */
  next(run: Run): NextPart | undefined {
    const listed = this.#listedStored();
    const last = listed.at(-1);
    if (last === undefined) return undefined;
    const after = this.#kept[this.#listedFrom + listed.length];
    if (after !== undefined) return this.#nextPart(last, after.run, { segmentNumber: after.number, part: 0 });
    if (!last.isComplete && last.run.id === run.id && !last.isAbandoned) {
      return this.#nextPart(last, run, { segmentNumber: last.number, part: last.parts.length });
    }
    const segmentNumber = last.run.id === run.id ? last.number + 1 : this.#firstNumber(run, last);
    return this.#nextPart(last, run, { segmentNumber, part: 0 });
  }

  #nextPart(last: StoredSegment, run: Run, position: Position): NextPart {
    const hasNewInit = last.run.id !== run.id;
    const name = this.#partName({ run, ...position, isSlate: this.#endsInSlate && !hasNewInit });
    return { run, position, name, hasNewInit };
  }

  #listedStored(): StoredSegment[] {
    return this.#kept.slice(this.#listedFrom, this.#listedTo);
  }

  #openSegment(): StoredSegment | undefined {
    const last = this.#kept.at(-1);
    return last === undefined || last.isComplete || last.isAbandoned ? undefined : last;
  }

  #begin(part: NewPart): StoredSegment {
    let last = this.#kept.at(-1);
    const missing = last === undefined ? 0 : missingBefore(part, last, this.#options.segmentSeconds);
    for (let left = missing; left > 0 && last !== undefined; left--)
      last = this.#addGap(last, part.run, left);
    const continues = last === undefined || goesOn(last, part);
    // What is listed stays so until the new numbers have a whole segment: a playlist without one ends players.
    if (!continues) this.#listedTo ??= this.#kept.length;
    const isNextRun = continues && last !== undefined && last.run.id !== part.run.id;
    const opened = openSegment(part.run, part.segmentNumber, part.startUnits);
    const segment = { ...opened, isFirstOfRun: isNextRun || part.startUnits === 0 };
    this.#kept.push(segment);
    return segment;
  }

  /** The next of `left` segments that were never made between `last` and the run `next`: they share the time that is missing. */
  #addGap(last: StoredSegment, next: Run, left: number): StoredSegment {
    const { run, number } = last;
    const startUnits = last.startUnits + last.durationUnits;
    const missingUnits = msToUnits(next.startTimeMs - run.startTimeMs, run.timescale) - startUnits;
    const frameUnits = run.timescale / run.fps;
    const wholeUnits = this.#options.segmentSeconds * run.timescale;
    const durationUnits = Math.min(wholeUnits, Math.max(frameUnits, Math.floor(missingUnits / left)));
    const opened = openSegment(run, number + 1, startUnits);
    const segment = { ...opened, durationUnits, isComplete: true, isGap: true };
    this.#kept.push(segment);
    return segment;
  }

  /** Number of a run's first segment behind `last`: of the next run, what `last` has the place of is left out. */
  #firstNumber(run: Run, last: StoredSegment): number {
    const number = Math.floor(run.startFrame / (this.#options.segmentSeconds * run.fps));
    return run.ordinal === last.run.ordinal + 1 ? Math.max(number, last.number + 1) : number;
  }

  #addPart(segment: StoredSegment, part: NewPart): void {
    const { run, bytes, durationUnits, isIndependent, isSlate } = part;
    const name = this.#partName({ run, segmentNumber: segment.number, part: segment.parts.length, isSlate });
    segment.isSlate ||= isSlate;
    this.#endsInSlate = isSlate;
    segment.parts.push({ uri: name ?? "", durationUnits, isIndependent, bytes });
    segment.durationUnits += durationUnits;
    segment.byteCount += bytes.length;
    this.#byteCount += bytes.length;
    if (name !== undefined) this.#media.set(name, bytes);
  }

  #complete(segment: StoredSegment): void {
    segment.isComplete = true;
    const [first] = segment.parts;
    const bytes = segment.parts.length === 1 && first !== undefined ? first.bytes : this.#join(segment);
    this.#media.set(this.#segmentName(segment), bytes);
    if (this.#listedTo === undefined) return;
    this.#listedFrom = this.#kept.length - 1;
    this.#listedTo = undefined;
    this.restarts++;
  }

  /** Joins the parts into one buffer, of which they become views: nothing is kept twice. */
  #join({ parts }: StoredSegment): Uint8Array<ArrayBuffer> {
    const bytes = joinBytes(parts.map((part) => part.bytes));
    let offset = 0;
    for (const part of parts) {
      part.bytes = bytes.subarray(offset, offset + part.bytes.length);
      offset += part.bytes.length;
      if (part.uri !== "") this.#media.set(part.uri, part.bytes);
    }
    return bytes;
  }

  /** Media stays as long again as the list is, and two segments more, after it has left the list (6.2.2). */
  #evict(): void {
    const { listedMax, listedMsMin = 0, bytesMax } = this.#options;
    const complete = this.#listedStored().filter((segment) => segment.isComplete);
    let leftMs = complete.reduce((sum, segment) => sum + durationMs(segment), 0);
    let left = complete.length;
    for (const segment of complete) {
      leftMs -= durationMs(segment);
      if (left <= listedMax || leftMs < listedMsMin) break;
      left--;
      this.#listedFrom++;
    }
    while (this.#kept.length > 2 * Math.max(left, listedMax) + 2) this.#evictOldest();
    while (this.#byteCount > bytesMax && this.#kept.length > 2) {
      this.#evictOldest();
      this.evictedEarly++;
    }
  }

  #evictOldest(): void {
    const segment = this.#kept.shift();
    if (segment === undefined) return;
    this.#listedFrom = Math.max(0, this.#listedFrom - 1);
    if (this.#listedTo !== undefined) this.#listedTo = Math.max(0, this.#listedTo - 1);
    this.#byteCount -= segment.byteCount;
    for (const part of segment.parts) this.#media.delete(part.uri);
    this.#media.delete(this.#segmentName(segment));
  }

  #segmentName({ run, number, isSlate }: StoredSegment): string {
    const name = this.#options.names.segment(run, number);
    return isSlate ? slateName(name) : name;
  }

  #partName(options: {
    readonly run: Run;
    readonly segmentNumber: number;
    readonly part: number;
    readonly isSlate: boolean;
  }): string | undefined {
    const name = this.#options.names.part?.(options.run, options.segmentNumber, options.part);
    return name !== undefined && options.isSlate ? slateName(name) : name;
  }

  #describe(segment: StoredSegment): ListedSegment {
    const { run, number, startUnits, durationUnits, isFirstOfRun, isComplete, isGap, parts } = segment;
    const mapUri = this.#options.names.init?.(run);
    return {
      mediaSequence: number,
      uri: this.#segmentName(segment),
      durationUnits,
      timescale: run.timescale,
      startTimeMs: dateOf(segment, startUnits),
      ordinal: run.ordinal,
      isFirstOfRun,
      isComplete,
      isGap,
      parts,
      ...(mapUri === undefined ? {} : { mapUri }),
    };
  }
}

function openSegment(run: Run, number: number, startUnits: number): StoredSegment {
  return {
    run,
    number,
    startUnits,
    parts: [],
    isFirstOfRun: false,
    isSlate: false,
    durationUnits: 0,
    byteCount: 0,
    isComplete: false,
    isAbandoned: false,
    isGap: false,
  };
}

/** Parts and segments with pictures of the origin's own are called so: another origin may have the source's. */
function slateName(name: string): string {
  return name.replace(/\.\w+$/, "-s$&");
}

function durationMs({ durationUnits, run }: StoredSegment): number {
  return unitsToMs(durationUnits, run.timescale);
}

/** True where no number is missing between the two, and no time within one run. */
function goesOn(last: StoredSegment, part: NewPart): boolean {
  if (part.segmentNumber !== last.number + 1 || last.isAbandoned) return false;
  return part.run.id === last.run.id
    ? part.startUnits === last.startUnits + last.durationUnits
    : part.run.ordinal === last.run.ordinal + 1;
}

/**
 * How many segments were never made between two runs: each begins in the slot of its moment, and what lies between may
 * not have been seen, or not been made. 0 where that is too long to be listed as gaps, or where there is no time for it
 * beyond the slot that the last one was cut off in.
 */
function missingBefore(
  { run, segmentNumber, startUnits }: NewPart,
  last: StoredSegment,
  segmentSeconds: number,
): number {
  const missing = segmentNumber - last.number - 1;
  if (missing <= 0 || run.ordinal !== last.run.ordinal + 1 || startUnits !== 0) return 0;
  const missingSeconds = missing * segmentSeconds;
  const passedMs = run.startTimeMs - dateOf(last, last.startUnits + last.durationUnits);
  const isInTime = secondsToMs(missingSeconds - SEGMENT_SECONDS) <= Math.max(0, passedMs);
  return missingSeconds <= GAP_SECONDS_MAX && isInTime ? missing : 0;
}

/** Milliseconds since 1970. */
function dateOf({ run }: StoredSegment, units: number): number {
  return run.startTimeMs + unitsToMs(units, run.timescale);
}
