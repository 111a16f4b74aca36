/**
 * The stream as a whole: takes what the source tells, hands frames to renditions, and knows whether it is live. Runs
 * begin here; frames that a reconnected source repeats end here.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "#common/clock.ts";
import type { CanvasFigures, EncodedFrame, Run } from "#common/formats/frame.ts";
import { writeMultivariantPlaylist, type RenditionReport, type Variant } from "#common/formats/playlist.ts";
import { HOLD_TARGET_DURATIONS } from "#common/held-playlist.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import type { Log } from "#common/log.ts";
import { secondsToMs } from "#common/units.ts";
import { CatchUp } from "./catch-up.ts";
import { CMAF_SEGMENT_SECONDS } from "./config.ts";
import type { RelayTotals } from "./relay.ts";
import { type RenderedText, renderText } from "./rendered-text.ts";
import { RenditionStream, type StagedChange } from "./rendition.ts";
import type { SourceHandlers } from "./source.ts";

/** Without a frame for this long the stream is not live: everyone who waited has been told so. */
const SILENCE_MS_MAX = secondsToMs(HOLD_TARGET_DURATIONS * CMAF_SEGMENT_SECONDS);

/** A rendition that brings nothing delays the playlists of the others by this much at most. */
const STAGED_SECONDS_MAX = 0.5;
/** Multivariant playlists kept: one for each edge that viewers were handed to since the last change. */
const MULTIVARIANTS_MAX = 64;

/** Which of a rendition's two playlists. */
export type Format = "cmaf" | "ts";

export interface LiveStreamOptions {
  readonly partDurationMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly budget: HeldBudget;
}

export class LiveStream implements SourceHandlers {
  readonly #options: LiveStreamOptions;
  readonly #renditions = new Map<string, RenditionStream>();
  /** By track number of the present run. */
  #tracks = new Map<number, RenditionStream>();
  #run: Run | undefined;
  #figures: CanvasFigures | undefined;
  #lastFrameMs: number | undefined;
  readonly #catchUp: CatchUp;
  #staged: StagedChange[] = [];
  /** Grows whenever any playlist may have changed. */
  #revision = 0;
  /** Rendered multivariant playlists of {@link LiveStream.#renderedRevision}, by format and base. */
  readonly #multivariants = new LRUCache<string, RenderedText>({ max: MULTIVARIANTS_MAX });
  #renderedRevision = 0;
  /** Of renditions that are no more. */
  readonly #past = { evictedEarly: 0, restarts: 0 };
  readonly relayTotals: RelayTotals = { viewers: 0, sentBytes: 0, skips: 0, droppedViewers: 0 };
  /** Totals for metrics: frames of all renditions, without repeated ones. */
  frames = 0;
  runs = 0;

  constructor(options: LiveStreamOptions) {
    this.#options = options;
    this.#catchUp = new CatchUp(options.clock);
  }

