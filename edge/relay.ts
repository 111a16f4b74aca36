/**
 * `stream.ts`: one upstream connection for each path however many watch. A viewer begins with the newest group of
 * pictures, at once; one who falls behind loses whole groups; when the upstream fails all stay and go on with the
 * next key frame, its time stamps behind those that they have; when the stream is over they get what waits and the end.
 */
// ISO/IEC 13818-1 2.4.3.5 (discontinuity_indicator)
import type { Clock } from "#common/clock.ts";
import { joinBytes } from "#common/join-bytes.ts";
import type { Log } from "#common/log.ts";
import { FanOutTotals, TsFanOut } from "#common/ts-fan-out.ts";
import type { TsBatch } from "#common/ts-log.ts";
import { TICKS_PER_SECOND, TICKS_WRAP } from "#common/units.ts";
import type { Counters } from "./counters.ts";
import { GopCutter, type Block } from "./gop-cutter.ts";
import { ResumePoint } from "./resume-point.ts";
import { SharedStream } from "./shared-stream.ts";
import { discontinuityPackets, isRepeat, NULL_PACKET } from "./ts-packets.ts";
import { TsTimeline } from "./ts-timeline.ts";
import type { Upstream } from "./upstream.ts";

/** Packets are collected this long before they are sent: each write to each viewer costs the same, however small. */
const BATCH_MS = 100;
/** Sooner where the upstream has stopped for this long and the last batch is almost as old: it sends in batches itself. */
const BATCH_PAUSE_MS = 10;
const BATCH_MS_MIN = 80;
/** How long a relay goes on without viewers and those who wait to become one. */
const LINGER_MS = 5_000;
/** How long a viewer waits for the first picture before 503. */
const START_MS_MAX = 5_000;
/** An upstream that sends nothing for this long has failed. */
const SILENCE_MS_MAX = 5_000;
/** How long viewers may take what waits for them when the edge ends: less than a server gives its last answers. */
const CLOSE_MS_MAX = 400;

/** Viewers get a null packet this often while there is no upstream. */
const FILLER_MS = 10_000;
/** Groups of pictures that a new connection may repeat, in the longest seen. */
const REPEATED_GOPS_MAX = 2;
/** Starts further apart are not one group: the time stamps were set anew. */
const GOP_TICKS_MAX = 30 * TICKS_PER_SECOND;

/** What relays count, all together. */
export class RelayCounters {
  /** Viewers, what waits for them and what they lose. */
  readonly fanOut = new FanOutTotals();
  /** Upstream connections that ended or could not be made. */
  upstreamLosses = 0;
  /** Bytes from upstream that were no packets. */
  skippedBytes = 0;
  /** Times that another connection was joined on to the one before, so that viewers missed nothing. */
  resumptions = 0;
  /** Times that time stamps jumped upstream and were shifted to go on. */
  shifts = 0;
  /** Listeners to events let go because they took nothing. */
  listenersDropped = 0;
}

/** What a relay of one path is made with: of `stream.ts`, or of events. */
export interface RelayOptions {
  readonly path: string;
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly relayCounters: RelayCounters;
  /** Called when the relay is over: the stream is, or it has been without viewers or listeners for long enough. */
  readonly onOver: () => void;
}

