/** What becomes of the encoder whose thread fails, ends, hangs or is too slow: a scripted thread, a clock moved by hand. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { evenTimes, type Run } from "#common/formats/frame.ts";
import { silentLog } from "#common/log.ts";
import type { EncoderOrder, EncoderReport } from "./encoder-messages.ts";
import type { EncoderThread, EncoderThreadEvents } from "./encoder-worker.ts";
import {
  CHECK_MS,
  type Encoding,
  RESTART_MS_MAX,
  RESTART_MS_MIN,
  SILENT_CHECKS_MAX,
  startEncoding,
  STEADY_MS,
} from "./encoding.ts";

const FPS = 10;
const SILENCE_MS = SILENT_CHECKS_MAX * CHECK_MS;
const BEGUN: EncoderReport = {
  type: "begun",
  startTimeMs: Date.UTC(2026, 0, 1),
  configs: [Uint8Array.of(1)],
};
const FAILED: EncoderReport = {
  type: "failed",
  code: "encoder-failed",
  message: "The encoder failed: scripted",
};

/** A thread that says what the test tells it to. */
class ScriptedThread implements EncoderThread {
  readonly orders: string[] = [];
  readonly #events: EncoderThreadEvents;
  readonly #answersEnd: EncoderReport | undefined;
  startFrame = 0;
  isTerminated = false;

  constructor(events: EncoderThreadEvents, answersEnd: EncoderReport | undefined) {
    this.#events = events;
    this.#answersEnd = answersEnd;
  }

  send(order: EncoderOrder): void {
    this.orders.push(order.type);
    if (order.type === "begin") this.startFrame = order.job.startFrame;
    else if (this.#answersEnd !== undefined) this.report(this.#answersEnd);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  report(report: EncoderReport): void {
    if (!this.isTerminated) this.#events.onReport(report);
  }

  end(): void {
    if (!this.isTerminated) this.#events.onEnd("its thread ended");
  }

  /** One frame of the only rendition. */
  frame(index: number): void {
    const frame = { trackId: 1, number: this.startFrame + index, captureTimeMs: 0, isKey: index === 0 };
    const timed = { ...frame, ...evenTimes(index), data: new Uint8Array(5) };
    this.report({ type: "frame", frame: timed, isRepeat: false, encodeMs: 1, lagMs: 0 });
  }
}

interface Rig {
  readonly clock: FakeClock;
  readonly threads: ScriptedThread[];
  readonly runs: Run[];
  /** Settles when the first run begins, or cannot. */
  readonly opening: Promise<Encoding>;
  readonly latest: () => ScriptedThread;
}

let dataDir = "";
const open: Encoding[] = [];
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "spillway-encoding-"));
});
afterEach(async () => {
  for (const encoding of open.splice(0)) await encoding.close();
  rmSync(dataDir, { recursive: true });
});

/** @param answersEnd what threads answer to the order to end; `undefined`: nothing */
function createRig(answersEnd: EncoderReport | undefined = { type: "ended" }): Rig {
  const clock = new FakeClock();
  const threads: ScriptedThread[] = [];
  const runs: Run[] = [];
  const opening = startEncoding({
    canvas: { memory: new SharedArrayBuffer(16 * 16 * 4), byteOffset: 0, width: 16, height: 16 },
    fps: FPS,
    preset: "ultrafast",
    renditions: [],
    dataDir,
    sinks: [{ beginRun: (run) => runs.push(run), addFrame() {} }],
    clock,
    log: silentLog,
    openThread(events) {
      const thread = new ScriptedThread(events, answersEnd);
      threads.push(thread);
      return thread;
    },
  });
  const latest = (): ScriptedThread => {
    const thread = threads.at(-1);
    if (thread === undefined) throw new Error("There is no thread yet");
    return thread;
  };
  return { clock, threads, runs, opening, latest };
}

/** A rig whose first run has begun and shown a frame. */
async function begin(answersEnd?: EncoderReport): Promise<Rig & { readonly encoding: Encoding }> {
  const rig = createRig(answersEnd);
  rig.latest().report(BEGUN);
  rig.latest().frame(0);
  const encoding = await rig.opening;
  open.push(encoding);
  return { ...rig, encoding };
}

describe("startEncoding() rejects where the thread", () => {
  test.each<[string, (rig: Rig) => void, string]>([
    ["fails", ({ latest }) => latest().report(FAILED), "scripted"],
    ["ends", ({ latest }) => latest().end(), "its thread ended"],
    ["says nothing", ({ clock }) => clock.advance(SILENCE_MS), "its thread does not answer"],
  ])("%s before its first run", async (_, happen, message) => {
    const rig = createRig();
    happen(rig);
    const failure = await rig.opening.catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StartError);
    expect(String(failure)).toContain(message);
    rig.clock.advance(10 * RESTART_MS_MAX);
    expect(rig.threads.length).toBe(1);
    expect(rig.latest().isTerminated).toBe(true);
  });
});

