/**
 * One media playlist and what it lists: the window, the text as it goes out, and the requests that wait for the next
 * part or segment, held in `common/held-playlist.ts`.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload)
import type { Clock } from "#common/clock.ts";
import type { Directives } from "#common/delivery-directives.ts";
import { HeldPlaylist, type PlaylistVersion } from "#common/held-playlist.ts";
import type { HeldBudget, HeldOutcome, HoldOptions } from "#common/held-requests.ts";
import { type ListedSegment, type PartsOptions, writeMediaPlaylist } from "#common/formats/playlist.ts";
import type { Run } from "#common/formats/frame.ts";
import { partsAheadMax, type PlaylistReach, wantedPosition } from "#common/playlist-reach.ts";
import { secondsToMs, unitsToMs } from "#common/units.ts";
import { type RenderedText, renderText } from "./rendered-text.ts";
import type { SegmentSpan } from "./segment-tables.ts";
import { type NewPart, SegmentWindow, type WindowOptions } from "./window.ts";

/** `bad`: asks too far ahead. `unavailable`: nothing is listed yet, or only what lies behind. The others as in {@link HeldOutcome}. */
export type Reload = Texts | { readonly outcome: "bad" | "unavailable" | Exclude<HeldOutcome, "ready"> };

/** A playlist, and its delta update: the same where nothing is left out. */
interface Texts {
  readonly outcome: "ready";
  readonly text: RenderedText;
  readonly delta: RenderedText;
}

const UNAVAILABLE = { outcome: "unavailable" } as const;

/** Bytes, or why there are none; `unavailable` as in {@link Reload}. */
export type MediaOutcome = Uint8Array<ArrayBuffer> | "unavailable" | HeldOutcome;

/** Who asks, and may have to wait. */
export type Asker<Outcome, Answer> = Omit<HoldOptions<Outcome, Answer>, "holdMsMax">;

/** What changes with the run. */
export interface TrackGrid {
  readonly run: Run;
  /** Of the longest part, in units of the run's timescale. */
  readonly partUnits: number;
  /** Parts of a segment as long as most. */
  readonly partsPerSegment: number;
}

export interface TrackOptions {
  readonly targetDurationSeconds: number;
  readonly window: WindowOptions;
  /** True where delta updates are offered. */
  readonly canSkip: boolean;
  /** What other renditions' playlists stand at; absent in a playlist of whole segments. */
  readonly reports: (() => PartsOptions["reports"]) | undefined;
  /** True while the source still sends its history: what is listed lies behind what viewers know. */
  readonly isCatchingUp: () => boolean;
  readonly clock: Clock;
  readonly budget: HeldBudget;
}

interface Version extends PlaylistVersion, Texts {}

/** How a wait ended: as others do, or with the stream. */
type TrackOutcome = HeldOutcome | "ended";

interface Writing {
  readonly grid: TrackGrid;
  readonly reports: PartsOptions["reports"] | undefined;
  readonly form: "full" | "delta";
}

export class Track {
  readonly window: SegmentWindow;
  readonly targetDurationSeconds: number;
  readonly #options: TrackOptions;
  readonly #playlist: HeldPlaylist<Version, "ended">;
  #isEnded = false;
  #grid: TrackGrid | undefined;
  /** Ordinal of the first run whose parts are as long as those of the present one. */
  #partsFrom = 0;
  #restartsSeen = 0;

  constructor(options: TrackOptions) {
    const { clock, budget, targetDurationSeconds } = options;
    this.#options = options;
    this.targetDurationSeconds = targetDurationSeconds;
    this.window = new SegmentWindow(options.window);
    const targetDurationMs = secondsToMs(targetDurationSeconds);
    this.#playlist = new HeldPlaylist({ clock, budget, targetDurationMs: () => targetDurationMs });
  }

  /** True once nothing will follow: then `_HLS_*` ask for nothing (6.2.5). */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get hasParts(): boolean {
    return this.#options.reports !== undefined;
  }

  /** The segments that it shows, the one to come included; `undefined` before the first whole one. */
  get span(): SegmentSpan | undefined {
    const [first] = this.window.listed();
    const next = this.#grid === undefined ? undefined : this.window.next(this.#grid.run);
    if (first === undefined || next === undefined) return undefined;
    return {
      first: first.mediaSequence,
      next: next.position.segmentNumber,
      targetDurationSeconds: this.targetDurationSeconds,
    };
  }

