/**
 * The bytes that `bench pixels` and `bench compare` send: whole commands in a seeded order, made once before the run
 * in memory that all threads share, so that sending costs nothing but the copy into the kernel.
 */
import type { PixelFormat, PixelOrder } from "./config.ts";
import {
  BINARY_COMMAND_BYTES,
  CommandWriter,
  MULTI_HEADER_BYTES,
  TEXT_COMMAND_BYTES_MAX,
} from "./pixel-commands.ts";
import {
  alphaOf,
  colourOf,
  grayFromRow,
  orderPixels,
  orderRows,
  orderTiles,
  TILE_SIDE,
  type ImageOptions,
} from "./pixel-images.ts";

/** A canvas may not be larger: coordinates of PB have 16 bits, and the commands must fit into one buffer. */
export const PATTERN_PIXELS_MAX = 40_000_000;
/** In a mixed flood a get or, in turn, a line of garbage follows so many pixels: one in a hundred is each. */
const SETS_BETWEEN_EXTRAS = 49;

export interface PatternOptions extends ImageOptions {
  readonly order: PixelOrder;
  /** Pixels painted (or asked for) before the pattern repeats: the first so many of the order. 0: the whole canvas. */
  readonly pixels: number;
}

/** Commands, one behind the other. */
export interface Pattern {
  /** All of them, in a `SharedArrayBuffer`. */
  readonly bytes: Uint8Array;
  /** Where command i begins in `bytes`; one more entry holds the end. */
  readonly starts: Uint32Array;
  /** Which pixels are painted, in order: `y * width + x`. */
  readonly pixels: Uint32Array;
  /** Where in `pixels` those of command i begin; one more entry holds the end. */
  readonly pixelStarts: Uint32Array;
  /** Commands that a connection may begin with, in order; empty where it may begin with any. */
  readonly entries: Uint32Array;
}

/** One kind of client in a mixed flood. */
interface Kind {
  readonly format: Exclude<PixelFormat, "mixed">;
  readonly order: PixelOrder;
}

/** The clients of a mixed flood, in turn. All paint the same image, so the canvas is known whoever paints last. */
export const MIXED_KINDS: readonly Kind[] = [
  { format: "text8", order: "shuffled" },
  { format: "text", order: "ordered" },
  { format: "pb", order: "shuffled" },
  { format: "offset", order: "ordered" },
  { format: "gray", order: "ordered" },
  { format: "text8", order: "ordered" },
  { format: "text", order: "shuffled" },
  { format: "pb", order: "ordered" },
];

/** Lines that are no command and hold none, of the kinds that servers meet. */
export const GARBAGE = [
  "hello\n",
  "PX 12\n",
  "PX 3 4 xyzxyz\n",
  "px 5 6 ffffff\n",
  "PX -1 7 00ff00\n",
  "\n",
].map((line) => new TextEncoder().encode(line));

/** The patterns of a format: connection i sends pattern i modulo their number. */
export function buildPatterns(options: PatternOptions): readonly Pattern[] {
  const { format } = options;
  if (format !== "mixed") return [buildPattern(options, { format, order: options.order })];
  return MIXED_KINDS.map((kind) => buildPattern(options, kind));
}

