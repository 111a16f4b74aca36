/**
 * A page for the tests of `bench latency`: a video whose picture follows the canvas of a {@link FakePixelflut} a fixed
 * time later, with no encoder and no HLS in between. It asks for the colour of the watched block and paints it on a
 * canvas whose stream the video plays.
 */
import type { FakePixelflut } from "./fake-pixelflut.ts";

export interface FakeVideoPageOptions {
  readonly pixelflut: FakePixelflut;
  /** A pixel in the middle of the block, whose colour the whole picture takes. */
  readonly pixel: number;
  /** The page shows the canvas of so long ago, also what it was before the page was opened. Milliseconds. */
  readonly delayMs: number;
}

/** How often the canvas is looked at and the page asks. */
const POLL_MS = 5;

/** A page on a free port of 127.0.0.1. */
export class FakeVideoPage {
  readonly #server: Bun.Server<undefined>;
  readonly #timer: Timer;
  /** What the pixel was, oldest first, since {@link FakeVideoPageOptions.delayMs} ago. */
  readonly #colours: { readonly atMs: number; readonly colour: number }[] = [];
  /** Times that the page was loaded. */
  loads = 0;

  constructor(options: FakeVideoPageOptions) {
    const { pixelflut, pixel, delayMs } = options;
    const { width, height } = pixelflut;
    this.#timer = setInterval(() => {
      const atMs = performance.now();
      this.#colours.push({ atMs, colour: pixelflut.canvas[pixel] ?? 0 });
      while ((this.#colours[1]?.atMs ?? atMs) < atMs - delayMs) this.#colours.shift();
    }, POLL_MS);
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => {
        const { pathname } = new URL(request.url);
        if (pathname === "/colour")
          return new Response(`#${(this.#colours[0]?.colour ?? 0).toString(16).padStart(6, "0")}`);
        if (pathname !== "/") return new Response(null, { status: 404 });
        this.loads += 1;
        const script = `(${follow.toString()})(${JSON.stringify({ pollMs: POLL_MS })})`;
        const html = `<!doctype html><canvas width="${width}" height="${height}"></canvas><video muted></video>`;
        return new Response(`${html}<script>${script}</script>`, {
          headers: { "content-type": "text/html" },
        });
      },
    });
  }

  get url(): string {
    return this.#server.url.href;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#server.stop(true);
  }
}

/** Runs in the page: it may use nothing from outside its own text. */
async function follow({ pollMs }: { readonly pollMs: number }): Promise<void> {
  const canvas = document.querySelector("canvas");
  const video = document.querySelector("video");
  const context = canvas?.getContext("2d");
  if (!canvas || !video || !context) throw new Error("no video to play");
  video.srcObject = canvas.captureStream();
  let colour = "#000000";
  // Each frame is drawn anew: a canvas that nobody draws on gives its stream no frames.
  const draw = (): void => {
    context.fillStyle = colour;
    context.fillRect(0, 0, canvas.width, canvas.height);
    requestAnimationFrame(draw);
  };
  draw();
  for (;;) {
    colour = await (await fetch("/colour")).text();
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
