/**
 * One media playlist and what it lists: the window, the text as it goes out, and the requests that wait for the next
 * part or segment. What a reload may ask for, and when it is answered, is decided here.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload)
import type { Clock } from "#common/clock.ts";
import { type HeldBudget, type HeldOutcome, HeldRequests } from "#common/held-requests.ts";
import { writeMediaPlaylist, type PartsOptions } from "#common/formats/playlist.ts";
import type { Run } from "#common/formats/frame.ts";
import { secondsToMs } from "#common/units.ts";
import { HOLD_TARGET_DURATIONS } from "./config.ts";
import { RenderedPlaylist, type RenderedText } from "./rendered-playlist.ts";
import { type NewPart, type Position, SegmentWindow, type WindowOptions } from "./window.ts";

/** How far ahead of the last whole segment a reload may ask. */
const AHEAD_SEGMENTS_MAX = 2;
/** How far ahead of the last part: three parts or, with parts shorter than a second, three seconds of them. */
const AHEAD_PARTS = 3;
/** Positions of a segment's parts in the order of {@link HeldRequests}; more parts than any segment has. */
const POSITIONS_PER_SEGMENT = 1024;

/** `_HLS_msn` and `_HLS_part` of a reload. */
export interface ReloadDirectives {
  readonly segmentNumber: number;
  readonly part: number | undefined;
}

/** `bad`: asks too far ahead. `unavailable`: nothing is listed yet, or only what lies behind. The others as in {@link HeldOutcome}. */
export type Reload =
  | { readonly outcome: "ready"; readonly text: RenderedText }
  | { readonly outcome: "bad" | "unavailable" | Exclude<HeldOutcome, "ready"> };

const UNAVAILABLE = { outcome: "unavailable" } as const;

/** Bytes, or why there are none; `unavailable` as in {@link Reload}. */
export type MediaOutcome = Uint8Array<ArrayBuffer> | "unavailable" | HeldOutcome;

/** What changes with the run. */
export interface TrackGrid {
  readonly run: Run;
  readonly segmentFrames: number;
  readonly partFrames: number;
}

export interface TrackOptions {
  readonly targetDurationSeconds: number;
  readonly window: WindowOptions;
  /** What other renditions' playlists stand at; absent in a playlist of whole segments. */
  readonly reports: (() => PartsOptions["reports"]) | undefined;
  /** True while the source still sends its history: what is listed lies behind what viewers know. */
  readonly isCatchingUp: () => boolean;
  readonly clock: Clock;
  readonly budget: HeldBudget;
}

export class Track {
  readonly window: SegmentWindow;
  readonly targetDurationSeconds: number;
  readonly #options: TrackOptions;
  readonly #held: HeldRequests;
  readonly #rendered = new RenderedPlaylist(() => this.#render());
  #grid: TrackGrid | undefined;
  #restartsSeen = 0;
  #revision = 0;

  constructor(options: TrackOptions) {
    this.#options = options;
    this.targetDurationSeconds = options.targetDurationSeconds;
    this.window = new SegmentWindow(options.window);
    this.#held = new HeldRequests({ clock: options.clock, budget: options.budget });
  }

  get hasParts(): boolean {
    return this.#options.reports !== undefined;
  }

  /** Frames from now on belong to this grid. */
  setGrid(grid: TrackGrid): void {
    this.#grid = grid;
  }

  append(part: NewPart): void {
    this.window.append(part);
  }

  closeOpen(): void {
    this.window.closeOpen();
  }

  abandonOpen(): void {
    this.window.abandonOpen();
  }

  /** Shows what was appended and wakes those who waited for it. */
  publish(): void {
    this.#revision++;
    if (this.window.restarts !== this.#restartsSeen) {
      this.#restartsSeen = this.window.restarts;
      this.#held.reset();
    }
    const newest = this.window.newest();
    if (newest !== undefined && this.window.newestComplete() !== undefined) {
      this.#held.publish(placeOf(newest));
    }
  }

  /** Ends all waits. */
  close(): void {
    this.#held.close();
  }

