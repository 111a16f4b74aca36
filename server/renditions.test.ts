/** The ladder: what is allowed, and the names that come of it. */
import { describe, expect, test } from "bun:test";
import { OptionError } from "#common/errors.ts";
import { RENDITIONS_MAX } from "#common/formats/frame.ts";
import { BOX_BYTES_MAX } from "#common/formats/mp4-boxes.ts";
import { ValueError } from "#common/options.ts";
import { planRenditions, readRendition, SIDE_MAX } from "./renditions.ts";

describe("readRendition()", () => {
  test("reads size, bit rate and preset", () => {
    const size = { width: 1280, height: 720, bitsPerSecondMax: 6_000_000 };
    expect(readRendition("1280x720@6000")).toEqual({ ...size, preset: undefined });
    expect(readRendition("1280x720@6000:veryfast")).toEqual({ ...size, preset: "veryfast" });
  });

  test.each([
    "",
    "1280x720",
    "1280x721@600",
    "14x720@600",
    "9000x720@600",
    "1280x720@49",
    "1280x720@200001",
    "-2x2@99",
    "1280x720@6000:",
    "1280x720@6000:placebo",
  ])("refuses %p", (text) => {
    expect(() => readRendition(text)).toThrow(ValueError);
  });
});

describe("planRenditions()", () => {
  const canvas = { width: 1280, height: 720, fps: 30 };

  test("takes the canvas at 6 Mbit/s and half of it at 1.5 where nothing is asked for", () => {
    expect(planRenditions(canvas, [])).toEqual([
      { trackId: 1, name: "720p", width: 1280, height: 720, bitsPerSecondMax: 6_000_000, preset: undefined },
      { trackId: 2, name: "360p", width: 640, height: 360, bitsPerSecondMax: 1_500_000, preset: undefined },
    ]);
  });

  test.each([
    [801, 599, "802x600 402x300"],
    [18, 16, "18x16"],
    [34, 30, "34x30 18x16"],
    [30, 28, "30x28"],
  ])("halves %d x %d to even sides, where that leaves enough", (width, height, sizes) => {
    const ladder = planRenditions({ width, height, fps: 30 }, []);
    expect(ladder.map((plan) => `${plan.width}x${plan.height}`).join(" ")).toBe(sizes);
  });

  test("rounds odd sides up", () => {
    expect(planRenditions({ width: 801, height: 599, fps: 30 }, [])[0]).toMatchObject({
      width: 802,
      height: 600,
      name: "600p",
    });
  });

  test("numbers tracks from 1 and names by height, with the bit rate where heights are alike", () => {
    const asked = ["2560x1440@9000", "640x360@800", "640x360@400"].map(readRendition);
    expect(planRenditions(canvas, asked).map(({ trackId, name }) => `${trackId} ${name}`)).toEqual([
      "1 1440p",
      "2 360p-800k",
      "3 360p-400k",
    ]);
  });

  test("refuses more renditions than a reader of the feed takes", () => {
    const ladder = (count: number) =>
      Array.from({ length: count }, (_, index) => readRendition(`1280x720@${6000 - index}`));
    expect(planRenditions(canvas, ladder(RENDITIONS_MAX)).length).toBe(RENDITIONS_MAX);
    expect(() => planRenditions(canvas, ladder(RENDITIONS_MAX + 1))).toThrow(OptionError);
  });

  test("refuses a picture that no level of H.264 allows, asked for or not", () => {
    const largest = { width: SIDE_MAX, height: 4352 };
    expect(planRenditions({ ...largest, fps: 30 }, [])[0]).toMatchObject(largest);
    expect(() => planRenditions({ width: SIDE_MAX, height: 4354, fps: 30 }, [])).toThrow(OptionError);
    expect(() => planRenditions(canvas, [readRendition("8192x4608@6000")])).toThrow(OptionError);
  });

  test("keeps the longest key frame shorter than the longest box of the feed", () => {
    // Rate control lets a key frame take nine tenths of its second; the rest is for what is around it.
    expect(readRendition("16x16@200000").bitsPerSecondMax / 8).toBeLessThan(BOX_BYTES_MAX);
  });

  test.each([
    ["640x360@800", "640x360"],
    ["1280x1440@800", "1280x1440"],
    ["1920x1080@800", "1920x1080"],
    ["1280x720@800,1280x720@800", "720p-800k"],
    ["1280x720@120", "1280x720"],
    ["1280x720@6000,1920x1080@800", "1920x1080"],
    ["1280x720@6000,2560x720@800", "2560x720"],
  ])("refuses the ladder %p for a canvas of 1280x720, and names %s", (ladder, named) => {
    const plan = (): unknown => planRenditions(canvas, ladder.split(",").map(readRendition));
    expect(plan).toThrow(OptionError);
    expect(plan).toThrow(named);
  });
});
