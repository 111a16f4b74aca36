/**
 * What somebody sees whose page is open while the server, or the origin, is killed: the same page, the same video
 * element, the slate in between, and no fatal error: in our own page, and in hls.js as it comes.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { block, isOk, paint, Spillway, waitFor } from "./harness.ts";
import { CHROMIUM, HEIGHT, Spectator, WIDTH, type Sight } from "./spectator.ts";

const HLS_JS = join(import.meta.dir, "..", "node_modules/hls.js/dist/hls.min.js");
/** A picture that stands still for longer than this is an interruption: generous, machines are shared. */
const STILL_MS_MAX = 8_000;
/** From the origin's being ready again to its pictures. Three seconds where the machine has nothing else to do. */
const BACK_MS_MAX = 12_000;

if (CHROMIUM === null)
  console.warn("SKIPPED: pages are not tested in an outage, there is no chromium on this machine");

function stockPage(source: string): string {
  return `<!doctype html><video muted></video><script src="hls.js"></script><script>
window.fatal = [];
const hls = new Hls();
hls.on(Hls.Events.ERROR, (_, { type, details, fatal }) => {
  if (fatal) window.fatal.push(type + " " + details);
});
hls.loadSource(${JSON.stringify(source)});
const video = document.querySelector("video");
hls.attachMedia(video);
video.play();
</script>`;
}

/** Words in white on a dark ground. */
function isSlate({ corner, bright }: Sight): boolean {
  return Math.max(...corner) < 60 && bright > 100;
}

describe.each(["our own page", "hls.js as it comes"])("%s", (which) => {
  test.skipIf(CHROMIUM === null)(
    "plays on through the death of the server and of the origin, with the slate in between",
    async () => {
      await using spillway = new Spillway();
      await spillway.ready();
      await using pages = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: ({ url }) =>
          url.endsWith("/hls.js")
            ? new Response(Bun.file(HLS_JS))
            : new Response(stockPage(`${spillway.edge()}/live/canvas/index.m3u8`), {
                headers: { "content-type": "text/html" },
              }),
      });
      await using spectator = await Spectator.open(
        which === "our own page" ? `${spillway.edge()}/` : `http://127.0.0.1:${pages.port}/`,
      );
      await paint(spillway.ports.pixelflut, block(WIDTH, HEIGHT, "c02020"));
      await spectator.seeColour("red", [192, 32, 32]);
      spectator.stillMs = 0;

      // Once would be bridged by the last picture.
      const slate = spectator.see("the slate", isSlate);
      for (let times = 0; times < 3; times++) await spillway.killChild("server");
      await slate;
      await waitFor("the server", () => isOk(`${spillway.server}/readyz`));
      await paint(spillway.ports.pixelflut, block(WIDTH, HEIGHT, "20a020"));
      await spectator.seeColour("green after the server died", [32, 160, 32]);
      console.info(
        `${which}: stood still for ${Math.round(spectator.stillMs)} ms at most when the server died`,
      );
      expect(spectator.stillMs).toBeLessThan(STILL_MS_MAX);

      await spillway.killChild("origin");
      await waitFor("the origin", () => isOk(`${spillway.origin}/readyz`));
      const readyMs = performance.now();
      await paint(spillway.ports.pixelflut, block(WIDTH, HEIGHT, "2040c0"));
      await spectator.seeColour("blue after the origin died", [32, 64, 192]);
      const backMs = performance.now() - readyMs;
      console.info(`${which}: pictures ${Math.round(backMs)} ms after the origin was back`);
      expect(backMs).toBeLessThan(BACK_MS_MAX);
      expect([...spectator.fatal]).toEqual([]);
    },
    120_000,
  );
});
