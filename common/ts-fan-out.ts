/**
 * One endless MPEG-TS for any number of viewers: the newest batches of packets lie in one log, and a viewer is a place in
 * it. So what waits for slow viewers is memory of the stream, however many they are. Who comes begins with the newest
 * key frame; who falls too far behind finishes the group of pictures at hand and goes on with the newest one, marked as a
 * discontinuity; who takes nothing is dropped. The `stream.ts` of origin and edge both stand on it.
 *
 * Hot path: for each batch and viewer one `write`; nothing is allocated for a viewer who keeps up.
 */
import { DirectStream } from "#common/direct-stream.ts";
import { type TsBatch, TsLog, type TsLogEntry, type TsLogOptions, type TsLogTotals } from "#common/ts-log.ts";
import { MEBIBYTE } from "#common/units.ts";

/** What the runtime may keep for viewers whose sockets are full: past it those that take nothing for long are dropped. */
export const UNSENT_BYTES_MAX = 64 * MEBIBYTE;
/** Only who has taken nothing for so long is dropped for that. */
const UNSENT_MS_MIN = 1_000;
/** A viewer that takes nothing for this long is dropped. */
export const BLOCKED_MS_MAX = 15_000;
/** How long those who are behind may still take what waits for them once the stream is over. */
export const END_MS_MAX = 5_000;
/** Viewers served before others of this process get their turn. */
const SLICE_VIEWERS = 256;

/** Counts over all fan-outs of a node. */
export class FanOutTotals implements TsLogTotals {
  viewers = 0;
  open = 0;
  loggedBytes = 0;
  /** Upper bound of what the runtime keeps for viewers whose sockets are full. */
  unsentBytes = 0;
  /** Times that a viewer lost everything up to a later key frame; the groups of pictures that began in it, and its bytes. */
  skips = 0;
  lostGroups = 0;
  lostBytes = 0;
  /** Viewers dropped because they took nothing. */
  droppedViewers = 0;
}

/** Where a viewer's bytes go: a {@link DirectStream}, or a stand-in for it. */
export type ViewerSink = Pick<DirectStream, "canWrite" | "isClosed" | "write" | "close" | "abort">;

/** What a sink's owner calls. */
export interface ViewerPlace {
  /** The sink takes more. */
  drain(): void;
  /** The client has left. */
  leave(): void;
}

export interface TsFanOutOptions extends TsLogOptions {
  /** Shared by all fan-outs of a node. */
  readonly totals: FanOutTotals;
  /** Where the bytes that sockets took are counted. */
  readonly counters: { sentBytes: number };
  /** Calls back once others have had their turn. Default: `setImmediate`. */
  readonly defer?: (callback: () => void) => void;
}

interface Viewer {
  readonly sink: ViewerSink;
  /** Number of the entry that it gets next; bytes of all entries ever before that one, and how many of them have a key frame. */
  next: number;
  nextBytes: number;
  nextKeys: number;
  /** What that must be: anything, or a key frame to begin or to resume with. */
  wants: "next" | "beginning" | "resumption";
  /** When it last took something, on the monotonic clock. */
  takenMs: number;
  /** Length of the last write while its socket has not taken all of it. */
  unsentBytes: number;
}

/** One stream's viewers. */
export class TsFanOut {
  readonly #options: TsFanOutOptions;
  readonly #viewers = new Set<Viewer>();
  /** Viewers whose sockets are full, that for the longest time first. */
  readonly #blocked = new Set<Viewer>();
  readonly #log: TsLog;
  /** Who is still to be served of the round under way, and whether something came meanwhile. */
  #round: Iterator<Viewer> | undefined;
  #isRoundStale = false;
  #isEnded = false;
  #cancelEnd: (() => void) | undefined;

