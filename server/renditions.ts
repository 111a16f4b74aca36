/**
 * The ladder: which sizes and bit rates of the canvas are encoded. Read from `--rendition`, checked against the
 * canvas, named for URLs.
 */
// ITU-T H.264 Annex A (levels)
import { OptionError } from "#common/errors.ts";
import { RENDITIONS_MAX, type Rendition } from "#common/formats/frame.ts";
import { ValueError } from "#common/options.ts";
import { groupBitsMin } from "./group-budget.ts";

/** Bit rate of the full size where no ladder is given, in kbit/s. */
const DEFAULT_KBIT_PER_SECOND = 6_000;
const BITS_PER_KBIT = 1_000;
/** Sides of canvas and renditions, in pixels. The longest is that of 8K; how much area it may span, H.264 says. */
export const SIDE_MIN = 16;
export const SIDE_MAX = 8_192;
/** Most macroblocks of 16x16 pixels in a picture at the highest level, 6.2 (table A-1): 8192x4352. */
const MACROBLOCKS_MAX = 139_264;
const MACROBLOCK_SIDE = 16;
const KBIT_MIN = 50;
const KBIT_MAX = 200_000;

/** What `--rendition` takes, in words. */
export const RENDITION_ALLOWED = `<width>x<height>@<kbit/s>, sides even and from ${SIDE_MIN} to ${SIDE_MAX}, ${KBIT_MIN} to ${KBIT_MAX} kbit/s`;

/** One value of `--rendition`. */
export interface RenditionRequest {
  readonly width: number;
  readonly height: number;
  readonly bitsPerSecondMax: number;
}

/** A rendition before its encoder is open. */
export type RenditionPlan = Omit<Rendition, "avcC">;

/** Reads `1280x720@6000`. Throws {@link ValueError}. */
export function readRendition(text: string): RenditionRequest {
  const match = /^(\d{1,5})x(\d{1,5})@(\d{1,6})$/.exec(text);
  const [width, height, kbit] = (match ?? []).slice(1).map(Number);
  if (!isSide(width) || !isSide(height) || kbit === undefined || kbit < KBIT_MIN || kbit > KBIT_MAX) {
    throw new ValueError(RENDITION_ALLOWED);
  }
  return { width, height, bitsPerSecondMax: kbit * BITS_PER_KBIT };
}

function isSide(side: number | undefined): side is number {
  return side !== undefined && side >= SIDE_MIN && side <= SIDE_MAX && side % 2 === 0;
}

/**
 * The ladder for a canvas. Without requests it is the full size alone. The first is the full size: that of the canvas
 * with odd sides rounded up (4:2:0 halves both), or a whole multiple of it. Throws {@link OptionError} otherwise.
 */
export function planRenditions(
  canvas: { readonly width: number; readonly height: number; readonly fps: number },
  requests: readonly RenditionRequest[],
): readonly RenditionPlan[] {
  const full = { width: roundUpToEven(canvas.width), height: roundUpToEven(canvas.height) };
  const asked =
    requests.length > 0 ? requests : [{ ...full, bitsPerSecondMax: DEFAULT_KBIT_PER_SECOND * BITS_PER_KBIT }];
  const [first] = asked;
  const scale = (first?.width ?? 0) / full.width;
  if (first === undefined || !Number.isInteger(scale) || first.height !== full.height * scale) {
    throw new OptionError(
      `Bad value for --rendition: the first must have the full size ${full.width}x${full.height} of the canvas, or a whole multiple of it`,
    );
  }
  checkLadder(asked, canvas.fps);
  const names = asked.map((request) => nameOf(request, asked));
  if (new Set(names).size < names.length) {
    throw new OptionError("Bad value for --rendition: two have the same height and bit rate");
  }
  return asked.map(({ width, height, bitsPerSecondMax }, index) => {
    return { trackId: index + 1, name: names[index] ?? "", width, height, bitsPerSecondMax };
  });
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
      `Bad value for --rendition, or for --width and --height: ${tooLarge.width}x${tooLarge.height} is more than H.264 allows (8192x4352 pixels in all)`,
    );
  }
  const starved = asked.find(
    (request) => request.bitsPerSecondMax < groupBitsMin(macroblocksOf(request), fps),
  );
  if (starved !== undefined) {
    const kbitMin = Math.ceil(groupBitsMin(macroblocksOf(starved), fps) / BITS_PER_KBIT);
    throw new OptionError(
      `Bad value for --rendition: ${starved.width}x${starved.height} at ${fps} frames a second needs ${kbitMin} kbit/s at least`,
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
