/**
 * `/feed.mp4`: frames of the encoder in, the feed out to every origin. A new reader first gets the header and the last
 * minute, from the start of a segment on, so that an origin which begins or comes back has its whole window at once.
 */
import {
  encodeFeedFigures,
  encodeFeedFrame,
  encodeFeedHeader,
  FEED_CONTENT_TYPE,
} from "#common/formats/feed.ts";
import { type CanvasFigures, type EncodedFrame, framesPerSegment, type Run } from "#common/formats/frame.ts";
import type { Log } from "#common/log.ts";
import { MEBIBYTE } from "#common/units.ts";
import type { FrameSink } from "./encoding.ts";
import { FeedReaders, refusal } from "./feed-readers.ts";

/** At least this much is kept for new readers, in whole segments: as long as an origin keeps media fetchable. */
const HISTORY_SECONDS = 54;
/** Past this the oldest segments go, however short the history then is. */
const HISTORY_BYTES_MAX = 128 * MEBIBYTE;

/** The frames of one segment of the grid, in all renditions. */
interface Segment {
  readonly startFrame: number;
  readonly chunks: Uint8Array[];
  bytes: number;
}

export interface FeedOutletOptions {
  readonly log: Log;
  /** For tests. Default {@link HISTORY_BYTES_MAX}. */
  readonly historyBytesMax?: number;
  /** For tests. Default that of {@link FeedReaders}. */
  readonly queueBytesMax?: number;
}

export class FeedOutlet implements FrameSink {
  readonly readers: FeedReaders;
  readonly #historyBytesMax: number;
  #run: Run | undefined;
  #header: Uint8Array = new Uint8Array();
  #figures: Uint8Array | undefined;
  #segments: Segment[] = [];
  #historyBytes = 0;
  #evictedBytes = 0;

  constructor(options: FeedOutletOptions) {
    this.readers = new FeedReaders({
      name: "/feed.mp4",
      contentType: FEED_CONTENT_TYPE,
      log: options.log,
      ...(options.queueBytesMax === undefined ? {} : { queueBytesMax: options.queueBytesMax }),
    });
    this.#historyBytesMax = options.historyBytesMax ?? HISTORY_BYTES_MAX;
  }

  /** Kept for new readers. */
  get historyBytes(): number {
    return this.#historyBytes;
  }

  /** Of the last minute, but dropped because the bytes were too many; since start. */
  get evictedBytes(): number {
    return this.#evictedBytes;
  }

  /** Ends every reader: each comes back and gets the new run from its header on. */
  beginRun(run: Run): void {
    this.#run = run;
    this.#header = encodeFeedHeader(run);
    this.#segments = [];
    this.#historyBytes = 0;
    this.readers.setBitRate(run.renditions.reduce((sum, { bitsPerSecondMax }) => sum + bitsPerSecondMax, 0));
    this.readers.endAll();
  }

  addFrame(frame: EncodedFrame): void {
    const run = this.#run;
    if (run === undefined) throw new TypeError("A frame before its run");
    const chunk = encodeFeedFrame(run, frame);
    this.#keep(run, frame, chunk);
    this.readers.send(chunk);
  }

  /** Puts figures between the frames; a new reader gets the latest. */
  publishFigures(figures: CanvasFigures): void {
    this.#figures = encodeFeedFigures(figures);
    this.readers.send(this.#figures);
  }

  /** The response to `GET /feed.mp4`; 503 before the first run. */
  serve(): Response {
    if (this.#run === undefined) return refusal("The encoder has not begun yet");
    return this.readers.serve(() => this.#opening());
  }

  /** Ends every reader. */
  close(): void {
    this.#run = undefined;
    this.readers.endAll();
  }

  #opening(): Uint8Array[] {
    const history = [this.#header, ...this.#segments.flatMap((segment) => segment.chunks)];
    // Behind the history: with them an origin knows that it is through it.
    if (this.#figures !== undefined) history.push(this.#figures);
    return history;
  }

  #keep(run: Run, frame: EncodedFrame, chunk: Uint8Array): void {
    const frames = framesPerSegment(run.fps);
    const startFrame = frame.number - (frame.number % frames);
    let last = this.#segments.at(-1);
    if (last === undefined || last.startFrame !== startFrame) {
      last = { startFrame, chunks: [], bytes: 0 };
      this.#segments.push(last);
    }
    last.chunks.push(chunk);
    last.bytes += chunk.length;
    this.#historyBytes += chunk.length;
    this.#forget(frame.number + 1 - HISTORY_SECONDS * run.fps);
  }

  /** Drops the oldest segments that end before `number`, and more where the bytes are too many; the newest stays. */
  #forget(number: number): void {
    for (;;) {
      const [oldest, second] = this.#segments;
      if (oldest === undefined || second === undefined) return;
      const isNeeded = second.startFrame > number;
      if (isNeeded && this.#historyBytes <= this.#historyBytesMax) return;
      if (isNeeded) this.#evictedBytes += oldest.bytes;
      this.#historyBytes -= oldest.bytes;
      this.#segments.shift();
    }
  }
}
