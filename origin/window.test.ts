/** What is listed, what stays fetchable, and what a new run does to both. */
import { describe, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { Run } from "#common/formats/frame.ts";
import { SegmentWindow } from "./window.ts";

const first = testsrcRun({ startFrame: 6000 });

function open(bytesMax = 1_000_000): SegmentWindow {
  return new SegmentWindow({
    names: {
      init: (run) => `${run.id}-init`,
      segment: (run, number) => `${run.id}-${number}`,
      part: (run, number, part) => `${run.id}-${number}.${part}`,
    },
    segmentSeconds: 2,
    listedMax: 3,
    bytesMax,
  });
}

/** Adds two parts of 30 frames, or only the first `count`. */
function add(window: SegmentWindow, segmentNumber: number, { run = first, count = 2, size = 10 } = {}): void {
  for (let part = 0; part < count; part++) {
    window.append({
      run,
      segmentNumber,
      startUnits: segmentNumber * 60_000 + part * 30_000 - run.startFrame * 1000,
      durationUnits: 30_000,
      isIndependent: true,
      isSlate: false,
      isLast: part === 1,
      bytes: new Uint8Array(size).fill(segmentNumber + part),
    });
  }
}

const numbers = (window: SegmentWindow): number[] => window.listed().map((segment) => segment.mediaSequence);

describe("SegmentWindow", () => {
  test("8, 14: a segment with a hole is never had under its name, and the list begins anew", () => {
    const window = open();
    add(window, 100);
    add(window, 101, { count: 1 });
    window.abandonOpen();
    add(window, 102, { count: 1 });
    expect(numbers(window)).toEqual([100, 101]);
    add(window, 103);
    expect(numbers(window)).toEqual([103]);
    expect(window.find(`${first.id}-101`)).toBeUndefined();
    expect(window.find(`${first.id}-101.0`)).toHaveLength(10);
    expect(window.restarts).toBe(1);
  });

  test("9: lists nothing before the first whole segment, then it and the open one", () => {
    const window = open();
    add(window, 100, { count: 1 });
    expect(window.listed()).toEqual([]);
    add(window, 100);
    expect(numbers(window)).toEqual([100]);
  });

  test("24, 46: media stays as long again as the list after leaving it, then goes; memory is bounded", () => {
    const window = open();
    for (let number = 100; number < 120; number++) add(window, number);
    expect(numbers(window)).toEqual([117, 118, 119]);
    const kept = Array.from({ length: 20 }, (_, index) => 100 + index).filter((number) =>
      window.find(`${first.id}-${number}`),
    );
    expect(kept).toEqual([112, 113, 114, 115, 116, 117, 118, 119]);
    expect(window.find(`${first.id}-112.1`)).toHaveLength(10);
    expect(window.find(`${first.id}-111.1`)).toBeUndefined();
    expect(window.byteCount).toBe(8 * 20);
  });

  test("25: a segment is its parts one after the other, kept once", () => {
    const window = open();
    add(window, 100);
    const segment = window.find(`${first.id}-100`);
    expect(segment?.toHex()).toBe("64".repeat(10) + "65".repeat(10));
    expect(window.find(`${first.id}-100.1`)?.buffer).toBe(segment?.buffer as ArrayBuffer);
  });

  test("bytesMax drops the oldest segments early", () => {
    const window = open(100);
    for (let number = 100; number < 104; number++) add(window, number, { size: 20 });
    expect(window.byteCount).toBeLessThanOrEqual(100);
    expect(numbers(window)).toEqual([102, 103]);
    expect(window.evictedEarly).toBe(2);
  });

  const rows: (readonly [string, Partial<Run>, number, readonly number[]])[] = [
    ["13: the next run goes on in the list", { ordinal: 8, startFrame: 6180 }, 103, [101, 102, 103]],
    ["14: a slot that nobody saw is a gap", { ordinal: 8, startFrame: 6240 }, 104, [102, 103, 104]],
    [
      "14: so are others that have their time",
      { ordinal: 8, startFrame: 6300, startTimeMs: first.startTimeMs + 10_000 },
      105,
      [103, 104, 105],
    ],
    ["more missing numbers than time begin a new list", { ordinal: 8, startFrame: 6300 }, 105, [105]],
    [
      "as do more than three slots",
      { ordinal: 8, startFrame: 6420, startTimeMs: first.startTimeMs + 14_000 },
      107,
      [107],
    ],
    ["a run left out begins a new list", { ordinal: 9, startFrame: 6180 }, 103, [103]],
    ["an earlier run begins a new list", { ordinal: 6, startFrame: 600 }, 10, [10]],
    [
      "13: a run whose start others took goes on in the list",
      { ordinal: 8, startFrame: 6120 },
      103,
      [101, 102, 103],
    ],
  ];
  test.each(rows)("%s", (_, fields, number, listed) => {
    const window = open();
    for (const old of [100, 101]) add(window, old);
    add(window, 102, { count: 1 });
    window.closeOpen();
    const run = testsrcRun({ id: "11111111", ...fields });
    add(window, number, { run, count: 1 });
    // What was listed stays until the new list has a whole segment.
    if (listed.length === 1) expect(numbers(window)).toEqual([100, 101, 102]);
    window.append({
      run,
      segmentNumber: number,
      startUnits: number * 60_000 + 30_000 - run.startFrame * 1000,
      durationUnits: 30_000,
      isIndependent: true,
      isSlate: false,
      isLast: true,
      bytes: new Uint8Array(10),
    });
    expect(numbers(window)).toEqual([...listed]);
    expect(window.restarts).toBe(listed.length === 1 ? 1 : 0);
    expect(window.find(`${first.id}-101`)).toHaveLength(20);
  });
});
