/**
 * Segments spread over edges that come and go, from the origin's tables to the playlists of each edge: no two edges ever
 * name different hosts for a segment, and none names another one than before.
 */
import { describe, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import type { Run } from "#common/formats/frame.ts";
import type { LeaseSegmentHosts } from "#common/formats/lease.ts";
import { createRandom } from "#common/random.ts";
import { SegmentHosts } from "../edge/segment-hosts.ts";
import type { EdgePlace } from "../origin/edges.ts";
import { hintIn, open, type Origin, TWO } from "../origin/origin-fixture.ts";
import { SegmentTables } from "../origin/segment-tables.ts";

const FPS = 30;
const STEP_FRAMES = 6;
const STEP_MS = (STEP_FRAMES * 1000) / FPS;
/** Of a stream with delta updates, beyond its window. */
const STEPS = 900;
const FILES = ["index.m3u8", "index.m3u8?_HLS_skip=YES", "ts.m3u8", "ts.m3u8?_HLS_skip=YES"];

/** An edge with its lease, and tables that are on their way to it. */
interface ModelEdge {
  readonly url: string;
  readonly place: EdgePlace;
  readonly hosts: SegmentHosts;
  readonly coming: { readonly atMs: number; readonly table: LeaseSegmentHosts }[];
}

/** A stream and edges, moved by one step of time after the other. */
class Model {
  readonly origin: Origin = open({ windowSeconds: 130 });
  readonly edges: ModelEdge[] = [];
  readonly tables: SegmentTables;
  readonly #random: () => number;
  readonly #delayMsMax: number;
  #run: Run = testsrcRun({ renditions: TWO });
  #frame = 0;
  #entered = 0;

  constructor(random: () => number, delayMsMax: number) {
    this.#random = random;
    this.#delayMsMax = delayMsMax;
    const { stream, edges, clock } = this.origin;
    this.tables = new SegmentTables({
      edges,
      span: (format) => stream.segmentSpan(format),
      clock,
      originId: "o1",
    });
  }

  /** A fifth of a second: frames, now and then another run, edges that come and go, tables that arrive. */
  step(): void {
    const { origin } = this;
    if (this.#frame > 300 && this.#random() < 0.01) this.#beginRun();
    origin.clock.advance(STEP_MS);
    origin.play(this.#run, this.#frame, this.#frame + STEP_FRAMES);
    this.#frame += STEP_FRAMES;
    if (this.edges.length < 2 || (this.edges.length < 5 && this.#random() < 0.05)) this.#enter();
    if (this.edges.length > 2 && this.#random() < 0.05) this.#leave();
    const table = this.tables.refresh();
    if (table !== undefined) for (const edge of this.edges) this.#send(edge, table);
    const nowMs = origin.clock.monotonicMs();
    for (const { coming, hosts } of this.edges) {
      const arrived = coming.filter(({ atMs }) => atMs <= nowMs);
      for (const { table } of coming.splice(0, arrived.length)) hosts.adopt(table);
    }
  }

  #enter(): void {
    const url = `http://edge${this.#entered++}`;
    const hello = { type: "hello", version: 1, scheme: "http", port: 80, region: "" } as const;
    const capacityBitsPerSecond = Math.ceil(this.#random() * 1e9);
    const place = this.origin.edges.enter({ ...hello, publicUrl: url, capacityBitsPerSecond });
    place.update({ type: "load", state: "ready", viewers: 0, egressBitsPerSecond: 0 });
    const edge: ModelEdge = { url, place, hosts: new SegmentHosts(url), coming: [] };
    // Told before it is handed any viewer.
    for (const table of this.tables.kept) edge.hosts.adopt(table);
    this.edges.push(edge);
  }

  #leave(): void {
    const [edge] = this.edges.splice(Math.floor(this.#random() * this.edges.length), 1);
    edge?.place.leave();
  }

  #send({ coming }: ModelEdge, table: LeaseSegmentHosts): void {
    const atMs = this.origin.clock.monotonicMs() + this.#random() * this.#delayMsMax;
    coming.push({ atMs: Math.max(atMs, coming.at(-1)?.atMs ?? 0), table });
  }

  /** The next run begins in the next slot of two seconds but one, by number and by date. */
  #beginRun(): void {
    const { ordinal, startFrame, startTimeMs } = this.#run;
    const slots = Math.floor(this.#frame / (2 * FPS)) + 2;
    this.origin.clock.advance(((slots * 2 * FPS - this.#frame) * 1000) / FPS);
    this.#run = testsrcRun({
      id: (ordinal + 1).toString(16).padStart(8, "0"),
      ordinal: ordinal + 1,
      startFrame: startFrame + slots * 2 * FPS,
      startTimeMs: startTimeMs + slots * 2_000,
      renditions: TWO,
    });
    this.#frame = 0;
  }
}

/** The host of each segment of a playlist, by run, number and format: parts, segment and hint of one have one. */
function hostsIn(text: string): Map<string, string> {
  const hosts = new Map<string, string>();
  const uris = /((?:http:\/\/(\w+)\/live\/canvas\/\w+\/)?)([0-9a-f]{8}-\d+)(?:\.\d+)?(\.m4s|\.ts)/g;
  for (const [, base = "", host = "", segment = "", format = ""] of text.matchAll(uris)) {
    const key = segment + format;
    if (hosts.has(key)) expect([key, hosts.get(key)]).toEqual([key, host]);
    expect(base === "").toBe(host === "");
    hosts.set(key, host);
  }
  return hosts;
}

/** Adds to what was seen before, which must not differ. */
function note(seen: Map<string, string>, hosts: ReadonlyMap<string, string>): void {
  for (const [segment, host] of hosts) {
    if (seen.has(segment)) expect([segment, seen.get(segment)]).toEqual([segment, host]);
    else seen.set(segment, host);
  }
}

describe.each([1, 2, 3])("with seed %d", (seed) => {
  test("E26, E27, E29, E32: no edge names another host than others did, in whole playlists and in updates", async () => {
    const random = createRandom(seed);
    const model = new Model(random, 1_900);
    const seen = new Map<string, string>();
    const hints = new Map<string, string>();
    for (let step = 0; step < STEPS; step++) {
      model.step();
      const file = FILES[Math.floor(random() * FILES.length)] ?? "";
      const rendition = random() < 0.5 ? "64p" : "32p";
      const text = await model.origin.text(`${rendition}/${file}`);
      for (const { hosts } of model.edges.filter(() => random() < 0.5)) {
        const written = hosts.rewrite(text, `/live/canvas/${rendition}/index.m3u8`);
        note(seen, hostsIn(written));
        const hint = hintIn(written);
        hints.set(`${rendition}/${hint.slice(hint.lastIndexOf("/") + 1)}`, hint);
        for (const [, uri = ""] of written.matchAll(/PART:DURATION=[\d.]+,URI="([^"]+)/g)) {
          const name = `${rendition}/${uri.slice(uri.lastIndexOf("/") + 1)}`;
          expect(uri).toBe(hints.get(name) ?? uri);
        }
      }
    }
    expect(model.tables.made).toBeGreaterThan(10);
    expect(model.edges.map(({ hosts }) => hosts.late)).toEqual(model.edges.map(() => 0));
    expect(new Set(seen.values()).size).toBeGreaterThan(5);
    expect(seen.size).toBeGreaterThan(200);
  });

  test("E26, E27: an edge names one host for a segment, however late it hears of tables", async () => {
    const random = createRandom(seed);
    const model = new Model(random, 6_000);
    const seen = new Map<ModelEdge, Map<string, string>>();
    let late = 0;
    for (let step = 0; step < STEPS; step++) {
      model.step();
      const text = await model.origin.text("64p/index.m3u8");
      for (const edge of model.edges) {
        const known = seen.get(edge) ?? new Map<string, string>();
        seen.set(edge, known);
        note(known, hostsIn(edge.hosts.rewrite(text, "/live/canvas/64p/index.m3u8")));
        late = Math.max(late, edge.hosts.late);
      }
    }
    expect(late).toBeGreaterThan(0);
  });
});
