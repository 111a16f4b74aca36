/**
 * Keeps the stream going while the source does not: stands between the two and puts the slate in, frame for frame at
 * the pace of the run, so that neither numbers nor times have a hole. The source takes over again at a key frame; a run
 * that begins anew follows at the start of a segment.
 */
import type { Clock } from "#common/clock.ts";
import { type CanvasFigures, type EncodedFrame, framesPerSegment, type Run } from "#common/formats/frame.ts";
import { framesToMs, MILLISECONDS_PER_SECOND } from "#common/units.ts";
import { LOST_MS, SILENT_MS, SlateTimer } from "./slate-timer.ts";
import type { SlateTotals } from "./slate-totals.ts";
import { type LastFrame, RunSlate } from "./slate-writer.ts";
import type { SourceHandlers } from "./source.ts";

/** Where the source is to take over it is waited for this long. */
const TAKE_OVER_MS = 1_000;
/** More than this is not filled at once: numbers have jumped. */
const FILL_SECONDS_MAX = 6;

export interface ContinuityOptions {
  /** Takes the frames of the source and of the slate. */
  readonly stream: SourceHandlers & {
    /** True until what the source sends first is read: before that there is nothing to continue. */
    readonly isCatchingUp: boolean;
  };
  /** False: an outage of the source is one of the stream. */
  readonly isOn: boolean;
  readonly isSourceLive: () => boolean;
  readonly totals: SlateTotals;
  readonly clock: Clock;
}

/** How far one rendition is. */
interface TrackState {
  /** The number that is due next. */
  next: number;
  last: LastFrame | undefined;
}

/** Since when the slate is shown. */
interface Showing {
  /** Number of the first frame that the source did not bring. */
  readonly lostNumber: number;
  /** When that was due, by the monotonic clock. */
  readonly lostMs: number;
  /** When the slate began. */
  readonly beganMs: number;
}

export class Continuity implements SourceHandlers {
  readonly #options: ContinuityOptions;
  #run: Run | undefined;
  #slate: RunSlate | undefined;
  /** By track number of the present run. */
  #tracks = new Map<number, TrackState>();
  /** The newest number of the source, and when it came. */
  #newest = 0;
  #newestMs = 0;
  /** The newest number that the source sent of the run it is at, shown or not, and when; or when it first told of that run. */
  #heard = 0;
  #heardMs = 0;
  #showing: Showing | undefined;
  /** A run that follows the present one at the start of a segment. */
  #coming: { readonly run: Run; readonly slate: RunSlate | undefined } | undefined;
  readonly #timer: SlateTimer;

  constructor(options: ContinuityOptions) {
    this.#options = options;
    this.#timer = new SlateTimer(options.clock, (nowMs) => this.#check(nowMs));
  }

  /** True while the slate is shown. */
  get isShowing(): boolean {
    return this.#showing !== undefined;
  }

