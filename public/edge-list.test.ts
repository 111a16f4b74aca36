/** The list of other edges: read from anything, kept through silence, ordered by weight. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { decodeEdges, EdgeList, orderCandidates, type ListedEdge } from "./edge-list.ts";

const near: ListedEdge = { url: "http://near.example:8081", state: "ready", weight: 1 };
const far: ListedEdge = { url: "https://far.example/wall/", state: "ready", weight: 3 };

test.each([
  ["no JSON", "<html>", []],
  ["no list", "{}", []],
  ["a list", JSON.stringify([{ ...near, region: "hall", viewers: 3 }, far]), [near, far]],
  [
    "what is no edge left out",
    JSON.stringify([null, 4, { ...near, url: "javascript:alert(1)" }, { ...near, weight: "1" }, far]),
    [far],
  ],
])("decodeEdges() reads %s", (_, text, edges) => {
  expect(decodeEdges(text)).toEqual(edges);
});

test("orderCandidates() leaves out the present edge, edges that take nobody, and http on an https page", () => {
  const edges = [
    near,
    far,
    { ...near, url: "http://full.example", state: "full" },
    { ...near, url: "http://zero.example", weight: 0 },
  ];
  const order = (base: string, isSecure: boolean) =>
    orderCandidates({ edges, base, isSecure, random: () => 0.5 });
  expect(order("http://elsewhere.example/", false)).toEqual([
    "https://far.example/wall/",
    "http://near.example:8081/",
  ]);
  expect(order("https://far.example/wall/", false)).toEqual(["http://near.example:8081/"]);
  expect(order("http://elsewhere.example/", true)).toEqual(["https://far.example/wall/"]);
});

test("orderCandidates() puts an edge first as often as its weight says", () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  let farFirst = 0;
  for (let turn = 0; turn < 2_000; turn++) {
    const [first] = orderCandidates({ edges: [near, far], base: "", isSecure: false, random });
    if (first === far.url) farFirst += 1;
  }
  expect(farFirst / 2_000).toBeCloseTo(0.75, 1);
});

test("EdgeList keeps the last good list while its edge does not answer", async () => {
  const clock = new FakeClock();
  const answers = [JSON.stringify([near, far]), undefined, "[]", JSON.stringify([far])];
  const list = new EdgeList({ clock, fetchText: () => Promise.resolve(answers.shift()) });
  const settle = () => Promise.resolve().then(() => undefined);
  list.open("http://near.example:8081/api/v1/edges");
  const seen: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    await settle();
    seen.push(list.edges.length);
    clock.advance(30_000);
  }
  list.close();
  expect(seen).toEqual([2, 2, 2, 1]);
});
