/**
 * `bench pixels`: floods a Pixelflut server. Prepare a canvas of commands, connect, send until the time is over, end
 * on whole commands, wait for the server's answer behind them, compare its counter, and read the canvas back.
 */
import { msToSeconds, secondsToMs } from "#common/units.ts";
import { StartError } from "#common/errors.ts";
import type { PixelsConfig } from "./config.ts";
import type { BenchContext } from "./context.ts";
import {
  buildPattern,
  colourOf,
  PATTERN_PIXELS_MAX,
  type Pattern,
  type PatternOptions,
} from "./pixel-patterns.ts";
import type { SentByConnection } from "./pixel-sender.ts";
import { createThreads, planThreads, type SenderThread } from "./pixel-threads.ts";
import { PixelflutClient } from "./pixelflut-client.ts";
import { collectMeasurements, formatValue, startProgress, type Findings } from "./report.ts";
import { Tally } from "./statistics.ts";
import { waitFor } from "./wait.ts";

interface Flood {
  readonly sent: readonly SentByConnection[];
  /** From the first byte until the last connection was answered or given up. */
  readonly durationMs: number;
}

/** Runs the flood. Throws StartError where the server cannot be reached or says no size. */
export async function runPixels(context: BenchContext<PixelsConfig>): Promise<Findings> {
  const { config, clock, signal, output } = context;
  const control = await PixelflutClient.connect(config, clock);
  try {
    const { width, height } = await control.size();
    if (width * height > PATTERN_PIXELS_MAX || width * height === 0)
      throw new StartError("bad-size", `Cannot paint a canvas of ${width} x ${height} pixels`);
    const patternOptions = { ...config, width, height };
    const pattern = buildPattern(patternOptions);
    const before = await control.counters();
    const flood = await runFlood(context, { pattern, patternOptions });
    const after = await control.counters();
    const report = collectMeasurements();
    report.add("canvas", "canvas", `${width} x ${height}`);
    addFlood(report.add, flood);
    if (before !== undefined && after !== undefined) {
      report.add("serverPixels", "set in that time, says the server", after.pixels - before.pixels, "pixels");
    }
    const notes = notesOn(flood);
    if (config.verify && !signal.aborted) {
      output.progress("reading the canvas back");
      await verify({ context, control, pattern, patternOptions, flood, add: report.add });
    }
    return { measurements: report.measurements, notes };
  } finally {
    control.close();
  }
}

async function runFlood(
  context: BenchContext<PixelsConfig>,
  { pattern, patternOptions }: { readonly pattern: Pattern; readonly patternOptions: PatternOptions },
): Promise<Flood> {
  const { config, clock, signal } = context;
  const { host, port, connections } = config;
  const plans = planThreads({
    target: { host, port },
    pattern: patternOptions,
    connections,
    threads: config.threads,
  });
  const threads = createThreads(plans, { pattern, clock });
  const bytesPerPixel = pattern.bytes.length / pattern.pixels.length;
  let stopProgress: (() => void) | undefined;
  try {
    await Promise.all(threads.map((thread) => thread.connect()));
    const startMs = clock.monotonicMs();
    for (const thread of threads) thread.start();
    stopProgress = startProgress({ ...context, describe: describeProgress(threads, bytesPerPixel) });
    await waitFor({
      clock,
      signal,
      msMax: secondsToMs(config.seconds),
      isDone: () => totalOf(threads).failed === connections,
    });
    const sent = await Promise.all(threads.map((thread) => thread.finish()));
    return { sent: sent.flat(), durationMs: clock.monotonicMs() - startMs };
  } finally {
    stopProgress?.();
    for (const thread of threads) thread.close();
  }
}

function totalOf(threads: readonly SenderThread[]) {
  const total = { bytes: 0, open: 0, failed: 0 };
  for (const { totals } of threads) {
    total.bytes += totals.bytes;
    total.open += totals.open;
    total.failed += totals.failed;
  }
  return total;
}

