/** Compression, ranges: what a stored answer becomes for one viewer. */
import { expect, test } from "bun:test";
import { acceptsGzip, readRange } from "./answer.ts";

test("acceptsGzip() reads names, weights and the wildcard", () => {
  const cases = [
    [null, false],
    ["", false],
    ["identity", false],
    ["gzip", true],
    ["br, GZIP;q=0.5", true],
    ["gzip;q=0", false],
    ["gzip; q=0.0, *", false],
    ["*", true],
    ["*;q=0", false],
    ["*;q=0, gzip", true],
    ["gzipped", false],
  ] as const;
  for (const [header, expected] of cases) expect([header, acceptsGzip(header)]).toEqual([header, expected]);
});

test("readRange() keeps to the object, whatever is asked", () => {
  expect(readRange("bytes=-9999", 10)).toEqual({ first: 0, last: 9 });
  expect(readRange("bytes=-0", 10)).toBe("unsatisfiable");
  expect(readRange("bytes=0-", 0)).toBe("unsatisfiable");
  expect(readRange("bytes=-", 10)).toBeUndefined();
  expect(readRange("bytes=99999999999999999999-", 10)).toBeUndefined();
});
