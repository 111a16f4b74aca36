/** The small size of the parsers' benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { loadKernel } from "../../server/kernel.ts";
import { PARSER_LOADS } from "./pixelflut-parser-loads.ts";
import { benchPixelflutParser } from "./pixelflut-parser.bench.ts";

test("benchPixelflutParser() leaves the same with both parsers, whenever it runs", async () => {
  const kernel = await loadKernel();
  const [first = [], second = []] = [1, 2].map((rounds) =>
    benchPixelflutParser(kernel, { commands: 5_000, rounds }),
  );
  expect(first.map(({ load }) => load)).toEqual([...PARSER_LOADS]);
  const checksums = first.map(({ plain }) => plain.checksum);
  expect(first.map(({ kernel }) => kernel.checksum)).toEqual(checksums);
  expect(second.map(({ kernel }) => kernel.checksum)).toEqual(checksums);
  expect(new Set(checksums).size).toBeGreaterThan(10);
  for (const { plain, kernel } of first) {
    expect(plain.mpxPerSecond).toBeGreaterThan(0);
    expect(kernel.gbitPerSecond).toBeGreaterThan(0);
  }
});