function describeProgress(threads: readonly SenderThread[], bytesPerPixel: number) {
  let lastBytes = 0;
  return (sinceLastMs: number): string => {
    const { bytes, open, failed } = totalOf(threads);
    const rate = bitsPerSecond(bytes - lastBytes, sinceLastMs);
    lastBytes = bytes;
    const pixelsPerSecond = rate / 8 / bytesPerPixel;
    return `${formatValue(rate / 1e9)} Gbit/s  ${formatValue(pixelsPerSecond / 1e6)} Mpx/s  ${open} connections  ${failed} failed`;
  };
}

function bitsPerSecond(bytes: number, durationMs: number): number {
  return durationMs <= 0 ? 0 : (bytes * 8) / msToSeconds(durationMs);
}

function addFlood(add: ReturnType<typeof collectMeasurements>["add"], { sent, durationMs }: Flood): void {
  const bytes = sent.reduce((sum, connection) => sum + connection.bytes, 0);
  const pixels = sent.reduce((sum, connection) => sum + connection.commands, 0);
  const rates = sent.map((connection) => bitsPerSecond(connection.bytes, durationMs) / 1e6);
  const failures = new Tally();
  for (const { failure } of sent) if (failure !== "") failures.add(failure);
  add("duration", "duration until the last answer", msToSeconds(durationMs), "s");
  add("throughput", "throughput", bitsPerSecond(bytes, durationMs) / 1e9, "Gbit/s");
  add("pixelRate", "pixels set", pixels / msToSeconds(durationMs) / 1e6, "Mpx/s");
  add("bytes", "sent", bytes, "bytes");
  add("pixels", "whole commands sent", pixels, "pixels");
  add("slowestConnection", "slowest connection", Math.min(...rates), "Mbit/s");
  add("fastestConnection", "fastest connection", Math.max(...rates), "Mbit/s");
  add(
    "confirmed",
    "connections answered at the end",
    sent.filter(({ isConfirmed }) => isConfirmed).length,
    "connections",
  );
  add("failures", "connection errors", failures.toString());
}

function notesOn({ sent }: Flood): string[] {
  const barriers = sent.filter(({ isConfirmed }) => isConfirmed).length;
  const notes = [`Of the bytes sent, ${barriers * 5} are the SIZE behind each connection's last command.`];
  if (barriers < sent.length) {
    notes.push("Connections that were not answered may have had bytes underway that the server never read.");
  }
  return notes;
}

/** Which pixels were surely painted: the commands that each connection sent, in the pattern's order. */
export function paintedPixels(pattern: Pattern, sent: readonly SentByConnection[]): Uint32Array {
  const commands = pattern.pixels.length;
  const isSent = new Uint8Array(commands);
  for (const connection of sent) {
    if (!connection.isConfirmed) continue;
    const end = connection.firstCommand + Math.min(connection.commands, commands);
    isSent.fill(1, connection.firstCommand, Math.min(end, commands));
    if (end > commands) isSent.fill(1, 0, end - commands);
  }
  return pattern.pixels.filter((_, index) => isSent[index] === 1).sort();
}

async function verify(options: {
  readonly context: BenchContext<PixelsConfig>;
  readonly control: PixelflutClient;
  readonly pattern: Pattern;
  readonly patternOptions: PatternOptions;
  readonly flood: Flood;
  readonly add: ReturnType<typeof collectMeasurements>["add"];
}): Promise<void> {
  const { context, control, pattern, patternOptions, flood, add } = options;
  const pixels = paintedPixels(pattern, flood.sent);
  let answered = 0;
  let differing = 0;
  let example = "";
  await control.readPixels({
    width: patternOptions.width,
    pixels,
    signal: context.signal,
    onPixel(pixel, colour) {
      answered += 1;
      const wanted = colourOf(patternOptions, pixel);
      if (colour === wanted) return;
      differing += 1;
      if (example === "") {
        const x = pixel % patternOptions.width;
        example = `${x},${Math.floor(pixel / patternOptions.width)} is ${hexOf(colour)}, not ${hexOf(wanted)}`;
      }
    },
  });
  add("verifiedPixels", "read back", answered, "pixels");
  add("unansweredPixels", "gets without an answer", pixels.length - answered, "pixels");
  add("differingPixels", "of another colour", differing, "pixels");
  if (example !== "") add("differingExample", "the first of them", example);
}

function hexOf(colour: number): string {
  return colour.toString(16).padStart(6, "0");
}
