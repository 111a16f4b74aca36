/** The real encoder on a small canvas: frames, numbers, and the end of its thread. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import type { EncodedFrame, Run } from "#common/formats/frame.ts";
import { readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import { silentLog } from "#common/log.ts";
import { type Encoding, type FrameSink, startEncoding } from "./encoding.ts";

const FPS = 10;
const WIDTH = 65;
const HEIGHT = 49;

let dataDir = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "spillway-encoding-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

class Collector implements FrameSink {
  readonly runs: Run[] = [];
  readonly frames: EncodedFrame[] = [];
  #waiting = Promise.withResolvers<void>();

  beginRun(run: Run): void {
    this.runs.push(run);
  }

  addFrame(frame: EncodedFrame): void {
    this.frames.push(frame);
    this.#waiting.resolve();
    this.#waiting = Promise.withResolvers();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#waiting.promise;
  }
}

function start(sink: FrameSink): Promise<Encoding> {
  return startEncoding({
    canvas: {
      memory: new SharedArrayBuffer(64 + WIDTH * HEIGHT * 4),
      byteOffset: 64,
      width: WIDTH,
      height: HEIGHT,
    },
    fps: FPS,
    preset: "ultrafast",
    renditions: [
      { width: 66, height: 50, bitsPerSecondMax: 500_000 },
      { width: 32, height: 24, bitsPerSecondMax: 100_000 },
    ],
    dataDir,
    sinks: [sink],
    clock: systemClock,
    log: silentLog,
  });
}

describe("startEncoding()", () => {
  test("delivers every number in every rendition with a key frame each second, and goes on higher", async () => {
    const sink = new Collector();
    const encoding = await start(sink);
    await sink.until(() => sink.frames.length >= 2 * (FPS + 2));
    expect(encoding.readiness()).toBeUndefined();
    const figures = encoding.figures();
    expect(figures.frames.encoded + figures.frames.repeated).toBe(sink.frames.length / 2);
    await encoding.close();

    const [run] = sink.runs;
    expect(run?.renditions.map(({ name, width, height }) => ({ name, width, height }))).toEqual([
      { name: "50p", width: 66, height: 50 },
      { name: "24p", width: 32, height: 24 },
    ]);
    expect(run?.renditions.map(({ avcC }) => readAvcConfig(avcC)?.lengthBytes)).toEqual([4, 4]);
    const startFrame = run?.startFrame ?? 0;
    expect(startFrame % (2 * FPS)).toBe(0);
    expect(
      sink.frames.map(({ trackId, number, isKey }) => ({ trackId, index: number - startFrame, isKey })),
    ).toEqual(
      sink.frames.map((_, position) => {
        const index = position >> 1;
        return { trackId: 1 + (position % 2), index, isKey: index % FPS === 0 };
      }),
    );
    // 5 is an IDR slice (H.264 table 7-1): every key frame has one, no other frame has.
    const hasIdr = ({ data }: EncodedFrame): boolean =>
      splitNalUnits(data)?.some((unit) => ((unit[0] ?? 0) & 0x1f) === 5) ?? false;
    expect(sink.frames.every((frame) => hasIdr(frame) === frame.isKey)).toBe(true);

    const again = new Collector();
    const second = await start(again);
    await again.until(() => again.frames.length > 0);
    const now = Date.now();
    await second.close();
    const [next] = again.runs;
    expect(next?.ordinal).toBe((run?.ordinal ?? 0) + 1);
    // What lies between has its numbers; the run began when its own were due.
    const slots = ((next?.startFrame ?? 0) - startFrame) / (2 * FPS);
    expect(slots).toBeGreaterThanOrEqual(1);
    expect(slots % 1).toBe(0);
    expect(next?.startTimeMs).toBe((run?.startTimeMs ?? 0) + slots * 2000);
    // Timers wake up to a millisecond early.
    expect(now).toBeGreaterThanOrEqual((next?.startTimeMs ?? 0) - 2);
    expect(again.frames[0]?.captureTimeMs).toBeGreaterThanOrEqual(next?.startTimeMs ?? Infinity);
  });

  test("refuses a data folder in use and gives it free on close()", async () => {
    const encoding = await start(new Collector());
    await expect(start(new Collector())).rejects.toThrow(StartError);
    await encoding.close();
    await (await start(new Collector())).close();
  });
});