  onRun(run: Run): void {
    if (this.#run?.id === run.id && this.#run.startFrame === run.startFrame) {
      if (this.#coming !== undefined) this.#heard = this.#newest;
      this.#coming = undefined;
      this.#options.stream.onRun(this.#run);
      return;
    }
    if (this.#coming?.run.id !== run.id) this.#hear(run.startFrame - 1);
    const slate = this.#options.isOn ? RunSlate.open(run) : undefined;
    const coming = { run: slate?.run ?? run, slate };
    if (this.#slate === undefined || this.#options.stream.isCatchingUp) this.#adopt(coming, run.startFrame);
    else this.#coming = coming;
  }

  onFrame(frame: EncodedFrame): void {
    if (frame.number > this.#heard) this.#hear(frame.number);
    if (this.#coming !== undefined && !this.#follow(this.#coming, frame)) return;
    if (this.#showing !== undefined && !this.#takeOver(frame)) return;
    const track = this.#tracks.get(frame.trackId);
    if (track === undefined || frame.number < track.next) return;
    this.#newest = Math.max(this.#newest, frame.number);
    this.#newestMs = this.#options.clock.monotonicMs();
    this.#pass(frame, track);
  }

  onFigures(figures: CanvasFigures): void {
    this.#options.stream.onFigures(figures);
  }

  /** A source that is over is missing nothing. */
  onEnd(): void {
    this.close();
    this.#end();
    this.#options.stream.onEnd();
  }

  /** Shows nothing more. */
  close(): void {
    this.#timer.close();
  }

  /** The source brings something new: history that it sends again says nothing of what will follow. */
  #hear(number: number): void {
    this.#heard = number;
    this.#heardMs = this.#options.clock.monotonicMs();
  }

  #pass(frame: EncodedFrame, track: TrackState): void {
    const { number, captureTimeMs, data } = frame;
    track.next = number + 1;
    track.last = { number, captureTimeMs, data };
    this.#options.stream.onFrame(frame);
  }

  /** Frames from number `from` on belong to the run. */
  #adopt({ run, slate }: { readonly run: Run; readonly slate: RunSlate | undefined }, from: number): void {
    this.#coming = undefined;
    this.#run = run;
    this.#slate = slate;
    this.#tracks = new Map(run.renditions.map(({ trackId }) => [trackId, { next: from, last: undefined }]));
    this.#newest = from - 1;
    this.#newestMs = this.#options.clock.monotonicMs();
    this.#end();
    this.#options.stream.onRun(run);
  }

  /** True where the run that is coming begins with this frame: at the first segment that has nothing of the one before. */
  #follow(coming: { readonly run: Run; readonly slate: RunSlate | undefined }, frame: EncodedFrame): boolean {
    const run = this.#run;
    const segmentFrames = framesPerSegment(coming.run.fps);
    if (run === undefined || !frame.isKey || frame.number % segmentFrames !== 0) return false;
    const start = (frame.number / segmentFrames) * framesPerSegment(run.fps);
    if (start < this.#reached()) return false;
    if (this.#lowest() < start) this.#begin();
    this.#fill(start);
    this.#adopt(coming, frame.number);
    return true;
  }

  /** True where the source goes on with this frame of the present run. */
  #takeOver(frame: EncodedFrame): boolean {
    const track = this.#tracks.get(frame.trackId);
    if (track === undefined || !frame.isKey || frame.number < this.#reached()) return false;
    this.#fill(frame.number);
    for (const other of this.#tracks.values()) other.next = Math.max(other.next, frame.number);
    this.#end();
    return true;
  }

  /** The number that no rendition has yet. */
  #reached(): number {
    return Math.max(...this.#tracks.values().map((track) => track.next));
  }

  /** The number that is due next in the rendition that is furthest behind. */
  #lowest(): number {
    return Math.min(...this.#tracks.values().map((track) => track.next));
  }

  #begin(): void {
    if (this.#showing !== undefined || this.#run === undefined) return;
    const lostNumber = this.#newest + 1;
    const beganMs = this.#options.clock.monotonicMs();
    this.#showing = { lostNumber, lostMs: this.#newestMs + framesToMs(1, this.#run.fps), beganMs };
    this.#options.totals.goToSlate({ from: lostNumber });
  }

  #end(): void {
    if (this.#showing === undefined) return;
    this.#showing = undefined;
    this.#options.totals.goToSource();
  }

  /** Shows the slate up to `end`, exclusive, at once; not where that is far away. */
  #fill(end: number): void {
    if (this.#run === undefined || end - this.#reached() > FILL_SECONDS_MAX * this.#run.fps) return;
    while (this.#add(end));
  }

  /** Adds the next frame of the slate below `end`: renditions take turns. False where there is none. */
  #add(end: number): boolean {
    const [trackId, track] = [...this.#tracks].reduce((one, other) =>
      other[1].next < one[1].next ? other : one,
    );
    if (track.next >= end || track.last === undefined || this.#showing === undefined) return false;
    const frame = this.#slate?.next(trackId, track.last, this.#showing.lostNumber);
    if (frame === undefined) return false;
    this.#options.totals.frames++;
    this.#pass(frame, track);
    return true;
  }

  /** Begins the slate, and shows what of it is due. Returns when more is. */
  #check(nowMs: number): number | undefined {
    if (this.#isLost(nowMs)) this.#begin();
    this.#showDue(nowMs);
    if (this.#showing === undefined || this.#run === undefined) return undefined;
    return this.#showing.lostMs + framesToMs(this.#lowest() - this.#showing.lostNumber, this.#run.fps);
  }

  /** True where the source has stopped, and the slate can go on for it. */
  #isLost(nowMs: number): boolean {
    const { stream, isSourceLive } = this.#options;
    if (this.#slate === undefined || stream.isCatchingUp) return false;
    if (![...this.#tracks.values()].every(({ last }) => last !== undefined)) return false;
    const isGone = this.#coming !== undefined || !isSourceLive();
    return nowMs - this.#newestMs >= (isGone ? LOST_MS : SILENT_MS);
  }

  /** Shows what of the slate is due; not past the place where the source is about to take over. */
  #showDue(nowMs: number): void {
    const showing = this.#showing;
    const run = this.#run;
    if (showing === undefined || run === undefined) return;
    const passed = Math.floor(((nowMs - showing.lostMs) * run.fps) / MILLISECONDS_PER_SECOND);
    const end = showing.lostNumber + passed + 1;
    while (!this.#isAwaited(this.#lowest(), nowMs) && this.#add(end));
  }

  /** True where the source may take over at `number`, and still may come for it. */
  #isAwaited(number: number, nowMs: number): boolean {
    const run = this.#run;
    const showing = this.#showing;
    if (run === undefined || showing === undefined) return false;
    const coming = this.#coming?.run;
    const frames = coming === undefined ? run.fps : framesPerSegment(run.fps);
    if (number % frames !== 0) return false;
    if (coming === undefined) {
      return this.#heardMs > showing.beganMs && nowMs - this.#heardMs < TAKE_OVER_MS;
    }
    const begins = (coming.startFrame / framesPerSegment(coming.fps)) * framesPerSegment(run.fps);
    if (number < begins) return false;
    const dueMs = showing.lostMs + framesToMs(number - showing.lostNumber, run.fps);
    // Past its start, a run that has not begun is waited for only while there is something of it.
    const sinceMs = number === begins ? Math.max(dueMs, this.#heardMs) : this.#heardMs;
    return nowMs - sinceMs < TAKE_OVER_MS;
  }
}
