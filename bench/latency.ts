/**
 * `bench latency`: from the last byte of a painted block to the video frame that shows it, in Chromium on the viewer
 * page or on a page with hls.js as it comes. Page and painter run on one machine and read one clock.
 */
import { describeError, StartError } from "#common/errors.ts";
import { createRandom } from "#common/random.ts";
import { secondsToMs } from "#common/units.ts";
import { createBrowser, type Browser } from "./browser.ts";
import type { LatencyConfig } from "./config.ts";
import {
  PLAYS_SCRIPT,
  seenScript,
  STATE_SCRIPT,
  watchScript,
  type Colour,
  type PageState,
  type WatchedBlock,
} from "./latency-page.ts";
import type { BenchContext } from "./context.ts";
import { PixelflutClient } from "./pixelflut-client.ts";
import { collectMeasurements, formatValue, startProgress, type Findings } from "./report.ts";
import { Distribution, median } from "./statistics.ts";
import { StockPage } from "./stock-page.ts";
import { waitFor } from "./wait.ts";

/** Green and magenta: far apart in luma and in chroma, and little changed by video's colours. */
const COLOURS = [
  [0, 200, 0],
  [200, 0, 200],
] as const;
/** Place of the mark's colour behind the two; see {@link chooseMark}. */
const MARK_INDEX = COLOURS.length;
/** Levels of a mark's red, green and blue: video keeps them apart. */
const MARK_LEVELS = [0, 85, 170, 255];
/** How far a mark is from the two colours in one of the three at least. */
const MARK_DISTANCE_MIN = 130;
/** Longest time from loading the page to a moving picture. Milliseconds. */
const PLAY_MS_MAX = 60_000;
const PLAY_POLL_MS = 100;
/** A flip that does not show within this time is missed. Milliseconds. */
const SEEN_MS_MAX = 15_000;
/** Time between two flips: random, so that flips fall on every phase of frames and parts. Milliseconds. */
const FLIP_MS_MIN = 500;
const FLIP_MS_MAX = 900;
/** At least this much random time passes after a flip was seen. Milliseconds. */
const PHASE_MS_MAX = 200;

/** What all page loads found together. */
class LatencyFigures {
  readonly latency = new Distribution();
  readonly start = new Distribution();
  /** Latencies of each page load, milliseconds. */
  readonly joins: number[][] = [];
  missed = 0;
  stalls = 0;
  stalledMs = 0;
  freezes = 0;
  frameGapMs = 0;
  skips = 0;
  droppedFrames = 0;
}

interface Join {
  readonly context: BenchContext<LatencyConfig>;
  /** Address of the page that plays. */
  readonly page: string;
  readonly view: Bun.WebView;
  readonly painter: PixelflutClient;
  readonly block: WatchedBlock;
  readonly figures: LatencyFigures;
  readonly random: () => number;
}

/** Measures all flips of all page loads. Throws StartError where the page does not play or the block never shows. */
export async function runLatency(context: BenchContext<LatencyConfig>): Promise<Findings> {
  const { config, clock, signal } = context;
  const browser = createBrowser(config.chromium);
  const figures = new LatencyFigures();
  let painter: PixelflutClient | undefined;
  let stopProgress: (() => void) | undefined;
  const stockPage = openStockPage(config);
  const page = stockPage?.url ?? config.page;
  try {
    painter = await PixelflutClient.connect(config, clock);
    const block = await placeBlock(config, painter);
    stopProgress = startProgress({ ...context, describe: () => describe(figures, config) });
    const random = createRandom(config.seed);
    for (let join = 0; join < config.joins && !signal.aborted; join += 1) {
      const marked = { ...block, colours: [...COLOURS, chooseMark()] };
      await measureJoin({ context, browser, page, painter, block: marked, figures, random });
    }
  } finally {
    stopProgress?.();
    painter?.close();
    browser.close();
    await stockPage?.[Symbol.asyncDispose]();
  }
  return report(figures);
}

