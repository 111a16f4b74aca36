/** The ladder: what is allowed, and the names that come of it. */
import { describe, expect, test } from "bun:test";
import { OptionError } from "#common/errors.ts";
import { ValueError } from "#common/options.ts";
import { planRenditions, readRendition } from "./renditions.ts";

describe("readRendition()", () => {
  test("reads size and bit rate", () => {
    expect(readRendition("1280x720@6000")).toEqual({ width: 1280, height: 720, bitsPerSecondMax: 6_000_000 });
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
  ])("refuses %p", (text) => {
    expect(() => readRendition(text)).toThrow(ValueError);
  });
});

describe("planRenditions()", () => {
  const canvas = { width: 1280, height: 720 };

  test("takes the canvas at 6 Mbit/s where nothing is asked for", () => {
    expect(planRenditions(canvas, [])).toEqual([
      { trackId: 1, name: "720p", width: 1280, height: 720, bitsPerSecondMax: 6_000_000 },
    ]);
  });

  test("rounds odd sides up", () => {
    expect(planRenditions({ width: 801, height: 599 }, [])[0]).toMatchObject({
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

  test.each([["640x360@800"], ["1280x1440@800"], ["1920x1080@800"], ["1280x720@800,1280x720@800"]])(
    "refuses the ladder %p for a canvas of 1280x720",
    (ladder) => {
      expect(() => planRenditions(canvas, ladder.split(",").map(readRendition))).toThrow(OptionError);
    },
  );
});
