/**
 * The stream as a whole: takes what the source tells, hands frames to renditions, and knows whether it is live. Runs
 * begin here; frames that a reconnected source repeats end here.
 */
import type { Clock } from "#common/clock.ts";
import type { CanvasFigures, EncodedFrame, Run } from "#common/formats/frame.ts";
import { writeMultivariantPlaylist, type RenditionReport, type Variant } from "#common/formats/playlist.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import type { Log } from "#common/log.ts";
import { secondsToMs } from "#common/units.ts";
import { CMAF_SEGMENT_SECONDS, HOLD_TARGET_DURATIONS } from "./config.ts";
import type { RelayTotals } from "./relay.ts";
import { RenditionStream } from "./rendition.ts";
import type { SourceHandlers } from "./source.ts";

/** Without a frame for this long the stream is not live: everyone who waited has been told so. */
const SILENCE_MS_MAX = secondsToMs(HOLD_TARGET_DURATIONS * CMAF_SEGMENT_SECONDS);

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
  #revision = 0;
  readonly relayTotals: RelayTotals = { viewers: 0, sentBytes: 0, skips: 0, droppedViewers: 0 };
  /** Totals for metrics: frames of all renditions, without repeated ones. */
  frames = 0;
  runs = 0;

  constructor(options: LiveStreamOptions) {
    this.#options = options;
  }

  onRun(run: Run): void {
    if (this.#run?.id === run.id && this.#run.startFrame === run.startFrame) return;
    this.#options.log.info("Run begins", { run: run.id, ordinal: run.ordinal, startFrame: run.startFrame });
    this.#run = run;
    this.runs++;
    this.#tracks = new Map();
    for (const rendition of run.renditions) {
      const stream = this.#renditions.get(rendition.name) ?? this.#addRendition(rendition.name);
      this.#tracks.set(rendition.trackId, stream);
      stream.startRun(run, rendition);
    }
    for (const [name, stream] of this.#renditions) {
      if (run.renditions.some((rendition) => rendition.name === name)) continue;
      this.#renditions.delete(name);
      stream.close();
    }
  }

  onFrame(frame: EncodedFrame): void {
    if (this.#tracks.get(frame.trackId)?.push(frame) !== true) return;
    this.frames++;
    this.#lastFrameMs = this.#options.clock.monotonicMs();
  }

  onFigures(figures: CanvasFigures): void {
    this.#figures = figures;
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
    return this.#sum(({ cmaf, ts }) => cmaf.window.evictedEarly + ts.window.evictedEarly);
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
  multivariant(format: Format, base: string): string | undefined {
    if (!this.isListed) return undefined;
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

  /** Ends all waits and all viewers. */
  close(): void {
    for (const rendition of this.#renditions.values()) rendition.close();
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
      onChange: () => void this.#revision++,
      revision: () => this.#revision,
    });
    this.#renditions.set(name, rendition);
    return rendition;
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
