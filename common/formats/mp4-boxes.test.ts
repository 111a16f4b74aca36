/** Splitting and writing ISO boxes. */
import { describe, expect, test } from "bun:test";
import {
  BOX_BYTES_MAX,
  BoxSplitter,
  FeedFormatError,
  findBoxContent,
  wrapBox,
} from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";

const FREE = wrapBox("free", new Uint8Array());
const DATA = wrapBox("mdat", Uint8Array.of(1, 2, 3));

function split(chunks: readonly Uint8Array[]): string[] {
  const found: string[] = [];
  const splitter = new BoxSplitter((box) => found.push(`${box.type}:${box.bytes.toHex()}`));
  for (const chunk of chunks) splitter.push(chunk);
  return found;
}

describe("BoxSplitter.push()", () => {
  const stream = joinBytes([FREE, DATA, FREE]);
  const whole = [`free:${FREE.toHex()}`, `mdat:${DATA.toHex()}`, `free:${FREE.toHex()}`];

  test("finds the same boxes at every two-way split and byte by byte", () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(split([stream.subarray(0, at), stream.subarray(at)])).toEqual(whole);
    }
    expect(split([...stream].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  test("gives each box memory of its own", () => {
    const boxes: Uint8Array[] = [];
    const bytes = new Uint8Array(DATA);
    new BoxSplitter((box) => boxes.push(box.bytes)).push(bytes);
    bytes.fill(0);
    expect(boxes).toEqual([DATA]);
  });

  test.each([
    ["a type that is no text", "0000000800010203"],
    ["a size shorter than the header", "0000000766726565"],
    ["a size to the end of the file", "0000000066726565"],
    ["a 64-bit size", "0000000166726565"],
    ["a size past the bound", `${(BOX_BYTES_MAX + 1).toString(16).padStart(8, "0")}6d646174`],
  ])("throws on %s", (_, hex) => {
    expect(() => split([Uint8Array.fromHex(hex)])).toThrow(FeedFormatError);
  });
});

describe("findBoxContent()", () => {
  const tree = joinBytes([FREE, wrapBox("moof", joinBytes([FREE, wrapBox("traf", DATA)]))]);

  test("follows a path", () => {
    expect(findBoxContent(tree, ["moof", "traf", "mdat"])).toEqual(Uint8Array.of(1, 2, 3));
    expect(findBoxContent(tree, ["moof", "trun"])).toBeUndefined();
  });

  test("throws on a box that is longer than its parent", () => {
    expect(() => findBoxContent(wrapBox("moof", DATA.subarray(0, 10)), ["moof", "traf"])).toThrow(
      FeedFormatError,
    );
  });
});
