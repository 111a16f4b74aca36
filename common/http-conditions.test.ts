/** Encodings, conditions and ranges, as requests ask for them. */
import { expect, test } from "bun:test";
import { acceptsGzip, matchesEtag, readRange } from "#common/http-conditions.ts";

test.each([
  [null, false],
  ["", false],
  ["gzip", true],
  ["x-gzip", true],
  ["deflate, GZIP;q=0.5", true],
  ["gzip;q=0", false],
  ["gzip; q=0.000, *", false],
  ["gzip;q=many", false],
  ["*", true],
  ["*;q=0", false],
  ["*;q=0, gzip", true],
  ["identity", false],
  ["gzipped", false],
  ["br", false],
])("49: acceptsGzip(%p) is %p", (header, expected) => expect(acceptsGzip(header)).toBe(expected));

test.each([
  [null, false],
  ['"a"', true],
  ['"b", "a"', true],
  ['W/"a"', true],
  ["*", true],
  [" * ", true],
  ['"b"', false],
])("50: matchesEtag(%p) is %p", (header, expected) => expect(matchesEtag(header, '"a"')).toBe(expected));

test.each([
  ['"a,b"', '"a,b"', true],
  ['"x", W/"a,b"', '"a,b"', true],
  ['"a", "b"', '"a,b"', false],
  ['"a,b"', '"b"', false],
  ['"a"', 'W/"a"', true],
  ['W/"a"', 'W/"a"', true],
  ['W/"b"', 'W/"a"', false],
])("matchesEtag(%p) of %p is %p", (header, etag, expected) =>
  expect(matchesEtag(header, etag)).toBe(expected),
);

test("matchesEtag() of an answer without a tag is false", () => {
  expect(matchesEtag("*", "")).toBe(false);
  expect(matchesEtag("", "")).toBe(false);
});

test.each([
  [null, undefined],
  ["bytes=0-", { start: 0, end: 10 }],
  ["bytes=2-3", { start: 2, end: 4 }],
  ["Bytes = 2 - 3", { start: 2, end: 4 }],
  ["bytes=2-99", { start: 2, end: 10 }],
  ["bytes=-3", { start: 7, end: 10 }],
  ["bytes=-9999", { start: 0, end: 10 }],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=10-", "unsatisfiable"],
  ["bytes=3-2", undefined],
  ["bytes=-", undefined],
  ["bytes=0-1,3-4", undefined],
  ["items=0-1", undefined],
  ["bytes=1e3-", undefined],
  ["bytes=99999999999999999999-", "unsatisfiable"],
  ["bytes=2-18446744073709551615", { start: 2, end: 10 }],
  ["bytes=-18446744073709551615", { start: 0, end: 10 }],
] as const)("52: readRange(%p) of 10 bytes", (header, expected) =>
  expect(readRange(header, 10)).toEqual(expected as ReturnType<typeof readRange>),
);

test.each(["bytes=0-", "bytes=-3"])("52: readRange(%p) of nothing is unsatisfiable", (header) =>
  expect(readRange(header, 0)).toBe("unsatisfiable"),
);
