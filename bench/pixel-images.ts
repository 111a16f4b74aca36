/** What the pixel flood paints: the colour of each pixel, and the order in which the pixels come. */
import { createRandom } from "#common/random.ts";
import type { PixelFormat, PixelImage, PixelOrder } from "./config.ts";

/** Side of the squares that the users of OFFSET paint one by one, in pixels. */
export const TILE_SIDE = 64;
/** Of a mixed flood's canvas the rows from here on are grey, so that `PX x y gg` can paint them too. */
const GRAY_FROM = 7 / 8;

/** An image on a canvas: a pure function of these. */
export interface ImageOptions {
  /** Size of the canvas in pixels. */
  readonly width: number;
  readonly height: number;
  readonly format: PixelFormat;
  readonly image: PixelImage;
  readonly seed: number;
}

/** Colour of a pixel, `0xrrggbb`: a function of its place and the seed. */
export function colourOf(options: ImageOptions, pixel: number): number {
  const { width, height, image, format } = options;
  // Blending a colour over itself shows nothing, so what is blended is another image than what is painted.
  const seed = format === "alpha" ? ~options.seed : options.seed;
  const x = pixel % width;
  const y = (pixel - x) / width;
  if (y >= grayFromRow(options)) return (mix(pixel, seed) & 0xff) * 0x010101;
  if (image === "noise") return mix(pixel, seed) & 0xffffff;
  const red = Math.floor((x * 255) / Math.max(1, width - 1));
  const green = Math.floor((y * 255) / Math.max(1, height - 1));
  return (red << 16) | (green << 8) | (mix(0, seed) & 0xff);
}

/** First row whose colours are grey; the height where none is. */
export function grayFromRow({ format, height }: Pick<ImageOptions, "format" | "height">): number {
  if (format === "gray") return 0;
  return format === "mixed" ? Math.floor(height * GRAY_FROM) : height;
}

/** Alpha of a pixel, 0 to 255: 255 in every format but `alpha`. */
export function alphaOf({ format, seed }: Pick<ImageOptions, "format" | "seed">, pixel: number): number {
  return format === "alpha" ? mix(pixel, seed) >>> 24 : 0xff;
}

/** `colour` painted over `under` with `alpha`, each channel floor((a * s + (255 - a) * d) / 255). */
export function blend(under: number, colour: number, alpha: number): number {
  let blended = 0;
  for (let shift = 16; shift >= 0; shift -= 8) {
    const sum = alpha * ((colour >> shift) & 0xff) + (255 - alpha) * ((under >> shift) & 0xff);
    blended |= Math.floor(sum / 255) << shift;
  }
  return blended;
}

/** A hash of two whole numbers (the finaliser of MurmurHash3). */
function mix(value: number, seed: number): number {
  let hash = (value ^ Math.imul(seed + 1, 0x9e3779b1)) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

interface OrderOptions {
  readonly width: number;
  /** Rows from `fromRow` (0 if left out) to before `height`. */
  readonly height: number;
  readonly fromRow?: number;
  readonly order: PixelOrder;
  readonly seed: number;
}

/** Every pixel of the rows once, row by row or shuffled (Fisher and Yates) by the seed. */
export function orderPixels({ width, height, fromRow = 0, order, seed }: OrderOptions): Uint32Array {
  const first = width * fromRow;
  const pixels = new Uint32Array(width * height - first);
  for (let index = 0; index < pixels.length; index += 1) pixels[index] = first + index;
  if (order === "shuffled") shuffle(pixels, seed);
  return pixels;
}

/** Every pixel once, row by row within squares of {@link TILE_SIDE}, the squares ordered or shuffled. */
export function orderTiles({ width, height, order, seed }: OrderOptions): Uint32Array {
  const columns = Math.ceil(width / TILE_SIDE);
  const tiles = orderPixels({ width: columns, height: Math.ceil(height / TILE_SIDE), order, seed });
  const pixels = new Uint32Array(width * height);
  let count = 0;
  for (const tile of tiles) {
    const left = (tile % columns) * TILE_SIDE;
    const top = Math.floor(tile / columns) * TILE_SIDE;
    for (let y = top; y < Math.min(height, top + TILE_SIDE); y += 1) {
      for (let x = left; x < Math.min(width, left + TILE_SIDE); x += 1) {
        pixels[count] = y * width + x;
        count += 1;
      }
    }
  }
  return pixels;
}

/** All pixels, row by row, the rows ordered or shuffled. */
export function orderRows({ width, height, order, seed }: OrderOptions): Uint32Array {
  const pixels = new Uint32Array(width * height);
  let count = 0;
  for (const row of orderPixels({ width: 1, height, order, seed })) {
    for (let x = 0; x < width; x += 1) pixels[count + x] = row * width + x;
    count += width;
  }
  return pixels;
}

function shuffle(values: Uint32Array, seed: number): void {
  const random = createRandom(seed);
  for (let index = values.length - 1; index > 0; index -= 1) {
    const other = Math.floor(random() * (index + 1));
    const kept = values[index] ?? 0;
    values[index] = values[other] ?? 0;
    values[other] = kept;
  }
}
