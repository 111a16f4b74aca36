/** When the page leaves its edge, and for which one. */
import { expect, test } from "bun:test";
import { EdgeSwitch, GONE_AFTER_MS } from "./edge-switch.ts";

const HOME = "http://home.example/";
const long = GONE_AFTER_MS + 1;

function create(statuses: Readonly<Record<string, number>>) {
  const moves: string[] = [];
  const probes: string[] = [];
  const edges = [HOME, ...Object.keys(statuses)].map((url) => ({ url, state: "ready", weight: 1 }));
  const edgeSwitch = new EdgeSwitch(HOME, {
    random: () => 0.5,
    isSecure: false,
    edges: () => edges,
    probe: (base) => {
      probes.push(base);
      return Promise.resolve(statuses[base] ?? 0);
    },
    onMove: (base) => moves.push(base),
  });
  return { edgeSwitch, moves, probes };
}

test.each([
  ["video plays on", { videoMs: 0, figuresMs: long }],
  ["figures come in", { videoMs: long, figuresMs: 900 }],
  ["the edge is only being restarted", { videoMs: GONE_AFTER_MS, figuresMs: GONE_AFTER_MS }],
])("EdgeSwitch stays while %s", async (_, silence) => {
  const { edgeSwitch, probes } = create({ "http://other.example/": 200 });
  await edgeSwitch.check(silence);
  expect(probes).toEqual([]);
});

test("EdgeSwitch moves to the first edge that has the stream, and from there on to others", async () => {
  const statuses = { "http://dead.example/": 0, "http://idle.example/": 503, "http://good.example/": 200 };
  const { edgeSwitch, moves, probes } = create(statuses);
  await edgeSwitch.check({ videoMs: long, figuresMs: long });
  expect(moves).toEqual(["http://good.example/"]);
  expect(probes).toEqual(Object.keys(statuses));
  await edgeSwitch.check({ videoMs: long, figuresMs: long });
  expect(probes.slice(3)).toEqual([HOME, "http://dead.example/", "http://idle.example/"]);
  expect(moves).toHaveLength(1);
});

test("EdgeSwitch searches once at a time", async () => {
  const { edgeSwitch, probes } = create({ "http://good.example/": 200 });
  const silence = { videoMs: long, figuresMs: long };
  await Promise.all([edgeSwitch.check(silence), edgeSwitch.check(silence)]);
  expect(probes).toHaveLength(1);
});