  constructor(options: TsFanOutOptions) {
    this.#options = options;
    this.#log = new TsLog(options);
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** True when a newcomer gets a picture at once. */
  get canBegin(): boolean {
    return this.#log.newestKey !== -1;
  }

  /** Takes the next packets and sends them to all. Nothing is kept or sent from a break to the next key frame. */
  push(batch: TsBatch): void {
    if (this.#isEnded || batch.bytes.length === 0 || !this.#log.push(batch)) return;
    if (this.#round === undefined) this.#beginRound();
    else this.#isRoundStale = true;
  }

  /** What follows does not continue what was pushed: viewers go on with the next key frame, marked. */
  breakOff(): void {
    this.#log.breakOff();
  }

  /** Writes `packet`, which must not count in any sequence, to everyone for whom nothing else is on its way. */
  fill(packet: Uint8Array): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const viewer of this.#viewers) {
      if (viewer.next >= this.#log.endNumber && viewer.sink.canWrite) this.#write(viewer, packet);
      else this.#serve(viewer, nowMs);
    }
  }

  /** The body of one viewer's response; the end of `signal`, the request's, ends it too. Then `onClose` is called. */
  open(signal?: AbortSignal, onClose?: () => void): ReadableStream<Uint8Array> {
    let place: ViewerPlace | undefined;
    const stream: DirectStream = new DirectStream({
      counters: this.#options.counters,
      onDrain: () => {
        if (place === undefined) place = this.join(stream);
        else place.drain();
      },
      onClose: () => {
        place?.leave();
        onClose?.();
      },
      ...(signal === undefined ? {} : { signal }),
    });
    return stream.body;
  }

  /** Adds a viewer who takes bytes through `sink`. */
  join(sink: ViewerSink): ViewerPlace {
    const viewer: Viewer = {
      sink,
      ...this.#entrance(),
      wants: this.canBegin ? "beginning" : "resumption",
      takenMs: this.#options.clock.monotonicMs(),
      unsentBytes: 0,
    };
    this.#viewers.add(viewer);
    this.#options.totals.viewers++;
    // Of a stream that is over this is the end.
    this.#drain(viewer);
    return { drain: () => this.#onDrain(viewer), leave: () => this.#remove(viewer) };
  }

  /** Ends all viewers: at once who has everything, the others when they have, or after `msMax` milliseconds. */
  end(msMax = END_MS_MAX): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const viewer of this.#viewers) this.#drain(viewer);
    if (this.#viewers.size === 0) this.#release();
    else this.#cancelEnd = this.#options.clock.after(msMax, () => this.close());
  }

  /** Ends all viewers at once: who is behind loses what waits. */
  close(): void {
    this.#isEnded = true;
    for (const viewer of this.#viewers) this.#end(viewer);
    this.#release();
  }

  /** The newest key frame, or what comes next where there is none. */
  #entrance(): Pick<Viewer, "next" | "nextBytes" | "nextKeys"> {
    const { newestKey, newestKeyBytes, keys, endNumber, endBytes } = this.#log;
    if (newestKey === -1) return { next: endNumber, nextBytes: endBytes, nextKeys: keys };
    return { next: newestKey, nextBytes: newestKeyBytes, nextKeys: keys - 1 };
  }

  #beginRound(): void {
    this.#isRoundStale = false;
    this.#round = this.#viewers.values();
    this.#serveSlice();
  }

  #serveSlice(): void {
    const { clock, defer = setImmediate } = this.#options;
    const nowMs = clock.monotonicMs();
    for (let count = 0; count < SLICE_VIEWERS; count++) {
      const viewer = this.#round?.next();
      if (viewer === undefined) return;
      if (viewer.done === true) {
        this.#round = undefined;
        if (this.#isRoundStale) this.#beginRound();
        return;
      }
      this.#serve(viewer.value, nowMs);
    }
    defer(() => this.#serveSlice());
  }

  #serve(viewer: Viewer, nowMs: number): void {
    if (viewer.sink.canWrite) this.#drain(viewer);
    else if (nowMs - viewer.takenMs > BLOCKED_MS_MAX) this.#drop(viewer);
  }

  #onDrain(viewer: Viewer): void {
    if (!this.#viewers.has(viewer)) return;
    this.#unblock(viewer);
    this.#drain(viewer);
  }

  /** Writes what waits for a viewer, as far as its socket takes it. */
  #drain(viewer: Viewer): void {
    while (viewer.sink.canWrite) {
      this.#skipIfBehind(viewer);
      const entry = this.#log.at(viewer.next);
      if (entry === undefined) {
        if (this.#isEnded) this.#end(viewer);
        return;
      }
      const bytes = this.#bytesFor(viewer, entry);
      viewer.next++;
      viewer.nextBytes = entry.endBytes;
      if (entry.isKey) viewer.nextKeys++;
      if (bytes !== undefined) this.#write(viewer, bytes);
    }
  }

  /** The entry that is a viewer's next, as it wants it; `undefined` where it waits for a later one. */
  #bytesFor(viewer: Viewer, entry: TsLogEntry): Uint8Array | undefined {
    const { wants } = viewer;
    if (wants === "next") return entry.bytes;
    if (!entry.isKey) return undefined;
    viewer.wants = "next";
    return wants === "beginning" ? this.#log.beginningAt(viewer.next) : this.#log.resumptionAt(viewer.next);
  }

  /** Moves a viewer who is too far behind to the newest key frame, or to the next one that comes. */
  #skipIfBehind(viewer: Viewer): void {
    const log = this.#log;
    if (viewer.next >= log.firstNumber) {
      // The group at hand is sent whole; only what the log has lost meanwhile is missing.
      const entry = log.at(viewer.next);
      if (entry?.isKey !== true || log.newestKey <= viewer.next || !log.isFarBehind(entry)) return;
    }
    const { totals } = this.#options;
    const { nextBytes: lastBytes, nextKeys: lastKeys } = viewer;
    Object.assign(viewer, this.#entrance());
    viewer.wants = "resumption";
    totals.skips++;
    totals.lostGroups += viewer.nextKeys - lastKeys;
    totals.lostBytes += viewer.nextBytes - lastBytes;
  }

  #write(viewer: Viewer, bytes: Uint8Array): void {
    const { sink } = viewer;
    sink.write(bytes);
    if (sink.isClosed) {
      this.#remove(viewer);
      return;
    }
    viewer.takenMs = this.#options.clock.monotonicMs();
    if (!sink.canWrite) this.#block(viewer, bytes.length);
  }