  onRun(run: Run): void {
    this.#catchUp.onRun();
    if (this.#run?.id === run.id && this.#run.startFrame === run.startFrame) return;
    this.#options.log.info("Run begins", { run: run.id, ordinal: run.ordinal, startFrame: run.startFrame });
    for (const stream of this.#renditions.values()) stream.endRun();
    this.#commit(this.#staged.splice(0));
    this.#run = run;
    this.runs++;
    this.#tracks = new Map();
    for (const rendition of run.renditions) {
      const stream = this.#renditions.get(rendition.name) ?? this.#addRendition(rendition.name);
      this.#tracks.set(rendition.trackId, stream);
      stream.startRun(run, rendition);
    }
    for (const [name, stream] of this.#renditions) {
      if (!run.renditions.some((rendition) => rendition.name === name)) this.#dropRendition(stream);
    }
    for (const stream of this.#renditions.values()) stream.publish();
    this.#revision++;
  }

  onFrame(frame: EncodedFrame): void {
    const run = this.#run;
    if (run === undefined || this.#tracks.get(frame.trackId)?.push(frame) !== true) return;
    this.frames++;
    this.#lastFrameMs = this.#options.clock.monotonicMs();
    this.#catchUp.onFrame(frame.number, run.fps);
    const [oldest] = this.#staged;
    if (oldest === undefined) return;
    let level = frame.number - Math.ceil(run.fps * STAGED_SECONDS_MAX);
    let slowest = Number.POSITIVE_INFINITY;
    for (const stream of this.#tracks.values()) slowest = Math.min(slowest, stream.nextNumber - 1);
    level = Math.max(level, slowest);
    if (oldest.number > level) return;
    const due = this.#staged.filter((change) => change.number <= level);
    this.#staged = this.#staged.filter((change) => change.number > level);
    this.#commit(due);
  }

  onFigures(figures: CanvasFigures): void {
    this.#figures = figures;
    this.#catchUp.onFigures();
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

  /** False while no frames come. */
  get isLive(): boolean {
    return this.silenceMs() < SILENCE_MS_MAX;
  }

  /** Since the last new frame; infinite before the first. */
  silenceMs(): number {
    if (this.#lastFrameMs === undefined) return Number.POSITIVE_INFINITY;
    return this.#options.clock.monotonicMs() - this.#lastFrameMs;
  }

  /** True once every rendition lists a whole segment. */
  get isListed(): boolean {
    const renditions = [...this.#renditions.values()];
    return (
      renditions.length > 0 && renditions.every(({ cmaf }) => cmaf.window.newestComplete() !== undefined)
    );
  }

  rendition(name: string): RenditionStream | undefined {
    return this.#renditions.get(name);
  }

  /** The full size. */
  get firstRendition(): RenditionStream | undefined {
    const first = this.#run?.renditions[0];
    return first === undefined ? undefined : this.#renditions.get(first.name);
  }

  /** A multivariant playlist with URIs below `base` (empty, or ending in `/`); `undefined` before anything is listed. */
  multivariant(format: Format, base: string): RenderedText | undefined {
    if (!this.isListed || this.isCatchingUp) return undefined;
    if (this.#renderedRevision !== this.#revision) {
      this.#renderedRevision = this.#revision;
      this.#multivariants.clear();
    }
    const key = `${format} ${base}`;
    let rendered = this.#multivariants.get(key);
    if (rendered !== undefined) return rendered;
    const text = this.#writeMultivariant(format, base);
    if (text === undefined) return undefined;
    rendered = renderText(() => text);
    this.#multivariants.set(key, rendered);
    return rendered;
  }

  /** Ends all waits and all viewers. */
  close(): void {
    for (const rendition of this.#renditions.values()) rendition.close();
  }

  #writeMultivariant(format: Format, base: string): string | undefined {
    const variants: Variant[] = [];
    for (const { name } of this.#run?.renditions ?? []) {
      const rendition = this.#renditions.get(name);
      const file = format === "cmaf" ? "index.m3u8" : "ts.m3u8";
      const variant = rendition?.variant(`${base}${name}/${file}`, rendition[format]);
      if (variant !== undefined) variants.push(variant);
    }
    return variants.length === 0
      ? undefined
      : writeMultivariantPlaylist(variants, { hasParts: format === "cmaf" });
  }

  #addRendition(name: string): RenditionStream {
    const { partDurationMs, clock, budget } = this.#options;
    const rendition = new RenditionStream({
      name,
      partDurationMs,
      clock,
      budget,
      relayTotals: this.relayTotals,
      reports: () => this.#reportsFor(name),
      stage: (change) => void this.#staged.push(change),
      isCatchingUp: () => this.isCatchingUp,
    });
    this.#renditions.set(name, rendition);
    return rendition;
  }

  #dropRendition(stream: RenditionStream): void {
    this.#renditions.delete(stream.name);
    this.#past.evictedEarly += evictedEarlyOf(stream);
    this.#past.restarts += restartsOf(stream);
    stream.close();
  }

  /** Makes changes and shows them: all at once, so that what playlists report of each other is true. */
  #commit(changes: readonly StagedChange[]): void {
    if (changes.length === 0) return;
    for (const change of changes) change.apply();
    this.#revision++;
    for (const change of changes) change.publish();
  }

  #reportsFor(name: string): RenditionReport[] {
    const reports: RenditionReport[] = [];
    for (const other of this.#renditions.values()) {
      const report = other.name === name ? undefined : other.report();
      if (report !== undefined) reports.push(report);
    }
    return reports;
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
