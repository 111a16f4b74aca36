/** The small size of the parser's benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { benchPixelflutParser, PARSER_LOADS } from "./pixelflut-parser.bench.ts";

test("benchPixelflutParser() paints the same canvas whenever it runs", () => {
  const [first, second] = [1, 2].map((rounds) => benchPixelflutParser({ pixels: 5_000, rounds }));
  expect(first?.map(({ load }) => load)).toEqual([...PARSER_LOADS]);
  expect(second?.map(({ checksum }) => checksum)).toEqual(first?.map(({ checksum }) => checksum) ?? []);
  expect(new Set(first?.map(({ checksum }) => checksum)).size).toBeGreaterThan(4);
  for (const { mpxPerSecond } of first ?? []) expect(mpxPerSecond).toBeGreaterThan(0);
});
