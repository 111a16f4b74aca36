/**
 * `stream.ts`: one upstream connection for each path however many watch. A viewer begins with the newest group of
 * pictures, at once; one who falls behind loses whole groups; when the upstream fails all stay and go on with the
 * next key frame.
 */
// ISO/IEC 13818-1 2.4.3.5 (discontinuity_indicator)
import type { Clock } from "#common/clock.ts";
import type { Log } from "#common/log.ts";
import { TICKS_PER_SECOND, TICKS_WRAP } from "#common/units.ts";
import type { Counters } from "./counters.ts";
import { GopCutter, type Block } from "./gop-cutter.ts";
import { RelayViewer } from "./relay-viewer.ts";
import { SharedStream } from "./shared-stream.ts";
import { isRepeat, NULL_PACKET } from "./ts-packets.ts";
import type { Upstream } from "./upstream.ts";

/** Packets are collected this long before they are sent: each write to each viewer costs the same, however small. */
const BATCH_MS = 100;
/** How long a relay goes on without viewers. */
const LINGER_MS = 5_000;
/** How long the first viewer waits for a picture before 503. */
const START_MS_MAX = 5_000;
/** An upstream that sends nothing for this long has failed. */
const SILENCE_MS_MAX = 5_000;
/** A group of pictures longer than this is not kept for newcomers. */
const GOP_BYTES_MAX = 32 * 1024 * 1024;
/** What may wait for one viewer, at least: over 5 s of 6 Mbit/s. Blocks are shared, so a crowd costs no more. */
const QUEUE_BYTES_MIN = 4 * 1024 * 1024;
/** A viewer whose socket took nothing for this long is let go. */
const STALLED_MS_MAX = 15_000;

/** Viewers get a null packet this often while there is no upstream. */
const FILLER_MS = 10_000;
/** Groups of pictures that a new connection may repeat, in the longest seen. */
const REPEATED_GOPS_MAX = 2;
/** Starts further apart are not one group: the time stamps were set anew. */
const GOP_TICKS_MAX = 30 * TICKS_PER_SECOND;

/** What relays count, all together. */
export class RelayCounters {
  /** Times that a viewer lost the rest of a group of pictures. */
  gopsLost = 0;
  /** Viewers let go because they took nothing. */
  viewersDropped = 0;
  /** Upstream connections that ended or could not be made. */
  upstreamLosses = 0;
  /** Bytes from upstream that were no packets. */
  skippedBytes = 0;
}

export interface RelayOptions {
  readonly path: string;
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly relayCounters: RelayCounters;
  /** Called when the relay has been without viewers for long enough and is over. */
  readonly onIdle: () => void;
}

