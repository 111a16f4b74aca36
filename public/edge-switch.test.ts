/** When the page leaves its edge, and for which one. */
import { expect, test } from "bun:test";
import type { ListedEdge } from "./edge-list.ts";
import { EdgeSwitch, FAILING_AFTER_MS, GONE_AFTER_MS, isUseless } from "./edge-switch.ts";

const HOME = "http://home.example/";
const long = GONE_AFTER_MS + 1;
const silence = { videoMs: long, failingMs: long, figuresMs: long };

function create(statuses: Readonly<Record<string, number>>, newest?: readonly ListedEdge[]) {
  const moves: string[] = [];
  const probes: string[] = [];
  const edges = [HOME, ...Object.keys(statuses)].map((url) => ({ url, state: "ready", weight: 1 }));
  const edgeSwitch = new EdgeSwitch(HOME, {
    random: () => 0.5,
    isSecure: false,
    edges: () => edges,
    newestEdges: () => Promise.resolve(newest ?? edges),
    probe: (base) => {
      probes.push(base);
      return Promise.resolve(statuses[base] ?? 0);
    },
    onMove: (base) => moves.push(base),
  });
  return { edgeSwitch, moves, probes };
}

test.each([
  [false, "video plays on", { videoMs: 0, failingMs: 0, figuresMs: 60_000 }],
  [
    false,
    "figures come in, though there is no video",
    { videoMs: 60_000, failingMs: 60_000, figuresMs: 900 },
  ],
  [
    false,
    "the edge is only being restarted",
    { videoMs: GONE_AFTER_MS, failingMs: GONE_AFTER_MS, figuresMs: GONE_AFTER_MS },
  ],
  [
    false,
    "the origin is only being restarted",
    { videoMs: 0, failingMs: FAILING_AFTER_MS, figuresMs: 60_000 },
  ],
  [true, "the edge is gone or frozen", silence],
  [true, "the edge has lost its origin", { videoMs: 0, failingMs: FAILING_AFTER_MS + 1, figuresMs: long }],
])("isUseless() is %p while %s", (expected, _, lasting) => {
  expect(isUseless(lasting)).toBe(expected);
});

test("EdgeSwitch stays with an edge that is of use", async () => {
  const { edgeSwitch, probes } = create({ "http://other.example/": 200 });
  await edgeSwitch.check({ ...silence, figuresMs: 0 });
  expect([probes, edgeSwitch.base]).toEqual([[], HOME]);
});

test("EdgeSwitch moves to the first edge that has the stream, and from there on to others", async () => {
  const statuses = { "http://dead.example/": 0, "http://idle.example/": 503, "http://good.example/": 200 };
  const { edgeSwitch, moves, probes } = create(statuses);
  await edgeSwitch.check(silence);
  expect(moves).toEqual(["http://good.example/"]);
  expect(probes).toEqual(Object.keys(statuses));
  await edgeSwitch.check(silence);
  expect(probes.slice(3)).toEqual([HOME, "http://dead.example/", "http://idle.example/"]);
  expect(moves).toHaveLength(1);
});

test("EdgeSwitch searches once at a time", async () => {
  const { edgeSwitch, probes } = create({ "http://good.example/": 200 });
  await Promise.all([edgeSwitch.check(silence), edgeSwitch.check(silence)]);
  expect(probes).toHaveLength(1);
});

test("EdgeSwitch leaves an edge that ends, once, for one of those that are there now", async () => {
  const [gone, good] = ["http://ends-too.example/", "http://good.example/"];
  const newest = [{ url: good, state: "ready", weight: 1 }];
  const { edgeSwitch, moves, probes } = create({ [gone]: 200, [good]: 200 }, newest);
  await edgeSwitch.leave(HOME);
  expect([moves, probes, edgeSwitch.base]).toEqual([[good], [good], good]);
  // Said by the edge before.
  await edgeSwitch.leave(HOME);
  expect(moves).toHaveLength(1);
});

test("EdgeSwitch stays with an edge that ends while there is no other", async () => {
  const { edgeSwitch, moves } = create({ "http://old.example/": 200 }, []);
  await edgeSwitch.leave(HOME);
  expect([moves, edgeSwitch.base]).toEqual([[], HOME]);
});
