/** When tables of segment hosts are made, for which segments, and how long they are kept. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import type { SegmentHost } from "#common/formats/lease.ts";
import { FIRST, open, run } from "./origin-fixture.ts";
import { SegmentTables, type SegmentSpan } from "./segment-tables.ts";

const A = { url: "http://a", weight: 1 };
const B = { url: "http://b", weight: 1 };

/** Tables of a stream that is where `cmaf` and `ts` say. */
function openTables() {
  const clock = new FakeClock();
  const shown: { hosts: SegmentHost[]; cmaf?: SegmentSpan; ts?: SegmentSpan } = { hosts: [] };
  const show = (next: number): void => {
    shown.cmaf = { first: next - 12, next, targetDurationSeconds: 2 };
    shown.ts = { first: 2 * next - 24, next: 2 * next, targetDurationSeconds: 1 };
  };
  const edges = { segmentHosts: () => shown.hosts };
  const tables = new SegmentTables({ edges, span: (format) => shown[format], clock, originId: "o1" });
  /** What is made at the next look. */
  const refresh = (...hosts: SegmentHost[]) => {
    clock.advance(250);
    shown.hosts = hosts;
    return tables.refresh();
  };
  return { clock, shown, show, tables, refresh };
}

describe("SegmentTables", () => {
  test("E27: a table begins two seconds ahead of what any playlist shows, in either format", () => {
    const { show, refresh } = openTables();
    show(100);
    expect(refresh(A, B)).toEqual({
      type: "segment-hosts",
      origin: "o1",
      version: 1,
      from: { cmaf: 102, ts: 203 },
      hosts: [A, B],
    });
    show(101);
    expect(refresh(B)).toMatchObject({ version: 2, from: { cmaf: 103, ts: 205 }, hosts: [B] });
    expect(refresh()).toMatchObject({ version: 3, hosts: [] });
  });

  test("there is none before anything is listed, a first one whatever edges there are, and none without a change", () => {
    const { show, tables, refresh } = openTables();
    expect(refresh(A)).toBeUndefined();
    show(100);
    // Edges may go by the tables of the start before.
    expect(refresh()).toMatchObject({ version: 1, hosts: [] });
    expect(refresh()).toBeUndefined();
    expect(refresh(A)).toBeDefined();
    expect(refresh({ ...A })).toBeUndefined();
    expect(refresh({ ...A, weight: 2 })).toBeDefined();
    expect([tables.made, tables.hostCount]).toEqual([3, 1]);
  });

  test("edges are looked at four times a second, however often they are heard of", () => {
    const { clock, show, shown, tables, refresh } = openTables();
    show(100);
    expect(refresh(A)).toBeDefined();
    shown.hosts = [B];
    clock.advance(249);
    expect(tables.refresh()).toBeUndefined();
    clock.advance(1);
    expect(tables.refresh()).toMatchObject({ hosts: [B] });
  });

  test("those of listed segments are kept for edges that come, up to a bound", () => {
    const { show, tables, refresh } = openTables();
    const versions = (): number[] => tables.kept.map(({ version }) => version);
    for (const [index, host] of [A, B, A].entries()) {
      show(100 + 5 * index);
      refresh(host);
    }
    expect(versions()).toEqual([1, 2, 3]);
    show(119);
    refresh(B);
    // The second begins with segment 107, the oldest that is listed.
    expect(versions()).toEqual([2, 3, 4]);
    for (let index = 0; index < 200; index++) refresh(index % 2 === 0 ? A : B);
    expect(tables.kept).toHaveLength(128);
    expect(tables.kept.at(-1)?.version).toBe(tables.made);
  });

  test("numbers that go back get a table that begins with them", () => {
    const { show, refresh } = openTables();
    show(100);
    expect(refresh(A)).toBeDefined();
    show(50);
    expect(refresh(A)).toMatchObject({ version: 2, from: { cmaf: 52, ts: 103 } });
    expect(refresh(A)).toBeUndefined();
  });
});

test("LiveStream.segmentSpan() names what playlists list, and the segment that comes next", () => {
  const origin = open();
  expect(origin.stream.segmentSpan("cmaf")).toBeUndefined();
  origin.play(run, 0, 59);
  expect(origin.stream.segmentSpan("cmaf")).toBeUndefined();
  for (const [frames, cmaf, ts] of [
    [60, FIRST + 1, 2 * FIRST + 2],
    [119, FIRST + 1, 2 * FIRST + 3],
    [120, FIRST + 2, 2 * FIRST + 4],
  ] as const) {
    origin.play(run, 0, frames);
    const first = { cmaf: FIRST, ts: 2 * FIRST };
    expect(origin.stream.segmentSpan("cmaf")).toEqual({
      first: first.cmaf,
      next: cmaf,
      targetDurationSeconds: 2,
    });
    expect(origin.stream.segmentSpan("ts")).toEqual({ first: first.ts, next: ts, targetDurationSeconds: 1 });
  }
  origin.play(run, 120, 3_000);
  expect(origin.stream.segmentSpan("cmaf")).toEqual({
    first: FIRST + 50 - 12,
    next: FIRST + 50,
    targetDurationSeconds: 2,
  });
});
