/** Counting viewers and what is sent to them, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { Counters, EgressRate } from "./counters.ts";
import { VIEWER_WINDOW_MS, Viewers } from "./viewers.ts";

test("Viewers counts sessions by address and browser, not requests, and forgets those that left", () => {
  const clock = new FakeClock();
  let versions = 0;
  const viewers = new Viewers({ clock, versionsMost: () => versions, viewersMax: 0 });
  const window = (asks: readonly (readonly [agent: string, isBlocking: boolean, times: number])[]): void => {
    versions += 25;
    for (const [userAgent, isBlocking, times] of asks) {
      for (let time = 0; time < times; time++) viewers.note({ address: "::1", userAgent, isBlocking });
    }
    clock.advance(VIEWER_WINDOW_MS);
    viewers.rotate();
  };
  window([
    ["one", true, 25],
    ["two", false, 4],
  ]);
  expect(viewers.byKind).toEqual({ llhls: 1, hls: 1, ts: 0, events: 0 });
  window([
    ["one", true, 75],
    ["two", false, 5],
  ]);
  expect(viewers.byKind).toEqual({ llhls: 3, hls: 1, ts: 0, events: 0 });
  for (let count = 0; count < 3; count++) window([["two", false, 3]]);
  expect([viewers.byKind.llhls, viewers.byKind.hls, viewers.total]).toEqual([0, 1, 1]);
});

test("Viewers refuses new sessions at the limit and keeps those it knows", () => {
  const viewers = new Viewers({ clock: new FakeClock(), versionsMost: () => 0, viewersMax: 2 });
  const note = (userAgent: string): boolean => viewers.note({ address: "::1", userAgent, isBlocking: false });
  expect([note("a"), note("b"), note("c"), note("a")]).toEqual([true, true, false, true]);
});

test("EgressRate is what was sent over the last seconds", () => {
  const clock = new FakeClock();
  const counters = new Counters();
  const egress = new EgressRate(counters, clock);
  for (let second = 0; second < 20; second++) {
    counters.sentBytes += 1_000_000;
    clock.advance(1_000);
    egress.sample();
  }
  expect(egress.bitsPerSecond).toBe(8_000_000);
  clock.advance(1_000);
  egress.sample();
  expect(egress.bitsPerSecond).toBe(6_400_000);
});
