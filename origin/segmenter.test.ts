/** Where parts and segments begin and end. */
import { describe, expect, test } from "bun:test";
import { type CutFrame, type CutPart, Segmenter } from "./segmenter.ts";

/** What a segmenter of 6-frame segments and `partFrames` makes of frames; key frames at multiples of 3. */
function cut(
  numbers: readonly number[],
  partFrames = 2,
  keyEvery = 3,
): { parts: string[]; segmenter: Segmenter<CutFrame> } {
  const parts: string[] = [];
  const segmenter = new Segmenter<CutFrame>({
    segmentFrames: 6,
    partFrames,
    onPart(part: CutPart<CutFrame>) {
      const numbers = part.frames.map((frame) => frame.number).join(" ");
      parts.push(`${part.segmentNumber}.${part.part}: ${numbers}${part.isLast ? " last" : ""}`);
    },
    onEnd: () => void parts.push("end"),
    onHole: () => void parts.push("hole"),
  });
  for (const number of numbers) segmenter.push({ number, isKey: number % keyEvery === 0 });
  return { parts, segmenter };
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);

describe("Segmenter", () => {
  test("20, 28: cuts on the grid of frame numbers; the last part may be shorter and ends its segment", () => {
    expect(cut(range(12, 19)).parts).toEqual(["2.0: 12 13", "2.1: 14 15", "2.2: 16 17 last"]);
    expect(cut(range(6, 12), 4).parts).toEqual(["1.0: 6 7 8 9", "1.1: 10 11 last"]);
  });

  test("begins at the first whole segment", () => {
    expect(cut(range(3, 10)).parts).toEqual(["1.0: 6 7", "1.1: 8 9"]);
  });

  test("14: a hole leaves the segment as it is; the next one begins on the grid", () => {
    expect(cut([6, 7, 8, 10, 11, 12, 13]).parts).toEqual(["1.0: 6 7", "hole", "2.0: 12 13"]);
  });

  test("45: a segment without a key frame at its start is left out", () => {
    expect(cut([...range(0, 9), 12, 13], 3, 12).parts).toEqual(["0.0: 0 1 2", "0.1: 3 4 5 last"]);
  });

  test("finish() publishes what is left", () => {
    const { parts, segmenter } = cut([6, 7, 8]);
    segmenter.finish();
    segmenter.finish();
    expect(parts).toEqual(["1.0: 6 7", "1.1: 8 last", "end", "end"]);
  });
});
