/** The slate as it looks: words where they belong, at every size. */
import { describe, expect, test } from "bun:test";
import { decodeH264 } from "#common/formats/fixtures/decode-h264.ts";
import { plainSps } from "#common/formats/fixtures/plain-sps.ts";
import { writeFlatPicture, writePictureParameters } from "#common/formats/h264-writer.ts";
import { drawSlate, type SlateSize } from "#common/formats/slate-picture.ts";

const WORDS = {
  title: "NO SIGNAL",
  messages: ["WAITING FOR THE CANVAS SINCE 12:34 UTC", "WAITING FOR THE CANVAS"],
};
const SIZES: readonly (readonly [number, number])[] = [
  [64, 64],
  [160, 90],
  [320, 180],
  [854, 480],
  [1280, 720],
  [1920, 1080],
];

/** The blocks that are shown, a line for a row: `#` for the title, `+` for the message, `o` for squares. */
function sketch(size: SlateSize): string[] {
  const { luma, blue } = drawSlate(size, WORDS);
  const stride = Math.ceil(size.width / 16) * 4;
  const rows: string[] = [];
  for (let y = 0; y < Math.floor(size.height / 4); y++) {
    let row = "";
    for (let x = 0; x < Math.floor(size.width / 4); x++) {
      const value = luma[y * stride + x];
      const hue = blue[(y >> 1) * (stride / 2) + (x >> 1)];
      row += hue !== 136 ? "o" : value === 224 ? "#" : value === 160 ? "+" : value === 32 ? " " : "?";
    }
    rows.push(row);
  }
  return rows;
}

describe("drawSlate()", () => {
  test("writes title, squares and message one below the other, in the middle", () => {
    const rows = sketch({ width: 320, height: 180 });
    expect(rows.slice(6, 13)).toEqual(
      [
        "#   #  ###         ###   ###   ###  #   #  ###  #",
        "#   # #   #       #   #   #   #   # #   # #   # #",
        "##  # #   #       #       #   #     ##  # #   # #",
        "# # # #   #        ###    #   # ### # # # ##### #",
        "#  ## #   #           #   #   #   # #  ## #   # #",
        "#   # #   #       #   #   #   #   # #   # #   # #",
        "#   #  ###         ###   ###   ###  #   # #   # #####",
      ].map((line) => `${" ".repeat(13)}${line}`.padEnd(80)),
    );
    const kinds = rows.map((row) => row.trim()[0] ?? " ").join("");
    expect(kinds).toMatch(/^ +#{7} +oo +\+{7} {3}\+{7} +$/);
  });

  test.each(SIZES.slice(1))("leaves a margin at %p x %p", (width, height) => {
    const rows = sketch({ width, height });
    const inked = rows.map((row) => row.trim() !== "");
    expect(rows.join("")).not.toContain("?");
    expect(rows.join("")).toContain("#");
    for (const row of rows) expect(`${row[0]}${row.at(-1)}`).toBe("  ");
    expect(inked.at(0)).toBe(false);
    expect(inked.at(-1)).toBe(false);
    expect(Math.abs(inked.indexOf(true) - (rows.length - 1 - inked.lastIndexOf(true)))).toBeLessThan(4);
  });

  test.each(SIZES)("decodes and takes little at %p x %p", async (width, height) => {
    const { sps, format } = plainSps({ width, height });
    const context = { format, pictureId: 1 };
    const unit = writeFlatPicture(context, drawSlate({ width, height }, WORDS), 0);
    // One a second, beside 29 pictures of 10 bytes: a tenth of what such sizes are encoded with.
    expect(unit.length).toBeLessThan(1000 + (width * height) / 50);
    const planes = await decodeH264([sps, writePictureParameters(1, 0), unit]);
    expect(planes.length).toBe((width * height * 3) / 2);
    expect(planes[0]).toBe(32);
    expect(planes).toContain(224);
  });
});
