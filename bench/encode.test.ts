/** The comparison of encoders at a small size, and what it says where it cannot run. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { CANVAS_SCENES, createScene } from "./canvas-scenes.ts";
import { runBench } from "./main.ts";

const SMALL = [
  "--width",
  "160",
  "--height",
  "96",
  "--fps",
  "15",
  "--kbit",
  "400",
  "--seconds",
  "1",
  "--rounds",
  "1",
];

async function run(...args: string[]): Promise<string> {
  let text = "";
  const output = { progress() {}, table: (table: string) => void (text += table) };
  await runBench(["encode", ...args], { signal: new AbortController().signal, clock: systemClock, output });
  return text;
}

describe.skipIf(Bun.which("ffmpeg") === null)("bench encode", () => {
  test("compares each scene with ffmpeg", async () => {
    const text = await run(...SMALL);
    for (const scene of CANVAS_SCENES) {
      for (const what of [
        "ours, processor time",
        "ratio of processor time",
        "ours, SSIM of luma",
        "ffmpeg, at our bits, PSNR of luma",
      ]) {
        expect(text).toContain(`${scene}: ${what}`);
      }
    }
    const shares = [...text.matchAll(/largest second of the bit rate +([\d.]+)/g)].map(([, share]) =>
      Number(share),
    );
    expect(shares.length).toBe(CANVAS_SCENES.length);
    expect(Math.max(...shares)).toBeLessThanOrEqual(1);
    expect(Number(/still: ours, SSIM of luma +([\d.]+)/.exec(text)?.[1])).toBeGreaterThan(0.9);
  });
});

test("bench encode says that there is no ffmpeg", async () => {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nowhere";
  try {
    await expect(run(...SMALL)).rejects.toEqual(
      new StartError("no-ffmpeg", "Cannot run ffmpeg: no such program in PATH (package ffmpeg)"),
    );
  } finally {
    process.env["PATH"] = path;
  }
});

test("createScene() paints the same pictures each time, and a flood all of one over another", () => {
  const size = { width: 64, height: 50, fps: 10 };
  const frameOf = (scene: (typeof CANVAS_SCENES)[number], last: number): Uint32Array => {
    const paint = createScene(scene, size);
    const pixels = new Uint32Array(size.width * size.height);
    for (let index = 0; index <= last; index++) paint(pixels, index);
    return pixels;
  };
  for (const scene of CANVAS_SCENES) expect(frameOf(scene, 3)).toEqual(frameOf(scene, 3));
  expect(frameOf("still", 5)).toEqual(frameOf("still", 0));
  expect(frameOf("noise", 1)).not.toEqual(frameOf("noise", 0));
  const [before, halfway, after] = [frameOf("flood", 0), frameOf("flood", 10), frameOf("flood", 19)];
  expect(halfway).not.toEqual(before);
  // The second time it goes back.
  expect(frameOf("flood", 39)).toEqual(frameOf("still", 0));
  expect(after).not.toEqual(frameOf("still", 0));
});
