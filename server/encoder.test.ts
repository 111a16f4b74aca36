/** The picture that the real encoder makes: what it costs, how good it is, and its colours. */
import { describe, expect, test } from "bun:test";
import type { EncodedFrame } from "#common/formats/frame.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { avcCodecs, readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import { createRandomBelow } from "#common/random.ts";
import { Encoder } from "./encoder.ts";
import { loadAv } from "./encoder-av.ts";
import { planRenditions, readRendition } from "./renditions.ts";

const WIDTH = 160;
const HEIGHT = 96;
const FPS = 15;
const av = await loadAv();

/** Encodes so many seconds; `paint` changes the pixels before each frame. Frames and Annex B by rendition. */
function encode(
  ladder: readonly string[],
  seconds: number,
  paint: (pixels: Uint8Array, index: number) => void,
) {
  const memory = new SharedArrayBuffer(WIDTH * HEIGHT * 4);
  const canvas = { memory, byteOffset: 0, width: WIDTH, height: HEIGHT };
  const renditions = planRenditions({ ...canvas, fps: FPS }, ladder.map(readRendition));
  const takenReports = new SharedArrayBuffer(4);
  const encoder = new Encoder(av, {
    canvas,
    fps: FPS,
    preset: "superfast",
    renditions,
    startFrame: 0,
    startTimeMsMin: 0,
    takenReports,
  });
  try {
    const frames = Array.from({ length: seconds * FPS }, (_, index) => {
      paint(new Uint8Array(memory), index);
      const made: EncodedFrame[] = [];
      encoder.encode({ index, isRepeat: false, captureTimeMs: 0 }, (frame) => made.push(frame));
      return made;
    });
    return renditions.map((plan, position) => {
      const config = readAvcConfig(encoder.configs[position] ?? new Uint8Array());
      if (config === undefined) throw new Error("x264 gave no configuration");
      const own = frames.map((all) => all[position]?.data ?? new Uint8Array());
      const units = [
        ...config.sequenceParameterSets,
        ...config.pictureParameterSets,
        ...own.flatMap((data) => [...(splitNalUnits(data) ?? [])]),
      ];
      const annexB = joinBytes(units.flatMap((unit) => [Uint8Array.of(0, 0, 0, 1), unit]));
      return { plan, config, annexB, bits: own.map((data) => 8 * data.length) };
    });
  } finally {
    encoder.close();
  }
}

function sumsOfSeconds(bits: readonly number[]): number[] {
  return Array.from({ length: bits.length / FPS }, (_, second) =>
    bits.slice(second * FPS, (second + 1) * FPS).reduce((sum, one) => sum + one, 0),
  );
}

const noise = createRandomBelow(1);
const paintNoise = (pixels: Uint8Array): void => {
  for (let at = 0; at < pixels.length; at++) pixels[at] = noise(256);
};
const paintOnce = (pixels: Uint8Array, index: number): void => {
  if (index === 0) paintNoise(pixels);
};

describe("Encoder keeps every second within the bit rate", () => {
  test.each<[string, (pixels: Uint8Array, index: number) => void]>([
    ["noise", paintNoise],
    ["a still canvas", paintOnce],
    ["noise that comes and goes", (pixels, index) => void (index % 20 < 7 && paintNoise(pixels))],
  ])("16: %s, at a good rate, a poor one, and the least", (_, paint) => {
    for (const { plan, bits } of encode(["160x96@800", "160x96@200", "80x48@50"], 5, paint)) {
      for (const sum of sumsOfSeconds(bits)) expect(sum).toBeLessThanOrEqual(plan.bitsPerSecondMax);
    }
  });
});

describe.skipIf(Bun.which("ffmpeg") === null)("Encoder's picture, as ffmpeg decodes it,", () => {
  test("16: is signalled as BT.709 of limited range", async () => {
    const [full] = encode(["160x96@800"], 1, paintOnce);
    if (full === undefined) throw new Error("no rendition");
    const entries = "stream=color_range,color_space,color_transfer,color_primaries";
    const probe = ["ffprobe", "-v", "error", "-f", "h264", "-show_entries", entries, "-of", "csv=p=0", "-"];
    const process = Bun.spawn(probe, { stdin: full.annexB });
    expect((await new Response(process.stdout).text()).trim()).toBe("tv,bt709,bt709,bt709");
    expect(avcCodecs(full.config)).toStartWith("avc1.");
  });

  test("shows single pixels of an enlarged still canvas in their colour", async () => {
    const colours = [0xff0000, 0x00ff00, 0x0000ff, 0xffffff, 0x000000, 0xffff00, 0x4080c0, 0xc04080];
    const colourAt = (pixel: number): number => colours[(pixel * 7 + ((pixel / WIDTH) | 0) * 3) % 8] ?? 0;
    const [double] = encode(["320x192@6000"], 3, (pixels, index) => {
      if (index > 0) return;
      for (let pixel = 0; pixel < WIDTH * HEIGHT; pixel++) {
        const colour = colourAt(pixel);
        pixels.set([colour >> 16, (colour >> 8) & 0xff, colour & 0xff], pixel * 4);
      }
    });
    const shown = await decodeLast(double?.annexB ?? new Uint8Array(), 3 * FPS - 2);
    let worst = 0;
    for (let y = 0; y < 2 * HEIGHT; y++) {
      for (let x = 0; x < 2 * WIDTH; x++) {
        const colour = colourAt((y >> 1) * WIDTH + (x >> 1));
        const at = (y * 2 * WIDTH + x) * 3;
        for (const [channel, shift] of [16, 8, 0].entries()) {
          worst = Math.max(worst, Math.abs((shown[at + channel] ?? 0) - ((colour >> shift) & 0xff)));
        }
      }
    }
    expect(worst).toBeLessThanOrEqual(3);
  });
});

/** Frame `index` as RGB. */
async function decodeLast(annexB: Uint8Array, index: number): Promise<Uint8Array> {
  const filter = `select=eq(n\\,${index}),scale=flags=neighbor+accurate_rnd+full_chroma_int:in_color_matrix=bt709,format=rgb24`;
  const command = ["ffmpeg", "-v", "error", "-f", "h264", "-i", "-", "-vf", filter, "-frames:v", "1", "-f"];
  const process = Bun.spawn([...command, "rawvideo", "-"], { stdin: annexB });
  return new Response(process.stdout).bytes();
}
