/**
 * What a canvas shows while its encoder is measured: pictures and text that stand still, noise all over, or a flood that
 * paints one picture over the other. Each frame is a function of size and number alone, so two encoders get the same.
 */
import { drawGlyph, GLYPH_CELL } from "./glyphs.ts";

export const CANVAS_SCENES = ["still", "noise", "flood"] as const;
export type CanvasScene = (typeof CANVAS_SCENES)[number];

export interface SceneOptions {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

/** Paints frame `index` into RGBA pixels, row by row, on top of the frame before. The fourth byte stays 0. */
export type PaintFrame = (pixels: Uint32Array, index: number) => void;

/** A flood paints the whole canvas anew in this time, pixel by pixel all over it. */
const FLOOD_SECONDS = 2;
/** Odd and no multiple of a canvas's size: steps by it reach each pixel once. */
const SCATTER_STEP = 7_368_787;
const TEXT = "PIXELFLUT 1280X720  SPILLWAY SHOWS WHAT 4096 PLAYERS PAINT  ";
const MANDELBROT_STEPS = 48;

/** The painter of a scene. */
export function createScene(scene: CanvasScene, options: SceneOptions): PaintFrame {
  if (scene === "noise") return (pixels, index) => fillNoise(pixels, index);
  const pictures = [drawPictures(options, 0), drawPictures(options, 1)] as const;
  if (scene === "still") return (pixels, index) => void (index === 0 && pixels.set(pictures[0]));
  const perFrame = Math.ceil((options.width * options.height) / (FLOOD_SECONDS * options.fps));
  return (pixels, index) => {
    if (index === 0) pixels.set(pictures[0]);
    for (let count = index * perFrame, end = count + perFrame; count < end; count++) {
      const at = (count * SCATTER_STEP) % pixels.length;
      const picture = pictures[Math.floor(count / pixels.length) % 2 === 0 ? 1 : 0];
      pixels[at] = picture?.[at] ?? 0;
    }
  };
}

/** White noise, another one for each `seed`. */
export function fillNoise(pixels: Uint32Array, seed: number): void {
  let state = mix(seed + 1) | 1;
  for (let at = 0; at < pixels.length; at++) {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    pixels[at] = state & 0xffffff;
  }
}

/**
 * What people paint: a photograph's texture, a fractal, small text on white, bars with squares and large text, a quarter
 * of the canvas each; `variant` says in which corner each stands.
 */
export function drawPictures({ width, height }: SceneOptions, variant: number): Uint32Array {
  const pixels = new Uint32Array(width * height);
  const drawers = [photograph, fractal, page, bars];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [right, bottom] = [Number(2 * x >= width), Number(2 * y >= height)];
      const draw = drawers[(right + 2 * bottom + variant) % drawers.length] ?? page;
      const [left, top] = [right * Math.ceil(width / 2), bottom * Math.ceil(height / 2)];
      pixels[y * width + x] = draw(x - left, y - top, width / 2);
    }
  }
  const canvas = { pixels, width, height };
  for (let line = 0, top = height / 2 + 6; top + 8 < height; line++, top += 11) {
    writeText(canvas, { left: 4, top: Math.floor(top), right: Math.floor(width / 2), scale: 1, line });
  }
  for (const [line, scale] of [4, 3, 2].entries()) {
    const top = Math.floor(height / 2 + 4 + 32 * line);
    writeText(canvas, { left: Math.floor(width / 2) + 8, top, right: width, scale, line });
  }
  return pixels;
}

/** Hills of several sizes, and the fine grain of a sensor. */
function photograph(x: number, y: number): number {
  let height = 0;
  for (const [cell, weight] of [
    [97, 110],
    [31, 70],
    [11, 40],
    [3, 14],
  ] as const) {
    height += weight * smoothNoise(x / cell, y / cell, cell);
  }
  const grain = (mix(x + 8192 * y) & 7) - 4;
  return rgb(height * 0.9 + grain, height + grain, 40 + height * 0.6 + grain);
}

function fractal(x: number, y: number, side: number): number {
  const [real, imaginary] = [(x / side) * 2.6 - 1.9, (y / side) * 2.6 - 0.7];
  let [re, im, steps] = [0, 0, 0];
  while (re * re + im * im < 4 && steps < MANDELBROT_STEPS) {
    [re, im] = [re * re - im * im + real, 2 * re * im + imaginary];
    steps++;
  }
  return steps === MANDELBROT_STEPS ? 0 : rgb(steps * 20, 255 - steps * 9, 128 + steps * 5);
}

function page(): number {
  return 0xffffff;
}

/** Full colours, and squares of four pixels. */
function bars(x: number, y: number, side: number): number {
  const colours = [0x0000ff, 0x00ff00, 0xff0000, 0x00ffff, 0xff00ff, 0xffff00, 0x202020, 0xf0f0f0];
  const [column, row] = [x >> 2, y >> 2];
  if (y > side / 3 && mix(column * 4099 + row) % 5 === 0) return colours[mix(column + row * 31) % 8] ?? 0;
  return colours[Math.floor((x / side) * 8)] ?? 0;
}

interface Line {
  readonly left: number;
  readonly top: number;
  /** Letters end before it. */
  readonly right: number;
  /** Side of a letter's dots, in pixels. */
  readonly scale: number;
  /** Says with which letter it begins. */
  readonly line: number;
}

function writeText(
  canvas: { readonly pixels: Uint32Array; readonly width: number; readonly height: number },
  { left, top, right, scale, line }: Line,
): void {
  const advance = GLYPH_CELL * scale;
  for (let count = 0, x = left; x + advance <= right; count++, x += advance) {
    const letter = TEXT[(count + line * 7) % TEXT.length] ?? " ";
    const colour = scale === 1 ? 0x101010 * (mix(line) % 6) : 0xffffff;
    drawGlyph(letter, (column, row) => {
      for (let dot = 0; dot < scale * scale; dot++) {
        const y = top + row * scale + Math.floor(dot / scale);
        if (y < canvas.height) canvas.pixels[y * canvas.width + x + column * scale + (dot % scale)] = colour;
      }
    });
  }
}

/** Between 0 and 1, smooth between whole coordinates. */
function smoothNoise(x: number, y: number, seed: number): number {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  const [right, down] = [ease(x - column), ease(y - row)];
  const corner = (dx: number, dy: number): number =>
    (mix((column + dx) * 7919 + (row + dy) * 104_729 + seed) & 0xff) / 255;
  const upper = corner(0, 0) * (1 - right) + corner(1, 0) * right;
  const lower = corner(0, 1) * (1 - right) + corner(1, 1) * right;
  return upper * (1 - down) + lower * down;
}

function ease(share: number): number {
  return share * share * (3 - 2 * share);
}

/** As R, G, B lie in memory, each cut to 0 to 255. */
function rgb(red: number, green: number, blue: number): number {
  const [r, g, b] = [red, green, blue].map((value) => Math.min(255, Math.max(0, Math.round(value))));
  return (r ?? 0) | ((g ?? 0) << 8) | ((b ?? 0) << 16);
}

/** A number that looks random, at or above 0. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ 0x9e3779b9, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
