/**
 * The endless `.ts`: every viewer gets the same packets, begun at the last key frame. They go out in batches of a tenth
 * of a second; a viewer that is slower than the stream loses whole groups of pictures and is told so by the
 * discontinuity indicator, one that takes nothing at all is dropped.
 */
// ISO/IEC 13818-1 2.4.3.5 (discontinuity indicator)
import type { Clock } from "#common/clock.ts";
import { DirectStream } from "#common/direct-stream.ts";
import { joinBytes } from "#common/formats/mp4-boxes.ts";
import { markDiscontinuity } from "#common/formats/mpegts.ts";
import { TS_BLOCKED_MS_MAX, TS_QUEUE_BYTES_MAX } from "./config.ts";

/** Batches a second: fewer writes carry more viewers. */
const BATCHES_PER_SECOND = 10;

/** Packets of one frame; a key frame's begin with the tables. */
export interface RelayFrame {
  readonly bytes: Uint8Array;
  readonly isKey: boolean;
}

/** Counts over all relays of an origin. */
export interface RelayTotals {
  viewers: number;
  sentBytes: number;
  /** Times that a slow viewer lost groups of pictures. */
  skips: number;
  /** Viewers dropped because they took nothing. */
  droppedViewers: number;
}

interface Batch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isKey: boolean;
  /** The same with the discontinuity indicator, once somebody needs it. */
  marked: Uint8Array<ArrayBuffer> | undefined;
}

/** Where a viewer's bytes go: a {@link DirectStream}, or a stand-in for it. */
export type ViewerSink = Pick<DirectStream, "canWrite" | "isClosed" | "write" | "close">;

interface Viewer {
  readonly sink: ViewerSink;
  /** What waits while the client takes no more. */
  readonly queue: Uint8Array<ArrayBuffer>[];
  readonly queueIsKey: boolean[];
  queuedBytes: number;
  /** Since when it takes nothing; meaningless while it can be written to. */
  blockedSinceMs: number;
  needsKey: boolean;
}

/** What a sink's owner calls. */
export interface ViewerPlace {
  /** The sink takes more. */
  drain(): void;
  /** The client has left. */
  leave(): void;
}

export class TsRelay {
  readonly #clock: Clock;
  readonly #totals: RelayTotals;
  readonly #viewers = new Set<Viewer>();
  #pending: RelayFrame[] = [];
  /** Batches since the last key frame: what a new viewer gets first. */
  #group: Batch[] = [];
  /** True until the next key frame after frames were missing. */
  #isBroken = false;

  constructor({ clock, totals }: { readonly clock: Clock; readonly totals: RelayTotals }) {
    this.#clock = clock;
    this.#totals = totals;
  }

  /** Takes the next frame of a stream of `fps` frames a second. */
  push(frame: RelayFrame, fps: number): void {
    if (frame.isKey) this.flush();
    this.#pending.push(frame);
    if (this.#pending.length >= Math.max(1, Math.round(fps / BATCHES_PER_SECOND))) this.flush();
  }

  /** Frames are missing, or another run begins: what follows does not continue what was sent. */
  breakOff(): void {
    this.flush();
    this.#group = [];
    this.#isBroken = true;
  }

  /** Sends what is pending. */
  flush(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    const bytes = joinBytes(this.#pending.map((frame) => frame.bytes));
    const batch: Batch = { bytes, isKey: first.isKey, marked: undefined };
    this.#pending = [];
    if (this.#isBroken && !batch.isKey) return;
    const isAfterBreak = this.#isBroken;
    this.#isBroken = false;
    if (batch.isKey) this.#group = [];
    this.#group.push(batch);
    for (const viewer of this.#viewers) {
      viewer.needsKey ||= isAfterBreak;
      this.#deliver(viewer, batch);
    }
  }

  /** The body of one viewer's response; the end of `signal`, the request's, ends it too. */
  open(signal?: AbortSignal): ReadableStream<Uint8Array> {
    let place: ViewerPlace | undefined;
    const stream: DirectStream = new DirectStream({
      counters: this.#totals,
      onDrain: () => {
        if (place === undefined) place = this.join(stream);
        else place.drain();
      },
      onClose: () => place?.leave(),
      ...(signal === undefined ? {} : { signal }),
    });
    return stream.body;
  }

  /** Ends all viewers. */
  close(): void {
    for (const viewer of this.#viewers) this.#end(viewer);
  }

  /** Adds a viewer who takes bytes through `sink`. */
  join(sink: ViewerSink): ViewerPlace {
    const viewer: Viewer = {
      sink,
      queue: [],
      queueIsKey: [],
      queuedBytes: 0,
      blockedSinceMs: 0,
      needsKey: false,
    };
    this.#viewers.add(viewer);
    this.#totals.viewers++;
    const group = joinBytes(this.#group.map((batch) => batch.bytes));
    if (group.length > 0) this.#send(viewer, group);
    else viewer.needsKey = true;
    return { drain: () => this.#drain(viewer), leave: () => this.#remove(viewer) };
  }

  #end(viewer: Viewer): void {
    this.#remove(viewer);
    viewer.sink.close();
  }

  #remove(viewer: Viewer): void {
    if (!this.#viewers.delete(viewer)) return;
    this.#totals.viewers--;
    viewer.queue.length = 0;
    viewer.queueIsKey.length = 0;
  }

  #deliver(viewer: Viewer, batch: Batch): void {
    let { bytes } = batch;
    if (viewer.needsKey) {
      if (!batch.isKey) return;
      viewer.needsKey = false;
      bytes = batch.marked ??= markDiscontinuity(batch.bytes);
    }
    if (viewer.sink.canWrite) {
      this.#send(viewer, bytes);
      return;
    }
    if (this.#clock.monotonicMs() - viewer.blockedSinceMs > TS_BLOCKED_MS_MAX) {
      this.#totals.droppedViewers++;
      this.#end(viewer);
      return;
    }
    if (viewer.queuedBytes + bytes.length > TS_QUEUE_BYTES_MAX) {
      this.#skip(viewer);
      return;
    }
    viewer.queue.push(bytes);
    viewer.queueIsKey.push(batch.isKey);
    viewer.queuedBytes += bytes.length;
  }

  /** Drops what waits from the first key frame on (all, if there is none): the group before it stays whole. */
  #skip(viewer: Viewer): void {
    const from = Math.max(0, viewer.queueIsKey.indexOf(true));
    for (const bytes of viewer.queue.splice(from)) viewer.queuedBytes -= bytes.length;
    viewer.queueIsKey.length = from;
    viewer.needsKey = true;
    this.#totals.skips++;
  }

  #send(viewer: Viewer, bytes: Uint8Array<ArrayBuffer>): void {
    viewer.sink.write(bytes);
    if (viewer.sink.isClosed) this.#remove(viewer);
    else viewer.blockedSinceMs = this.#clock.monotonicMs();
  }

  #drain(viewer: Viewer): void {
    while (viewer.sink.canWrite) {
      const bytes = viewer.queue.shift();
      viewer.queueIsKey.shift();
      if (bytes === undefined) return;
      viewer.queuedBytes -= bytes.length;
      this.#send(viewer, bytes);
    }
  }
}
