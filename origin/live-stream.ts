/**
 * The stream as a whole: takes what the source tells, hands frames to renditions, and knows whether it is live. Runs
 * begin here; frames that a reconnected source repeats end here.
 */
import type { Clock } from "#common/clock.ts";
import { type CanvasFigures, type EncodedFrame, type Run, RENDITIONS_MAX } from "#common/formats/frame.ts";
import type { RenditionReport } from "#common/formats/playlist.ts";
import { HOLD_TARGET_DURATIONS } from "#common/held-playlist.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import type { Log } from "#common/log.ts";
import { FanOutTotals } from "#common/ts-fan-out.ts";
import { secondsToMs } from "#common/units.ts";
import { CatchUp } from "./catch-up.ts";
import { CMAF_SEGMENT_SECONDS, fitsWindow, WINDOW_SECONDS } from "./config.ts";
import { CutTimes } from "./cut-times.ts";
import { type Format, Multivariants } from "./multivariant.ts";
import type { RenderedText } from "./rendered-text.ts";
import { RenditionStream } from "./rendition.ts";
import type { SegmentSpan } from "./segment-tables.ts";
import type { SourceHandlers } from "./source.ts";
import { SourceLog } from "./source-log.ts";
import { Staging } from "./staging.ts";

/** Without a frame for this long the stream is not live: everyone who waited has been told so. */
const SILENCE_MS_MAX = secondsToMs(HOLD_TARGET_DURATIONS * CMAF_SEGMENT_SECONDS);
/** Names of sizes past by which renditions are still found: those of two whole ladders. The oldest are forgotten. */
const FORMER_NAMES_MAX = 2 * RENDITIONS_MAX;

export interface LiveStreamOptions {
  readonly partDurationMs: number;
  /** Length of the window that playlists list, as asked for. */
  readonly windowSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly budget: HeldBudget;
}

export class LiveStream implements SourceHandlers {
  readonly #options: LiveStreamOptions;
  readonly #log: SourceLog;
  readonly #renditions = new Map<string, RenditionStream>();
  /** By names that they had before their size changed. */
  readonly #formerNames = new Map<string, RenditionStream>();
  /** By track number of the present run. */
  #tracks = new Map<number, RenditionStream>();
  /** Which rendition of the present run it is by its name, from 0. */
  #orders = new Map<string, number>();
  #run: Run | undefined;
  /** Of all playlists: decided by the first run, and the same from then on. */
  #windowSeconds = WINDOW_SECONDS;
  #figures: CanvasFigures | undefined;
  #lastFrameMs: number | undefined;
  #isEnded = false;
  /** The same without the slate. */
  #lastSourceMs: number | undefined;
  readonly #catchUp: CatchUp;
  readonly #staging = new Staging();
  readonly #multivariants = new Multivariants(() => this.#inOrder());
  /** Of renditions that are no more. */
  readonly #past = { evictedEarly: 0, restarts: 0 };
  readonly relayTotals = new FanOutTotals();
  readonly relayCounters = { sentBytes: 0 };
  readonly cutTimes: CutTimes;
  /** Totals for metrics: frames of all renditions, without repeated ones. */
  frames = 0;
  runs = 0;

  constructor(options: LiveStreamOptions) {
    this.#options = options;
    this.#catchUp = new CatchUp(options.clock);
    this.cutTimes = new CutTimes(options.clock);
    this.#log = new SourceLog(options.log, options.clock);
  }

