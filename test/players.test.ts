/**
 * Players that are not ours on both playlists of an edge: hls.js as it comes, and ffmpeg. Each plays for some seconds
 * without an error.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";
import { PLAYLISTS } from "../bench/play.ts";
import { PLAYED_SECONDS_SCRIPT, StockPage, type StockPageReport } from "../bench/stock-page.ts";
import { flags, Program, Spillway, TemporaryFolder, waitFor } from "./harness.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
const FFMPEG = Bun.which("ffmpeg");
const BENCH_PLAYERS = ["ffmpeg", "ffplay", "hls.js"];
const BENCH_SECONDS = 12;
/** What is watched, in seconds of video and in its frames. */
const WATCHED_SECONDS = 4;
const WATCHED_FRAMES = 120;

if (CHROMIUM === null) console.warn("SKIPPED: hls.js is not tested, there is no chromium on this machine");
if (FFMPEG === null) console.warn("SKIPPED: ffmpeg is not tested as a player, it is not on this machine");

/** Runs a player to its end: its exit status and what it said. */
async function play(command: readonly string[]): Promise<readonly [number, string]> {
  const child = Bun.spawn([...command], { stdio: ["ignore", "ignore", "pipe"], timeout: 60_000 });
  return [await child.exited, await new Response(child.stderr).text()];
}

let spillway: Spillway;

beforeAll(async () => {
  spillway = new Spillway([], 1);
  await spillway.ready();
});

afterAll(() => spillway[Symbol.asyncDispose]());

describe.each(PLAYLISTS)("%s", (playlist) => {
  test.skipIf(CHROMIUM === null)("plays in hls.js at its defaults", async () => {
    await using page = new StockPage({ source: `${spillway.edge()}/live/canvas/${playlist}` });
    await using view = new Bun.WebView({
      width: 640,
      height: 360,
      backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    });
    await view.navigate(page.url);
    await waitFor("the picture to move on", async () => {
      return Number(await view.evaluate(PLAYED_SECONDS_SCRIPT)) > WATCHED_SECONDS;
    });
    // The page makes the object; only what it tells is read of it.
    const report = (await view.evaluate("report")) as StockPageReport;
    expect(report).toMatchObject({ errors: [], failedUpdates: 0 });
    expect(report.updates).toBeGreaterThan(2);
  });

  test.skipIf(FFMPEG === null)("plays in ffmpeg, which ends at the first oddity", async () => {
    const strict = ["-v", "error", "-xerror", "-err_detect", "explode"];
    const url = `${spillway.edge()}/live/canvas/${playlist}`;
    const command = ["ffmpeg", ...strict, "-i", url, "-frames:v", `${WATCHED_FRAMES}`, "-f", "null", "-"];
    expect(await play(command)).toEqual([0, ""]);
  });
});

test.skipIf(CHROMIUM === null || FFMPEG === null)("bench players tells that they play", async () => {
  using folder = new TemporaryFolder();
  const json = join(folder.path, "players.json");
  const options = { url: `${spillway.edge()}/live/canvas`, players: BENCH_PLAYERS.join(","), json };
  await using bench = new Program(["bench", "players", ...flags({ ...options, seconds: BENCH_SECONDS })]);
  expect(await bench.process.exited, bench.errors).toBe(0);
  const { results } = await Bun.file(json).json();
  for (const player of BENCH_PLAYERS) {
    for (const playlist of PLAYLISTS) {
      const of = (what: string): unknown => results[`${player}.${playlist}.${what}`].value;
      expect([player, playlist, of("verdict"), of("fatal")]).toEqual([player, playlist, "plays", "none"]);
      expect(of("frames"), `${player} ${playlist}`).toBeGreaterThan(WATCHED_FRAMES);
    }
  }
});
