/**
 * Keeps the stream going while a source that has no grid (MPEG-TS) brings nothing: its run ends, a run of the slate
 * follows until its next key frame, and that begins a run again. What comes on a grid passes; `continuity.ts` continues it.
 */
import type { Clock } from "#common/clock.ts";
import type { CanvasFigures, EncodedFrame, Run } from "#common/formats/frame.ts";
import { framesPerSegment } from "#common/formats/frame.ts";
import { unitsToMs } from "#common/units.ts";
import { SlateRun, SlateWriter } from "./slate-writer.ts";
import { LOST_MS, SILENT_MS, SlateTimer } from "./slate-timer.ts";
import type { SlateTotals } from "./slate-totals.ts";
import type { SourceHandlers } from "./source.ts";
import type { RunNumbers } from "./ts-runs.ts";

export interface SlateRunsOptions {
  readonly next: SourceHandlers;
  /** False until what the source sends first is read. */
  readonly isCaughtUp: () => boolean;
  readonly isOn: boolean;
  readonly isSourceLive: () => boolean;
  /** Numbers of the source's runs, and of the slate's between them. */
  readonly numbers: RunNumbers;
  readonly totals: SlateTotals;
  readonly clock: Clock;
}

/** How the frames of the source's run become those of the run that took up after a slate. */
interface Shift {
  readonly run: Run;
  readonly frames: number;
  readonly units: number;
  readonly segments: number;
}

export class SlateRuns implements SourceHandlers {
  readonly #options: SlateRunsOptions;
  readonly #timer: SlateTimer;
  /** What the source says, with parameter sets for the slate where those can be shared; `undefined` where it has a grid. */
  #run: Run | undefined;
  #writer: SlateWriter | undefined;
  #shift: Shift | undefined;
  /** When the latest frame came. */
  #latestMs: number | undefined;
  #slate: SlateRun | undefined;
  #slateMs = 0;

  constructor(options: SlateRunsOptions) {
    this.#options = options;
    this.#timer = new SlateTimer(options.clock, (nowMs) => this.#check(nowMs));
  }

  /** True while the slate is shown. */
  get isShowing(): boolean {
    return this.#slate !== undefined;
  }

  onRun(run: Run): void {
    this.#run = undefined;
    this.#writer = undefined;
    const [rendition] = run.renditions;
    if (this.#options.isOn && run.offGrid !== undefined && rendition !== undefined) {
      // From the start, where it can be: some players keep the parameter sets that they began with.
      const joint = SlateWriter.open(rendition, { continues: false });
      this.#run = joint === undefined ? run : { ...run, renditions: [joint.rendition] };
      this.#writer = joint ?? SlateWriter.openApart(rendition);
    }
    this.#shift = undefined;
    this.#latestMs = undefined;
    this.#end();
    this.#options.next.onRun(this.#run ?? run);
  }

  onFrame(frame: EncodedFrame): void {
    const { clock, next } = this.#options;
    this.#latestMs = clock.monotonicMs();
    if (this.#slate !== undefined) {
      if (!frame.isKey) return;
      this.#takeUp(frame);
    }
    next.onFrame(this.#shift === undefined ? frame : this.#shifted(frame, this.#shift));
  }

  onFigures(figures: CanvasFigures): void {
    this.#options.next.onFigures(figures);
  }

  onEnd(): void {
    this.close();
    this.#end();
    this.#options.next.onEnd();
  }

  /** Shows nothing more. */
  close(): void {
    this.#timer.close();
  }

  /** The source goes on in the run that it had: with this key frame that is another one to viewers. */
  #takeUp(frame: EncodedFrame): void {
    const run = this.#run;
    if (run === undefined || frame.place === undefined) return;
    this.#end();
    const begun = { ...run, ...this.#begin(run) };
    const segment = Math.floor(begun.startFrame / framesPerSegment(run.fps));
    this.#shift = {
      run: begun,
      frames: begun.startFrame - frame.number,
      units: -frame.decodeUnits,
      segments: segment - frame.place.segmentNumber,
    };
    this.#options.next.onRun(begun);
  }

  #shifted(frame: EncodedFrame, { run, frames, units, segments }: Shift): EncodedFrame {
    const { place } = frame;
    const decodeUnits = frame.decodeUnits + units;
    const segmentNumber = (place?.segmentNumber ?? 0) + segments;
    const shifted = {
      ...frame,
      number: frame.number + frames,
      decodeUnits,
      captureTimeMs: run.startTimeMs + unitsToMs(decodeUnits, run.timescale),
      ...(place && { place: { ...place, segmentNumber } }),
    };
    this.#reserve(run, shifted, segmentNumber);
    return shifted;
  }

  #begin(run: Run): Pick<Run, "id" | "ordinal" | "startFrame" | "startTimeMs"> {
    const { startTimeMsMin, ...start } = this.#options.numbers.beginRun(run.fps);
    return { ...start, startTimeMs: Math.max(this.#options.clock.wallMs(), startTimeMsMin) };
  }

  #reserve(run: Run, { decodeUnits, durationUnits }: EncodedFrame, segment: number): void {
    const startMs = run.startTimeMs + unitsToMs(decodeUnits, run.timescale);
    const shownEndMs = startMs + unitsToMs(durationUnits, run.timescale);
    this.#options.numbers.reserveSegment(segment, { startMs, shownEndMs });
  }

  #check(nowMs: number): number | undefined {
    if (this.#slate === undefined) this.#beginSlate(nowMs);
    const slate = this.#slate;
    if (slate === undefined) return undefined;
    const { next, totals } = this.#options;
    while (this.#slateMs + slate.dueMs <= nowMs) {
      const frame = slate.next();
      this.#reserve(slate.run, frame, frame.place.segmentNumber);
      totals.frames++;
      next.onFrame(frame);
    }
    return this.#slateMs + slate.dueMs;
  }

  #beginSlate(nowMs: number): void {
    const { isCaughtUp, isSourceLive, totals, next, clock } = this.#options;
    const run = this.#run;
    const writer = this.#writer;
    if (run === undefined || writer === undefined) return;
    if (this.#latestMs === undefined || !isCaughtUp()) return;
    const silentMs = nowMs - this.#latestMs;
    if (silentMs < (isSourceLive() ? SILENT_MS : LOST_MS)) return;
    this.#slate = new SlateRun({ ...run, ...this.#begin(run) }, writer, clock.wallMs() - silentMs);
    this.#slateMs = nowMs;
    totals.goToSlate({ run: this.#slate.run.id });
    next.onRun(this.#slate.run);
  }

  #end(): void {
    if (this.#slate === undefined) return;
    this.#slate = undefined;
    this.#options.totals.goToSource();
  }
}
