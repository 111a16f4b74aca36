/** Numbers that never go back, over restarts, garbage on disk and changed frame rates. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import type { Run } from "#common/formats/frame.ts";
import { type Log, silentLog } from "#common/log.ts";
import { RunStore } from "./run-store.ts";

const WALL_MS = Date.UTC(2026, 10, 21, 12, 0, 1);
const FPS = 30;
/** Whole hours of 2026 before {@link WALL_MS}. */
const FIRST_ORDINAL = 7_788;
/** The first multiple of two seconds after {@link WALL_MS}, in frames. */
const FIRST_FRAME = ((WALL_MS - 1000) / 2000 + 1) * 60;

let dataDir = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "spillway-run-store-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

function openStore(log: Log = silentLog, wallMs = WALL_MS): RunStore {
  return new RunStore({ dataDir, role: "server", clock: new FakeClock(wallMs), log });
}

/** A run as it began at {@link WALL_MS}. */
function begun(
  { startFrame }: Pick<Run, "startFrame">,
  fps = FPS,
): Pick<Run, "fps" | "startFrame" | "startTimeMs"> {
  return { fps, startFrame, startTimeMs: WALL_MS };
}

describe("RunStore.beginRun()", () => {
  test("counts from the time of day where there is no record", () => {
    const store = openStore();
    const run = store.beginRun(FPS);
    expect(run).toMatchObject({ ordinal: FIRST_ORDINAL, startFrame: FIRST_FRAME });
    expect(run.id).toMatch(/^[0-9a-f]{8}$/);
    store.close();
  });

  test("8: begins after the last segment that was reserved, where the numbers of its moment lie", () => {
    const before = openStore();
    const first = before.beginRun(FPS);
    for (let number = first.startFrame; number < first.startFrame + 200; number++)
      before.reserve(number, begun(first));
    before.close();
    // 200 frames reach into the fourth segment, which began after 6 s.
    for (const [passedMs, segments] of [
      [0, 4],
      [6_700, 4],
      [7_500, 4],
      [7_501, 5],
      [9_600, 6],
      [3_600_000, 1801],
    ] as const) {
      const store = openStore(silentLog, WALL_MS + passedMs);
      const second = store.beginRun(FPS);
      expect(second).toMatchObject({
        ordinal: first.ordinal + 1,
        startFrame: first.startFrame + segments * 60,
        startTimeMsMin: WALL_MS + segments * 2000,
      });
      expect(second.id).not.toBe(first.id);
      store.close();
    }
  });

  test("goes on after a record of an earlier version", () => {
    openStore().close();
    writeFileSync(join(dataDir, "server/run.json"), '{"ordinal":5,"lastSegment":700}');
    const store = openStore();
    expect(store.beginRun(FPS)).toMatchObject({ ordinal: 6, startFrame: 701 * 60, startTimeMsMin: 0 });
    store.close();
  });

  test("leaves no hole where a run never showed a frame", () => {
    const store = openStore();
    store.beginRun(FPS);
    const first = store.beginRun(FPS);
    expect(first).toMatchObject({ ordinal: FIRST_ORDINAL, startFrame: FIRST_FRAME });
    store.reserve(first.startFrame, begun(first));
    // An encoder that cannot be opened at once: lists go on with the one that can.
    store.beginRun(FPS);
    const second = { ordinal: FIRST_ORDINAL + 1, startFrame: FIRST_FRAME + 60 };
    expect(store.beginRun(FPS)).toMatchObject(second);
    store.close();
  });

  test("keeps segments going up when the frame rate changes", () => {
    const store = openStore();
    const { startFrame } = store.beginRun(60);
    store.reserve(startFrame, begun({ startFrame }, 60));
    expect(store.beginRun(25).startFrame).toBe((startFrame / 120 + 1) * 50);
    store.close();
  });

  test("12: dates never go back: not within a process, nor where the clock was set back between two", () => {
    const store = openStore();
    const first = store.beginRun(FPS);
    expect(first.startTimeMsMin).toBe(0);
    for (let index = 0; index < 75; index++) store.reserve(first.startFrame + index, begun(first));
    const second = { startFrame: first.startFrame + 120, startTimeMsMin: WALL_MS + 4000 };
    expect(store.beginRun(FPS)).toMatchObject(second);
    store.close();
    for (const setToMs of [-3_600_000, 1999, 3499]) {
      const next = openStore(silentLog, WALL_MS + setToMs);
      expect(next.beginRun(FPS)).toMatchObject(second);
      next.close();
    }
  });

  test("12: dates of an origin's runs do not go back behind a slate, whatever dates its source is still at", () => {
    const store = new RunStore({ dataDir, role: "origin", clock: new FakeClock(WALL_MS), log: silentLog });
    const segment = store.beginRun(FPS).startFrame / 60;
    store.reserveSegment(segment, { startMs: WALL_MS, shownEndMs: WALL_MS + 1_000 });
    store.beginRun(FPS);
    store.reserveSegment(segment + 1, { startMs: WALL_MS + 1_000, shownEndMs: WALL_MS + 9_000 });
    store.reserveSegment(segment, { startMs: WALL_MS, shownEndMs: WALL_MS + 1_033 });
    expect(store.beginRun(FPS)).toMatchObject({ startTimeMsMin: WALL_MS + 9_000 });
    store.close();
  });

  test.each([
    "",
    "{",
    "null",
    '{"ordinal":1}',
    '{"ordinal":-1,"lastSegment":2}',
    '{"ordinal":1,"lastSegment":1e300}',
  ])("warns of the record %p and does without", (text) => {
    openStore().close();
    writeFileSync(join(dataDir, "server/run.json"), text);
    const warnings: string[] = [];
    const store = openStore({ ...silentLog, warn: (message) => warnings.push(message) });
    expect(store.beginRun(FPS)).toMatchObject({ ordinal: FIRST_ORDINAL, startFrame: FIRST_FRAME });
    expect(warnings.length).toBe(1);
    store.close();
  });
});

