/**
 * `--spread segment` with real edges: hls.js in Chromium and ffmpeg play through all of them while one more comes and one
 * goes, and no segment changes its host.
 */
import { expect, test } from "bun:test";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";
import { PLAYED_SECONDS_SCRIPT, StockPage, type StockPageReport } from "../bench/stock-page.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, isOk, metric, Program, Spillway, waitFor } from "./harness.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
const FFMPEG = Bun.which("ffmpeg");
/** What ffmpeg says where it opens another connection for another host, and goes on. */
const OTHER_HOST = /^\[http @ \w+\] Cannot reuse HTTP connection for different host: .*\n/gm;
/** The window, and what its newest table lies ahead. */
const DRAIN_SECONDS = 30;
/** What is watched after each change of the edges, in seconds of video: every segment listed then has been looked at. */
const WATCHED_SECONDS = 6;

/** An edge that others name in their playlists. */
class SegmentEdge implements AsyncDisposable {
  readonly url: string;
  readonly #program: Program;

  constructor(upstream: string, port: number, drainSeconds = 0) {
    this.url = `http://127.0.0.1:${port}`;
    const place = { "edge-port": port, "edge-bind": "127.0.0.1", "public-url": this.url };
    this.#program = new Program(["edge", ...flags({ ...place, upstream, "drain-seconds": drainSeconds })]);
  }

  /** Resolves when playlists are written for `count` hosts. */
  async knows(count: number): Promise<void> {
    await waitFor(`${this.url} to be ready`, () => isOk(`${this.url}/readyz`));
    await waitFor(`a table of ${count}`, async () => {
      const page = await getText(`${this.url}/metrics`);
      return metric(page, "spillway_edge_rewrite_hosts") === count;
    });
  }

  /** Answers of a result, since start. */
  async requests(result: "hit" | "miss"): Promise<number> {
    return metric(await getText(`${this.url}/metrics`), `spillway_edge_requests_total{result="${result}"}`);
  }

  /** Asks it to end: it serves on meanwhile. */
  drain(): void {
    this.#program.process.kill("SIGTERM");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

/** Resolves when the newest segment of the playlist is one that `host` has. */
async function segmentsOn(playlist: string, host: string): Promise<void> {
  await waitFor(`a segment on ${host}`, async () => (await getText(playlist)).includes(`\n${host}/live/`));
}

test.concurrent.skipIf(CHROMIUM === null)(
  "E26, E27: hls.js plays through two edges, a third that comes and one that drains, without an error",
  async () => {
    await using spillway = new Spillway(["--spread=segment"], 0);
    const [one = 0, two = 0, three = 0] = freePorts(3);
    await using first = new SegmentEdge(spillway.origin, one);
    await using second = new SegmentEdge(spillway.origin, two, DRAIN_SECONDS);
    await first.knows(2);
    await second.knows(2);
    const playlist = `${first.url}/live/canvas/180p/index.m3u8`;
    await using page = new StockPage({ source: `${first.url}/live/canvas/index.m3u8` });
    await using view = new Bun.WebView({
      width: 640,
      height: 360,
      backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    });
    await view.navigate(page.url);
    /** Resolves when so many seconds have been shown; ends early with an error. */
    const watch = (seconds: number): Promise<StockPageReport> =>
      waitFor(`${seconds} s of pictures`, async () => {
        const played = Number(await view.evaluate(PLAYED_SECONDS_SCRIPT));
        // The page makes the object; only what it tells is read of it.
        const now = (await view.evaluate("report")) as StockPageReport;
        return (played >= seconds || now.errors.length > 0) && now;
      });
    await segmentsOn(playlist, second.url);
    expect((await watch(WATCHED_SECONDS)).errors).toEqual([]);
    await using third = new SegmentEdge(spillway.origin, three);
    await third.knows(3);
    await segmentsOn(playlist, third.url);
    expect((await watch(3 * WATCHED_SECONDS)).errors).toEqual([]);
    // Each had its share; nobody asked the second or third for anything else.
    for (const edge of [second, third]) {
      expect((await edge.requests("hit")) + (await edge.requests("miss"))).toBeGreaterThan(3);
    }
    second.drain();
    await first.knows(2);
    await waitFor("no segment to come on the one that drains", async () => {
      const uris = (await getText(playlist)).split("\n").filter((line) => line.endsWith(".m4s"));
      return !uris.slice(-4).some((uri) => uri.startsWith(second.url));
    });
    expect((await watch(5 * WATCHED_SECONDS)).errors).toEqual([]);
  },
  120_000,
);

test.concurrent.skipIf(FFMPEG === null)(
  "E29, E31: ffmpeg reads both playlists across hosts without a complaint",
  async () => {
    await using spillway = new Spillway(["--spread=segment"], 0);
    const [one = 0, two = 0] = freePorts(2);
    await using first = new SegmentEdge(spillway.origin, one);
    await using second = new SegmentEdge(spillway.origin, two);
    await first.knows(2);
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const playlist = `${first.url}/live/canvas/180p/${file}`;
      await segmentsOn(playlist, first.url);
      await segmentsOn(playlist, second.url);
      const strict = ["-v", "error", "-xerror", "-err_detect", "explode"];
      const command = [FFMPEG ?? "", ...strict, "-i", playlist, "-t", "6", "-f", "null", "-"];
      const program = Bun.spawn(command, { stdio: ["ignore", "ignore", "pipe"] });
      const said = await new Response(program.stderr).text();
      expect([await program.exited, said.replace(OTHER_HOST, "")]).toEqual([0, ""]);
    }
  },
  120_000,
);