  /** Frames from now on belong to this grid. */
  setGrid(grid: TrackGrid): void {
    if (this.#grid !== undefined && partMsOf(grid) !== partMsOf(this.#grid))
      this.#partsFrom = grid.run.ordinal;
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
    if (this.window.restarts !== this.#restartsSeen) {
      this.#restartsSeen = this.window.restarts;
      this.#playlist.reset();
    }
    this.#playlist.publish(this.#version());
  }

  /** Nothing will follow: the playlist says so, and everyone who waits gets it now. */
  end(): void {
    this.#isEnded = true;
    this.publish();
    this.#playlist.end("ended");
  }

  /** Ends all waits. */
  close(): void {
    this.#playlist.close();
  }

  /** The playlist as it is, without waiting. */
  current(): Reload {
    const { newest } = this.#playlist;
    if (newest === undefined || this.#options.isCatchingUp()) return UNAVAILABLE;
    return newest;
  }

  /** What `answer` makes of the playlist as soon as it has what `directives` ask for. */
  reload<Answer>(
    directives: Directives,
    { client, answer }: Asker<Reload, Answer>,
  ): Answer | Promise<Answer> {
    const now = this.reloadNow(directives);
    const isThere = this.#isEnded || this.#playlist.standing(directives) === "listed";
    if (now.outcome !== "ready" || isThere) return answer(now);
    return this.#playlist.hold(wantedPosition(directives), {
      client,
      answer: (outcome: TrackOutcome) =>
        answer(outcome === "ready" || outcome === "ended" ? this.current() : { outcome }),
    });
  }

  /** The playlist now, unless `directives` ask for what they may not. */
  reloadNow(directives: Directives): Reload {
    const current = this.current();
    const isFar =
      current.outcome === "ready" && !this.#isEnded && this.#playlist.standing(directives) === "far";
    return isFar ? { outcome: "bad" } : current;
  }

  /** What `answer` makes of a segment or part; the part that comes next is waited for. */
  media<Answer>(name: string, { client, answer }: Asker<MediaOutcome, Answer>): Answer | Promise<Answer> {
    const present = this.mediaNow(name);
    if (present !== "gone" || this.#isEnded) return answer(present);
    const next = this.#grid === undefined ? undefined : this.window.next(this.#grid.run);
    if (next === undefined || name !== next.name) return answer("gone");
    return this.#playlist.hold(next.position, {
      client,
      // Where the list begins anew, the hinted part may be there although its place is not.
      answer: (outcome: TrackOutcome) => {
        const isOver = outcome === "ready" || outcome === "ended";
        return answer(this.window.find(name) ?? (isOver ? "gone" : outcome));
      },
    });
  }

  /** The same without waiting. */
  mediaNow(name: string): MediaOutcome {
    return this.window.find(name) ?? (this.#options.isCatchingUp() ? "unavailable" : "gone");
  }

  /** What is listed now; written when somebody asks for it. `undefined` before the first whole segment. */
  #version(): Version | undefined {
    const lastSegment = this.window.newestComplete();
    const newest = this.window.newest();
    const grid = this.#grid;
    if (lastSegment === undefined || newest === undefined || grid === undefined) return undefined;
    const parts = this.hasParts ? partsReach(grid) : undefined;
    // Read now: other renditions may go on before somebody asks.
    const reports = this.#options.reports?.();
    const text = renderText(() => this.#write({ grid, reports, form: "full" }));
    const delta = this.#options.canSkip
      ? renderText(() => this.#write({ grid, reports, form: "delta" }))
      : text;
    return { outcome: "ready", reach: { lastSegment, newest, ...(parts && { parts }) }, text, delta };
  }

  #write({ grid, reports, form }: Writing): string {
    const parts = this.#renderParts(grid, reports);
    const playlist = {
      targetDurationSeconds: this.targetDurationSeconds,
      segments: this.#listed(),
      canSkip: this.#options.canSkip,
      isEnded: this.#isEnded,
      ...(parts && { parts }),
    };
    return writeMediaPlaylist(playlist, form);
  }

  /** `PART-TARGET` speaks for every part of a playlist (4.4.4.9): those of a run with other parts are listed no more. */
  #listed(): ListedSegment[] {
    const listed = this.window.listed();
    const isOther = ({ ordinal, isComplete }: ListedSegment): boolean =>
      isComplete && ordinal < this.#partsFrom;
    return listed.map((segment) => (isOther(segment) ? withoutParts(segment) : segment));
  }

  #renderParts(grid: TrackGrid, reports: PartsOptions["reports"] | undefined): PartsOptions | undefined {
    const { window } = this.#options;
    const next = this.window.next(grid.run);
    if (reports === undefined || next?.name === undefined) return undefined;
    const mapUri = next.hasNewInit ? window.names.init?.(next.run) : undefined;
    return {
      partUnits: grid.partUnits,
      timescale: grid.run.timescale,
      preloadHintUri: next.name,
      ...(mapUri === undefined ? {} : { preloadMapUri: mapUri }),
      reports,
    };
  }
}

function partsReach({ run, partUnits, partsPerSegment }: TrackGrid): NonNullable<PlaylistReach["parts"]> {
  return { perSegment: partsPerSegment, aheadMax: partsAheadMax(partMsOf({ run, partUnits })) };
}

/** Of the longest part. */
function partMsOf({ run, partUnits }: Pick<TrackGrid, "run" | "partUnits">): number {
  return unitsToMs(partUnits, run.timescale);
}

function withoutParts(segment: ListedSegment): ListedSegment {
  return { ...segment, parts: [] };
}
