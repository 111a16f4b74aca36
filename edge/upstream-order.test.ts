/** The order of upstreams: the operator's, or by weights and folder. */
import { describe, expect, test } from "bun:test";
import { edgeOptions, readUpstreamWeights } from "./config.ts";
import { orderFor, type Weighted } from "./upstream-order.ts";

const names = (upstreams: readonly Weighted[]): string[] => upstreams.map(({ label }) => label);

/** How many of 4,000 folders each of the upstreams is first for. */
function countFirst(upstreams: readonly Weighted[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let index = 0; index < 4_000; index++) {
    const first = orderFor(`/live/s${index}/720p/index.m3u8`, upstreams)[0]?.label ?? "";
    counts[first] = (counts[first] ?? 0) + 1;
  }
  return counts;
}

describe("orderFor()", () => {
  const [a, b, c] = [
    { label: "a:1", weight: 3 },
    { label: "b:1", weight: 1 },
    { label: "c:1", weight: 0 },
  ];

  test("keeps the operator's order without weights", () => {
    const plain = ["z:1", "a:1"].map((label) => ({ label, weight: undefined }));
    expect(names(orderFor("/x", plain))).toEqual(["z:1", "a:1"]);
  });

  test("shares folders by weight; one of weight 0 comes last", () => {
    const counts = countFirst([a, b, c]);
    expect(Object.keys(counts).sort()).toEqual(["a:1", "b:1"]);
    // 3,000 and 1,000 of 4,000, within four standard deviations.
    expect(Math.abs((counts["a:1"] ?? 0) - 3_000)).toBeLessThan(110);
    expect(names(orderFor("/live/x/y", [c, a, b])).at(-1)).toBe("c:1");
  });

  test("keeps a playlist and its media together, whatever their queries", () => {
    for (let index = 0; index < 50; index++) {
      const folder = `/live/s${index}/720p/`;
      const orders = ["index.m3u8?_HLS_msn=1&a=/b/c", "index.m3u8", "aa-1.m4s"].map((name) =>
        names(orderFor(folder + name, [a, b, c])).join(),
      );
      expect(new Set(orders).size).toBe(1);
    }
  });

  test("moves nothing but the folders of the one that is gone", () => {
    for (let index = 0; index < 500; index++) {
      const path = `/live/s${index}/x`;
      const all = names(orderFor(path, [a, b, c]));
      expect(names(orderFor(path, [b, c]))).toEqual(all.filter((label) => label !== "a:1"));
    }
  });
});

describe("--upstream-weight", () => {
  const upstream = ["http://a:1", "http://b:1"];

  test("is a number for each upstream, or nothing", () => {
    expect(readUpstreamWeights({ upstream })).toEqual([]);
    expect(readUpstreamWeights({ upstream, upstreamWeight: [3, 0] })).toEqual([3, 0]);
    expect(edgeOptions["upstream-weight"].read(["3", "0"])).toEqual([3, 0]);
    expect(() => edgeOptions["upstream-weight"].read(["1001"])).toThrow("a whole number from 0 to 1000");
  });

  test.each([
    [[1], "Bad value for --upstream-weight: 1 given, expected 2, one for each --upstream"],
    [[0, 0], "Bad value for --upstream-weight: all are 0, expected one above it"],
  ])("%j is refused at start", (upstreamWeight, message) => {
    expect(() => readUpstreamWeights({ upstream, upstreamWeight })).toThrow(message);
  });
});
