/**
 * Players in Chromium for `bench players`: each in a frame of its own of one page, all of them in view, since a browser
 * spares itself the pictures of what nobody sees.
 */
import { systemClock } from "#common/clock.ts";
import { describeError, StartError } from "#common/errors.ts";
import { createBrowser, type Browser } from "./browser.ts";
import { createFrameWatch, STILL_MS, type FrameFigures } from "./frame-watch.ts";
import type { PagePlayer, Play, PlayFigures } from "./play.ts";
import { HLS_JS, hlsJsPage } from "./stock-page.ts";
import { waitFor } from "./wait.ts";

/** How long the page may take to tell how its players are. Milliseconds. */
const ANSWER_MS_MAX = 10_000;
/** What marks an error after which a player does not go on. */
const FATAL = / fatal$/;

/** What each frame tells of its player; `readFigures` in it. */
interface FrameReport extends FrameFigures {
  readonly dropped: number;
  readonly errors: readonly string[];
}

/** An expression: a {@link FrameReport} of each frame. */
const READ_SCRIPT = `[...document.querySelectorAll("iframe")].map(({ contentWindow }) => contentWindow.readFigures())`;

/** Players from `open` until it is disposed of. */
export class PlayerPage implements AsyncDisposable {
  readonly #server: Bun.Server<undefined>;
  readonly #browser: Browser;
  readonly #view: Bun.WebView;
  #reports: readonly FrameReport[];

  private constructor(plays: readonly Play<PagePlayer>[], { chromium, shaka }: PageOptions) {
    this.#reports = plays.map(() => ({
      ...createFrameWatch(0, STILL_MS).figures(0),
      dropped: 0,
      errors: [],
    }));
    this.#browser = createBrowser(chromium);
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      routes: {
        "/": html(wall(plays.length)),
        "/hls.js": () => new Response(Bun.file(HLS_JS)),
        "/shaka.js": () => new Response(Bun.file(shaka)),
        ...Object.fromEntries(plays.map((play, index) => [`/${index}`, html(framePage(play))])),
      },
      fetch: () => new Response(null, { status: 404 }),
    });
    this.#view = this.#browser.open();
  }

  static async open(plays: readonly Play<PagePlayer>[], options: PageOptions): Promise<PlayerPage> {
    const page = new PlayerPage(plays, options);
    try {
      await page.#view.navigate(page.#server.url.href);
      return page;
    } catch (error) {
      await page[Symbol.asyncDispose]();
      throw new StartError("no-page", `Cannot open the players in Chromium: ${describeError(error)}`);
    }
  }

  /** Figures of all plays, in their order; of a browser that does not answer, the last ones. */
  async read(): Promise<readonly PlayFigures[]> {
    const trouble = await this.#ask();
    return this.#reports.map((report) => toFigures(report, trouble));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#view.close();
    this.#browser.close();
    await this.#server.stop(true);
  }

  async #ask(): Promise<readonly string[]> {
    const answered = new AbortController();
    const timeout = waitFor({ clock: systemClock, signal: answered.signal, msMax: ANSWER_MS_MAX });
    try {
      const answer = await Promise.race([this.#view.evaluate<FrameReport[]>(READ_SCRIPT), timeout]);
      if (answer === undefined) return [`no answer from the browser for ${ANSWER_MS_MAX} ms`];
      this.#reports = answer;
      return [];
    } catch (error) {
      return [`the browser failed: ${describeError(error)}`];
    } finally {
      answered.abort();
    }
  }
}

interface PageOptions {
  /** Path of the browser, empty for the first that is found. */
  readonly chromium: string;
  /** Path of Shaka's build. */
  readonly shaka: string;
}

function toFigures(report: FrameReport, trouble: readonly string[]): PlayFigures {
  const fatal = report.errors.filter((error) => FATAL.test(error)).map((error) => error.replace(FATAL, ""));
  return {
    ...report,
    errors: report.errors.filter((error) => !FATAL.test(error)),
    fatal: [...fatal, ...trouble],
    isOver: false,
  };
}

function html(text: string): Response {
  return new Response(text, { headers: { "content-type": "text/html" } });
}

