/**
 * The viewer page alone: in a browser against stand-ins for edges (no stream, figures, its security policy, the way
 * to another edge), and as a real edge sends it.
 */
import { expect, test } from "bun:test";
import { commonOptions, readConfig } from "#common/config.ts";
import { encodeFigures, EVENTS_CONTENT_TYPE, type StreamFigures } from "#common/formats/events.ts";
import { Lifecycle } from "#common/lifecycle.ts";
import { silentLog } from "#common/log.ts";
import { edgeOptions } from "../edge/config.ts";
import { main as runEdge } from "../edge/main.ts";
import { buildPage, pageSecurityHeaders } from "../public/bundle.ts";
import { freePorts } from "../bench/free-ports.ts";
import { waitFor } from "./harness.ts";
import { CHROMIUM_FLAGS } from "../bench/browser.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
const MOVE_TEST_MS_MAX = 30_000;
const EVENT_MS = 100;
const STREAM = "wall-2";

if (CHROMIUM === null)
  console.warn("SKIPPED: the viewer page is not tested, there is no chromium on this machine");

function figuresNow(viewers: number): StreamFigures {
  return {
    timeMs: Date.now(),
    canvas: {
      width: 1280,
      height: 720,
      pixelflutPort: 1234,
      pixels: 9_100_000,
      pixelsPerSecond: 1_300_000,
      bitsPerSecond: 183_400_000,
      players: 42,
    },
    stream: { viewers, edges: 2, isLive: false },
  };
}

/** A stand-in for an edge: the page, figures with this number of viewers, and a list of edges; no media. */
async function serveStandIn(options: {
  readonly viewers: number;
  /** Of the playlist. */
  readonly status: 200 | 503;
  readonly edges: () => readonly unknown[];
}) {
  const { viewers, status, edges } = options;
  const page = await buildPage();
  const requests = { playlist: 0, edges: 0, other: 0 };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      const headers = { "access-control-allow-origin": "*" };
      const file = page.get(pathname);
      if (file !== undefined) {
        return new Response(file.body, {
          headers: { ...pageSecurityHeaders, "content-type": file.contentType },
        });
      }
      if (pathname === `/live/${STREAM}/events`) {
        return new Response(eventStream(viewers), {
          headers: { ...headers, "content-type": EVENTS_CONTENT_TYPE },
        });
      }
      if (pathname === "/api/v1/edges") {
        requests.edges += 1;
        return Response.json(edges(), { headers });
      }
      requests[pathname === `/live/${STREAM}/index.m3u8` ? "playlist" : "other"] += 1;
      return new Response("#EXTM3U\n", { status, headers });
    },
  });
  return { server, requests };
}

function eventStream(viewers: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      controller.enqueue(new TextEncoder().encode(encodeFigures(figuresNow(viewers))));
      await Bun.sleep(EVENT_MS);
    },
  });
}

function openBrowser(options: Partial<Bun.WebView.ConstructorOptions> = {}): Bun.WebView {
  return new Bun.WebView({
    width: 1024,
    height: 768,
    backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
    ...options,
  });
}

test.skipIf(CHROMIUM === null)(
  "the page waits for a stream, shows figures, and keeps to its policy",
  async () => {
    const { server, requests } = await serveStandIn({ viewers: 1_387, status: 503, edges: () => [] });
    const complaints: string[] = [];
    try {
      await using view = openBrowser({
        console: (type, ...parts) => void complaints.push(`${type}: ${parts.join(" ")}`),
      });
      await view.navigate("about:blank");
      await view.cdp("Log.enable");
      view.addEventListener("Log.entryAdded", (event) => {
        // Bun dispatches DevTools events with their parameters as `data`.
        const { entry } = (event as MessageEvent<{ entry: { source: string; text: string } }>).data;
        if (entry.source !== "network") complaints.push(`${entry.source}: ${entry.text}`);
      });
      await view.navigate(`${server.url.href}?stream=${STREAM}`);
      const text = (id: string) => view.evaluate(`document.querySelector("#${id}").innerText`);

      await waitFor("figures", async () => (await view.evaluate("document.body.dataset.viewers")) === "1387");
      expect(await text("viewers")).toBe("1.4K");
      expect(await text("players")).toBe("42");
      expect(await text("pixels-per-second")).toBe("1.3M");
      expect(await text("bits-per-second")).toBe("183 Mbit/s");
      expect(await text("pixels")).toBe("9.1M");
      expect(await text("delay")).toBe("–");
      expect(await text("canvas-size")).toBe("on 1280 × 720");
      expect(await text("paint-line")).toBe('echo "PX 10 10 ff0000" | nc -w 1 127.0.0.1 1234');
      expect(await view.evaluate("document.body.dataset.figures")).toBe("fresh");

      await waitFor("the page to ask again for the stream", () => requests.playlist >= 3);
      expect(await view.evaluate("document.body.dataset.state")).toBe("waiting");
      expect(await text("notice")).toStartWith("Waiting for the canvas …");
      expect(await view.evaluate("getComputedStyle(document.querySelector('#notice')).visibility")).toBe(
        "visible",
      );
      expect(requests.other).toBe(0);

      // The policy is in force: a script from elsewhere is refused, and nothing of the page itself was.
      expect(complaints).toEqual([]);
      await view.evaluate(`new Promise((resolve) => {
      document.addEventListener("securitypolicyviolation", resolve, { once: true });
      document.head.append(Object.assign(document.createElement("script"), { src: "data:text/javascript,0" }));
    })`);
    } finally {
      await server.stop(true);
    }
  },
);