/** The page of the players that are not ours. */
function openStockPage({ player, page }: LatencyConfig): StockPage | undefined {
  if (player === "page") return undefined;
  const lowLatency = player === "stock";
  const source = new URL(`live/canvas/${lowLatency ? "index.m3u8" : "ts.m3u8"}`, page).href;
  return new StockPage({ source, lowLatency });
}

async function placeBlock(config: LatencyConfig, painter: PixelflutClient): Promise<WatchedBlock> {
  const { width, height } = await painter.size();
  const { x, y, block } = config;
  if (x + block > width || y + block > height)
    throw new StartError(
      "bad-block",
      `The block (--x, --y, --block) leaves the canvas of ${width} x ${height}`,
    );
  return { x, y, size: block, canvasWidth: width, canvasHeight: height, colours: COLOURS };
}

/**
 * A colour that was not painted lately, so that what is painted after it is known from what had been before. Not of the
 * run's seed: two runs of one seed must differ in it.
 */
function chooseMark(): Colour {
  for (;;) {
    const [red, green, blue] = [randomLevel(), randomLevel(), randomLevel()];
    const isFar = (colour: Colour): boolean =>
      [red, green, blue].some(
        (level, channel) => Math.abs(level - (colour[channel] ?? 0)) >= MARK_DISTANCE_MIN,
      );
    if (COLOURS.every(isFar)) return [red, green, blue];
  }
}

function randomLevel(): number {
  return MARK_LEVELS[Math.floor(Math.random() * MARK_LEVELS.length)] ?? 0;
}

async function measureJoin(options: Omit<Join, "view"> & { readonly browser: Browser }): Promise<void> {
  const { context, browser } = options;
  const view = browser.open();
  const onAbort = (): void => view.close();
  context.signal.addEventListener("abort", onAbort);
  try {
    await startPage({ ...options, view });
    await measureFlips({ ...options, view });
  } catch (error) {
    // Ctrl-C closes the page, and whatever was asked of it fails by that.
    if (!context.signal.aborted) throw error;
  } finally {
    context.signal.removeEventListener("abort", onAbort);
    view.close();
  }
}

async function startPage({ context, page, view, figures, block }: Join): Promise<void> {
  const { config, clock, signal } = context;
  const startMs = clock.monotonicMs();
  try {
    await view.navigate(page);
  } catch (error) {
    throw new StartError("no-page", `Cannot open ${page} in Chromium: ${describeError(error)}`);
  }
  while ((await view.evaluate(PLAYS_SCRIPT)) !== true) {
    if (clock.monotonicMs() - startMs > PLAY_MS_MAX)
      throw new StartError("no-video", `No video plays on ${page} within ${PLAY_MS_MAX / 1000} s`);
    await waitFor({ clock, signal, msMax: PLAY_POLL_MS });
  }
  figures.start.add(clock.monotonicMs() - startMs);
  await waitFor({ clock, signal, msMax: secondsToMs(config.settleSeconds) });
  await view.evaluate(watchScript(block));
}

/**
 * Paints the mark and then the first colour, and waits until each is seen. The block may be painted over, or the page show
 * other things; and a player far behind may still show what was painted before it was opened, in the same two colours.
 */
async function paintFirst({ page, view, painter }: Join, commands: readonly Uint8Array[]): Promise<void> {
  for (const index of [MARK_INDEX, 0]) {
    await paint(painter, commands[index]);
    if ((await view.evaluate(seenScript({ index, afterMs: 0, msMax: SEEN_MS_MAX }))) === null) {
      const { colour } = await readState(view);
      throw new StartError(
        "not-seen",
        `The painted block does not show on ${page}: there is ${colour.join(",")}`,
      );
    }
  }
}

