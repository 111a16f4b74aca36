/** How good the picture is at the sizes and bit rates that a server has by default, as ffmpeg measures it. */
import { describe, expect, test } from "bun:test";
import { bitsOfSeconds, encodeCanvas, type EncodedCanvas, toAnnexB } from "../bench/canvas-encoder.ts";
import { createScene, type PaintFrame } from "../bench/canvas-scenes.ts";
import { measureQuality, type Quality } from "../bench/ffmpeg.ts";
import { loadAv } from "./encoder-av.ts";

const SIZE = { width: 1280, height: 720, fps: 30 };
const FPS = SIZE.fps;
const av = await loadAv();

/** Encodes seconds of a canvas; `createPaint` makes the same pictures each time. */
function encode(seconds: number, createPaint: () => PaintFrame, ladder: readonly string[] = []) {
  const options = { ...SIZE, frames: seconds * FPS };
  const paint = createPaint();
  return encodeCanvas({ av, ...options, ladder, preset: "superfast", paint });
}

async function judge(encoded: EncodedCanvas, createPaint: () => PaintFrame): Promise<Quality> {
  const [full] = encoded.renditions;
  if (full === undefined) throw new Error("no rendition");
  const footage = { ...SIZE, frames: full.frames.length, paint: createPaint() };
  return measureQuality(toAnnexB(full), footage);
}

/** Noise until `frame`, then pictures and text. */
function createSettling(frame: number): PaintFrame {
  const [still, noise] = [createScene("still", SIZE), createScene("noise", SIZE)];
  return (pixels, index) => {
    if (index < frame) noise(pixels, index);
    else if (index === frame) still(pixels, 0);
  };
}

/** Spells of noise and of a picture, whose ends fall anywhere in a second. */
function createSpells(): PaintFrame {
  const [still, noise] = [createScene("still", SIZE), createScene("noise", SIZE)];
  return (pixels, index) => {
    if (index % 37 < 20) noise(pixels, index);
    else if (index % 37 === 20) still(pixels, 0);
  };
}

/** The largest sum of a run of segments that lasts 0.5 to 1.5 target durations, as bits a second. */
function peakOf(bits: readonly number[], segmentSeconds: number, targetSeconds: number): number {
  const segments: number[] = [];
  for (const [second, sum] of bits.entries()) {
    const index = Math.floor(second / segmentSeconds);
    segments[index] = (segments[index] ?? 0) + sum;
  }
  const longest = Math.floor((1.5 * targetSeconds) / segmentSeconds);
  const runs = segments.flatMap((_, from) =>
    Array.from({ length: longest }, (_length, more) => segments.slice(from, from + more + 1)),
  );
  return Math.max(
    ...runs.map((run) => run.reduce((sum, one) => sum + one, 0) / (run.length * segmentSeconds)),
  );
}

describe("16: no run of segments exceeds the bit rate that both playlists declare", () => {
  test.each<[string, () => PaintFrame]>([
    ["noise", () => createScene("noise", SIZE)],
    ["a still canvas", () => createScene("still", SIZE)],
    ["a flood", () => createScene("flood", SIZE)],
    ["spells of noise", createSpells],
  ])("%s, full and half size", (_, createPaint) => {
    const { renditions } = encode(4, createPaint);
    expect(renditions.length).toBe(2);
    for (const rendition of renditions) {
      const bits = bitsOfSeconds(rendition, FPS);
      const { bitsPerSecondMax } = rendition.plan;
      expect(peakOf(bits, 1, 1)).toBeLessThanOrEqual(bitsPerSecondMax);
      expect(peakOf(bits, 2, 2)).toBeLessThanOrEqual(bitsPerSecondMax);
    }
  });
});

describe.skipIf(Bun.which("ffmpeg") === null)("The picture at 1280x720 and 6 Mbit/s", () => {
  test("reaches 45 dB on a still canvas of pictures and text, and does not pulse", async () => {
    const createPaint = () => createScene("still", SIZE);
    const { psnr } = await judge(encode(4, createPaint), createPaint);
    expect(psnr.length).toBe(4 * FPS);
    expect(Math.min(...psnr.slice(FPS))).toBeGreaterThan(45);
    for (let key = 2 * FPS; key < psnr.length; key += FPS) {
      expect((psnr[key - 1] ?? 0) - (psnr[key] ?? 0)).toBeLessThan(1);
    }
  });

  test("reaches 45 dB within two seconds after full noise", async () => {
    const frame = 1.5 * FPS;
    const createPaint = () => createSettling(frame);
    const { psnr } = await judge(encode(5, createPaint), createPaint);
    expect(Math.max(...psnr.slice(5, frame))).toBeLessThan(25);
    expect(Math.min(...psnr.slice(frame + 2 * FPS))).toBeGreaterThan(45);
  });

  test("is as good at the end of each second of full noise as at its beginning", async () => {
    const createPaint = () => createScene("noise", SIZE);
    const { psnr } = await judge(encode(4, createPaint), createPaint);
    const settled = psnr.slice(FPS);
    expect(Math.max(...settled) - Math.min(...settled)).toBeLessThan(1.5);
  });
});