test.skipIf(CHROMIUM === null)(
  "the page goes to another edge by itself when its own is gone",
  async () => {
    const listed: unknown[] = [];
    const home = await serveStandIn({ viewers: 11, status: 503, edges: () => listed });
    const other = await serveStandIn({ viewers: 22, status: 200, edges: () => listed });
    try {
      for (const { server } of [home, other])
        listed.push({ url: server.url.href, state: "ready", weight: 1 });
      await using view = openBrowser();
      await view.navigate(`${home.server.url.href}?stream=${STREAM}`);
      const viewers = () => view.evaluate("document.body.dataset.viewers");
      await waitFor("figures and list of the first edge", async () => {
        return (await viewers()) === "11" && home.requests.edges > 0 && home.requests.playlist > 0;
      });
      expect([other.requests.playlist, other.requests.edges]).toEqual([0, 0]);
      await home.server.stop(true);
      const goneAtMs = performance.now();
      await waitFor("figures of the other edge", async () => (await viewers()) === "22");
      // Not sooner than an edge is restarted, and before anybody loads the page again.
      const movedMs = performance.now() - goneAtMs;
      expect(movedMs).toBeGreaterThan(4_000);
      expect(movedMs).toBeLessThan(12_000);
      await waitFor("playlist and list of the other edge", () => {
        return other.requests.playlist >= 2 && other.requests.edges > 0;
      });
      expect(await view.evaluate("document.body.dataset.figures")).toBe("fresh");
    } finally {
      await home.server.stop(true);
      await other.server.stop(true);
    }
  },
  MOVE_TEST_MS_MAX,
);

test("an edge sends the page compressed to those who accept it, with a tag of its own", async () => {
  const options = { ...commonOptions, ...edgeOptions };
  const [port = 0] = freePorts(1);
  const args = [
    "--edge-port=0",
    "--edge-bind=127.0.0.1",
    "--drain-seconds=0",
    `--upstream=http://127.0.0.1:${port}`,
  ];
  const lifecycle = new Lifecycle();
  const listening = Promise.withResolvers<number>();
  const config = readConfig(options, { args, env: {}, known: options });
  try {
    await runEdge({
      config,
      lifecycle,
      log: silentLog,
      onListening: (ports) => listening.resolve(ports["edge-port"] ?? 0),
    });
    const base = `http://127.0.0.1:${await listening.promise}`;
    const get = (path: string, headers: Record<string, string>) =>
      fetch(`${base}${path}`, { headers, decompress: false });
    for (const [path, file] of await buildPage()) {
      const plain = await get(path, { "accept-encoding": "identity" });
      const packed = await get(path, { "accept-encoding": "br, gzip" });
      expect(await plain.bytes()).toEqual(new Uint8Array(file.body));
      const bytes = await packed.bytes();
      expect(Bun.gunzipSync(bytes)).toEqual(new Uint8Array(file.body));
      expect(packed.headers.get("content-length")).toBe(String(bytes.length));
      expect([plain.headers.get("content-encoding"), packed.headers.get("content-encoding")]).toEqual([
        null,
        "gzip",
      ]);
      expect([plain.headers.get("vary"), packed.headers.get("vary")]).toEqual([
        "Accept-Encoding",
        "Accept-Encoding",
      ]);
      const tag = packed.headers.get("etag") ?? "";
      expect([plain.headers.get("etag"), tag]).toEqual([file.etag, file.etag.replace(/"$/, '-gzip"')]);
      const again = await get(path, { "accept-encoding": "gzip", "if-none-match": tag });
      const other = await get(path, { "accept-encoding": "identity", "if-none-match": tag });
      expect([again.status, other.status]).toEqual([304, 200]);
      await other.body?.cancel();
    }
  } finally {
    await lifecycle.closeAll(silentLog);
  }
});
