/** Watches the video of a page in Chromium from within, for tests of what a viewer sees. */
import { expect } from "bun:test";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";
import { waitFor } from "./harness.ts";

/** The browser, where there is one. */
export const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
/** Of the canvas, as the harness starts it. */
export const WIDTH = 320;
export const HEIGHT = 180;

/** What the watcher below tells. */
export interface Sight {
  readonly isSameElement: boolean;
  /** Colour of a corner, and how many pixels are bright. */
  readonly corner: readonly number[];
  readonly bright: number;
  /** Longest time that the picture stood still since it was asked last. */
  readonly stillMs: number;
  readonly fatal: readonly string[];
}

/** Watches the video of a page from within: how long it stands still, and whether it stays the same element. */
const WATCHER = `(() => {
  const video = document.querySelector("video");
  const watch = { stillMs: 0, time: video.currentTime, movedMs: performance.now() };
  setInterval(() => {
    const now = performance.now();
    watch.stillMs = Math.max(watch.stillMs, now - watch.movedMs);
    if (video.currentTime !== watch.time) watch.movedMs = now;
    watch.time = video.currentTime;
  }, 20);
  window.look = () => {
    const canvas = document.createElement("canvas");
    canvas.width = ${WIDTH};
    canvas.height = ${HEIGHT};
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, ${WIDTH}, ${HEIGHT});
    const { data } = context.getImageData(0, 0, ${WIDTH}, ${HEIGHT});
    let bright = 0;
    for (let at = 0; at < data.length; at += 4) if (Math.min(data[at], data[at + 1], data[at + 2]) > 170) bright++;
    const { stillMs } = watch;
    watch.stillMs = 0;
    const isSameElement = document.querySelector("video") === video;
    return { isSameElement, corner: [...data.slice(0, 3)], bright, stillMs, fatal: window.fatal ?? [] };
  };
})()`;

/** Looks at a page until it sees what it waits for; adds up what it saw meanwhile. */
export class Spectator implements AsyncDisposable {
  readonly #view: Bun.WebView;
  stillMs = 0;
  readonly fatal = new Set<string>();

  private constructor(view: Bun.WebView) {
    this.#view = view;
  }

  /** Opens a page, and resolves once its video plays. */
  static async open(url: string): Promise<Spectator> {
    const view = new Bun.WebView({
      width: 640,
      height: 480,
      backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    });
    await view.navigate(url);
    await waitFor("the video to play", () =>
      view.evaluate(
        "(() => { const video = document.querySelector('video'); return video?.currentTime > 2 })()",
      ),
    );
    await view.evaluate(WATCHER);
    return new Spectator(view);
  }

  async see(what: string, isSeen: (sight: Sight) => boolean): Promise<void> {
    await waitFor(what, async () => {
      // The page makes the object, from the function above.
      const sight = (await this.#view.evaluate("window.look()")) as Sight;
      this.stillMs = Math.max(this.stillMs, sight.stillMs);
      for (const error of sight.fatal) this.fatal.add(error);
      expect(sight.isSameElement).toBe(true);
      return isSeen(sight);
    });
  }

  async seeColour(name: string, rgb: readonly number[]): Promise<void> {
    await this.see(name, ({ corner }) =>
      rgb.every((value, at) => Math.abs(value - (corner[at] ?? -1)) <= 24),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#view[Symbol.asyncDispose]();
  }
}
