/** Whether the canvas shows what a flood painted. */
import type { FloodPlan } from "./pixel-threads.ts";
import { passesOf } from "./pattern-cursor.ts";
import { alphaOf, blend, colourOf } from "./pixel-images.ts";
import type { Pattern, PatternOptions } from "./pixel-patterns.ts";
import type { PixelflutClient } from "./pixelflut-client.ts";
import type { SentByConnection } from "./pixel-sender.ts";
import type { AddMeasurement } from "./report.ts";

/** Reads the whole canvas, row by row: `0xrrggbb` each, 0 where the server gave no answer. */
export async function readCanvas(
  control: PixelflutClient,
  {
    width,
    height,
    signal,
  }: { readonly width: number; readonly height: number; readonly signal: AbortSignal },
): Promise<Uint32Array> {
  const canvas = new Uint32Array(width * height);
  const pixels = canvas.map((_, pixel) => pixel);
  await control.readPixels({ width, pixels, signal, onPixel: (pixel, colour) => (canvas[pixel] = colour) });
  return canvas;
}

/** How often each pixel of the canvas was surely painted: by connections that were answered behind their last command. */
export function timesPainted(options: {
  readonly patterns: readonly Pattern[];
  readonly sent: readonly SentByConnection[];
  readonly canvasPixels: number;
}): Uint32Array {
  const { patterns, sent, canvasPixels } = options;
  const times = new Uint32Array(canvasPixels);
  for (const connection of sent) {
    const pattern = patterns[connection.connection % patterns.length];
    if (pattern === undefined || !connection.isConfirmed) continue;
    const { pixels, pixelStarts } = pattern;
    const { passes, ranges } = passesOf(connection, pixelStarts.length - 1);
    addTimes(times, pixels, passes);
    for (const [from, to] of ranges) {
      addTimes(times, pixels.subarray(pixelStarts[from] ?? 0, pixelStarts[to] ?? 0), 1);
    }
  }
  return times;
}

function addTimes(times: Uint32Array, pixels: Uint32Array, more: number): void {
  if (more === 0) return;
  for (const pixel of pixels) times[pixel] = (times[pixel] ?? 0) + more;
}

/** A pixel that was painted again and again with one colour and alpha. */
export interface Painting {
  /** What it was before. */
  readonly before: number;
  readonly colour: number;
  readonly alpha: number;
  /** At least 1. */
  readonly times: number;
  /**
   * True where one connection painted it, so that it was blended exactly so often. Two threads of a server may read
   * the same pixel before either writes it, and one blend is lost: then any number from 1 is right.
   */
  readonly isExact: boolean;
}

/** The colour after all blends, and whether `found` is it or could be it. */
export function checkPainting(
  found: number,
  { before, colour, alpha, times, isExact }: Painting,
): { readonly wanted: number; readonly isRight: boolean } {
  let wanted = before;
  let isRight = false;
  for (let time = 0; time < times; time += 1) {
    const blended = blend(wanted, colour, alpha);
    if (!isExact && blended === found) isRight = true;
    // Rounding ends every row of blends: from here on nothing changes.
    if (blended === wanted) break;
    wanted = blended;
  }
  return { wanted, isRight: isRight || wanted === found };
}

/** Reads back what a flood surely painted and adds how many pixels differ, with an example. */
export async function verifyCanvas(
  control: PixelflutClient,
  flood: {
    readonly plan: Pick<FloodPlan, "patterns">;
    readonly patternOptions: PatternOptions;
    readonly sent: readonly SentByConnection[];
    /** The canvas before the flood, needed where colours are blended. */
    readonly before: Uint32Array | undefined;
    readonly signal: AbortSignal;
    readonly add: AddMeasurement;
  },
): Promise<void> {
  const { plan, patternOptions, sent, before, signal, add } = flood;
  const { width, height } = patternOptions;
  const times = timesPainted({ patterns: plan.patterns, sent, canvasPixels: width * height });
  const pixels = times.map((_, pixel) => pixel).filter((pixel) => times[pixel] !== 0);
  let answered = 0;
  let differing = 0;
  let example = "";
  await control.readPixels({
    width,
    pixels,
    signal,
    onPixel(pixel, found) {
      answered += 1;
      const { wanted, isRight } = checkPainting(found, {
        before: before?.[pixel] ?? 0,
        colour: colourOf(patternOptions, pixel),
        alpha: alphaOf(patternOptions, pixel),
        times: times[pixel] ?? 1,
        isExact: sent.length === 1,
      });
      if (isRight) return;
      differing += 1;
      if (example !== "") return;
      const place = `${pixel % width},${Math.floor(pixel / width)}`;
      example = `${place} is ${hexOf(found)}, not ${hexOf(wanted)}`;
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