  #block(viewer: Viewer, unsentBytes: number): void {
    const { totals } = this.#options;
    viewer.unsentBytes = unsentBytes;
    totals.unsentBytes += unsentBytes;
    this.#blocked.add(viewer);
    for (const longest of this.#blocked) {
      const isIdle = viewer.takenMs - longest.takenMs > UNSENT_MS_MIN;
      if (totals.unsentBytes <= UNSENT_BYTES_MAX || !isIdle) return;
      this.#drop(longest);
    }
  }

  #unblock(viewer: Viewer): void {
    if (!this.#blocked.delete(viewer)) return;
    this.#options.totals.unsentBytes -= viewer.unsentBytes;
    viewer.unsentBytes = 0;
  }

  #drop(viewer: Viewer): void {
    this.#options.totals.droppedViewers++;
    this.#end(viewer);
  }

  #end(viewer: Viewer): void {
    this.#remove(viewer);
    // Who takes nothing would keep its connection, and what lies there for it.
    if (viewer.sink.canWrite) viewer.sink.close();
    else viewer.sink.abort();
  }

  #remove(viewer: Viewer): void {
    if (!this.#viewers.delete(viewer)) return;
    this.#options.totals.viewers--;
    this.#unblock(viewer);
    if (this.#isEnded && this.#viewers.size === 0) this.#release();
  }

  #release(): void {
    this.#cancelEnd?.();
    this.#round = undefined;
    this.#log.close();
  }
}
