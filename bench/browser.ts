/** Chromium for `bench latency`: found, started without a window and with a profile of its own, and cleared away. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "#common/errors.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "brave-browser"];

/** No window, no sandbox (containers have none to give), and nothing that loads the machine beside the page. */
export const CHROMIUM_FLAGS: string[] = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];

/** A browser whose pages are opened one after the other. */
export interface Browser {
  /** A new, empty page of 1280 x 720. Close it with its own `close`. */
  readonly open: () => Bun.WebView;
  /** Ends the browser and removes its profile. */
  readonly close: () => void;
}

/** Path of the browser to use. Throws StartError that says what to install. */
export function findChromium(given: string): string {
  const candidates = given === "" ? NAMES : [given];
  for (const name of candidates) {
    const path = Bun.which(name);
    if (path !== null) return path;
  }
  throw new StartError(
    "no-chromium",
    given === ""
      ? "No Chromium found: install it (Debian: apt install chromium) or name one with --chromium"
      : `Cannot run ${given} (--chromium): no such program`,
  );
}

/** Prepares a browser; it starts with the first page. */
export function createBrowser(chromium: string): Browser {
  const path = findChromium(chromium);
  const profile = mkdtempSync(join(tmpdir(), "spillway-bench-"));
  return {
    open: () =>
      new Bun.WebView({
        width: 1280,
        height: 720,
        backend: { type: "chrome", path, argv: CHROMIUM_FLAGS },
        dataStore: { directory: profile },
      }),
    close() {
      Bun.WebView.closeAll();
      // Its processes may write for a moment after their end was asked for.
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}
