/**
 * The encoder as the rest of the server sees it: starts its thread, gives frames to the outlets, keeps the numbers
 * going up, and starts over when the thread dies. Runs in the main thread.
 */
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import type { EncodedFrame, Run } from "#common/formats/frame.ts";
import type { Log } from "#common/log.ts";
import { MILLISECONDS_PER_SECOND, msToSeconds } from "#common/units.ts";
import type { CanvasMemory, EncoderJob, EncoderOrder, EncoderReport } from "./encoder-messages.ts";
import type { X264Preset } from "./encoding-options.ts";
import { planRenditions, type RenditionPlan, type RenditionRequest } from "./renditions.ts";
import { RunStore, type RunStart } from "./run-store.ts";

/** Wait before a dead thread is started again; doubles up to the longest with each failure in a row. */
const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 15_000;
/** A run this long makes up for earlier failures. */
const STEADY_MS = 30_000;
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
}

/** Totals since start, and the latest of what varies. Times in milliseconds. */
export interface EncodingFigures {
  /** `encoded`: captured and encoded. `dropped`: moments missed. `repeated`: numbers filled with the picture before. */
  readonly frames: { readonly encoded: number; readonly dropped: number; readonly repeated: number };
  /** Spent on encoding, all renditions. */
  readonly encodeMsTotal: number;
  /** Spent on the latest frame, and how late its capture was. */
  readonly encodeMs: number;
  readonly lagMs: number;
  readonly encodedBytes: number;
  /** Runs begun, and threads that died. */
  readonly runs: number;
  readonly failures: number;
}

/**
 * Starts the encoder. Resolves when it is open; rejects with {@link StartError} where node-av is missing, x264 refuses
 * or the data folder cannot be used, with `OptionError` where the ladder does not fit the canvas.
 */
export async function startEncoding(options: EncodingOptions): Promise<Encoding> {
  const plans = planRenditions(options.canvas, options.renditions);
  const encoding = new Encoding(options, plans, new RunStore(options));
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
  readonly #options: EncodingOptions;
  readonly #plans: readonly RenditionPlan[];
  readonly #store: RunStore;
  readonly #opening = Promise.withResolvers<void>();
  readonly #frames = { encoded: 0, dropped: 0, repeated: 0 };
  readonly #latest = { encodeMsTotal: 0, encodeMs: 0, lagMs: 0, encodedBytes: 0, runs: 0, failures: 0 };
  #worker: Worker | undefined;
  #start: RunStart | undefined;
  #takenReports = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  #lastFrameMs: number | undefined;
  #beganMs = 0;
  #isOpen = false;
  #failure: string | undefined;
  #restartMs = RESTART_MS_MIN;
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
    return { frames: { ...this.#frames }, ...this.#latest };
  }

  /** Why there is no stream now, or `undefined` while frames come. */
  readiness(): string | undefined {
    if (this.#failure !== undefined) return `The encoder failed and is started again: ${this.#failure}`;
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
    await this.#endThread();
    this.#store.close();
  }

  #startThread(): void {
    const worker = new Worker(new URL("./encoder-thread.ts", import.meta.url));
    this.#worker = worker;
    worker.addEventListener("message", (event: MessageEvent<EncoderReport>) => {
      if (this.#worker === worker) this.#take(event.data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (this.#worker === worker) this.#fail("encoder-failed", event.message);
    });
    this.#order();
  }

  /** Has the thread begin a run. */
  #order(): void {
    const { canvas, fps, preset } = this.#options;
    this.#start = this.#store.beginRun(fps);
    this.#takenReports = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const { startFrame } = this.#start;
    const takenReports = this.#takenReports;
    const job: EncoderJob = { canvas, fps, preset, renditions: this.#plans, startFrame, takenReports };
    const order: EncoderOrder = { type: "begin", job };
    this.#worker?.postMessage(order, []);
  }

  #take(report: EncoderReport): void {
    if (report.type === "ended") this.#onEnded?.();
    if (this.#isClosed) return;
    if (report.type === "begun") this.#beginRun(report);
    else if (report.type === "frames") this.#takeFrames(report);
    else if (report.type === "failed") this.#fail(report.code, report.message);
    else if (report.type === "behind") this.#leaveBehind(report.missed);
  }

  #beginRun({ startTimeMs, configs }: EncoderReport & { readonly type: "begun" }): void {
    if (this.#start === undefined) throw new TypeError("A run began that was not asked for");
    const renditions = this.#plans.map((plan, index) => ({
      ...plan,
      avcC: configs[index] ?? new Uint8Array(),
    }));
    const run: Run = { ...this.#start, startTimeMs, fps: this.#options.fps, renditions };
    this.#latest.runs++;
    this.#beganMs = this.#options.clock.monotonicMs();
    this.#failure = undefined;
    this.#isOpen = true;
    for (const sink of this.#options.sinks) sink.beginRun(run);
    const { id, ordinal, startFrame } = run;
    this.#options.log.info("The encoder runs", {
      run: id,
      ordinal,
      startFrame,
      renditions: renditions.map(({ name }) => name).join(" "),
    });
    this.#opening.resolve();
  }

  #takeFrames({ frames, isRepeat, encodeMs, lagMs }: EncoderReport & { readonly type: "frames" }): void {
    Atomics.add(new Int32Array(this.#takenReports), 0, 1);
    this.#lastFrameMs = this.#options.clock.monotonicMs();
    if (isRepeat) {
      this.#frames.dropped++;
      this.#frames.repeated++;
    } else this.#frames.encoded++;
    this.#latest.encodeMs = encodeMs;
    this.#latest.encodeMsTotal += encodeMs;
    this.#latest.lagMs = lagMs;
    for (const frame of frames) {
      this.#latest.encodedBytes += frame.data.length;
      // Nobody may see a number that is not on disk.
      this.#store.reserve(frame.number, this.#options.fps);
      for (const sink of this.#options.sinks) sink.addFrame(frame);
    }
  }

  #leaveBehind(missed: number): void {
    this.#frames.dropped += missed;
    this.#options.log.warn("The encoder fell too far behind and begins another run", {
      missedFrames: missed,
      seconds: Math.round(missed / this.#options.fps),
    });
    this.#order();
  }

  #fail(code: string, message: string): void {
    const { clock, log } = this.#options;
    if (!this.#isOpen) {
      this.#opening.reject(new StartError(code, message));
      return;
    }
    this.#latest.failures++;
    this.#failure = message;
    if (clock.monotonicMs() - this.#beganMs >= STEADY_MS) this.#restartMs = RESTART_MS_MIN;
    const delayMs = this.#restartMs;
    this.#restartMs = Math.min(delayMs * 2, RESTART_MS_MAX);
    log.error(`${message}: started again in ${delayMs / MILLISECONDS_PER_SECOND} s`);
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#cancelRestart = clock.after(delayMs, () => this.#startThread());
  }

  async #endThread(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    const ended = Promise.withResolvers<void>();
    this.#onEnded = ended.resolve;
    const cancel = this.#options.clock.after(END_MS_MAX, ended.resolve);
    const order: EncoderOrder = { type: "end" };
    worker.postMessage(order, []);
    await ended.promise;
    cancel();
    worker.terminate();
    this.#worker = undefined;
  }
}