  /** The playlist as it is, without waiting. */
  current(): Reload {
    if (this.#options.isCatchingUp()) return UNAVAILABLE;
    const text = this.#rendered.at(this.#revision);
    return text === undefined ? UNAVAILABLE : { outcome: "ready", text };
  }

  /** The playlist as soon as it has what `directives` ask for. */
  reload(directives: ReloadDirectives, signal: AbortSignal): Reload | Promise<Reload> {
    const wanted = this.#wanted(directives);
    if ("outcome" in wanted) return wanted;
    return this.#hold(wanted, signal).then((outcome) => (outcome === "ready" ? this.current() : { outcome }));
  }

  /** The playlist now, unless `directives` ask for what they may not. */
  reloadNow(directives: ReloadDirectives): Reload {
    const wanted = this.#wanted(directives);
    return "outcome" in wanted ? wanted : this.current();
  }

  /** Bytes of a segment or part; the part that comes next is waited for. */
  media(name: string, signal: AbortSignal): MediaOutcome | Promise<MediaOutcome> {
    const present = this.mediaNow(name);
    if (present !== "gone") return present;
    const { part: nameOf } = this.#options.window.names;
    const next = this.#grid === undefined ? undefined : this.window.next(this.#grid.run);
    if (nameOf === undefined || next === undefined) return "gone";
    const { segmentNumber, part } = next.position;
    if (name !== nameOf(next.run, segmentNumber, part)) return "gone";
    return this.#hold(next.position, signal).then(
      // Where the list begins anew, the hinted part may be there although its place is not.
      (outcome) => this.window.find(name) ?? (outcome === "ready" ? "gone" : outcome),
    );
  }

  /** The same without waiting. */
  mediaNow(name: string): MediaOutcome {
    return this.window.find(name) ?? (this.#options.isCatchingUp() ? "unavailable" : "gone");
  }

  /** The place that is asked for, or why the answer is another one. */
  #wanted(directives: ReloadDirectives): Position | Exclude<Reload, { readonly outcome: "ready" }> {
    const complete = this.window.newestComplete();
    const newest = this.window.newest();
    const grid = this.#grid;
    if (complete === undefined || newest === undefined || grid === undefined) return UNAVAILABLE;
    if (this.#options.isCatchingUp()) return UNAVAILABLE;
    if (directives.segmentNumber > complete + AHEAD_SEGMENTS_MAX) return { outcome: "bad" };
    const wanted = this.#normalize(directives, grid);
    const isFar = this.hasParts && this.#partsAhead(wanted, newest, grid) > partsAheadMax(grid);
    return isFar ? { outcome: "bad" } : wanted;
  }

  #hold(wanted: Position, signal: AbortSignal): Promise<HeldOutcome> {
    const holdMsMax = secondsToMs(HOLD_TARGET_DURATIONS * this.targetDurationSeconds);
    return this.#held.hold(placeOf(wanted), { holdMsMax, signal });
  }

  /** A part beyond a segment's last one is the first of the next; without parts, or asking for none, it is the first. */
  #normalize(
    { segmentNumber, part = 0 }: ReloadDirectives,
    { segmentFrames, partFrames }: TrackGrid,
  ): Position {
    if (!this.hasParts) return { segmentNumber, part: 0 };
    const partCount = Math.ceil(segmentFrames / partFrames);
    return part < partCount ? { segmentNumber, part } : { segmentNumber: segmentNumber + 1, part: 0 };
  }

  #partsAhead(wanted: Position, newest: Position, { segmentFrames, partFrames }: TrackGrid): number {
    const partCount = Math.ceil(segmentFrames / partFrames);
    return (wanted.segmentNumber - newest.segmentNumber) * partCount + wanted.part - newest.part;
  }

  #render(): string | undefined {
    const segments = this.window.listed();
    const grid = this.#grid;
    if (segments.length === 0 || grid === undefined) return undefined;
    const { fps } = grid.run;
    const { targetDurationSeconds } = this;
    const parts = this.#renderParts(grid);
    return writeMediaPlaylist({ targetDurationSeconds, segments, fps, ...(parts && { parts }) });
  }

  #renderParts(grid: TrackGrid): PartsOptions | undefined {
    const { reports, window } = this.#options;
    const next = this.window.next(grid.run);
    if (reports === undefined || window.names.part === undefined || next === undefined) return undefined;
    const { segmentNumber, part } = next.position;
    const mapUri = next.hasNewInit ? window.names.init?.(next.run) : undefined;
    return {
      partFrames: grid.partFrames,
      preloadHintUri: window.names.part(next.run, segmentNumber, part),
      ...(mapUri === undefined ? {} : { preloadMapUri: mapUri }),
      reports: reports(),
    };
  }
}

function partsAheadMax({ run, partFrames }: TrackGrid): number {
  return partFrames < run.fps ? (AHEAD_PARTS * run.fps) / partFrames : AHEAD_PARTS;
}

function placeOf({ segmentNumber, part }: Position): number {
  return segmentNumber * POSITIONS_PER_SEGMENT + part;
}
