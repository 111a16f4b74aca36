/**
 * Who may watch: limits of viewers for the node and for the `.ts` of each stream, soft ones that make the edge call itself
 * full and hard ones that refuse, and streams that an operator has switched off. One edge has one of these; where an
 * edge is several processes, each has its own and is told of the others.
 */
import type { Viewers } from "./viewers.ts";

/** Streams that can be off at once: far more than an edge relays. */
export const STREAMS_OFF_MAX = 1_000;

export type StreamState = "on" | "off";

/** A stream as `GET /api/v1/streams` shows it. */
export interface StreamStatus {
  readonly stream: string;
  readonly state: StreamState;
  /** Viewers of its `stream.ts`, of all renditions. */
  readonly viewers: number;
  /** Soft and hard limit of those; 0 for none. */
  readonly limit: number;
  readonly max: number;
}

export interface AdmissionOptions {
  readonly viewers: Viewers;
  /** Soft and hard limit of the node's viewers of every kind; 0 for none. */
  readonly viewerLimit: number;
  readonly viewerMax: number;
  /** The same for the `.ts` of each stream. */
  readonly streamViewerLimit: number;
  readonly streamViewerMax: number;
}

/** The limits of an edge and what counts against them. */
export class Admission {
  /** Viewers of `stream.ts` at other processes of this edge, by stream. */
  elsewhere: ReadonlyMap<string, number> = new Map();
  readonly #options: AdmissionOptions;
  readonly #own = new Map<string, number>();
  readonly #off = new Set<string>();
  readonly #listeners: ((stream: string, state: StreamState) => void)[] = [];

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** True from the first soft or hard limit on that is reached: new viewers are better handed to others. */
  get isFull(): boolean {
    const { viewers, viewerLimit, streamViewerLimit, streamViewerMax } = this.#options;
    if (this.isClosed || isReached(viewers.total, viewerLimit)) return true;
    return [...this.#names()].some((stream) => {
      const count = this.viewersOf(stream);
      return isReached(count, streamViewerLimit) || isReached(count, streamViewerMax);
    });
  }

  /** True from the node's hard limit on: nobody new is let in, whatever the stream. */
  get isClosed(): boolean {
    return this.#options.viewers.isFull;
  }

  /** Soft and hard limit of the node, 0 for none. */
  get limits(): { readonly limit: number; readonly max: number } {
    return { limit: this.#options.viewerLimit, max: this.#options.viewerMax };
  }

  /** Viewers of `stream.ts` at this process, by stream. */
  get counts(): ReadonlyMap<string, number> {
    return this.#own;
  }

  /** Viewers of a stream's `stream.ts`, at this process and elsewhere. */
  viewersOf(stream: string): number {
    return (this.#own.get(stream) ?? 0) + (this.elsewhere.get(stream) ?? 0);
  }

  /** Counts a new viewer of a stream's `stream.ts`; or says why there must be none, and counts nothing. */
  enter(stream: string): "off" | "full" | undefined {
    if (this.isOff(stream)) return "off";
    const { viewers, streamViewerMax } = this.#options;
    if (this.isClosed || isReached(this.viewersOf(stream), streamViewerMax)) return "full";
    viewers.ts++;
    this.#own.set(stream, (this.#own.get(stream) ?? 0) + 1);
    return undefined;
  }

  /** One who has entered has left. */
  leave(stream: string): void {
    this.#options.viewers.ts--;
    const left = (this.#own.get(stream) ?? 0) - 1;
    if (left > 0) this.#own.set(stream, left);
    else this.#own.delete(stream);
  }

  /** True while any stream is off: to be asked before {@link isOff} where every request passes. */
  get hasOff(): boolean {
    return this.#off.size > 0;
  }

  isOff(stream: string): boolean {
    return this.#off.has(stream);
  }

  /** Names of the streams that are off. */
  get off(): readonly string[] {
    return [...this.#off];
  }

  /** Switches a stream on or off. False where too many are off. */
  set(stream: string, state: StreamState): boolean {
    if (this.isOff(stream) === (state === "off")) return true;
    if (state === "off" && this.#off.size >= STREAMS_OFF_MAX) return false;
    if (state === "off") this.#off.add(stream);
    else this.#off.delete(stream);
    for (const listener of this.#listeners) listener(stream, state);
    return true;
  }

  /** `listener` is told of each change of a stream's state. */
  onChange(listener: (stream: string, state: StreamState) => void): void {
    this.#listeners.push(listener);
  }

  /** Streams that are watched as `.ts` or off, by name. */
  list(): readonly StreamStatus[] {
    const { streamViewerLimit, streamViewerMax } = this.#options;
    return [...this.#names()].toSorted().map((stream) => ({
      stream,
      state: this.isOff(stream) ? "off" : "on",
      viewers: this.viewersOf(stream),
      limit: streamViewerLimit,
      max: streamViewerMax,
    }));
  }

  #names(): ReadonlySet<string> {
    return new Set([...this.#own.keys(), ...this.elsewhere.keys(), ...this.#off]);
  }
}

/** The stream's name in a path below `/live/`. */
export function streamOf(path: string): string {
  const [, , stream = ""] = path.split("/", 3);
  return stream;
}

function isReached(count: number, limit: number): boolean {
  return limit > 0 && count >= limit;
}
