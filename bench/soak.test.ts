/** The plan of a soak, what its figures come to, and a short one. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { runBench } from "./main.ts";
import { trendOf } from "./soak-memory.ts";
import { planOutages, unexcused } from "./soak-outages.ts";

describe("planOutages()", () => {
  test("is the same for one seed, in order, with calm between any two", () => {
    const plan = { seed: 7, seconds: 3_600, everySeconds: 60 };
    const outages = planOutages(plan);
    expect(planOutages(plan)).toEqual(outages);
    expect(planOutages({ ...plan, seed: 8 })).not.toEqual(outages);
    expect(outages.length).toBe(60);
    expect(new Set(outages.map(({ kind }) => kind))).toEqual(new Set(["kill", "term", "stop"]));
    for (const [index, { atMs, lastsMs }] of outages.entries()) {
      expect(lastsMs).toBeWithin(0, 10_000);
      expect((outages[index + 1]?.atMs ?? Infinity) - atMs - lastsMs).toBeGreaterThanOrEqual(15_000);
    }
  });

  test("has none where none are asked for, or the time is too short", () => {
    expect(planOutages({ seed: 1, seconds: 3_600, everySeconds: 0 })).toEqual([]);
    expect(planOutages({ seed: 1, seconds: 59, everySeconds: 60 })).toEqual([]);
  });
});

test("unexcused() leaves the gaps that no outage explains", () => {
  const gaps = [
    { startMs: 0, endMs: 4_000 },
    { startMs: 9_000, endMs: 12_000 },
    { startMs: 20_000, endMs: 24_000 },
  ];
  expect(unexcused(gaps, [{ startMs: 11_000, endMs: 20_000 }])).toEqual(
    gaps.filter((_, index) => index !== 1),
  );
  expect(unexcused(gaps, [])).toEqual(gaps);
});

describe("trendOf()", () => {
  const hour = 3_600_000;
  const sample = (bytesAt: (share: number) => number) =>
    Array.from({ length: 101 }, (_, index) => ({ atMs: (index / 100) * hour, bytes: bytesAt(index / 100) }));

  test("finds the slope of what grows, as a share of the median an hour", () => {
    const trend = trendOf(sample((share) => 1_000 + 100 * share));
    expect(trend.slopePerHour).toBeCloseTo(100 / 1_057.5, 3);
    expect(trend.maxBytes).toBe(1_100);
  });

  test("takes no slope from the warm-up", () => {
    expect(trendOf(sample((share) => (share < 0.1 ? 10 : 1_000)))).toEqual({
      medianBytes: 1_000,
      maxBytes: 1_000,
      slopePerHour: 0,
    });
    expect(trendOf([])).toEqual({ medianBytes: 0, maxBytes: 0, slopePerHour: 0 });
  });
});

test("bench soak plays, breaks the server and goes on", async () => {
  const printed: string[] = [];
  const output = { progress() {}, table: (text: string) => void printed.push(text) };
  const flags = { viewers: 5, seconds: 12, "outage-seconds": 6, width: 64, height: 64 };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  await runBench(["soak", ...args], { signal: new AbortController().signal, clock: systemClock, output });
  const table = printed.join("\n");
  expect(table).toMatch(/outages of the server \(kill, term, stop\) +[12] \w+/);
  expect(table).toMatch(/that began to play +5 viewers/);
  expect(Number(/memory of the origin, median +([\d.]+) MiB/.exec(table)?.[1])).toBeGreaterThan(10);
  expect(Number(/versions of playlists followed +(\d+)/.exec(table)?.[1])).toBeGreaterThan(40);
}, 120_000);
