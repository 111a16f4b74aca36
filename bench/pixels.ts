/**
 * `bench pixels`: floods a Pixelflut server. Prepare a canvas of commands, connect, send until the time is over, end
 * on whole commands, wait for the server's answer behind them, compare its counter, and read the canvas back.
 */
import { msToSeconds, secondsToMs } from "#common/units.ts";
import { StartError } from "#common/errors.ts";
import type { PixelsConfig } from "./config.ts";
import type { BenchContext } from "./context.ts";
import { PixelFlood } from "./pixel-flood.ts";
import { buildPatterns, PATTERN_PIXELS_MAX, type Pattern } from "./pixel-patterns.ts";
import type { SentByConnection } from "./pixel-sender.ts";
import { readCanvas, verifyCanvas } from "./pixel-verification.ts";
import { PixelflutClient } from "./pixelflut-client.ts";
import {
  collectMeasurements,
  formatValue,
  startProgress,
  type AddMeasurement,
  type Findings,
} from "./report.ts";
import { Tally } from "./statistics.ts";
import { waitFor } from "./wait.ts";

/** Longest wait for a server to take the last commands and to answer behind them. Milliseconds. */
const FINISH_MS_MAX = 10_000;

interface FloodResult {
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
    const patterns = buildPatterns(patternOptions);
    const isBlended = config.verify && config.format === "alpha";
    const before = isBlended ? await readCanvas(control, { width, height, signal }) : undefined;
    const countedBefore = await control.counters();
    const flood = await runFlood(context, patterns);
    const countedAfter = await control.counters();
    const { measurements, add } = collectMeasurements();
    add("canvas", "canvas", `${width} x ${height}`);
    addFlood(add, flood);
    if (countedBefore !== undefined && countedAfter !== undefined) {
      const pixels = countedAfter.pixels - countedBefore.pixels;
      add("serverPixels", "set in that time, says the server", pixels, "pixels");
    }
    if (config.verify && !signal.aborted) {
      output.progress("reading the canvas back");
      const plan = { patterns };
      await verifyCanvas(control, { plan, patternOptions, sent: flood.sent, before, signal, add });
    }
    return { measurements, notes: notesOn(flood) };
  } finally {
    control.close();
  }
}

async function runFlood(
  context: BenchContext<PixelsConfig>,
  patterns: readonly Pattern[],
): Promise<FloodResult> {
  const { config, clock, signal } = context;
  const { host, port, connections, threads, sockets } = config;
  const plan = { target: { host, port }, patterns, connections, threads, sockets };
  const flood = await PixelFlood.connect(plan, clock);
  let stopProgress: (() => void) | undefined;
  try {
    flood.start();
    stopProgress = startProgress({ ...context, describe: describeProgress(flood, bytesPerPixel(patterns)) });
    await waitFor({
      clock,
      signal,
      msMax: secondsToMs(config.seconds),
      isDone: () => flood.totals.failed === connections,
    });
    return await flood.finish(FINISH_MS_MAX);
  } finally {
    stopProgress?.();
    flood.close();
  }
}

/** Bytes that are sent for each pixel painted; infinite where none is. */
function bytesPerPixel(patterns: readonly Pattern[]): number {
  const bytes = patterns.reduce((sum, pattern) => sum + pattern.bytes.length, 0);
  return bytes / patterns.reduce((sum, pattern) => sum + pattern.pixels.length, 0);
}

function describeProgress(flood: PixelFlood, bytesEach: number) {
  let lastBytes = 0;
  return (sinceLastMs: number): string => {
    const { sentBytes, open, failed } = flood.totals;
    const rate = bitsPerSecond(sentBytes - lastBytes, sinceLastMs);
    lastBytes = sentBytes;
    const pixelsPerSecond = rate / 8 / bytesEach;
    return `${formatValue(rate / 1e9)} Gbit/s  ${formatValue(pixelsPerSecond / 1e6)} Mpx/s  ${open} connections  ${failed} failed`;
  };
}

function bitsPerSecond(bytes: number, durationMs: number): number {
  return durationMs <= 0 ? 0 : (bytes * 8) / msToSeconds(durationMs);
}

function addFlood(add: AddMeasurement, { sent, durationMs }: FloodResult): void {
  const sum = (count: (connection: SentByConnection) => number): number =>
    sent.reduce((total, connection) => total + count(connection), 0);
  const pixels = sum((connection) => connection.pixels);
  const rates = sent.map((connection) => bitsPerSecond(connection.bytes, durationMs) / 1e6);
  const failures = new Tally();
  for (const { failure } of sent) if (failure !== "") failures.add(failure);
  const bytes = sum((connection) => connection.bytes);
  add("duration", "duration until the last answer", msToSeconds(durationMs), "s");
  add("throughput", "throughput", bitsPerSecond(bytes, durationMs) / 1e9, "Gbit/s");
  add("pixelRate", "pixels set", pixels / msToSeconds(durationMs) / 1e6, "Mpx/s");
  add("bytes", "sent", bytes, "bytes");
  add(
    "commands",
    "whole commands sent",
    sum((connection) => connection.commands),
    "commands",
  );
  add("pixels", "pixels that they set", pixels, "pixels");
  add(
    "answeredBytes",
    "answers",
    sum((connection) => connection.receivedBytes),
    "bytes",
  );
  add("slowestConnection", "slowest connection", Math.min(...rates), "Mbit/s");
  add("fastestConnection", "fastest connection", Math.max(...rates), "Mbit/s");
  const confirmed = sent.filter(({ isConfirmed }) => isConfirmed).length;
  add("confirmed", "connections answered at the end", confirmed, "connections");
  add("failures", "connection errors", failures.toString());
}

function notesOn({ sent }: FloodResult): string[] {
  const barriers = sent.filter(({ isConfirmed }) => isConfirmed).length;
  const notes = [`Of the bytes sent, ${barriers * 5} are the SIZE behind each connection's last command.`];
  if (barriers < sent.length) {
    notes.push("Connections that were not answered may have had bytes underway that the server never read.");
  }
  return notes;
}