/** Makes the pattern of one kind of client; those of a mixed flood also get pixels and send garbage. */
export function buildPattern(options: PatternOptions, kind: Kind): Pattern {
  const order = choosePixels(options, kind);
  const count = options.pixels === 0 ? order.length : Math.min(options.pixels, order.length);
  const pixels = order.subarray(0, count);
  if (kind.format === "multi") return buildRows(options, pixels);
  const extras = options.format === "mixed" ? Math.ceil(count / SETS_BETWEEN_EXTRAS) : 0;
  // A square at the edge of the pixels may be entered once more for the few that are left of it.
  const offsets =
    kind.format === "offset"
      ? Math.ceil(options.width / TILE_SIDE) * Math.ceil(options.height / TILE_SIDE)
      : 0;
  const bytesEach = kind.format === "pb" ? BINARY_COMMAND_BYTES : TEXT_COMMAND_BYTES_MAX;
  const writer = new CommandWriter({
    bytes: count * bytesEach + (extras + offsets) * TEXT_COMMAND_BYTES_MAX,
    commands: count + extras + offsets,
    pixels: kind.format === "get" ? 0 : count,
  });
  const entries: number[] = [];
  const { width } = options;
  let [left, top] = [0, 0];
  for (let index = 0; index < count; index += 1) {
    const pixel = pixels[index] ?? 0;
    const x = pixel % width;
    const y = (pixel - x) / width;
    if (kind.format === "offset" && (index === 0 || !isInTile(x - left, y - top))) {
      left = x - (x % TILE_SIDE);
      top = y - (y % TILE_SIDE);
      entries.push(writer.commandCount);
      writer.offset(left, top);
    }
    writeCommand(writer, { options, format: kind.format, pixel, x: x - left, y: y - top });
    if (extras > 0 && index % SETS_BETWEEN_EXTRAS === SETS_BETWEEN_EXTRAS - 1) {
      const extra = Math.floor(index / SETS_BETWEEN_EXTRAS);
      const garbage = GARBAGE[(extra >> 1) % GARBAGE.length];
      if (extra % 2 === 0 || garbage === undefined) writer.get(x - left, y - top);
      else writer.line(garbage);
    }
  }
  return { ...writer.finish(), entries: Uint32Array.from(entries) };
}

/** The command nearest before `command` that a connection may begin with. */
export function entryBefore({ entries }: Pick<Pattern, "entries">, command: number): number {
  if (entries.length === 0) return command;
  return entries.findLast((entry) => entry <= command) ?? 0;
}

/** Number of commands that begin before `offset`, so those that are sent whole if `offset` is a boundary. */
export function commandsBefore(starts: Uint32Array, offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function choosePixels(options: PatternOptions, { format, order }: Kind): Uint32Array {
  const ordering = { ...options, order };
  if (format === "offset") return orderTiles(ordering);
  if (format === "multi") return orderRows(ordering);
  return orderPixels({ ...ordering, fromRow: format === "gray" ? grayFromRow(options) : 0 });
}

function isInTile(x: number, y: number): boolean {
  return x >= 0 && y >= 0 && x < TILE_SIDE && y < TILE_SIDE;
}

function writeCommand(
  writer: CommandWriter,
  command: {
    readonly options: PatternOptions;
    readonly format: Kind["format"];
    readonly pixel: number;
    readonly x: number;
    readonly y: number;
  },
): void {
  const { options, format, pixel, x, y } = command;
  if (format === "get") {
    writer.get(x, y);
    return;
  }
  const colour = colourOf(options, pixel);
  if (format === "pb") writer.setBinary(pixel, x, y, colour);
  else if (format === "gray") writer.set(pixel, x, y, colour, 2);
  else if (format === "text" || format === "offset") writer.set(pixel, x, y, colour, 6);
  else writer.set(pixel, x, y, (colour << 8) | alphaOf(options, pixel), 8);
}

/** One PXMULTI for each row; the last may be shorter. */
function buildRows(options: PatternOptions, pixels: Uint32Array): Pattern {
  const { width } = options;
  const rows = Math.ceil(pixels.length / width);
  const writer = new CommandWriter({
    bytes: rows * MULTI_HEADER_BYTES + pixels.length * 4,
    commands: rows,
    pixels: pixels.length,
  });
  for (let index = 0; index < pixels.length; index += width) {
    const pixel = pixels[index] ?? 0;
    const count = Math.min(width, pixels.length - index);
    writer.setMany(pixel, count, 0, pixel / width, (each) => colourOf(options, each));
  }
  return { ...writer.finish(), entries: new Uint32Array(0) };
}
