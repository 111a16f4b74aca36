/** Leases as the origin keeps them, and which edge a viewer is handed to. */
import { describe, expect, test } from "bun:test";
import { SEGMENT_HOSTS_MAX, type EdgeState, type LeaseHello } from "#common/formats/lease.ts";
import { type EdgePlace, EdgeRegistry, hostnameOf } from "./edges.ts";

const hello: LeaseHello = {
  type: "hello",
  version: 1,
  publicUrl: "",
  scheme: "http",
  port: 8081,
  region: "eu",
  capacityBitsPerSecond: 0,
};

test.each([
  ["localhost:8080", "localhost"],
  ["192.0.2.1", "192.0.2.1"],
  ["[::1]:8080", "[::1]"],
  ["Canvas.Example.org", "Canvas.Example.org"],
  [null, undefined],
  ["", undefined],
  ["a, b", undefined],
  ['x"\n#EXT', undefined],
  ["user@host", undefined],
  ["host/path", undefined],
  ["host:port", undefined],
  [`${"a".repeat(300)}`, undefined],
])("hostnameOf(%p) is %p", (header, expected) => expect(hostnameOf(header)).toBe(expected as never));

describe("EdgeRegistry", () => {
  test("list() joins the viewer's host name where an edge has no URL of its own", () => {
    const registry = new EdgeRegistry();
    registry
      .enter(hello)
      .update({ type: "load", state: "ready", viewers: 3, egressBitsPerSecond: 20_000_000 });
    registry.enter({ ...hello, publicUrl: "https://edge1.example.org/", capacityBitsPerSecond: 100_000_000 });
    expect(registry.list("canvas.local")).toEqual([
      {
        url: "http://canvas.local:8081",
        region: "eu",
        weight: 980,
        state: "ready",
        viewers: 3,
        egressBitsPerSecond: 20_000_000,
        capacityBitsPerSecond: 0,
      },
      {
        url: "https://edge1.example.org",
        region: "eu",
        weight: 0,
        state: "waiting",
        viewers: 0,
        egressBitsPerSecond: 0,
        capacityBitsPerSecond: 100_000_000,
      },
    ]);
    expect(registry.list(undefined)).toHaveLength(1);
    expect(registry.viewers).toBe(3);
  });

  test("segmentHosts() lists those that serve and have a URL of their own, by URL and capacity, each once", () => {
    const registry = new EdgeRegistry();
    const enter = (publicUrl: string, megabits: number, state: EdgeState = "ready"): EdgePlace => {
      const place = registry.enter({ ...hello, publicUrl, capacityBitsPerSecond: megabits * 1_000_000 });
      place.update({ type: "load", state, viewers: 9, egressBitsPerSecond: 5 });
      return place;
    };
    const full = enter("http://full/", 300, "full");
    enter("http://big", 0);
    enter("http://full", 20);
    enter("", 500);
    enter("http://waiting", 500, "waiting");
    enter("http://draining", 500, "draining");
    expect(registry.segmentHosts()).toEqual([
      { url: "http://big", weight: 1000 },
      { url: "http://full", weight: 300 },
    ]);
    full.leave();
    expect(registry.segmentHosts()[1]).toEqual({ url: "http://full", weight: 20 });
    for (let index = 0; index < SEGMENT_HOSTS_MAX; index++) enter(`http://many${index}`, 400);
    const urls = registry.segmentHosts().map(({ url }) => url);
    expect(urls).toHaveLength(SEGMENT_HOSTS_MAX);
    expect(urls).toContain("http://big");
    expect(urls).not.toContain("http://full");
    expect(urls).toEqual(urls.toSorted());
  });

  test("choose() goes by weight, and only to edges that are ready", () => {
    const registry = new EdgeRegistry();
    const choose = (at: number, count = 1): string[] => registry.choose("h", { random: () => at, count });
    expect(choose(0)).toEqual([]);
    const load = { type: "load", viewers: 0, egressBitsPerSecond: 0 } as const;
    const big = registry.enter({ ...hello, publicUrl: "http://big", capacityBitsPerSecond: 300_000_000 });
    registry
      .enter({ ...hello, publicUrl: "http://small", capacityBitsPerSecond: 100_000_000 })
      .update({ ...load, state: "ready" });
    const full = registry.enter({ ...hello, publicUrl: "http://full" });
    big.update({ ...load, state: "ready" });
    full.update({ ...load, state: "full" });
    const chosen = Array.from({ length: 8 }, (_, index) => choose(index / 8)[0]);
    expect(chosen).toEqual([
      ...Array<string>(6).fill("http://big"),
      ...Array<string>(2).fill("http://small"),
    ]);
    expect(choose(0, 3)).toEqual(["http://big", "http://small"]);
    expect(choose(0.99, 3)).toEqual(["http://small", "http://big"]);
    big.leave();
    expect(choose(0, 2)).toEqual(["http://small"]);
    registry.enter({ ...hello, publicUrl: "http://small/" }).update({ ...load, state: "ready" });
    expect(choose(0, 2)).toEqual(["http://small"]);
  });
});
