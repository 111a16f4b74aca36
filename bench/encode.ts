/**
 * `bench encode`: the server's encoder, in this process, against the `ffmpeg` program with the same settings of x264:
 * processor time for the same pictures, bits, and what the pictures look like. ffmpeg's mean bit rate is asked for, not
 * kept, so its pictures are also taken at the bits that ours took.
 */
import { OptionError } from "#common/errors.ts";
import { loadAv } from "../server/encoder-av.ts";
import { encodeCanvas, bitsOfSeconds, type EncodedRendition, toAnnexB } from "./canvas-encoder.ts";
import { type CanvasScene, createScene } from "./canvas-scenes.ts";
import type { BenchContext } from "./context.ts";
import type { EncodeConfig } from "./encode-config.ts";
import {
  bitRateOf,
  encodeByFfmpeg,
  type Footage,
  meanPsnr,
  measureQuality,
  requireFfmpeg,
} from "./ffmpeg.ts";
import { collectMeasurements, type AddMeasurement, type Findings } from "./report.ts";
import { median } from "./statistics.ts";

/** Steps by which ffmpeg's bit rate is brought to ours, and how near is near enough. */
const MATCHES_MAX = 4;
const MATCH_TOLERANCE = 0.01;

interface Look {
  readonly bitsPerSecond: number;
  readonly ssim: number;
  readonly psnr: number;
}

/** Encodes each scene by both. Throws StartError without ffmpeg or node-av. */
export async function runEncode(context: BenchContext<EncodeConfig>): Promise<Findings> {
  const { config, signal, output } = context;
  if (config.width % 2 === 1 || config.height % 2 === 1) {
    throw new OptionError("Bad value for --width or --height: both must be even");
  }
  requireFfmpeg();
  const av = await loadAv();
  const { measurements, add } = collectMeasurements();
  for (const scene of config.scenes) {
    if (signal.aborted) break;
    output.progress(`${scene}: ${config.rounds} rounds of ${config.seconds} s`);
    await compareScene(scene, { ...context, av }, add);
  }
  const notes = [
    "Processor time is that of encoding alone: ours without making the pictures, ffmpeg's without its start; it reads them through a pipe.",
  ];
  return { measurements, notes };
}

async function compareScene(
  scene: CanvasScene,
  { config, av, signal }: BenchContext<EncodeConfig> & { readonly av: Awaited<ReturnType<typeof loadAv>> },
  add: AddMeasurement,
): Promise<void> {
  const { width, height, fps, kbit, preset, seconds, rounds } = config;
  const size = { width, height, fps };
  const frames = Math.max(1, Math.round(seconds * fps));
  const createFootage = (): Footage => ({ ...size, frames, paint: createScene(scene, size) });
  const bitsPerSecondMax = kbit * 1_000;
  const settings = { preset, bitsPerSecond: bitsPerSecondMax, bitsPerSecondMax };
  const start = await encodeByFfmpeg({ ...createFootage(), frames: 1 }, settings);
  const cpu: { readonly own: number; readonly ffmpeg: number }[] = [];
  let own: EncodedRendition | undefined;
  let theirs: Uint8Array = new Uint8Array();
  for (let round = 0; round < rounds && !signal.aborted; round++) {
    const encoded = encodeCanvas({ av, ...createFootage(), ladder: [`${width}x${height}@${kbit}`], preset });
    const { annexB, cpuSeconds } = await encodeByFfmpeg(createFootage(), settings);
    cpu.push({ own: encoded.cpuSeconds, ffmpeg: cpuSeconds - start.cpuSeconds });
    own = encoded.renditions[0];
    theirs = annexB;
  }
  if (own === undefined) return;
  addCpu(add, scene, cpu);
  const annexB = toAnnexB(own);
  const largest = Math.max(...bitsOfSeconds(own, fps)) / bitsPerSecondMax;
  const matched = await encodeAtRate(createFootage, settings, bitRateOf(annexB, createFootage()));
  addLook(add, `${scene}.own`, `${scene}: ours`, await look(annexB, createFootage()));
  add(`${scene}.own.largestSecond`, `${scene}: ours, largest second of the bit rate`, largest);
  addLook(add, `${scene}.ffmpeg`, `${scene}: ffmpeg, same settings`, await look(theirs, createFootage()));
  addLook(add, `${scene}.matched`, `${scene}: ffmpeg, at our bits`, await look(matched, createFootage()));
}

function addCpu(
  add: AddMeasurement,
  scene: CanvasScene,
  rounds: readonly { readonly own: number; readonly ffmpeg: number }[],
): void {
  const ratio = median(rounds.map(({ own, ffmpeg }) => own / ffmpeg));
  add(`${scene}.own.cpu`, `${scene}: ours, processor time`, median(rounds.map(({ own }) => own)), "s");
  add(
    `${scene}.ffmpeg.cpu`,
    `${scene}: ffmpeg, processor time`,
    median(rounds.map((one) => one.ffmpeg)),
    "s",
  );
  add(`${scene}.cpuRatio`, `${scene}: ratio of processor time`, ratio);
}

/** Has ffmpeg encode so that the mean bit rate comes out as `wanted`; the nearest of a few tries. */
async function encodeAtRate(
  createFootage: () => Footage,
  settings: Parameters<typeof encodeByFfmpeg>[1],
  wanted: number,
): Promise<Uint8Array> {
  let nearest: Uint8Array = new Uint8Array();
  let least = Infinity;
  let asked = wanted;
  for (let count = 0; count < MATCHES_MAX && least > MATCH_TOLERANCE; count++) {
    const bitsPerSecond = Math.max(1_000, Math.round(asked));
    const { annexB } = await encodeByFfmpeg(createFootage(), { ...settings, bitsPerSecond });
    const ratio = bitRateOf(annexB, createFootage()) / wanted;
    if (Math.abs(ratio - 1) < least) nearest = annexB;
    least = Math.min(least, Math.abs(ratio - 1));
    asked /= ratio;
  }
  return nearest;
}

async function look(annexB: Uint8Array, footage: Footage): Promise<Look> {
  const { ssim, psnr } = await measureQuality(annexB, footage);
  const mean = ssim.reduce((sum, one) => sum + one, 0) / Math.max(1, ssim.length);
  return { bitsPerSecond: bitRateOf(annexB, footage), ssim: mean, psnr: meanPsnr(psnr) };
}

function addLook(
  add: AddMeasurement,
  name: string,
  label: string,
  { bitsPerSecond, ssim, psnr }: Look,
): void {
  add(`${name}.rate`, `${label}, bit rate`, bitsPerSecond / 1e6, "Mbit/s");
  add(`${name}.ssim`, `${label}, SSIM of luma`, ssim);
  add(`${name}.psnr`, `${label}, PSNR of luma`, psnr, "dB");
}