async function measureFlips(options: Join): Promise<void> {
  const { context, view, painter, block, figures, random } = options;
  const { config, clock, signal } = context;
  const commands = block.colours.map((colour) => blockCommands(block, colour));
  await paintFirst(options, commands);
  const latencies: number[] = [];
  figures.joins.push(latencies);
  for (let flip = 1; flip <= config.flips && !signal.aborted; flip += 1) {
    await waitFor({ clock, signal, msMax: random() * PHASE_MS_MAX });
    const flippedMs = clock.monotonicMs();
    const index = flip % COLOURS.length;
    const sentAtMs = await paint(painter, commands[index]);
    const seenAtMs = await view.evaluate(seenScript({ index, afterMs: sentAtMs, msMax: SEEN_MS_MAX }));
    if (typeof seenAtMs === "number") {
      figures.latency.add(seenAtMs - sentAtMs);
      latencies.push(seenAtMs - sentAtMs);
    } else {
      figures.missed += 1;
    }
    const intervalMs = FLIP_MS_MIN + random() * (FLIP_MS_MAX - FLIP_MS_MIN);
    await waitFor({ clock, signal, msMax: intervalMs - (clock.monotonicMs() - flippedMs) });
  }
  const state = await readState(view);
  figures.stalls += state.stalls;
  figures.stalledMs += state.stalledMs;
  figures.freezes += state.freezes;
  figures.frameGapMs = Math.max(figures.frameGapMs, state.frameGapMs);
  figures.skips += state.skips;
  figures.droppedFrames += state.droppedFrames;
}

/** Sends the block and returns when its last byte was taken, by the clock that the page reads too. */
async function paint(painter: PixelflutClient, commands: Uint8Array = new Uint8Array()): Promise<number> {
  if (!(await painter.send(commands)))
    throw new StartError("closed", "The Pixelflut server closed the connection");
  return Date.now();
}

async function readState(view: Bun.WebView): Promise<PageState> {
  // The expression returns exactly this shape: see `watch` in latency-page.ts.
  return (await view.evaluate(STATE_SCRIPT)) as PageState;
}

function blockCommands({ x, y, size }: WatchedBlock, [red, green, blue]: Colour): Uint8Array {
  const colour = ((red << 16) | (green << 8) | blue).toString(16).padStart(6, "0");
  let text = "";
  for (let row = y; row < y + size; row += 1) {
    for (let column = x; column < x + size; column += 1) text += `PX ${column} ${row} ${colour}\n`;
  }
  return new TextEncoder().encode(text);
}

function describe({ latency, missed, stalls }: LatencyFigures, { flips, joins }: LatencyConfig): string {
  const p50 = latency.count === 0 ? "-" : `${formatValue(latency.percentile(0.5))} ms`;
  return `${latency.count + missed} of ${flips * joins} flips  p50 ${p50}  ${missed} missed  ${stalls} stalls`;
}

function report(figures: LatencyFigures): Findings {
  const { measurements, add } = collectMeasurements();
  const { latency } = figures;
  const joinMedians = figures.joins.filter(({ length }) => length > 0).map(median);
  add("flips", "flips seen", latency.count, "flips");
  add("missed", "flips not seen in time", figures.missed, "flips");
  add("latencyP50", "last byte to frame, p50", latency.percentile(0.5), "ms");
  add("latencyP95", "last byte to frame, p95", latency.percentile(0.95), "ms");
  add("latencyMax", "last byte to frame, max", latency.max, "ms");
  add("latencyMin", "last byte to frame, least", latency.min, "ms");
  add("joinMedians", "medians of the page loads, ms", joinMedians.map(formatValue).join(", "));
  add("startP50", "page load to picture, p50", figures.start.percentile(0.5), "ms");
  add("startMax", "page load to picture, max", figures.start.max, "ms");
  add("stalls", "stalls after the start", figures.stalls, "stalls");
  add("stalledTime", "stood still", figures.stalledMs, "ms");
  add("freezes", "no new frame for 183 ms", figures.freezes, "times");
  add("frameGapMax", "longest time between two frames", figures.frameGapMs, "ms");
  add("skips", "pictures left out, more than 0.17 s", figures.skips, "times");
  add("droppedFrames", "frames dropped by the browser", figures.droppedFrames, "frames");
  return {
    measurements,
    notes: ["Seen when the browser hands the frame to its compositor; a screen adds its own delay."],
  };
}
