/**
 * The encoder as the rest of the server sees it: starts its thread, gives frames to the outlets, keeps the numbers
 * going up, and starts over when the thread dies. Runs in the main thread.
 */
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { type EncodedFrame, evenTimescale, type Run } from "#common/formats/frame.ts";
import { DurationHistogram } from "#common/histogram.ts";
import type { Log } from "#common/log.ts";
import { RunStore, type RunStart } from "#common/run-store.ts";
import { msToSeconds } from "#common/units.ts";
import type { CanvasMemory, EncoderJob, EncoderReport } from "./encoder-messages.ts";
import { type EncoderThread, type OpenEncoderThread, openEncoderThread } from "./encoder-worker.ts";
import { BEHIND_MS_MAX } from "./frame-clock.ts";
import { planRenditions, type RenditionPlan, type RenditionRequest, type X264Preset } from "./renditions.ts";

/** Wait before another run after one that failed or fell behind; doubles up to the longest with each in a row. */
export const RESTART_MS_MIN = 500;
export const RESTART_MS_MAX = 15_000;
/** A run this long makes up for earlier failures. */
export const STEADY_MS = 30_000;
/**
 * A thread that reports nothing for this many checks is taken for hung, also before its run has begun. Checks are
 * counted rather than time: where the whole process stood still, its reports wait to be read and one check has passed.
 */
export const SILENT_CHECKS_MAX = 15;
export const CHECK_MS = 1_000;
/** Without a frame for this long the server is not ready. */
const SILENCE_MS_MAX = 2_000;
/** The thread gets this long to free its memory when the process ends. */
const END_MS_MAX = 1_000;

/** Where frames go. */
export interface FrameSink {
  /** Once, before the frames of `run`. */
  beginRun(run: Run): void;
  /** Frames of one number follow each other, in the order of the run's renditions. */
  addFrame(frame: EncodedFrame): void;
}

export interface EncodingOptions {
  readonly canvas: CanvasMemory;
  readonly fps: number;
  readonly preset: X264Preset;
  readonly renditions: readonly RenditionRequest[];
  /** `--data-dir`: keeps the numbers of frames. */
  readonly dataDir: string;
  readonly sinks: readonly FrameSink[];
  readonly clock: Clock;
  readonly log: Log;
  /** For tests. Default {@link openEncoderThread}. */
  readonly openThread?: OpenEncoderThread;
}

/** Upper bounds of buckets, in milliseconds, around what a frame lasts at 120 to 24 frames a second. */
const ENCODE_BOUNDS_MS = [1, 2, 3, 4, 6, 8, 12, 16, 20, 25, 33, 42, 60, 100, 250, 1_000];
const LAG_BOUNDS_MS = [0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 16, 20, 33, 50, 100, 250, 1_000];

/** Totals since start. */
export interface EncodingFigures {
  /** `encoded`: captured and encoded. `dropped`: moments missed. `repeated`: numbers filled with the picture before. */
  readonly frames: { readonly encoded: number; readonly dropped: number; readonly repeated: number };
  readonly encodedBytes: number;
  /** Runs begun, and how often one failed, fell too far behind or did not begin. */
  readonly runs: number;
  readonly failures: number;
}

/**
 * Starts the encoder. Resolves when it is open; rejects with {@link StartError} where node-av is missing, x264 refuses
 * or the data folder cannot be used, with `OptionError` where the ladder does not fit the canvas.
 */
export async function startEncoding(options: EncodingOptions): Promise<Encoding> {
  const plans = planRenditions({ ...options.canvas, fps: options.fps }, options.renditions);
  const encoding = new Encoding(options, plans, new RunStore({ ...options, role: "server" }));
  try {
    await encoding.opened;
  } catch (error) {
    await encoding.close();
    throw error;
  }
  return encoding;
}

