/**
 * The encoder's thread: captures on the frame clock, encodes, and passes the packets to the main thread without
 * copying them. Encoding blocks this thread only; players' threads write the canvas meanwhile.
 */
import { systemClock } from "#common/clock.ts";
import { describeError, SpillwayError } from "#common/errors.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";
import { type Av, loadAv } from "./encoder-av.ts";
import { Encoder } from "./encoder.ts";
import type { EncoderJob, EncoderOrder, EncoderReport } from "./encoder-messages.ts";
import { BEHIND_MS_MAX, FrameClock, type Tick } from "./frame-clock.ts";

declare const self: Worker;

/** A run whose first frame is due later than this begins at once: the wall clock was set back. */
const START_DELAY_MS_MAX = 4_000;

/** What is open during a run. */
interface OpenRun {
  readonly job: EncoderJob;
  readonly encoder: Encoder;
  readonly clock: FrameClock;
  /** When the run began, on the wall and on the steady clock: capture times add what passes on the latter. */
  readonly startTimeMs: number;
  startMonotonicMs: number;
  readonly cancelStart: () => void;
  readonly takenReports: Int32Array;
  postedReports: number;
  /** Of the latest picture, which a repeat shows again. */
  captureTimeMs: number;
}

let av: Av | undefined;
let open: OpenRun | undefined;
/** Counts orders: one that waited for node-av is void when another came meanwhile. */
let orders = 0;

self.addEventListener("message", (event: MessageEvent<EncoderOrder>) => {
  const order = event.data;
  orders++;
  endRun();
  if (order.type === "end") report({ type: "ended" });
  else beginRun(order.job).catch(fail);
});

function report(message: EncoderReport, transfer: Transferable[] = []): void {
  self.postMessage(message, transfer);
}

function fail(error: unknown): void {
  endRun();
  const code = error instanceof SpillwayError ? error.code : "encoder-failed";
  report({ type: "failed", code, message: describeError(error) });
}

function endRun(): void {
  open?.cancelStart();
  open?.clock.close();
  open?.encoder.close();
  open = undefined;
}

async function beginRun(job: EncoderJob): Promise<void> {
  const ownOrder = orders;
  av ??= await loadAv();
  if (ownOrder !== orders) return;
  const encoder = new Encoder(av, job);
  const clock = new FrameClock({
    clock: systemClock,
    fps: job.fps,
    onTick(tick) {
      try {
        makeFrame(tick);
      } catch (error) {
        fail(error);
      }
    },
    onBehind: leaveBehind,
  });
  const wallMs = systemClock.wallMs();
  const startTimeMs = Math.max(wallMs, job.startTimeMsMin);
  const delayMs = startTimeMs - wallMs > START_DELAY_MS_MAX ? 0 : startTimeMs - wallMs;
  const run: OpenRun = {
    job,
    encoder,
    clock,
    startTimeMs,
    startMonotonicMs: 0,
    // It is told of before it begins: whoever shows something else meanwhile knows until when.
    cancelStart: systemClock.after(delayMs, () => {
      run.startMonotonicMs = systemClock.monotonicMs();
      clock.start();
    }),
    takenReports: new Int32Array(job.takenReports),
    postedReports: 0,
    captureTimeMs: startTimeMs,
  };
  open = run;
  report({ type: "begun", startTimeMs, configs: encoder.configs });
}

function makeFrame({ index, isRepeat, lagMs }: Tick): void {
  if (open === undefined) return;
  const { job, encoder, startTimeMs, startMonotonicMs, takenReports } = open;
  const waitingNumbers = (open.postedReports - Atomics.load(takenReports, 0)) / job.renditions.length;
  if (waitingNumbers * MILLISECONDS_PER_SECOND > BEHIND_MS_MAX * job.fps) {
    leaveBehind(1);
    return;
  }
  const run = open;
  let beginMs = systemClock.monotonicMs();
  if (!isRepeat) run.captureTimeMs = startTimeMs + (beginMs - startMonotonicMs);
  encoder.encode({ index, isRepeat, captureTimeMs: run.captureTimeMs }, (frame) => {
    const endMs = systemClock.monotonicMs();
    run.postedReports++;
    // A frame's bytes fill a buffer of their own.
    report({ type: "frame", frame, isRepeat, encodeMs: endMs - beginMs, lagMs }, [
      frame.data.buffer as ArrayBuffer,
    ]);
    beginMs = endMs;
  });
}

/** Ends a run that cannot be caught up with; the main thread begins another. */
function leaveBehind(missed: number): void {
  endRun();
  report({ type: "behind", missed });
}
