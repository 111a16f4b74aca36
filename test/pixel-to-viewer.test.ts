/** The whole path with real pixels: painted over TCP, read back from the video in a browser on an edge's page. */
import { describe, expect, test } from "bun:test";
import { block, getText, metric, paint, Spillway, TemporaryFolder, waitFor } from "./harness.ts";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";

/** Of the canvas, as the harness starts it. */
const WIDTH = 320;
const HEIGHT = 180;

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");

/** Any error or oddity in the stream ends ffmpeg. */
const STRICT = ["-v", "error", "-xerror", "-err_detect", "explode", "-y"];
const ONE_PICTURE = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24"];

/** Draws the video and gives the colour at a place in canvas pixels as [red, green, blue]; null while nothing plays. */
function readColour(x: number, y: number): string {
  return `(() => {
    const video = document.querySelector("video");
    if (video === null || video.readyState < 2) return null;
    const canvas = document.createElement("canvas");
    canvas.width = ${WIDTH};
    canvas.height = ${HEIGHT};
    const context = canvas.getContext("2d");
    // The page may have chosen a smaller rendition.
    context.drawImage(video, 0, 0, ${WIDTH}, ${HEIGHT});
    return [...context.getImageData(${x}, ${y}, 1, 1).data].slice(0, 3);
  })()`;
}

function isNear(colour: unknown, wanted: readonly number[]): boolean {
  return (
    Array.isArray(colour) && wanted.every((value, index) => Math.abs(Number(colour[index]) - value) <= 24)
  );
}

describe("a pixel", () => {
  test.skipIf(CHROMIUM === null)("painted over TCP shows in the video on every edge's page", async () => {
    await using spillway = new Spillway();
    await spillway.ready();
    await using view = new Bun.WebView({
      width: 1024,
      height: 768,
      backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    });
    const colours = [
      ["ff0000", [255, 0, 0]],
      ["00ff00", [0, 255, 0]],
      ["2040ff", [32, 64, 255]],
    ] as const;
    for (const index of spillway.ports.edges.keys()) {
      await view.navigate(`${spillway.edge(index)}/`);
      for (const [name, rgb] of colours) {
        await paint(spillway.ports.pixelflut, block(64, 64, name));
        await waitFor(`${name} in the video of edge ${index + 1}`, async () =>
          isNear(await view.evaluate(readColour(32, 32)), rgb),
        );
        expect(isNear(await view.evaluate(readColour(200, 120)), [0, 0, 0])).toBe(true);
      }
    }
    await waitFor("the page to show its delay", async () => {
      const delay = Number(await view.evaluate("document.body.dataset.delaySeconds"));
      return delay > 0 && delay < 20;
    });
    await waitFor("the edge to count its viewer", async () => {
      const page = await getText(`${spillway.edge(1)}/metrics`);
      return metric(page, 'spillway_edge_viewers{kind="llhls"}') >= 1;
    });
  });

  test.skipIf(CHROMIUM === null)(
    "shows again by itself on a page that saw the server, the origin and its edge die",
    async () => {
      await using spillway = new Spillway();
      await spillway.ready();
      await using view = new Bun.WebView({
        width: 800,
        height: 600,
        backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
      });
      await view.navigate(`${spillway.edge(0)}/`);
      await view.evaluate("window.sameDocument = true");
      const victims = [
        ["origin", "ff0000", [255, 0, 0]],
        ["edge 1", "00ff00", [0, 255, 0]],
        ["server", "0000ff", [0, 0, 255]],
      ] as const;
      for (const [victim, name, rgb] of victims) {
        await spillway.killChild(victim);
        await waitFor(`${name} after the ${victim} died`, async () => {
          await paint(spillway.ports.pixelflut, block(64, 64, name));
          return isNear(await view.evaluate(readColour(32, 32)), rgb);
        });
      }
      expect(await view.evaluate("window.sameDocument")).toBe(true);
    },
  );

  test.skipIf(Bun.which("ffmpeg") === null)(
    "shows in what ffmpeg decodes from each kind of stream",
    async () => {
      await using spillway = new Spillway();
      await spillway.ready();
      await paint(spillway.ports.pixelflut, block(320, 180, "ff0000"));
      using folder = new TemporaryFolder();
      const sources = [
        "index.m3u8",
        "ts.m3u8",
        "stream.ts",
        "180p/index.m3u8",
        "180p/ts.m3u8",
        "180p/stream.ts",
      ];
      for (const [number, name] of sources.entries()) {
        const picture = `${folder.path}/${number}.raw`;
        await waitFor(`red in ${name}`, async () => {
          const child = Bun.spawn(
            ["ffmpeg", ...STRICT, "-i", `${spillway.edge()}/live/canvas/${name}`, ...ONE_PICTURE, picture],
            {
              stdio: ["ignore", "ignore", "pipe"],
            },
          );
          const said = await new Response(child.stderr).text();
          if ((await child.exited) !== 0 || said !== "") throw new Error(`ffmpeg on ${name}: ${said}`);
          const bytes = new Uint8Array(await Bun.file(picture).arrayBuffer());
          const at = (90 * 320 + 160) * 3;
          return isNear([...bytes.subarray(at, at + 3)], [255, 0, 0]);
        });
      }
    },
  );
});