export class Encoding {
  /** Settles with the first run: rejects with a {@link StartError} where it cannot begin. */
  readonly opened: Promise<void>;
  /** Spent on each number, all renditions. */
  readonly encodeTimes = new DurationHistogram(ENCODE_BOUNDS_MS);
  /** How late each was captured. */
  readonly captureLags = new DurationHistogram(LAG_BOUNDS_MS);
  readonly #options: EncodingOptions;
  readonly #plans: readonly RenditionPlan[];
  readonly #store: RunStore;
  readonly #opening = Promise.withResolvers<void>();
  readonly #frames = { encoded: 0, dropped: 0, repeated: 0 };
  readonly #totals = { encodedBytes: 0, runs: 0, failures: 0 };
  /** Spent on the number at hand so far. */
  #encodeMs = 0;
  #thread: EncoderThread | undefined;
  #start: RunStart | undefined;
  /** The latest that has begun. */
  #run: Run | undefined;
  #takenReports = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  #lastFrameMs: number | undefined;
  /** When the run at hand began; `undefined` before it has. */
  #beganMs: number | undefined;
  /** True once there was a run: until then a failure is the end. */
  #isOpen = false;
  #failure: string | undefined;
  #restartMs = RESTART_MS_MIN;
  #silentChecks = 0;
  #cancelCheck: (() => void) | undefined;
  #cancelRestart: (() => void) | undefined;
  #onEnded: (() => void) | undefined;
  #isClosed = false;

  constructor(options: EncodingOptions, plans: readonly RenditionPlan[], store: RunStore) {
    this.#options = options;
    this.#plans = plans;
    this.#store = store;
    this.opened = this.#opening.promise;
    this.#startThread();
  }

