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
import { TS_BLOCKED_MS_MAX, TS_GROUP_BYTES_MAX, TS_QUEUE_BYTES_MIN, TS_QUEUES_BYTES_MAX } from "./config.ts";

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
  /** Bytes that wait for viewers; what waits for several counts once, as it lies in memory. */
  queuedBytes: number;
  /** Times that a slow viewer lost groups of pictures. */
  skips: number;
  /** Viewers dropped because they took nothing. */
  droppedViewers: number;
}

/** What one write sends: shared by all viewers, and never copied for one. */
interface Batch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isKey: boolean;
  /** The same with the discontinuity indicator, once somebody needs it. */
  marked: Batch | undefined;
  /** Viewers for whom it waits. */
  holders: number;
}

/** Where a viewer's bytes go: a {@link DirectStream}, or a stand-in for it. */
export type ViewerSink = Pick<DirectStream, "canWrite" | "isClosed" | "write" | "close">;

interface Viewer {
  readonly sink: ViewerSink;
  /** What waits while the client takes no more. */
  readonly queue: Batch[];
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

export interface RelayOptions {
  readonly clock: Clock;
  /** Shared by all relays of an origin. */
  readonly totals: RelayTotals;
  /** Bound of {@link RelayTotals.queuedBytes}. */
  readonly queuesBytesMax?: number;
}

/** One rendition's viewers. */
export class TsRelay {
  readonly #clock: Clock;
  readonly #totals: RelayTotals;
  readonly #queuesBytesMax: number;
  readonly #viewers = new Set<Viewer>();
  #pending: RelayFrame[] = [];
  /** Batches since the last key frame: what a new viewer gets first. */
  #group: Batch[] = [];
  #groupBytes = 0;
  /** Of the longest group that was kept. */
  #groupBytesMost = 0;
  /** True until the next key frame after frames were missing. */
  #isBroken = false;

  constructor({ clock, totals, queuesBytesMax = TS_QUEUES_BYTES_MAX }: RelayOptions) {
    this.#clock = clock;
    this.#totals = totals;
    this.#queuesBytesMax = queuesBytesMax;
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
    this.#beginGroup();
    this.#isBroken = true;
  }

  /** Sends what is pending. */
  flush(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    const bytes = joinBytes(this.#pending.map((frame) => frame.bytes));
    const batch: Batch = { bytes, isKey: first.isKey, marked: undefined, holders: 0 };
    this.#pending = [];
    if (this.#isBroken && !batch.isKey) return;
    const isAfterBreak = this.#isBroken;
    this.#isBroken = false;
    this.#remember(batch);
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

  /** Ends all viewers: who keeps up has had all that was sent, who is behind loses what waits. */
  close(): void {
    this.flush();
    for (const viewer of this.#viewers) this.#end(viewer);
  }

  /** Adds a viewer who takes bytes through `sink`. */
  join(sink: ViewerSink): ViewerPlace {
    const viewer: Viewer = {
      sink,
      queue: [],
      queuedBytes: 0,
      blockedSinceMs: this.#clock.monotonicMs(),
      needsKey: false,
    };
    this.#viewers.add(viewer);
    this.#totals.viewers++;
    viewer.needsKey = this.#group.length === 0;
    for (const batch of this.#group) this.#enqueue(viewer, batch);
    this.#drain(viewer);
    return { drain: () => this.#drain(viewer), leave: () => this.#remove(viewer) };
  }

  #end(viewer: Viewer): void {
    this.#remove(viewer);
    viewer.sink.close();
  }

  #remove(viewer: Viewer): void {
    if (!this.#viewers.delete(viewer)) return;
    this.#totals.viewers--;
    this.#drop(viewer, 0);
  }

  #beginGroup(): void {
    this.#group = [];
    this.#groupBytes = 0;
  }

  /** Keeps what viewers who come will begin with. A group that grows too long is kept no more, up to the next one. */
  #remember(batch: Batch): void {
    if (batch.isKey) this.#beginGroup();
    else if (this.#group.length === 0) return;
    this.#group.push(batch);
    this.#groupBytes += batch.bytes.length;
    if (this.#groupBytes > TS_GROUP_BYTES_MAX) this.#beginGroup();
    this.#groupBytesMost = Math.max(this.#groupBytesMost, this.#groupBytes);
  }

  #deliver(viewer: Viewer, batch: Batch): void {
    let next = batch;
    if (viewer.needsKey) {
      if (!batch.isKey) return;
      viewer.needsKey = false;
      next = batch.marked ??= { ...batch, bytes: markDiscontinuity(batch.bytes), holders: 0 };
    }
    if (viewer.sink.canWrite) {
      this.#send(viewer, next);
      return;
    }
    if (this.#clock.monotonicMs() - viewer.blockedSinceMs > TS_BLOCKED_MS_MAX) {
      this.#totals.droppedViewers++;
      this.#end(viewer);
      return;
    }
    // A whole group must fit, or a viewer that fell behind once would never get one again.
    const queueBytesMax = Math.max(TS_QUEUE_BYTES_MIN, 2 * this.#groupBytesMost);
    if (viewer.queuedBytes + next.bytes.length > queueBytesMax) this.#skip(viewer);
    else if (this.#totals.queuedBytes + next.bytes.length > this.#queuesBytesMax) this.#skip(viewer, 0);
    else this.#enqueue(viewer, next);
  }

  /** Drops what waits from the first key frame on (all, if there is none): the group before it stays whole. */
  #skip(
    viewer: Viewer,
    from = Math.max(
      0,
      viewer.queue.findIndex((batch) => batch.isKey),
    ),
  ): void {
    this.#drop(viewer, from);
    viewer.needsKey = true;
    this.#totals.skips++;
  }

  #enqueue(viewer: Viewer, batch: Batch): void {
    viewer.queue.push(batch);
    viewer.queuedBytes += batch.bytes.length;
    if (batch.holders++ === 0) this.#totals.queuedBytes += batch.bytes.length;
  }

  #drop(viewer: Viewer, from: number): void {
    for (const batch of viewer.queue.splice(from)) this.#release(viewer, batch);
  }

  #release(viewer: Viewer, batch: Batch): void {
    viewer.queuedBytes -= batch.bytes.length;
    if (--batch.holders === 0) this.#totals.queuedBytes -= batch.bytes.length;
  }

  #send(viewer: Viewer, { bytes }: Batch): void {
    viewer.sink.write(bytes);
    if (viewer.sink.isClosed) this.#remove(viewer);
    else viewer.blockedSinceMs = this.#clock.monotonicMs();
  }

  #drain(viewer: Viewer): void {
    while (viewer.sink.canWrite) {
      const batch = viewer.queue.shift();
      if (batch === undefined) return;
      this.#release(viewer, batch);
      this.#send(viewer, batch);
    }
  }
}
