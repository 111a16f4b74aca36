/** hls.js as it comes on delta updates, at an origin with a long window: no error, and pictures go on. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";
import { getText, Spillway, waitFor } from "./harness.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
const HLS_JS = join(import.meta.dir, "..", "node_modules/hls.js/dist/hls.min.js");
/** What is watched, in seconds of video. */
const WATCHED_SECONDS = 6;

if (CHROMIUM === null)
  console.warn("SKIPPED: hls.js is not tested on delta updates, there is no chromium on this machine");

/** What the page below tells. */
interface Report {
  readonly errors: readonly string[];
  readonly updates: number;
  readonly skipped: number;
  readonly failed: number;
  readonly seconds: number;
}

function pageOf(source: string): string {
  return `<!doctype html><video muted></video><script src="hls.js"></script><script>
const report = { errors: [], updates: 0, skipped: 0, failed: 0, seconds: 0 };
const video = document.querySelector("video");
const hls = new Hls();
// A machine that is busy stalls for a moment: not what is tested here.
hls.on(Hls.Events.ERROR, (_, { type, details, fatal }) => {
  if (fatal || !details.startsWith("buffer")) report.errors.push([type, details, fatal].join(" "));
});
hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
  report.updates++;
  report.skipped = Math.max(report.skipped, details.skippedSegments);
  if (details.deltaUpdateFailed) report.failed++;
});
hls.loadSource(${JSON.stringify(source)});
hls.attachMedia(video);
video.play();
let first;
video.ontimeupdate = () => {
  if (video.currentTime > 0) first ??= video.currentTime;
  report.seconds = video.currentTime - (first ?? video.currentTime);
};
</script>`;
}

test.skipIf(CHROMIUM === null)(
  "39: hls.js merges delta updates without an error",
  async () => {
    await using spillway = new Spillway(["--window-seconds=130"], 0);
    const playlist = `${spillway.origin}/live/canvas/180p/index.m3u8`;
    await waitFor("a delta update", async () =>
      (await getText(`${playlist}?_HLS_skip=YES`)).includes("#EXT-X-SKIP:"),
    );
    await using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) =>
        url.endsWith("/hls.js")
          ? new Response(Bun.file(HLS_JS))
          : new Response(pageOf(playlist), { headers: { "content-type": "text/html" } }),
    });
    await using view = new Bun.WebView({
      width: 640,
      height: 360,
      backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    });
    await view.navigate(`http://127.0.0.1:${server.port}/`);
    const report = await waitFor("pictures", async () => {
      // The page makes the object; only what it tells is read of it.
      const now = (await view.evaluate("report")) as Report;
      return (now.seconds >= WATCHED_SECONDS || now.errors.length > 0) && now;
    });
    expect(report).toMatchObject({ errors: [], failed: 0 });
    expect(report.skipped).toBeGreaterThan(0);
    expect(report.updates).toBeGreaterThan(WATCHED_SECONDS);
  },
  120_000,
);
