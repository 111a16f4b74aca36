/** Counting viewers and what is sent to them, on a clock moved by hand. */
import { describe, expect, test } from "bun:test";
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

describe("a limit of viewers and one host that claims to be many", () => {
  const REQUEST = { userAgent: "one", isBlocking: true, busyMs: 200 };

  /** How many of `count` browsers at an address are let in, one after the other. */
  function crowd(viewers: Viewers, address: string, count: number): number {
    const isIn = (_: unknown, index: number): boolean =>
      viewers.note({ ...REQUEST, address, userAgent: `${index}` });
    return Array.from({ length: count }, isIn).filter(Boolean).length;
  }

  test.each([
    [1, [1, 0, 0]],
    [2, [2, 0, 0]],
    [4, [3, 1, 0]],
    [10, [8, 2, 0]],
    [100, [75, 19, 5]],
    [1_000, [750, 188, 47]],
  ])("of %d places each of three in turn gets three quarters of what is left", (viewersMax, expected) => {
    const viewers = new CountedViewers({ clock: new FakeClock(), viewersMax });
    const addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    expect(addresses.map((address) => crowd(viewers, address, 2 * viewersMax))).toEqual(expected);
  });

  test("an IPv6 host is one in all its /64", () => {
    const viewers = new CountedViewers({ clock: new FakeClock(), viewersMax: 100 });
    const host = Array.from({ length: 200 }, (_, index) => `2001:db8::${index.toString(16)}`);
    expect(host.filter((address) => viewers.note({ ...REQUEST, address })).length).toBe(75);
    expect(viewers.note({ ...REQUEST, address: "2001:db8:0:1::1" })).toBe(true);
  });

  test("asking fast counts for no more, and takes nothing from who comes, or from who is there", () => {
    const clock = new FakeClock();
    const viewers = new CountedViewers({ clock, viewersMax: 100 });
    const side = { viewers, clock };
    for (let count = 0; count < 3; count++) playWindow(side, [["fast", true, 200, 10_000]]);
    expect(viewers.byKind.llhls).toBe(75);
    const others = Array.from({ length: 30 }, (_, index) => `192.0.2.${index}`);
    expect(others.filter((address) => viewers.note({ ...REQUEST, address })).length).toBe(25);
    expect(viewers.isFull).toBe(true);
    for (let count = 0; count < 3; count++) {
      for (const address of others.slice(0, 25)) {
        for (let times = 0; times < 25; times++) viewers.note({ ...REQUEST, address });
      }
      playWindow(side, [["fast", true, 200, 10_000]]);
      expect([viewers.total, viewers.byKind.llhls]).toEqual([100, 100]);
    }
    // When it leaves, its places are free.
    for (let count = 0; count < 3; count++) {
      for (const address of others.slice(0, 25)) viewers.note({ ...REQUEST, address });
      playWindow(side, []);
    }
    expect(viewers.total).toBe(25);
  });

  test("without a limit everybody counts", () => {
    const viewers = new CountedViewers({ clock: new FakeClock(), viewersMax: 0 });
    expect([crowd(viewers, "192.0.2.1", 1_000), viewers.total]).toEqual([1_000, 1_000]);
    expect([viewers.sessionKeys, viewers.heavyPrefixes.size]).toEqual([undefined, 0]);
  });
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