  figures(): EncodingFigures {
    return { frames: { ...this.#frames }, ...this.#totals };
  }

  /** Why there is no stream now, or `undefined` while frames come. */
  readiness(): string | undefined {
    if (this.#failure !== undefined) return `${this.#failure}: it is started again`;
    if (this.#lastFrameMs === undefined) return "The encoder has not delivered a frame yet";
    const silentMs = this.#options.clock.monotonicMs() - this.#lastFrameMs;
    if (silentMs <= SILENCE_MS_MAX) return undefined;
    return `The encoder has not delivered a frame for ${Math.round(msToSeconds(silentMs))} s`;
  }

  /** Frees the encoder, ends its thread and gives the data folder free. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelRestart?.();
    this.#cancelCheck?.();
    await this.#endThread();
    this.#store.close();
  }

  #startThread(): void {
    const open = this.#options.openThread ?? openEncoderThread;
    const thread = open({
      onReport: (report) => {
        if (this.#thread === thread) this.#take(report);
      },
      onEnd: (reason) => {
        if (this.#thread === thread) this.#fail("encoder-failed", `The encoder failed: ${reason}`);
      },
    });
    this.#thread = thread;
    this.#order();
  }

  /** Has the thread begin a run. */
  #order(): void {
    const { canvas, fps, preset } = this.#options;
    this.#start = this.#store.beginRun(fps);
    this.#beganMs = undefined;
    this.#takenReports = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const { startFrame, startTimeMsMin } = this.#start;
    const takenReports = this.#takenReports;
    const renditions = this.#plans;
    const job: EncoderJob = { canvas, fps, preset, renditions, startFrame, startTimeMsMin, takenReports };
    this.#thread?.send({ type: "begin", job });
    this.#silentChecks = 0;
    this.#checkLater();
  }

  #checkLater(): void {
    this.#cancelCheck?.();
    this.#cancelCheck = this.#options.clock.after(CHECK_MS, () => {
      this.#silentChecks++;
      if (this.#silentChecks < SILENT_CHECKS_MAX) this.#checkLater();
      else this.#fail("encoder-silent", "The encoder failed: its thread does not answer");
    });
  }

  #take(report: EncoderReport): void {
    // A thread that fails while it is to end has ended too.
    if (report.type === "ended" || report.type === "failed") this.#onEnded?.();
    if (this.#isClosed) return;
    this.#silentChecks = 0;
    if (report.type === "begun") this.#beginRun(report);
    else if (report.type === "frame") this.#takeFrame(report);
    else if (report.type === "failed") this.#fail(report.code, report.message);
    else if (report.type === "behind") this.#leaveBehind(report.missed);
  }

  #beginRun({ startTimeMs, configs }: EncoderReport & { readonly type: "begun" }): void {
    if (this.#start === undefined) throw new TypeError("A run began that was not asked for");
    const renditions = this.#plans.map(({ trackId, name, width, height, bitsPerSecondMax }, index) => {
      return { trackId, name, width, height, bitsPerSecondMax, avcC: configs[index] ?? new Uint8Array() };
    });
    const { fps } = this.#options;
    const { id, ordinal, startFrame } = this.#start;
    const timescale = evenTimescale(fps);
    const run: Run = { id, ordinal, startFrame, startTimeMs, fps, timescale, renditions };
    this.#run = run;
    this.#totals.runs++;
    this.#beganMs = this.#options.clock.monotonicMs();
    this.#failure = undefined;
    this.#isOpen = true;
    for (const sink of this.#options.sinks) sink.beginRun(run);
    this.#options.log.info("The encoder runs", {
      run: id,
      ordinal,
      startFrame,
      renditions: renditions.map(({ name }) => name).join(" "),
    });
    this.#opening.resolve();
  }

  #takeFrame({ frame, isRepeat, encodeMs, lagMs }: EncoderReport & { readonly type: "frame" }): void {
    Atomics.add(new Int32Array(this.#takenReports), 0, 1);
    this.#lastFrameMs = this.#options.clock.monotonicMs();
    if (frame.trackId === this.#plans[0]?.trackId) this.#countNumber(isRepeat, lagMs);
    this.#encodeMs += encodeMs;
    if (frame.trackId === this.#plans.at(-1)?.trackId) this.encodeTimes.observe(this.#encodeMs);
    this.#totals.encodedBytes += frame.data.length;
    // Nobody may see a number that is not on disk.
    if (this.#run !== undefined) this.#store.reserve(frame.number, this.#run);
    for (const sink of this.#options.sinks) sink.addFrame(frame);
  }

  /** Once for each number, with the frame of the full size. */
  #countNumber(isRepeat: boolean, lagMs: number): void {
    this.#encodeMs = 0;
    this.captureLags.observe(lagMs);
    if (isRepeat) {
      this.#frames.dropped++;
      this.#frames.repeated++;
    } else this.#frames.encoded++;
  }

  /** The thread has ended its run and lives; at once another run would fall behind just the same. */
  #leaveBehind(missed: number): void {
    this.#frames.dropped += missed;
    const reason = `The encoder fell more than ${msToSeconds(BEHIND_MS_MAX)} s behind`;
    this.#retryLater(reason, () => this.#order());
  }

  /** The thread is of no use any more. */
  #fail(code: string, message: string): void {
    if (this.#isClosed) {
      this.#onEnded?.();
      return;
    }
    this.#thread?.terminate();
    this.#thread = undefined;
    if (this.#isOpen) this.#retryLater(message, () => this.#startThread());
    else {
      this.#cancelCheck?.();
      this.#opening.reject(new StartError(code, message));
    }
  }

  #retryLater(reason: string, retry: () => void): void {
    const { clock, log } = this.#options;
    this.#cancelCheck?.();
    // A thread may die while it waits to begin another run.
    this.#cancelRestart?.();
    this.#totals.failures++;
    this.#failure = reason;
    const isSteady = this.#beganMs !== undefined && clock.monotonicMs() - this.#beganMs >= STEADY_MS;
    const delayMs = isSteady ? RESTART_MS_MIN : this.#restartMs;
    this.#restartMs = Math.min(delayMs * 2, RESTART_MS_MAX);
    log.error(`${reason}: started again in ${msToSeconds(delayMs)} s`);
    this.#cancelRestart = clock.after(delayMs, retry);
  }

  async #endThread(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined) return;
    const ended = Promise.withResolvers<void>();
    this.#onEnded = ended.resolve;
    const cancel = this.#options.clock.after(END_MS_MAX, ended.resolve);
    thread.send({ type: "end" });
    await ended.promise;
    cancel();
    thread.terminate();
    this.#thread = undefined;
  }
}