/** One relayed path. */
export class Relay {
  readonly #options: RelayOptions;
  readonly #fanOut: TsFanOut;
  readonly #stream: SharedStream;
  readonly #timeline = new TsTimeline();
  #cutter: GopCutter;
  /** Viewers for whom {@link add} was called and `onClose` was not. */
  #viewers = 0;
  /** PTS of the last picture that viewers got, in the upstream's ticks. */
  #sentPts: number | undefined;
  /** Longest time between two starts, at least a second, in ticks. */
  #gopTicksMost = TICKS_PER_SECOND;
  #lastStartPts: number | undefined;
  /** How far behind {@link #sentPts} a new connection's start counts as shown already; 0 while nothing was sent. */
  #resumingTicksMax = 0;
  #cancelBatch: (() => void) | undefined;
  /** When the last batch was sent, and by when this one must be, on the monotonic clock. */
  #sentMs = 0;
  #batchDueMs = 0;
  #cancelLinger: (() => void) | undefined;
  /** Those who wait in {@link ready}. */
  readonly #waiting = new Set<(status: number) => void>();
  #cancelFiller: (() => void) | undefined;
  readonly #resumePoint = new ResumePoint();
  /** True from the end of a connection to the first packets of another that viewers have not had. */
  #isBroken = false;
  #isOver = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    const { clock, counters, relayCounters } = options;
    this.#fanOut = new TsFanOut({ clock, counters, totals: relayCounters.fanOut, markDiscontinuity });
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
    if (this.#canBegin) return 200;
    if (this.#isOver) return 503;
    this.#cancelLinger?.();
    const { promise, resolve } = Promise.withResolvers<number>();
    // Each by itself: who came too soon says nothing about those who come later.
    const cancel = this.#options.clock.after(START_MS_MAX, () => resolve(503));
    this.#waiting.add(resolve);
    const status = await promise;
    cancel();
    this.#waiting.delete(resolve);
    this.#lingerIfEmpty();
    return status;
  }

  /** Adds a viewer, unless it {@link isOver}, and returns the body of its response: from the newest key frame on. */
  add(signal: AbortSignal, onClose: () => void): ReadableStream<Uint8Array> {
    this.#cancelLinger?.();
    this.#viewers++;
    return this.#fanOut.open(signal, () => {
      this.#viewers--;
      this.#lingerIfEmpty();
      onClose();
    });
  }

  /** Ends the upstream connection and all viewers, who may take what waits for them in a moment. */
  close(): void {
    this.#end(CLOSE_MS_MAX);
  }

  get #canBegin(): boolean {
    return this.#fanOut.canBegin && !this.#isBroken;
  }

  #onOpen(): void {
    this.#resumePoint.rewind();
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
    const nowMs = clock.monotonicMs();
    if (this.#cancelBatch === undefined) this.#batchDueMs = nowMs + BATCH_MS;
    this.#cancelBatch?.();
    const pausedMs = Math.max(nowMs + BATCH_PAUSE_MS, this.#sentMs + BATCH_MS_MIN);
    this.#cancelBatch = clock.after(Math.max(0, Math.min(pausedMs, this.#batchDueMs) - nowMs), () => {
      this.#cancelBatch = undefined;
      this.#cutter.flush();
    });
  }

  #onBlock(block: Block): void {
    if (block.isGopStart && block.startPts !== undefined) {
      this.#measure(block.startPts);
      this.#lastStartPts = block.startPts;
    }
    const news = this.#isBroken ? this.#newsOf(block) : block;
    if (news !== undefined) this.#send(news);
  }

  #send(block: Block): void {
    const { clock, relayCounters } = this.#options;
    this.#sentMs = clock.monotonicMs();
    this.#cancelFiller?.();
    this.#cancelFiller = undefined;
    this.#sentPts = block.lastPts ?? this.#sentPts;
    this.#resumePoint.note(block);
    const shifts = this.#timeline.shifts;
    this.#timeline.shift(block, this.#sentMs);
    relayCounters.shifts += this.#timeline.shifts - shifts;
    this.#fanOut.push({ bytes: block.bytes, isKey: block.isGopStart, opening: block.tables });
    if (this.#canBegin) this.#answerWaiting(200);
  }

  /**
   * What of a new connection's block viewers have not had: what joins on to the last packet that they have, or else from
   * the first key frame that they have not had on.
   */
  #newsOf(block: Block): Block | undefined {
    const bytes = this.#resumePoint.search(block.bytes);
    if (bytes !== undefined) {
      this.#isBroken = false;
      this.#options.relayCounters.resumptions++;
      const { pictureAt } = block;
      const newPictureAt = (pictureAt ?? -1) - (block.bytes.length - bytes.length);
      return {
        ...block,
        bytes,
        isGopStart: false,
        startPts: undefined,
        pictureAt: newPictureAt >= 0 ? newPictureAt : undefined,
      };
    }
    if (this.#isShownAlready(block)) return undefined;
    this.#isBroken = false;
    this.#fanOut.breakOff();
    this.#timeline.breakOff();
    return block;
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

  #onEnd(status: number): void {
    const { relayCounters, log, path } = this.#options;
    if (this.#canBegin) log.info(`Relay of ${path} lost its upstream: viewers wait`);
    // Before the flush: what it brings is no beginning for anyone any more.
    this.#answerWaiting(status);
    this.#cutter.flush();
    this.#isBroken = true;
    relayCounters.upstreamLosses++;
    if (isGone(status) || this.#viewers === 0) this.#end();
    else if (this.#cancelFiller === undefined) this.#fillSilence();
  }

  /** Keeps idle timeouts on the way to the viewers from ending what has nothing to say. */
  #fillSilence(): void {
    this.#cancelFiller = this.#options.clock.after(FILLER_MS, () => {
      this.#fanOut.fill(NULL_PACKET);
      this.#fillSilence();
    });
  }

  #answerWaiting(status: number): void {
    for (const answer of this.#waiting) answer(status);
  }

  #lingerIfEmpty(): void {
    if (this.#viewers > 0 || this.#waiting.size > 0 || this.#isOver) return;
    this.#cancelLinger?.();
    this.#cancelLinger = this.#options.clock.after(LINGER_MS, () => this.#end());
  }

  #end(drainMsMax?: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.stop();
    this.#cancelBatch?.();
    this.#cancelLinger?.();
    this.#cancelFiller?.();
    this.#answerWaiting(503);
    this.#fanOut.end(drainMsMax);
    this.#options.onOver();
  }
}

/** The upstream knows the path no more: a stream that has an end, and it is reached. */
function isGone(status: number): boolean {
  return status === 404 || status === 410;
}

/** For those who missed what came before: the marks, tables where the block has none, and the block. */
function markDiscontinuity({ bytes, opening = new Uint8Array(0) }: TsBatch): Uint8Array {
  const whole = joinBytes([opening, bytes]);
  return joinBytes([discontinuityPackets(whole), whole]);
}
