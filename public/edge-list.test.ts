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

/** A list of the edge at `base` whose fetches are answered one after the other, and what it asked for. */
function createList(options: { readonly base: string; readonly answers: readonly (string | undefined)[] }) {
  const clock = new FakeClock();
  const asked: { readonly url: string; readonly atMs: number }[] = [];
  const list = new EdgeList({
    clock,
    isSecure: false,
    fetchText(url) {
      asked.push({ url, atMs: clock.monotonicMs() });
      return Promise.resolve(options.answers[Math.min(asked.length, options.answers.length) - 1]);
    },
  });
  const startMs = clock.monotonicMs();
  list.open(options.base);
  /** Lets `seconds` pass, and every answer arrive at once. */
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second <= seconds; second++) {
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      if (second < seconds) clock.advance(1_000);
    }
  };
  return { list, asked, pass, askedAtMs: () => asked.map(({ atMs }) => atMs - startMs) };
}

const NEAR = `${near.url}/`;

test("EdgeList asks every two seconds until it knows another edge, then every thirty", async () => {
  const alone = JSON.stringify([near, { ...far, weight: 0 }]);
  const answers = [undefined, alone, JSON.stringify([near, far])];
  const { list, asked, pass, askedAtMs } = createList({ base: NEAR, answers });
  await pass(70);
  list.close();
  expect(askedAtMs()).toEqual([0, 2_000, 4_000, 34_000, 64_000]);
  expect(asked[0]?.url).toBe("http://near.example:8081/api/v1/edges");
});

test("EdgeList stops asking quickly after a minute where there is no other edge", async () => {
  const { list, pass, askedAtMs } = createList({ base: NEAR, answers: [JSON.stringify([near])] });
  await pass(120);
  list.close();
  expect(askedAtMs().slice(-3)).toEqual([58_000, 88_000, 118_000]);
});

test("EdgeList keeps the last good list while its edge does not answer", async () => {
  const answers = [JSON.stringify([near, far]), undefined, "[]", JSON.stringify([far])];
  const { list, pass } = createList({ base: NEAR, answers });
  const seen: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    await pass(turn === 0 ? 0 : 30);
    seen.push(list.edges.length);
  }
  list.close();
  expect(seen).toEqual([2, 2, 2, 1]);
});

test("EdgeList.close() ends the asking, and what is still under way counts no more", async () => {
  const { list, asked, pass } = createList({ base: NEAR, answers: [JSON.stringify([far])] });
  list.close();
  await pass(60);
  expect([asked.length, list.edges.length]).toEqual([1, 0]);
  list.open(NEAR);
  await pass(0);
  expect([asked.length, list.edges.length]).toEqual([2, 1]);
  list.close();
});

test("EdgeList.newest() asks at once, and takes an empty list for what it is", async () => {
  const answers = [JSON.stringify([near, far]), "[]", undefined];
  const { list, pass } = createList({ base: NEAR, answers });
  await pass(0);
  expect([await list.newest(), await list.newest()]).toEqual([[], [near, far]]);
  expect(list.edges).toEqual([near, far]);
  list.close();
});