/** Frames side by side. */
function wall(count: number): string {
  const columns = Math.ceil(Math.sqrt(count));
  const style = `body { margin: 0; display: grid; height: 100vh; grid-template-columns: repeat(${columns}, 1fr) }
iframe { border: 0; width: 100%; height: 100% }`;
  const frames = Array.from({ length: count }, (_, index) => `<iframe src="/${index}"></iframe>`);
  return `<!doctype html><title>players</title><style>${style}</style>${frames.join("")}`;
}

function framePage({ player, url }: Play<PagePlayer>): string {
  const style = "<style>body { margin: 0 } video { width: 100%; height: 100% }</style>";
  const watch = `<script>(${watchVideo.toString()})(${createFrameWatch.toString()}, ${STILL_MS})</script>`;
  const source = JSON.stringify(url);
  if (player === "hls.js") return `${hlsJsPage({ source: url })}${style}${watch}`;
  const video = `<!doctype html><title>${player}</title><video muted playsinline></video>${style}${watch}`;
  if (player === "chromium") return `${video}<script>(${playByItself.toString()})(${source})</script>`;
  return `${video}<script src="shaka.js"></script><script>(${playByShaka.toString()})(${source})</script>`;
}

/** Runs in a frame: it may use nothing from outside its own text. */
function watchVideo(createWatch: typeof createFrameWatch, stillMsMin: number): void {
  const video = document.querySelector("video");
  if (video === null) throw new Error("no video to look at");
  const watch = createWatch(0, stillMsMin);
  let frames = 0;
  let presented = 0;
  const look = (_: number, { presentedFrames, presentationTime }: VideoFrameCallbackMetadata): void => {
    video.requestVideoFrameCallback(look);
    // Counted from zero again when the video element begins anew.
    frames += presentedFrames >= presented ? presentedFrames - presented : presentedFrames;
    presented = presentedFrames;
    watch.shown(frames, presentationTime);
  };
  video.requestVideoFrameCallback(look);
  const readFigures = (): FrameReport => {
    const { report } = window as unknown as { readonly report?: { readonly errors: readonly string[] } };
    const dropped = video.getVideoPlaybackQuality().droppedVideoFrames;
    return { ...watch.figures(performance.now()), dropped, errors: report?.errors ?? [] };
  };
  Object.assign(window, { readFigures });
}

/** The browser's own HLS. Runs in a frame: it may use nothing from outside its own text. */
function playByItself(source: string): void {
  const video = document.querySelector("video");
  if (video === null) throw new Error("no video to play in");
  const report = { errors: [] as string[] };
  Object.assign(window, { report });
  if (video.canPlayType("application/vnd.apple.mpegurl") === "")
    report.errors.push("says that it plays no HLS fatal");
  video.addEventListener("error", () => {
    report.errors.push(`${video.error?.code} ${video.error?.message} fatal`);
  });
  video.src = source;
  // Why it cannot play is told by the event.
  video.play().catch(() => {});
}

/** What of Shaka the page uses. */
interface ShakaGlobal {
  readonly polyfill: { readonly installAll: () => void };
  readonly Player: new () => {
    readonly addEventListener: (
      type: "error",
      listener: (event: { readonly detail: ShakaError }) => void,
    ) => void;
    readonly attach: (video: HTMLVideoElement) => Promise<void>;
    readonly load: (url: string) => Promise<void>;
  };
}

interface ShakaError {
  /** 1: it goes on; 2: it does not. */
  readonly severity?: number;
  readonly category?: number;
  readonly code?: number;
  readonly data?: readonly unknown[];
}

/** Shaka at its defaults. Runs in a frame: it may use nothing from outside its own text. */
async function playByShaka(source: string): Promise<void> {
  const { shaka } = window as unknown as { readonly shaka: ShakaGlobal };
  const video = document.querySelector("video");
  if (video === null) throw new Error("no video to play in");
  const report = { errors: [] as string[] };
  Object.assign(window, { report });
  const note = ({ severity, category, code, data }: ShakaError): void => {
    const end = severity === 1 ? "" : " fatal";
    report.errors.push(`category ${category} code ${code} ${String(data?.[0] ?? "")}${end}`);
  };
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  player.addEventListener("error", ({ detail }) => note(detail));
  try {
    await player.attach(video);
    await player.load(source);
    await video.play();
  } catch (error) {
    // Shaka rejects with its own errors only; of any other, all of these are undefined.
    note(error as ShakaError);
  }
}
