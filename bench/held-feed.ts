/**
 * When parts could be published: the moment at which the last frame of each arrived from the server, read from the same
 * feed as the origin does. Between that and a waiter's last byte lies everything that an origin takes.
 */
import { StartError } from "#common/errors.ts";
import type { Clock } from "#common/clock.ts";
import { FeedReader } from "#common/formats/feed.ts";
import { framesPerSegment, type EncodedFrame, type Run } from "#common/formats/frame.ts";
import { msToFrames } from "#common/units.ts";
import type { Position } from "./playlist-position.ts";

/** Parts remembered: more than the newest, since the feed may be ahead of an origin that lags. */
const PARTS_KEPT = 256;

export interface HeldFeedOptions {
  readonly url: string;
  /** Path of the playlist: it names the rendition. Where it names none of the run's, the first is meant. */
  readonly playlistPath: string;
  /** Of the playlist. Milliseconds. */
  readonly partTargetMs: number;
  readonly clock: Clock;
}

/** A feed while it is read. */
export class HeldFeed {
  readonly #options: HeldFeedOptions;
  readonly #controller = new AbortController();
  /** By {@link keyOf}, in the order of arrival. */
  readonly #arrivedMs = new Map<string, number>();
  #run: Run | undefined;
  #trackId: number | undefined;
  #chunkMs = 0;
  #isClosed = false;

  private constructor(options: HeldFeedOptions) {
    this.#options = options;
  }

  /** Opens a feed and goes on reading it. Throws StartError where there is none. */
  static async open(options: HeldFeedOptions): Promise<HeldFeed> {
    const feed = new HeldFeed(options);
    try {
      const response = await fetch(options.url, { signal: feed.#controller.signal });
      if (response.status !== 200 || response.body === null) throw new Error(`status ${response.status}`);
      void feed.#read(response.body);
    } catch (error) {
      throw new StartError("no-feed", `Cannot read ${options.url} (--feed)`, { cause: error });
    }
    return feed;
  }

  /** False once the feed has ended or could not be read on. */
  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** When the last frame of a part came, on the clock's monotonic reading; `undefined` where it was not seen. */
  arrivedMs(at: Position): number | undefined {
    return this.#arrivedMs.get(keyOf(at));
  }

  close(): void {
    this.#controller.abort();
  }

  /** Ends with the feed, with what is no feed, and with {@link close}; never rejects. */
  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = new FeedReader({
      onRun: (run) => this.#onRun(run),
      onFrame: (frame) => this.#onFrame(frame),
      onFigures() {},
    });
    try {
      for await (const chunk of body) {
        this.#chunkMs = this.#options.clock.monotonicMs();
        reader.push(chunk);
      }
    } catch {
      // Told by `isOpen`: figures go on without it.
    }
    this.#isClosed = true;
  }

  #onRun(run: Run): void {
    this.#run = run;
    const names = this.#options.playlistPath.split("/");
    this.#trackId = (run.renditions.find(({ name }) => names.includes(name)) ?? run.renditions[0])?.trackId;
  }

  #onFrame({ trackId, number }: EncodedFrame): void {
    const run = this.#run;
    if (run === undefined || trackId !== this.#trackId) return;
    const segmentFrames = framesPerSegment(run.fps);
    const partFrames = Math.max(1, msToFrames(this.#options.partTargetMs, run.fps));
    const within = number % segmentFrames;
    if ((within + 1) % partFrames !== 0 && within + 1 !== segmentFrames) return;
    const at = { msn: Math.floor(number / segmentFrames), part: Math.floor(within / partFrames) };
    this.#arrivedMs.set(keyOf(at), this.#chunkMs);
    if (this.#arrivedMs.size <= PARTS_KEPT) return;
    const [oldest] = this.#arrivedMs.keys();
    if (oldest !== undefined) this.#arrivedMs.delete(oldest);
  }
}

function keyOf({ msn, part }: Position): string {
  return `${msn}.${part}`;
}