test("a first ordinal stays small for decades: hls.js keeps an array with an entry for each", () => {
  const clock = new FakeClock(Date.UTC(2126, 0, 1));
  const store = new RunStore({ dataDir, role: "server", clock, log: silentLog });
  expect(store.beginRun(FPS).ordinal).toBeLessThan(1_000_000);
  store.close();
});

describe("RunStore.reserve()", () => {
  test("has written a segment before it returns, once each", () => {
    const store = openStore();
    const { ordinal, startFrame } = store.beginRun(FPS);
    const path = join(dataDir, "server/run.json");
    expect(existsSync(path)).toBe(false);
    store.reserve(startFrame, begun({ startFrame }));
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      ordinal,
      lastSegment: startFrame / 60,
      lastSegmentMs: WALL_MS,
    });
    rmSync(path);
    store.reserve(startFrame + 59, begun({ startFrame }));
    expect(existsSync(path)).toBe(false);
    store.reserve(startFrame + 60, begun({ startFrame }));
    expect(existsSync(path)).toBe(true);
    store.close();
  });

  test("goes on where the disk cannot be written, and says so once", () => {
    const errors: string[] = [];
    const store = openStore({ ...silentLog, error: (message) => errors.push(message) });
    const { startFrame } = store.beginRun(FPS);
    store.close();
    rmSync(join(dataDir, "server"), { recursive: true });
    store.reserve(startFrame, begun({ startFrame }));
    store.reserve(startFrame + 60, begun({ startFrame }));
    expect(errors.length).toBe(1);
  });
});

describe("the folder's lock", () => {
  test("refuses a second server", () => {
    const store = openStore();
    expect(openStore).toThrow(StartError);
    expect(openStore).toThrow(`the process with id ${process.pid} uses it`);
    store.close();
    openStore().close();
  });

  test.each([
    ["of a process that is gone", "999999999 1\n"],
    ["of an earlier process with this number", `${process.pid} 1\n`],
    ["with nothing in it", ""],
    ["with garbage in it", "what is this"],
  ])("takes over a lock %s", (_, held) => {
    openStore().close();
    writeFileSync(join(dataDir, "server/lock"), held);
    const store = openStore();
    expect(openStore).toThrow(StartError);
    store.close();
  });

  test("refuses a folder of another format", () => {
    openStore().close();
    writeFileSync(join(dataDir, "server/format"), "2\n");
    expect(openStore).toThrow('its format is "2", this version knows 1');
    expect(existsSync(join(dataDir, "server/lock"))).toBe(false);
  });

  test("refuses a path that cannot be a folder", () => {
    writeFileSync(join(dataDir, "server"), "");
    expect(openStore).toThrow(StartError);
  });
});
