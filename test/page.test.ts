/** The viewer page alone in a browser, against a stand-in for its edge: no stream, figures, and its security policy. */
import { expect, test } from "bun:test";
import { encodeFigures, EVENTS_CONTENT_TYPE, type StreamFigures } from "#common/formats/events.ts";
import { buildPage, pageSecurityHeaders } from "../public/bundle.ts";
import { waitFor } from "./harness.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const EVENT_MS = 100;
const STREAM = "wall-2";

if (CHROMIUM === null)
  console.warn("SKIPPED: the viewer page is not tested, there is no chromium on this machine");

function figuresNow(): StreamFigures {
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
    stream: { viewers: 1_387, edges: 2, isLive: false },
  };
}

/** An edge without a stream: the page, figures, and 503 for the playlist. */
async function serveStandIn() {
  const page = await buildPage();
  const requests = { playlist: 0, other: 0 };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      const file = page.get(pathname);
      if (file !== undefined) {
        return new Response(file.body, {
          headers: { ...pageSecurityHeaders, "content-type": file.contentType },
        });
      }
      if (pathname === `/live/${STREAM}/events`)
        return new Response(eventStream(), { headers: { "content-type": EVENTS_CONTENT_TYPE } });
      if (pathname === "/api/v1/edges") return Response.json([]);
      requests[pathname === `/live/${STREAM}/index.m3u8` ? "playlist" : "other"] += 1;
      return new Response("no source\n", { status: 503 });
    },
  });
  return { server, requests };
}

function eventStream(): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      controller.enqueue(new TextEncoder().encode(encodeFigures(figuresNow())));
      await Bun.sleep(EVENT_MS);
    },
  });
}

test.skipIf(CHROMIUM === null)(
  "the page waits for a stream, shows figures, and keeps to its policy",
  async () => {
    const { server, requests } = await serveStandIn();
    const complaints: string[] = [];
    try {
      await using view = new Bun.WebView({
        width: 1024,
        height: 768,
        backend: { type: "chrome", path: CHROMIUM ?? "", argv: CHROMIUM_FLAGS },
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
