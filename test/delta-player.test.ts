/** hls.js as it comes on delta updates, of an origin with a long window and of an edge: no error, and pictures go on. */
import { expect, test } from "bun:test";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";
import { PLAYED_SECONDS_SCRIPT, StockPage, type StockPageReport } from "../bench/stock-page.ts";
import { getText, Spillway, waitFor } from "./harness.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
/** What is watched, in seconds of video. */
const WATCHED_SECONDS = 6;

if (CHROMIUM === null)
  console.warn("SKIPPED: hls.js is not tested on delta updates, there is no chromium on this machine");

const CASES = [
  { title: "39: hls.js merges an origin's delta updates without an error", edges: 0 },
  { title: "E2, E32: hls.js merges an edge's delta updates without an error", edges: 1 },
];

test.concurrent.skipIf(CHROMIUM === null).each(CASES)(
  "$title",
  async ({ edges }) => {
    await using spillway = new Spillway(["--window-seconds=130"], edges);
    const playlist = `${edges === 0 ? spillway.origin : spillway.edge()}/live/canvas/180p/index.m3u8`;
    await waitFor("a delta update", async () =>
      (await getText(`${playlist}?_HLS_skip=YES`)).includes("#EXT-X-SKIP:"),
    );
    await using page = new StockPage({ source: playlist });
    await using view = new Bun.WebView({
      width: 640,
      height: 360,
      backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    });
    await view.navigate(page.url);
    const report = await waitFor("pictures", async () => {
      const seconds = Number(await view.evaluate(PLAYED_SECONDS_SCRIPT));
      // The page makes the object; only what it tells is read of it.
      const now = (await view.evaluate("report")) as StockPageReport;
      return (seconds >= WATCHED_SECONDS || now.errors.length > 0) && now;
    });
    expect(report).toMatchObject({ errors: [], failedUpdates: 0 });
    expect(report.skippedMax).toBeGreaterThan(0);
    expect(report.updates).toBeGreaterThan(WATCHED_SECONDS);
  },
  120_000,
);
