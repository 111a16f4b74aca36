/**
 * Opens the viewer page in Chromium, waits until its picture moves, and prints by which protocols everything came. A process of
 * its own, since all views of one process share a browser and its switches: `bun page-protocols.ts <url> [switch…]`.
 */
import { CHROMIUM_FLAGS } from "../bench/browser.ts";
import { waitFor } from "./harness.ts";
import { CHROMIUM } from "./spectator.ts";

const [url = "", ...switches] = process.argv.slice(2);
const isQuic = switches.length > 0;

await using view = new Bun.WebView({
  width: 640,
  height: 360,
  backend: {
    type: "chrome",
    path: CHROMIUM ?? "",
    argv: [...CHROMIUM_FLAGS.filter((flag) => !isQuic || flag !== "--disable-quic"), ...switches],
  },
});
await view.navigate("about:blank");
// With this Chromium uses no HTTP/3.
if (!isQuic) await view.cdp("Security.setIgnoreCertificateErrors", { ignore: true });
await view.navigate(url);
await waitFor(
  "the picture to move",
  async () => Number(await view.evaluate("document.querySelector('video')?.currentTime ?? 0")) > 1,
);
const protocols = await view.evaluate(
  // What has failed or not ended names no protocol.
  "[...new Set(performance.getEntriesByType('resource').map((entry) => entry.nextHopProtocol))].sort().join(' ').trim()",
);
process.stdout.write(String(protocols));