  onRun(run: Run): void {
    this.#catchUp.onRun();
    if (this.#run?.id === run.id && this.#run.startFrame === run.startFrame) return;
    const { id, ordinal, startFrame } = run;
    this.#log.say("info", "Run begins", { run: id, ordinal, startFrame });
    for (const stream of this.#renditions.values()) stream.endRun();
    this.#staging.flush();
    if (this.#run === undefined) this.#windowSeconds = this.#chooseWindow(run);
    else this.#passOn(this.#run, run);
    this.#run = run;
    this.runs++;
    this.#tracks = new Map();
    this.#orders = new Map(run.renditions.map(({ name }, order) => [name, order]));
    for (const rendition of run.renditions) {
      const stream = this.#renditions.get(rendition.name) ?? this.#addRendition(rendition.name, run);
      this.#tracks.set(rendition.trackId, stream);
      stream.startRun(run, rendition);
    }
    for (const [name, stream] of this.#renditions) {
      if (!this.#orders.has(name)) this.#dropRendition(stream);
    }
    for (const stream of this.#renditions.values()) stream.publish();
    this.#multivariants.invalidate();
  }

  onFrame(frame: EncodedFrame): void {
    const run = this.#run;
    if (run === undefined || this.#tracks.get(frame.trackId)?.push(frame) !== true) return;
    this.#lastFrameMs = this.#options.clock.monotonicMs();
    if (frame.isSlate === undefined) {
      this.frames++;
      this.#lastSourceMs = this.#lastFrameMs;
    }
    this.#catchUp.onFrame(frame.number, run.fps);
    if (!this.isCatchingUp && frame.isSlate === undefined) this.cutTimes.addFrame(frame.captureTimeMs);
    const reached = Array.from(this.#tracks.values(), (stream) => stream.nextNumber - 1);
    const isChanged = this.#staging.advance({ fps: run.fps, reached });
    if (isChanged) this.#multivariants.invalidate();
  }

  onFigures(figures: CanvasFigures): void {
    this.#figures = figures;
    this.#catchUp.onFigures();
  }

  /** The source is over: playlists end, and everyone who waits is told. */
  onEnd(): void {
    this.#isEnded = true;
    this.#catchUp.onEnd();
    for (const stream of this.#renditions.values()) stream.finish();
    this.#staging.flush();
    for (const stream of this.#renditions.values()) stream.end();
    this.#multivariants.invalidate();
    this.#options.log.info("Stream ended", { run: this.#run?.id });
  }

  /** True once nothing will follow. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The present run, or `undefined` before the first. */
  get run(): Run | undefined {
    return this.#run;
  }

  /** The latest figures of the canvas. */
  get figures(): CanvasFigures | undefined {
    return this.#figures;
  }

  get windowBytes(): number {
    return this.#sum((rendition) => rendition.windowBytes);
  }

  get evictedEarly(): number {
    return this.#past.evictedEarly + this.#sum(evictedEarlyOf);
  }

  /** How often lists began anew because numbers did not go on. */
  get listRestarts(): number {
    return this.#past.restarts + this.#sum(restartsOf);
  }

  /** True from the first run on until the history before it is read: what is listed lies behind what viewers know. */
  get isCatchingUp(): boolean {
    return this.#run !== undefined && !this.#catchUp.isDone;
  }

  /** False while no frames come, neither of the source nor of the slate. */
  get isLive(): boolean {
    return this.#sinceMs(this.#lastFrameMs) < SILENCE_MS_MAX;
  }

  /** Since the last new frame of the source; infinite before the first. */
  silenceMs(): number {
    return this.#sinceMs(this.#lastSourceMs);
  }

  /** True once every rendition lists a whole segment. */
  get isListed(): boolean {
    const renditions = [...this.#renditions.values()];
    return (
      renditions.length > 0 && renditions.every(({ cmaf }) => cmaf.window.newestComplete() !== undefined)
    );
  }

  /** By its name, or by one that it had before its size changed. */
  rendition(name: string): RenditionStream | undefined {
    return this.#renditions.get(name) ?? this.#formerNames.get(name);
  }

  /** The full size. */
  get firstRendition(): RenditionStream | undefined {
    return this.#inOrder()[0];
  }

  /** A multivariant playlist with URIs below each of `bases` as in {@link Multivariants.text}; `undefined` before anything is listed. */
  multivariant(format: Format, bases: readonly string[]): RenderedText | undefined {
    if (!this.isListed || this.isCatchingUp) return undefined;
    return this.#multivariants.text(format, bases);
  }

  /** Which segments the playlists of a format show, all renditions together; `undefined` before anything is listed. */
  segmentSpan(format: Format): SegmentSpan | undefined {
    if (!this.isListed || this.isCatchingUp) return undefined;
    const spans = this.#inOrder().flatMap((rendition) => rendition[format].span ?? []);
    return spans.reduce<SegmentSpan | undefined>(
      (all, { first, next, targetDurationSeconds }) => ({
        first: Math.min(all?.first ?? first, first),
        next: Math.max(all?.next ?? next, next),
        targetDurationSeconds,
      }),
      undefined,
    );
  }

  /** Ends all waits and all viewers. */
  close(): void {
    for (const rendition of this.#renditions.values()) rendition.close();
  }

  /** The renditions of the present run, the full size first. */
  #inOrder(): RenditionStream[] {
    return (this.#run?.renditions ?? []).flatMap(({ name }) => this.#renditions.get(name) ?? []);
  }

  /** In whole segments; the default where the memory for what is asked for is not there. */
  #chooseWindow({ renditions }: Run): number {
    const { windowSeconds, log } = this.#options;
    const bitsPerSecond = Math.max(...renditions.map((rendition) => rendition.bitsPerSecondMax));
    if (windowSeconds === WINDOW_SECONDS || fitsWindow(windowSeconds, bitsPerSecond)) {
      return windowSeconds - (windowSeconds % CMAF_SEGMENT_SECONDS);
    }
    const reason = `at ${bitsPerSecond} bit/s it does not fit into memory`;
    log.error(`Refused --window-seconds ${windowSeconds}: ${reason}; ${WINDOW_SECONDS} s are listed`);
    return WINDOW_SECONDS;
  }

  /**
   * Names are sizes: where those of the canvas have changed, what has another name at the same place of the ladder goes
   * on under both, so that nobody who watches is cut off. What follows says of itself that it is discontinuous.
   */
  #passOn(before: Run, run: Run): void {
    if (before.offGrid !== undefined || run.offGrid !== undefined) return;
    const names = new Set(run.renditions.map(({ name }) => name));
    for (const [place, { name }] of run.renditions.entries()) {
      const former = before.renditions[place]?.name;
      const stream = former === undefined || names.has(former) ? undefined : this.#renditions.get(former);
      if (former === undefined || stream === undefined || this.#renditions.has(name)) continue;
      this.#renditions.delete(former);
      this.#renditions.set(name, stream);
      stream.name = name;
      this.#formerNames.delete(former);
      this.#formerNames.set(former, stream);
    }
    for (const [former] of this.#formerNames) {
      if (this.#formerNames.size <= FORMER_NAMES_MAX) break;
      this.#formerNames.delete(former);
    }
  }

  #addRendition(name: string, { offGrid }: Run): RenditionStream {
    const { partDurationMs, clock, budget } = this.#options;
    const rendition: RenditionStream = new RenditionStream({
      name,
      partDurationMs,
      windowSeconds: this.#windowSeconds,
      ...(offGrid && { targetDurationSeconds: offGrid.targetDurationSeconds }),
      clock,
      budget,
      relayTotals: this.relayTotals,
      relayCounters: this.relayCounters,
      cutTimes: this.cutTimes,
      reports: () => this.#reportsFor(rendition.name),
      stage: (change) => this.#staging.add({ ...change, order: this.#orders.get(rendition.name) ?? 0 }),
      isCatchingUp: () => this.isCatchingUp,
    });
    this.#renditions.set(name, rendition);
    return rendition;
  }

  #dropRendition(stream: RenditionStream): void {
    this.#renditions.delete(stream.name);
    for (const [former, other] of this.#formerNames) if (other === stream) this.#formerNames.delete(former);
    this.#past.evictedEarly += evictedEarlyOf(stream);
    this.#past.restarts += restartsOf(stream);
    stream.close();
  }

  #reportsFor(name: string): RenditionReport[] {
    const reports: RenditionReport[] = [];
    for (const other of this.#inOrder()) {
      const report = other.name === name ? undefined : other.report();
      if (report !== undefined) reports.push(report);
    }
    return reports;
  }

  #sinceMs(frameMs: number | undefined): number {
    return frameMs === undefined ? Number.POSITIVE_INFINITY : this.#options.clock.monotonicMs() - frameMs;
  }

  #sum(read: (rendition: RenditionStream) => number): number {
    return this.#renditions.values().reduce((sum, rendition) => sum + read(rendition), 0);
  }
}

function evictedEarlyOf({ cmaf, ts }: RenditionStream): number {
  return cmaf.window.evictedEarly + ts.window.evictedEarly;
}

function restartsOf({ cmaf, ts }: RenditionStream): number {
  return cmaf.window.restarts + ts.window.restarts;
}
