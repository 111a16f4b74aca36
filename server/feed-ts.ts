/**
 * `/feed.ts`: the full size as endless MPEG-TS, for anything that does not read the feed. A viewer begins with the last
 * key frame, so that it has a picture at once.
 */
import { createTsMuxer, type TsMuxer } from "#common/formats/mpegts.ts";
import type { EncodedFrame, Run } from "#common/formats/frame.ts";
import type { Log } from "#common/log.ts";
import type { FrameSink } from "./encoding.ts";
import { FeedReaders, refusal } from "./feed-readers.ts";

export class TsOutlet implements FrameSink {
  readonly readers: FeedReaders;
  #run: Run | undefined;
  #muxer: TsMuxer | undefined;
  /** Packets since the last key frame, tables included: a second at most. */
  #group: Uint8Array[] = [];

  constructor({ log }: { readonly log: Log }) {
    this.readers = new FeedReaders({ name: "/feed.ts", contentType: "video/mp2t", log });
  }

  /** Ends every reader: time stamps start over with a run. */
  beginRun(run: Run): void {
    const [rendition] = run.renditions;
    if (rendition === undefined) throw new TypeError("A run has at least one rendition");
    this.#run = run;
    this.#muxer = createTsMuxer({ rendition, fps: run.fps });
    this.#group = [];
    this.readers.setBitRate(rendition.bitsPerSecondMax);
    this.readers.endAll();
  }

  /** Takes frames of all renditions, carries those of the first. */
  addFrame(frame: EncodedFrame): void {
    const run = this.#run;
    if (run === undefined || this.#muxer === undefined) throw new TypeError("A frame before its run");
    if (frame.trackId !== run.renditions[0]?.trackId) return;
    const { number, isKey, data } = frame;
    const packets = this.#muxer.muxFrame({ index: number - run.startFrame, isKey, data });
    if (isKey) this.#group = [];
    this.#group.push(packets);
    this.readers.send(packets);
  }

  /** The response to `GET /feed.ts`; 503 before the first run. */
  serve(): Response {
    if (this.#run === undefined) return refusal("The encoder has not begun yet");
    return this.readers.serve(() => this.#group);
  }

  /** Ends every reader. */
  close(): void {
    this.#run = undefined;
    this.readers.endAll();
  }
}
