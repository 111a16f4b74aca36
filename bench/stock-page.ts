/**
 * A page that plays HLS with hls.js as it comes: its full build, unmodified, at its defaults. What a player of somebody
 * else's makes of the stream is measured with it, by `bench latency` and the tests.
 */
import { join } from "node:path";

/** Path of the build that the page loads from `hls.js` beside it. */
export const HLS_JS = join(import.meta.dir, "..", "node_modules", "hls.js", "dist", "hls.min.js");

export interface StockPageOptions {
  /** Playlist to play; its server has to allow other origins (CORS). */
  readonly source: string;
  /** `lowLatencyMode` of hls.js. Default true, as hls.js has it. */
  readonly lowLatency?: boolean;
}

/** What the page counts; `window.report` in it. */
export interface StockPageReport {
  /** Errors of hls.js but those of an empty buffer: `<type> <details>`, and ` fatal`. */
  readonly errors: readonly string[];
  /** Playlists that came, and how many of those that were delta updates did not merge. */
  readonly updates: number;
  readonly failedUpdates: number;
  /** Most segments that one delta update left out. */
  readonly skippedMax: number;
}

/** An expression: how many seconds of video have been shown, what was sought past included. */
export const PLAYED_SECONDS_SCRIPT = `(() => {
  const { played } = document.querySelector("video");
  return played.length === 0 ? 0 : played.end(played.length - 1) - played.start(0);
})()`;

/** A server on a free port of 127.0.0.1 with this page at `/`. */
export class StockPage implements AsyncDisposable {
  readonly #server: Bun.Server<undefined>;

  constructor(options: StockPageOptions) {
    const html = hlsJsPage(options);
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      routes: {
        "/": new Response(html, { headers: { "content-type": "text/html" } }),
        "/hls.js": () => new Response(Bun.file(HLS_JS)),
      },
      fetch: () => new Response(null, { status: 404 }),
    });
  }

  get url(): string {
    return this.#server.url.href;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

/** The page's text. */
export function hlsJsPage({ source, lowLatency = true }: StockPageOptions): string {
  return `<!doctype html><title>hls.js</title><video muted playsinline></video><script src="hls.js"></script>
<script>(${play.toString()})(${JSON.stringify({ source, lowLatency })})</script>`;
}

/** What of hls.js the page uses: its script makes it a global, whose declarations are those of the package. */
type HlsClass = typeof import("hls.js").default;

/** Runs in the page: it may use nothing from outside its own text. */
function play({ source, lowLatency }: Required<StockPageOptions>): void {
  const { Hls } = window as unknown as { readonly Hls: HlsClass };
  const video = document.querySelector("video");
  if (video === null) throw new Error("no video to play in");
  const report = { errors: [] as string[], updates: 0, failedUpdates: 0, skippedMax: 0 };
  Object.assign(window, { report });
  const hls = new Hls(lowLatency ? {} : { lowLatencyMode: false });
  hls.on(Hls.Events.ERROR, (_, { type, details, fatal }) => {
    // A machine that is busy stalls for a moment; that shows in the picture.
    if (fatal || !details.startsWith("buffer"))
      report.errors.push(`${type} ${details}${fatal ? " fatal" : ""}`);
  });
  hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
    report.updates += 1;
    report.skippedMax = Math.max(report.skippedMax, details.skippedSegments);
    if (details.deltaUpdateFailed === true) report.failedUpdates += 1;
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => void video.play());
  hls.loadSource(source);
  hls.attachMedia(video);
}
