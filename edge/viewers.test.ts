/** Counting viewers and what is sent to them, on a clock moved by hand. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { Counters, EgressRate } from "./counters.ts";
import { CountedViewers, VIEWER_WINDOW_MS, type Viewers } from "./viewers.ts";

type Ask = readonly [userAgent: string, isBlocking: boolean, busyMs: number, times: number];

function playWindow({ viewers, clock }: { viewers: Viewers; clock: FakeClock }, asks: readonly Ask[]): void {
  for (const [userAgent, isBlocking, busyMs, times] of asks) {
    for (let time = 0; time < times; time++) viewers.note({ address: "::1", userAgent, isBlocking, busyMs });
  }
  clock.advance(VIEWER_WINDOW_MS);
  viewers.rotate();
}

test("Viewers counts sessions by address and browser, not requests, and forgets those that left", () => {
  const clock = new FakeClock();
  const viewers = new CountedViewers({ clock, viewersMax: 0 });
  const side = { viewers, clock };
  playWindow(side, [
    ["one", true, 200, 25],
    ["two", false, 1_250, 4],
  ]);
  expect(viewers.byKind).toEqual({ llhls: 1, hls: 1, ts: 0, events: 0 });
  playWindow(side, [
    ["one", true, 200, 75],
    ["two", false, 1_250, 5],
  ]);
  expect(viewers.byKind).toEqual({ llhls: 3, hls: 1, ts: 0, events: 0 });
  for (let count = 0; count < 3; count++) playWindow(side, [["two", false, 1_250, 3]]);
  expect([viewers.byKind.llhls, viewers.byKind.hls, viewers.total]).toEqual([0, 1, 1]);
});

test("Viewers knows who changes over to HTTP/3, where an IPv4 address looks different, also when the edge is full", () => {
  const viewers = new CountedViewers({ clock: new FakeClock(), viewersMax: 1 });
  const request = { userAgent: "one", isBlocking: true, busyMs: 200 };
  const addresses = ["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"];
  expect(addresses.map((address) => viewers.note({ ...request, address }))).toEqual([true, true, false]);
  expect(viewers.total).toBe(1);
});

test("Viewers counts those of several playlists by the pace of their own, however old these are", () => {
  const clock = new FakeClock();
  const viewers = new CountedViewers({ clock, viewersMax: 0 });
  for (let count = 0; count < 20; count++) playWindow({ viewers, clock }, [["one", true, 200, 25]]);
  // Ten more behind the same address, on a playlist that has just begun and whose parts are longer.
  playWindow({ viewers, clock }, [
    ["one", true, 200, 25],
    ["hall", true, 500, 100],
  ]);
  expect(viewers.byKind.llhls).toBe(11);
  expect(viewers.total).toBe(11);
});

test("Viewers refuses new sessions at the limit and keeps those it knows", () => {
  const viewers = new CountedViewers({ clock: new FakeClock(), viewersMax: 2 });
  const note = (userAgent: string): boolean =>
    viewers.note({ address: "::1", userAgent, isBlocking: false, busyMs: 1_250 });
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
