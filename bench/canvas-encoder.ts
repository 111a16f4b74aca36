/** The server's encoder over a made-up canvas, without server, clock or threads: frames as fast as they are encoded. */
import type { EncodedFrame } from "#common/formats/frame.ts";
import { readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { BITS_PER_BYTE } from "#common/units.ts";
import { Encoder } from "../server/encoder.ts";
import type { Av } from "../server/encoder-av.ts";
import { planRenditions, readRendition, type RenditionPlan, type X264Preset } from "../server/renditions.ts";
import type { PaintFrame } from "./canvas-scenes.ts";

const PIXEL_BYTES = 4;
const START_CODE = Uint8Array.of(0, 0, 0, 1);
const MICROSECONDS_PER_SECOND = 1e6;

export interface CanvasEncoding {
  readonly av: Av;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  /** As `--rendition` takes them; empty for the ladder that a server has by default. */
  readonly ladder: readonly string[];
  readonly preset: X264Preset;
  readonly paint: PaintFrame;
}

/** All frames of a canvas, by rendition, and what they cost. */
export interface EncodedCanvas {
  readonly renditions: readonly EncodedRendition[];
  /** Processor time of the whole process during encoding, without painting. */
  readonly cpuSeconds: number;
}

export interface EncodedRendition {
  readonly plan: RenditionPlan;
  /** AVCDecoderConfigurationRecord. */
  readonly avcC: Uint8Array;
  readonly frames: readonly EncodedFrame[];
}

/** Encodes all frames at once; no time of the clock is spent on waiting. */
export function encodeCanvas(options: CanvasEncoding): EncodedCanvas {
  const { av, width, height, fps, preset } = options;
  const memory = new SharedArrayBuffer(width * height * PIXEL_BYTES);
  const canvas = { memory, byteOffset: 0, width, height };
  const plans = planRenditions({ width, height, fps }, options.ladder.map(readRendition));
  const takenReports = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const job = { canvas, fps, preset, renditions: plans, startFrame: 0, startTimeMsMin: 0, takenReports };
  const encoder = new Encoder(av, job);
  try {
    const frames = new Map(plans.map(({ trackId }) => [trackId, [] as EncodedFrame[]]));
    const pixels = new Uint32Array(memory);
    let microseconds = 0;
    for (let index = 0; index < options.frames; index++) {
      options.paint(pixels, index);
      const begin = process.cpuUsage();
      encoder.encode({ index, isRepeat: false, captureTimeMs: 0 }, (frame) => {
        frames.get(frame.trackId)?.push(frame);
      });
      const spent = process.cpuUsage(begin);
      microseconds += spent.user + spent.system;
    }
    const renditions = plans.map((plan, position) => {
      const avcC = encoder.configs[position] ?? new Uint8Array();
      return { plan, avcC, frames: frames.get(plan.trackId) ?? [] };
    });
    return { renditions, cpuSeconds: microseconds / MICROSECONDS_PER_SECOND };
  } finally {
    encoder.close();
  }
}

/** A rendition as a stream of NAL units behind start codes, which any decoder reads. */
export function toAnnexB({ avcC, frames }: EncodedRendition): Uint8Array<ArrayBuffer> {
  const config = readAvcConfig(avcC);
  if (config === undefined) throw new TypeError("x264 gave no decoder configuration");
  const units = [
    ...config.sequenceParameterSets,
    ...config.pictureParameterSets,
    ...frames.flatMap(({ data }) => splitNalUnits(data) ?? []),
  ];
  return joinBytes(units.flatMap((unit) => [START_CODE, unit]));
}

/** Bits of each second, from its key frame on. */
export function bitsOfSeconds({ frames }: EncodedRendition, fps: number): number[] {
  const sums: number[] = [];
  for (const [index, { data }] of frames.entries()) {
    const second = Math.floor(index / fps);
    sums[second] = (sums[second] ?? 0) + data.length * BITS_PER_BYTE;
  }
  return sums;
}
