/**
 * The endless `.ts`: every viewer gets the same packets, begun at the last key frame. They go out in batches of a tenth
 * of a second; a viewer that is slower than the stream loses whole groups of pictures and is told so by the
 * discontinuity indicator, one that takes nothing at all is dropped.
 */
// ISO/IEC 13818-1 2.4.3.5 (discontinuity indicator)
import type { Clock } from "#common/clock.ts";
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

/** What Bun hands to the `pull` of a direct stream. */
export interface DirectController {
  /** A promise while the client is slow, 0 once it has left; the bytes are taken either way. */
  write(bytes: Uint8Array<ArrayBuffer>): number | Promise<number>;
  flush(): unknown;
  close(error?: Error): unknown;
}

interface Viewer {
  readonly controller: DirectController;
  /** What waits while the client takes no more. */
  readonly queue: Uint8Array<ArrayBuffer>[];
  readonly queueIsKey: boolean[];
  queuedBytes: number;
  blockedSinceMs: number | undefined;
  needsKey: boolean;
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

  /** The body of one viewer's response. */
  open(): ReadableStream {
    let leave: (() => void) | undefined;
    const source = {
      type: "direct" as const,
      pull: (controller: DirectController) => {
        leave ??= this.join(controller);
      },
      cancel: () => leave?.(),
    };
    // Bun's direct streams are no part of the standard's types.
    return new ReadableStream(source as unknown as UnderlyingDefaultSource);
  }

  /** Ends all viewers. */
  close(): void {
    for (const viewer of this.#viewers) {
      this.#remove(viewer);
      viewer.controller.close();
    }
  }

  /** Adds a viewer who takes bytes through `controller`. Returns what to call when the client has left. */
  join(controller: DirectController): () => void {
    const viewer: Viewer = {
      controller,
      queue: [],
      queueIsKey: [],
      queuedBytes: 0,
      blockedSinceMs: undefined,
      needsKey: false,
    };
    this.#viewers.add(viewer);
    this.#totals.viewers++;
    const group = joinBytes(this.#group.map((batch) => batch.bytes));
    if (group.length > 0) this.#send(viewer, group);
    else viewer.needsKey = true;
    return () => this.#remove(viewer);
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
    if (viewer.blockedSinceMs === undefined) {
      this.#send(viewer, bytes);
      return;
    }
    if (this.#clock.monotonicMs() - viewer.blockedSinceMs > TS_BLOCKED_MS_MAX) {
      this.#totals.droppedViewers++;
      this.#remove(viewer);
      viewer.controller.close(new Error("The client takes nothing"));
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
    const written = viewer.controller.write(bytes);
    viewer.controller.flush();
    if (written === 0) {
      this.#remove(viewer);
      return;
    }
    this.#totals.sentBytes += bytes.length;
    if (typeof written === "number") return;
    viewer.blockedSinceMs = this.#clock.monotonicMs();
    const goOn = (): void => this.#drain(viewer);
    // A client that is gone rejects it; cancel() removes the viewer then.
    void written.then(goOn, () => this.#remove(viewer));
  }

  #drain(viewer: Viewer): void {
    viewer.blockedSinceMs = undefined;
    while (viewer.blockedSinceMs === undefined) {
      const bytes = viewer.queue.shift();
      viewer.queueIsKey.shift();
      if (bytes === undefined || !this.#viewers.has(viewer)) return;
      viewer.queuedBytes -= bytes.length;
      this.#send(viewer, bytes);
    }
  }
}