/** One relayed path. */
export class Relay {
  readonly #options: RelayOptions;
  readonly #viewers = new Set<RelayViewer>();
  readonly #stream: SharedStream;
  #cutter: GopCutter;
  /** The newest group of pictures so far; empty while there is none to begin with. */
  #gop: Block[] = [];
  #gopBytes = 0;
  #gopBytesMost = 0;
  /** PTS of the last picture that viewers got, in ticks. */
  #sentPts: number | undefined;
  /** Longest time between two starts, at least a second, in ticks. */
  #gopTicksMost = TICKS_PER_SECOND;
  #lastStartPts: number | undefined;
  /** How far behind {@link #sentPts} a start counts as shown already, from a new connection to its first news; else 0. */
  #resumingTicksMax = 0;
  #isBatchDue = false;
  #cancelLinger: (() => void) | undefined;
  #starting = Promise.withResolvers<number>();
  #cancelFiller: (() => void) | undefined;
  #isOver = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#cutter = new GopCutter((block) => this.#onBlock(block));
    this.#stream = new SharedStream({
      ...options,
      silenceMsMax: SILENCE_MS_MAX,
      onOpen: () => this.#onOpen(),
      onChunk: (chunk) => this.#onChunk(chunk),
      onEnd: (status) => this.#onEnd(status),
    });
    this.#lingerIfEmpty();
  }

  /** True when it has ended and nobody can be added any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves with 200 when a newcomer can begin at once, or else with the status that tells why not. */
  async ready(): Promise<number> {
    if (this.#gop.length > 0) return 200;
    const cancel = this.#options.clock.after(START_MS_MAX, () => this.#starting.resolve(503));
    const status = await this.#starting.promise;
    cancel();
    return status;
  }

  /** Adds a viewer, unless it {@link isOver}. A viewer gets the newest group of pictures at once. */
  add(signal: AbortSignal, onClose: () => void): RelayViewer {
    this.#cancelLinger?.();
    const viewer = new RelayViewer({
      signal,
      counters: this.#options.counters,
      onGopLost: () => void this.#options.relayCounters.gopsLost++,
      onClose: () => {
        this.#viewers.delete(viewer);
        this.#lingerIfEmpty();
        onClose();
      },
    });
    this.#viewers.add(viewer);
    viewer.begin(this.#gop);
    return viewer;
  }

  /** Ends the upstream connection and all viewers. */
  close(): void {
    this.#isOver = true;
    this.#stream.stop();
    this.#cancelLinger?.();
    this.#cancelFiller?.();
    this.#starting.resolve(503);
    for (const viewer of this.#viewers) viewer.close();
  }

  #onOpen(): void {
    this.#cutter = new GopCutter((block) => this.#onBlock(block));
    if (this.#sentPts !== undefined) {
      this.#measure(this.#sentPts);
      this.#resumingTicksMax = REPEATED_GOPS_MAX * this.#gopTicksMost;
    }
    this.#lastStartPts = undefined;
  }

  #onChunk(chunk: Uint8Array): void {
    const { clock, relayCounters } = this.#options;
    const before = this.#cutter.skippedBytes;
    this.#cutter.push(chunk);
    relayCounters.skippedBytes += this.#cutter.skippedBytes - before;
    if (this.#isBatchDue) return;
    this.#isBatchDue = true;
    clock.after(BATCH_MS, () => {
      this.#isBatchDue = false;
      this.#cutter.flush();
    });
  }

  #onBlock(block: Block): void {
    if (block.isGopStart && block.startPts !== undefined) {
      this.#measure(block.startPts);
      this.#lastStartPts = block.startPts;
    }
    if (this.#isShownAlready(block)) return;
    this.#resumingTicksMax = 0;
    this.#cancelFiller?.();
    this.#cancelFiller = undefined;
    this.#sentPts = this.#cutter.lastPts ?? this.#sentPts;
    this.#remember(block);
    const nowMs = this.#options.clock.monotonicMs();
    // A newcomer's first group of pictures must fit, and some more.
    const queueBytesMax = Math.max(QUEUE_BYTES_MIN, 2 * this.#gopBytesMost);
    for (const viewer of this.#viewers) {
      if (viewer.stalledMs(nowMs) > STALLED_MS_MAX) {
        this.#options.relayCounters.viewersDropped++;
        viewer.close();
      } else {
        viewer.offer(block, { nowMs, queueBytesMax });
      }
    }
  }

  /** Takes the time from the last start to `pts` for the length of a group. */
  #measure(pts: number): void {
    if (this.#lastStartPts === undefined) return;
    const ticks = (pts - this.#lastStartPts + TICKS_WRAP) % TICKS_WRAP;
    if (ticks <= GOP_TICKS_MAX) this.#gopTicksMost = Math.max(this.#gopTicksMost, ticks);
  }

  /**
   * A new connection begins with a group of pictures that viewers may have had: they wait for one that goes on. What
   * lies further back than that is a new run of the encoder, whose time stamps begin anew.
   */
  #isShownAlready({ isGopStart, startPts }: Block): boolean {
    if (this.#resumingTicksMax === 0) return false;
    if (!isGopStart) return true;
    if (startPts === undefined || this.#sentPts === undefined) return false;
    return isRepeat(startPts, this.#sentPts, this.#resumingTicksMax);
  }

  #remember(block: Block): void {
    if (block.isGopStart) {
      this.#gop = [];
      this.#gopBytes = 0;
    } else if (this.#gop.length === 0) {
      return;
    }
    this.#gop.push(block);
    this.#gopBytes += block.bytes.length;
    this.#gopBytesMost = Math.min(GOP_BYTES_MAX, Math.max(this.#gopBytesMost, this.#gopBytes));
    if (this.#gopBytes > GOP_BYTES_MAX) this.#gop = [];
    else this.#starting.resolve(200);
  }

  #onEnd(status: number): void {
    const { relayCounters, log, path } = this.#options;
    if (this.#gop.length > 0) log.info(`Relay of ${path} lost its upstream: viewers wait`);
    // Before the flush: what it brings is no beginning for anyone any more.
    this.#starting.resolve(status);
    this.#cutter.flush();
    this.#gop = [];
    relayCounters.upstreamLosses++;
    this.#starting = Promise.withResolvers();
    for (const viewer of this.#viewers) viewer.skipToKey();
    if (this.#viewers.size === 0) this.#end();
    else if (this.#cancelFiller === undefined) this.#fillSilence();
  }

  /** Keeps idle timeouts on the way to the viewers from ending what has nothing to say. */
  #fillSilence(): void {
    this.#cancelFiller = this.#options.clock.after(FILLER_MS, () => {
      for (const viewer of this.#viewers) viewer.fill(NULL_PACKET);
      this.#fillSilence();
    });
  }

  #lingerIfEmpty(): void {
    if (this.#viewers.size > 0 || this.#isOver) return;
    this.#cancelLinger?.();
    this.#cancelLinger = this.#options.clock.after(LINGER_MS + START_MS_MAX, () => this.#end());
  }

  #end(): void {
    if (this.#viewers.size > 0 || this.#isOver) return;
    this.close();
    this.#options.onIdle();
  }
}