describe("Encoding replaces a thread", () => {
  test.each<[string, (rig: Rig) => void]>([
    ["fails", ({ latest }) => latest().report(FAILED)],
    ["ends by itself", ({ latest }) => latest().end()],
    ["hangs", ({ clock }) => clock.advance(SILENCE_MS)],
  ])("that %s, and goes on with higher numbers", async (_, happen) => {
    const rig = await begin();
    expect(rig.encoding.readiness()).toBeUndefined();
    happen(rig);
    expect(rig.threads[0]?.isTerminated).toBe(true);
    expect(rig.encoding.readiness()).toContain("it is started again");
    rig.clock.advance(RESTART_MS_MIN - 1);
    expect(rig.threads.length).toBe(1);
    rig.clock.advance(1);
    expect(rig.threads.length).toBe(2);
    rig.latest().report(BEGUN);
    rig.latest().frame(0);
    expect(rig.encoding.readiness()).toBeUndefined();
    expect(rig.runs.map(({ ordinal }) => ordinal - (rig.runs[0]?.ordinal ?? 0))).toEqual([0, 1]);
    const passedFrames = (rig.runs[1]?.startFrame ?? 0) - (rig.runs[0]?.startFrame ?? 0);
    expect(passedFrames % (2 * FPS)).toBe(0);
    expect(passedFrames).toBeWithin(2 * FPS, (SILENCE_MS / 1000 + 4) * FPS);
    expect(rig.encoding.figures()).toMatchObject({ runs: 2, failures: 1 });
  });

  test("that hangs before its run has begun", async () => {
    const rig = await begin();
    rig.latest().end();
    rig.clock.advance(RESTART_MS_MIN);
    rig.clock.advance(SILENCE_MS);
    expect(rig.threads[1]?.isTerminated).toBe(true);
    rig.clock.advance(2 * RESTART_MS_MIN);
    expect(rig.threads.length).toBe(3);
  });

  test("not where reports come, however few", async () => {
    const rig = await begin();
    for (let index = 1; index < 5; index++) {
      rig.clock.advance(SILENCE_MS - CHECK_MS);
      rig.latest().frame(index);
    }
    expect(rig.threads.length).toBe(1);
    expect(rig.encoding.figures().failures).toBe(0);
  });
});

/** How long it takes from now until another thread is there or another run is ordered. */
function measureBackOff({ clock, threads, latest }: Rig): number {
  const count = (): number => threads.length + latest().orders.length;
  const before = count();
  let waitedMs = 0;
  for (; count() === before && waitedMs <= RESTART_MS_MAX; waitedMs += 500) clock.advance(500);
  return waitedMs;
}

describe("Encoding waits longer after each failure", () => {
  const delaysMs = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];

  test("also where runs begin and fail soon", async () => {
    const rig = await begin();
    const measured = delaysMs.map(() => {
      rig.latest().report(FAILED);
      const waitedMs = measureBackOff(rig);
      rig.latest().report(BEGUN);
      return waitedMs;
    });
    expect(measured).toEqual(delaysMs);
  });

  test("also after a long run, once threads fail before they begin", async () => {
    const rig = await begin();
    for (let passedMs = 0; passedMs < STEADY_MS; passedMs += SILENCE_MS / 2) {
      rig.clock.advance(SILENCE_MS / 2);
      rig.latest().frame(1);
    }
    const measured = delaysMs.map(() => {
      rig.latest().report(FAILED);
      return measureBackOff(rig);
    });
    expect(measured).toEqual(delaysMs);
  });

  test("and where it falls behind, with the reason in readiness()", async () => {
    const rig = await begin();
    const measured = delaysMs.map(() => {
      rig.latest().report({ type: "behind", missed: 6 * FPS });
      expect(rig.encoding.readiness()).toBe("The encoder fell more than 5 s behind: it is started again");
      const waitedMs = measureBackOff(rig);
      rig.latest().report(BEGUN);
      return waitedMs;
    });
    expect(measured).toEqual(delaysMs);
    expect(rig.threads.length).toBe(1);
    expect(rig.encoding.figures().frames.dropped).toBe(6 * FPS * delaysMs.length);
  });

  test("once, where a thread dies that waits after it fell behind", async () => {
    const rig = await begin();
    rig.latest().report({ type: "behind", missed: 6 * FPS });
    rig.latest().end();
    rig.clock.advance(RESTART_MS_MAX - 1);
    expect(rig.threads.length).toBe(2);
    expect(rig.threads[0]?.orders).toEqual(["begin"]);
  });

  test("but not after a steady run", async () => {
    const rig = await begin();
    for (const expectedMs of [500, 1_000]) {
      rig.latest().report(FAILED);
      expect(measureBackOff(rig)).toBe(expectedMs);
      rig.latest().report(BEGUN);
    }
    for (let passedMs = 0; passedMs < STEADY_MS; passedMs += SILENCE_MS / 2) {
      rig.clock.advance(SILENCE_MS / 2);
      rig.latest().frame(0);
    }
    rig.latest().report(FAILED);
    expect(measureBackOff(rig)).toBe(500);
  });
});

describe("Encoding.close()", () => {
  test.each<[string, EncoderReport | undefined]>([
    ["ends", { type: "ended" }],
    ["fails while it is to end", FAILED],
  ])("is done when its thread %s, and starts no other", async (_, answer) => {
    const rig = await begin(answer);
    await rig.encoding.close();
    rig.clock.advance(RESTART_MS_MAX);
    expect(rig.threads.length).toBe(1);
    expect(rig.latest().isTerminated).toBe(true);
    expect(rig.encoding.figures().failures).toBe(0);
  });

  test.each<[string, (rig: Rig) => void]>([
    ["dies instead of ending", ({ latest }) => latest().end()],
    ["does not answer", ({ clock }) => clock.advance(1_000)],
  ])("is done when its thread %s", async (_, happen) => {
    const rig = await begin();
    // This one says nothing when it is told to end.
    Object.assign(rig.latest(), { send() {} });
    const closing = rig.encoding.close();
    happen(rig);
    await closing;
    rig.clock.advance(RESTART_MS_MAX);
    expect(rig.threads.length).toBe(1);
  });

  test("cancels a restart that waits", async () => {
    const rig = await begin();
    rig.latest().end();
    await rig.encoding.close();
    rig.clock.advance(RESTART_MS_MAX);
    expect(rig.threads.length).toBe(1);
  });
});
