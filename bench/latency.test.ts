/** `bench latency` in a real Chromium, on a page whose delay is known. */
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { readFlagConfig } from "#common/config.ts";
import { findChromium } from "./browser.ts";
import { latencyOptions } from "./config.ts";
import { FakePixelflut } from "./fake-pixelflut.ts";
import { FakeVideoPage } from "./fake-video-page.ts";
import { runLatency } from "./latency.ts";

/** Longer than the painting before takes to change. */
const DELAY_MS = 1_500;
const PIXEL = 20 * 160 + 20;
const GREEN = 0x00c800;
const MAGENTA = 0xc800c8;
const TEST_MS_MAX = 60_000;
const hasChromium = canFindChromium();

if (!hasChromium) console.warn("SKIPPED: bench latency is not tested, there is no chromium on this machine");

function canFindChromium(): boolean {
  try {
    return findChromium("") !== "";
  } catch {
    return false;
  }
}

const closers: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** Runs against a canvas whose page follows the pixel at 20,20, which lies in the block at 16,16. */
async function measure(flags: readonly string[]) {
  const pixelflut = new FakePixelflut(160, 120);
  closers.push(() => pixelflut.close());
  const page = new FakeVideoPage({ pixelflut, pixel: PIXEL, delayMs: DELAY_MS });
  // Somebody has been painting there, in the very colours, until now.
  const painting = setInterval(() => {
    if (pixelflut.pixels > 0) clearInterval(painting);
    else pixelflut.canvas[PIXEL] = pixelflut.canvas[PIXEL] === GREEN ? MAGENTA : GREEN;
  }, 100);
  closers.push(() => clearInterval(painting));
  closers.push(() => page.close());
  const args = [`--page=${page.url}`, `--port=${pixelflut.port}`, "--block=16", ...flags];
  const config = readFlagConfig(latencyOptions, args);
  const { measurements } = await runLatency({
    config,
    signal: new AbortController().signal,
    clock: systemClock,
    output: { progress() {}, table() {} },
  });
  const values = Object.fromEntries(measurements.map(({ name, value }) => [name, value]));
  return { values, page };
}

test.skipIf(!hasChromium)(
  "bench latency measures from the last byte of its own block to the frame that shows it",
  async () => {
    const { values, page } = await measure(["--joins=1", "--flips=3", "--settle-seconds=0"]);
    expect(page.loads).toBe(1);
    expect(values).toMatchObject({ flips: 3, missed: 0 });
    expect(Number(values["latencyMin"])).toBeGreaterThanOrEqual(DELAY_MS - 1);
    expect(Number(values["latencyMax"])).toBeGreaterThanOrEqual(Number(values["latencyP50"]));
    expect(Number(values["startP50"])).toBeGreaterThan(0);
  },
  TEST_MS_MAX,
);
