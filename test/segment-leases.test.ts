/**
 * `--spread segment` from an origin's leases to the playlists of edges, over real sockets: all edges write the same, one
 * that comes or goes changes nothing that was listed, and any of them has any segment.
 */
import { expect, test } from "bun:test";
import { commonOptions, readConfig } from "#common/config.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { silentLog } from "#common/log.ts";
import { edgeOptions } from "../edge/config.ts";
import { main } from "../edge/main.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, metric, waitFor } from "./harness.ts";
import { OriginOnFeed } from "./origin-on-feed.ts";

const OPTIONS = { ...commonOptions, ...edgeOptions };
const PLAYLIST = "/live/canvas/64p/index.m3u8";
/** Of eight segments: more than a table lies ahead, with enough for each of three edges to have one. */
const STEP_FRAMES = 480;

/** An edge in this process that others name in their playlists. */
class NearEdge implements AsyncDisposable {
  readonly url: string;
  readonly #lifecycle = new Lifecycle();

  private constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`;
  }

  static async open(upstream: string): Promise<NearEdge> {
    const [port = 0] = freePorts(1);
    const edge = new NearEdge(port);
    const place = { "edge-port": port, "edge-bind": "127.0.0.1", "public-url": edge.url };
    const args = flags({ ...place, upstream, "drain-seconds": 0 });
    const config = readConfig(OPTIONS, { args, env: {}, known: OPTIONS });
    await main({ config, lifecycle: edge.#lifecycle, log: silentLog, onListening() {} });
    return edge;
  }

  get(path: string): Promise<Response> {
    return fetch(this.url + path);
  }

  async metric(series: string): Promise<number> {
    return metric(await getText(`${this.url}/metrics`), series);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lifecycle.stop("test");
    await this.#lifecycle.closeAll(silentLog);
  }
}

/** Resolves when all write playlists for all of them. */
async function allKnow(edges: readonly NearEdge[]): Promise<void> {
  for (const edge of edges) {
    await waitFor(`a table of ${edges.length}`, async () => {
      return (await edge.metric("spillway_edge_rewrite_hosts")) === edges.length;
    });
  }
}

/** URIs of segments by name. */
function segmentsIn(text: string): Map<string, string> {
  const uris = text.split("\n").filter((line) => line.endsWith(".m4s"));
  return new Map(uris.map((uri) => [uri.slice(uri.lastIndexOf("/") + 1), uri]));
}

/** The text that all edges have for a reload that the origin answers as soon as it has played on. */
async function reload(origin: OriginOnFeed, edges: readonly NearEdge[], frames: number): Promise<string> {
  const path = origin.nextReload;
  const { searchParams } = new URL(path, origin.url);
  const hint = `-${searchParams.get("_HLS_msn")}.${searchParams.get("_HLS_part")}.m4s`;
  for (const edge of edges) {
    await waitFor("the newest playlist", async () => (await getText(edge.url + PLAYLIST)).includes(hint));
  }
  const answers = edges.map(async (edge) => (await edge.get(path)).text());
  await waitFor("all to wait", async () => {
    const held = await Promise.all(edges.map((edge) => edge.metric("spillway_edge_held_requests")));
    return held.every((count) => count === 1);
  });
  origin.play(frames);
  const texts = new Set(await Promise.all(answers));
  expect(texts.size).toBe(1);
  return [...texts].join("");
}

/** What is listed both before and after has the same URI. */
function expectSame(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): void {
  const both = [...before.keys()].filter((name) => after.has(name));
  expect(both.length).toBeGreaterThan(2);
  for (const name of both) expect(after.get(name)).toBe(before.get(name));
}

test("E26, E27, E33: edges that come and go, and what their playlists name", async () => {
  await using origin = await OriginOnFeed.open({ args: ["--spread=segment"] });
  await using first = await NearEdge.open(origin.url);
  const second = await NearEdge.open(origin.url);
  await using _ = second;
  const edges = [first, second];
  for (const edge of edges) await edge.get(PLAYLIST);
  await allKnow(edges);
  origin.play(STEP_FRAMES);
  const two = segmentsIn(await reload(origin, edges, 6));
  for (const { url } of edges)
    expect([...two.values()].some((uri) => uri.startsWith(`${url}/live/`))).toBe(true);
  const tags = edges.map(async (edge) => (await edge.get(PLAYLIST)).headers.get("etag"));
  expect(new Set(await Promise.all(tags)).size).toBe(1);
  const [name = "", uri = ""] = [...two].at(-1) ?? [];
  const bytes = await (await origin.get(`/live/canvas/64p/${name}`)).bytes();
  for (const url of [uri, ...edges.map((edge) => `${edge.url}/live/canvas/64p/${name}`)]) {
    expect(await (await fetch(url)).bytes()).toEqual(bytes);
  }

  await using third = await NearEdge.open(origin.url);
  await allKnow([...edges, third]);
  origin.play(STEP_FRAMES);
  const three = segmentsIn(await reload(origin, [...edges, third], 6));
  expectSame(two, three);
  expect([...three.values()].some((one) => one.startsWith(third.url))).toBe(true);

  await second[Symbol.asyncDispose]();
  await allKnow([first, third]);
  origin.play(STEP_FRAMES);
  const left = segmentsIn(await reload(origin, [first, third], 6));
  expectSame(three, left);
  expect([...left.values()].slice(-5).filter((one) => one.startsWith(second.url))).toEqual([]);
  for (const edge of [first, third])
    expect(await edge.metric("spillway_edge_rewrite_late_tables_total")).toBe(0);
}, 60_000);
