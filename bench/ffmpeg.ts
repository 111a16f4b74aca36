/** The `ffmpeg` program: as an encoder to compare with, and as the judge of pictures. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "#common/errors.ts";
import { BITS_PER_BYTE, MICROSECONDS_PER_SECOND } from "#common/units.ts";
import type { X264Preset } from "../server/renditions.ts";
import type { PaintFrame } from "./canvas-scenes.ts";

const PROGRAM = "ffmpeg";
const QUIET = ["-hide_banner", "-nostdin", "-v", "error"];
/** The conversion that the server makes: BT.709, limited range. */
const TO_LUMA = "scale=flags=bicubic:out_color_matrix=bt709:out_range=tv,format=yuv420p";
const PEAK_SQUARED = 255 ** 2;
/** What PSNR is said to be where a picture equals its source. */
const DECIBELS_MAX = 100;

/** A canvas over time. */
export interface Footage {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly paint: PaintFrame;
}

/** x264's settings in ffmpeg's words. */
export interface X264Settings {
  readonly preset: X264Preset;
  /** Mean bit rate that is asked for. */
  readonly bitsPerSecond: number;
  /** Of the buffer's inflow; the buffer holds one second of it. */
  readonly bitsPerSecondMax: number;
}

export interface FfmpegStream {
  /** H.264, NAL units behind start codes. */
  readonly annexB: Uint8Array<ArrayBuffer>;
  /** User and system time of the whole process. */
  readonly cpuSeconds: number;
}

/** Luma of each frame against its source. */
export interface Quality {
  readonly ssim: readonly number[];
  /** In decibels. */
  readonly psnr: readonly number[];
}

/** Throws StartError where there is no ffmpeg. */
export function requireFfmpeg(): void {
  if (Bun.which(PROGRAM, { PATH: process.env["PATH"] ?? "" }) !== null) return;
  throw new StartError("no-ffmpeg", "Cannot run ffmpeg: no such program in PATH (package ffmpeg)");
}

/** Has ffmpeg encode `footage`, which it reads as raw video, by one thread, as the server does. */
export async function encodeByFfmpeg(footage: Footage, settings: X264Settings): Promise<FfmpegStream> {
  const { preset, bitsPerSecond, bitsPerSecondMax } = settings;
  const gop = `keyint=${footage.fps}:min-keyint=${footage.fps}:scenecut=0:open-gop=0:force-cfr=1`;
  const rate = ["-b:v", bitsPerSecond, "-maxrate", bitsPerSecondMax, "-bufsize", bitsPerSecondMax].map(
    String,
  );
  const encoder = ["-c:v", "libx264", "-preset", preset, "-tune", "zerolatency", "-bf", "0", "-threads", "1"];
  const output = [...encoder, ...rate, "-x264-params", gop, "-f", "h264", "-"];
  const command = [PROGRAM, ...QUIET, ...rawInput(footage), "-vf", TO_LUMA, ...output];
  const { output: annexB, cpuSeconds } = await run(command, footage);
  return { annexB, cpuSeconds };
}

/** Compares a stream with the footage that it was made of. */
export async function measureQuality(annexB: Uint8Array, footage: Footage): Promise<Quality> {
  const path = join(tmpdir(), `spillway-${crypto.randomUUID()}.h264`);
  await Bun.write(path, annexB);
  try {
    const stream = ["-f", "h264", "-r", String(footage.fps), "-i", path];
    const filters = `[0]split[a][b];[1]${TO_LUMA},split[c][d];[a][c]psnr=stats_file=-[e];[b][d]ssim=stats_file=-[f]`;
    const both = ["-map", "[e]", "-f", "null", "-", "-map", "[f]", "-f", "null", "-"];
    const command = [PROGRAM, ...QUIET, ...stream, ...rawInput(footage), "-lavfi", filters, ...both];
    const { output } = await run(command, footage);
    const text = new TextDecoder().decode(output);
    const psnr = [...text.matchAll(/ psnr_y:(\S+)/g)].map(([, value]) =>
      value === "inf" ? DECIBELS_MAX : Number(value),
    );
    return { psnr, ssim: [...text.matchAll(/ Y:(\S+)/g)].map(([, value]) => Number(value)) };
  } finally {
    await Bun.file(path).delete();
  }
}

/** PSNR of several frames taken together, from those of each. */
export function meanPsnr(psnr: readonly number[]): number {
  const errors = psnr.map((decibels) => PEAK_SQUARED / 10 ** (decibels / 10));
  return 10 * Math.log10((PEAK_SQUARED * errors.length) / errors.reduce((sum, error) => sum + error, 0));
}

/** Mean bit rate of a stream. */
export function bitRateOf(annexB: Uint8Array, { frames, fps }: Footage): number {
  return (annexB.length * BITS_PER_BYTE * fps) / frames;
}

function rawInput({ width, height, fps }: Footage): string[] {
  return [
    "-f",
    "rawvideo",
    "-pix_fmt",
    "rgb0",
    "-s",
    `${width}x${height}`,
    "-r",
    String(fps),
    "-i",
    "pipe:0",
  ];
}

/** Runs ffmpeg with the footage on its standard input. */
async function run(command: readonly string[], footage: Footage) {
  const process = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const output = new Response(process.stdout).bytes();
  const errors = new Response(process.stderr).text();
  await feed(process.stdin, footage);
  const status = await process.exited;
  if (status !== 0) {
    throw new StartError("ffmpeg-failed", `ffmpeg ended with status ${status}: ${(await errors).trim()}`);
  }
  const microseconds = process.resourceUsage()?.cpuTime.total ?? 0n;
  return { output: await output, cpuSeconds: Number(microseconds) / MICROSECONDS_PER_SECOND };
}

/** A frame at a time: it is painted anew once it is written. */
async function feed(sink: Bun.FileSink, { width, height, frames, paint }: Footage): Promise<void> {
  const pixels = new Uint32Array(width * height);
  const bytes = new Uint8Array(pixels.buffer);
  for (let index = 0; index < frames; index++) {
    paint(pixels, index);
    await sink.write(bytes);
    await sink.flush();
  }
  await sink.end();
}
