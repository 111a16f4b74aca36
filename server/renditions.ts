/**
 * The ladder: which sizes and bit rates of the canvas are encoded. Read from `--rendition`, checked against the
 * canvas, named for URLs.
 */
// ITU-T H.264 Annex A (levels)
import { OptionError } from "#common/errors.ts";
import { MACROBLOCKS_MAX } from "#common/formats/h264-parameters.ts";
import { RENDITIONS_MAX, type Rendition } from "#common/formats/frame.ts";
import { ValueError } from "#common/options.ts";
import { groupBitsMin } from "./group-budget.ts";

/** Bit rates where no ladder is given, in kbit/s: of the full size, and of half of it. */
const DEFAULT_KBIT_PER_SECOND = 6_000;
const DEFAULT_KBIT_PER_SECOND_HALF = 1_500;
/** x264's presets that keep up with a live canvas on a core or less. */
export const X264_PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] as const;
export type X264Preset = (typeof X264_PRESETS)[number];
const BITS_PER_KBIT = 1_000;
/** Sides of canvas and renditions, in pixels. The longest is that of 8K; how much area it may span, H.264 says. */
export const SIDE_MIN = 16;
export const SIDE_MAX = 8_192;
const MACROBLOCK_SIDE = 16;
const KBIT_MIN = 50;
const KBIT_MAX = 200_000;

/** What `--rendition` takes, in words. */
export const RENDITION_ALLOWED = `<width>x<height>@<kbit/s>, sides even and from ${SIDE_MIN} to ${SIDE_MAX}, ${KBIT_MIN} to ${KBIT_MAX} kbit/s, and if wanted : and a preset, one of ${X264_PRESETS.join(", ")}`;

/** One value of `--rendition`. */
export interface RenditionRequest {
  readonly width: number;
  readonly height: number;
  readonly bitsPerSecondMax: number;
  /** `undefined`: that of `--x264-preset`. */
  readonly preset?: X264Preset | undefined;
}

/** A rendition before its encoder is open. */
export interface RenditionPlan extends Omit<Rendition, "avcC"> {
  readonly preset: X264Preset | undefined;
}

/** Reads `1280x720@6000` and `1280x720@6000:veryfast`. Throws {@link ValueError}. */
export function readRendition(text: string): RenditionRequest {
  const match = /^(\d{1,5})x(\d{1,5})@(\d{1,6})(?::(\w+))?$/.exec(text);
  const [width, height, kbit] = (match ?? []).slice(1, 4).map(Number);
  const preset = X264_PRESETS.find((name) => name === match?.[4]);
  const isUnknown = match?.[4] !== undefined && preset === undefined;
  if (
    isUnknown ||
    !isSide(width) ||
    !isSide(height) ||
    kbit === undefined ||
    kbit < KBIT_MIN ||
    kbit > KBIT_MAX
  ) {
    throw new ValueError(RENDITION_ALLOWED);
  }
  return { width, height, bitsPerSecondMax: kbit * BITS_PER_KBIT, preset };
}

function isSide(side: number | undefined): side is number {
  return side !== undefined && side >= SIDE_MIN && side <= SIDE_MAX && side % 2 === 0;
}

/**
 * The ladder for a canvas. Without requests it is the full size and half of it. The first is the full size: that of the
 * canvas with odd sides rounded up (4:2:0 halves both), or a whole multiple of it; what else is larger than the canvas is
 * such a multiple too. Throws {@link OptionError} otherwise.
 */
export function planRenditions(
  canvas: { readonly width: number; readonly height: number; readonly fps: number },
  requests: readonly RenditionRequest[],
): readonly RenditionPlan[] {
  const full = { width: roundUpToEven(canvas.width), height: roundUpToEven(canvas.height) };
  const asked = requests.length > 0 ? requests : defaultLadder(full);
  const [first] = asked;
  if (first !== undefined && !isMultiple(first, full)) {
    throw new OptionError(
      `Bad value for --rendition: the first, ${sizeOf(first)}, must have the full size ${sizeOf(full)} of the canvas, or a whole multiple of it`,
    );
  }
  const uneven = asked.find(
    (request) => (request.width > full.width || request.height > full.height) && !isMultiple(request, full),
  );
  if (uneven !== undefined) {
    throw new OptionError(
      `Bad value for --rendition: ${sizeOf(uneven)} is larger than the canvas, but no whole multiple of its ${sizeOf(full)}`,
    );
  }
  checkLadder(asked, canvas.fps);
  const names = asked.map((request) => nameOf(request, asked));
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) {
    throw new OptionError(`Bad value for --rendition: two have the same height and bit rate (${twice})`);
  }
  return asked.map(({ width, height, bitsPerSecondMax, preset }, index) => {
    return { trackId: index + 1, name: names[index] ?? "", width, height, bitsPerSecondMax, preset };
  });
}

interface Size {
  readonly width: number;
  readonly height: number;
}

function sizeOf({ width, height }: Size): string {
  return `${width}x${height}`;
}

/** The full size, and half of it where that is not too small. */
function defaultLadder(full: Size): RenditionRequest[] {
  const half = { width: roundUpToEven(full.width / 2), height: roundUpToEven(full.height / 2) };
  const first = { ...full, bitsPerSecondMax: DEFAULT_KBIT_PER_SECOND * BITS_PER_KBIT };
  if (!isSide(half.width) || !isSide(half.height)) return [first];
  return [first, { ...half, bitsPerSecondMax: DEFAULT_KBIT_PER_SECOND_HALF * BITS_PER_KBIT }];
}

function isMultiple(size: Size, full: Size): boolean {
  const scale = size.width / full.width;
  return Number.isInteger(scale) && size.height === full.height * scale;
}

function checkLadder(asked: readonly RenditionRequest[], fps: number): void {
  if (asked.length > RENDITIONS_MAX) {
    throw new OptionError(
      `Bad value for --rendition: ${asked.length} renditions, ${RENDITIONS_MAX} are allowed`,
    );
  }
  const tooLarge = asked.find((request) => macroblocksOf(request) > MACROBLOCKS_MAX);
  if (tooLarge !== undefined) {
    throw new OptionError(
      `Bad value for --rendition, or for --width and --height: ${sizeOf(tooLarge)} is more than H.264 allows (8192x4352 pixels in all)`,
    );
  }
  const starved = asked.find(
    (request) => request.bitsPerSecondMax < groupBitsMin(macroblocksOf(request), fps),
  );
  if (starved !== undefined) {
    const kbitMin = Math.ceil(groupBitsMin(macroblocksOf(starved), fps) / BITS_PER_KBIT);
    throw new OptionError(
      `Bad value for --rendition: ${sizeOf(starved)} at ${fps} frames a second needs ${kbitMin} kbit/s at least`,
    );
  }
}

/** Of a picture. */
export function macroblocksOf({
  width,
  height,
}: {
  readonly width: number;
  readonly height: number;
}): number {
  return Math.ceil(width / MACROBLOCK_SIDE) * Math.ceil(height / MACROBLOCK_SIDE);
}

/** `720p`, with the bit rate behind it where several have that height. */
function nameOf(request: RenditionRequest, all: readonly RenditionRequest[]): string {
  const isOnly = all.filter(({ height }) => height === request.height).length === 1;
  return isOnly ? `${request.height}p` : `${request.height}p-${request.bitsPerSecondMax / BITS_PER_KBIT}k`;
}

function roundUpToEven(side: number): number {
  return side + (side % 2);
}
