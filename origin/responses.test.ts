/** Ranges, conditions, encodings and cache headers. */
import { describe, expect, test } from "bun:test";
import { acceptsGzip, matchesEtag, mediaResponse, readRange } from "./responses.ts";

test.each([
  [null, false],
  ["", false],
  ["gzip", true],
  ["deflate, GZIP;q=0.5", true],
  ["gzip;q=0", false],
  ["gzip; q=0.000, *", false],
  ["*", true],
  ["*;q=0", false],
  ["identity", false],
  ["br", false],
])("49: acceptsGzip(%p) is %p", (header, expected) => expect(acceptsGzip(header)).toBe(expected));

test.each([
  [null, false],
  ['"a"', true],
  ['"b", "a"', true],
  ['W/"a"', true],
  ["*", true],
  ['"b"', false],
])("matchesEtag(%p) is %p", (header, expected) => expect(matchesEtag(header, '"a"')).toBe(expected));

test.each([
  [null, undefined],
  ["bytes=0-", { start: 0, end: 10 }],
  ["bytes=2-3", { start: 2, end: 4 }],
  ["bytes=2-99", { start: 2, end: 10 }],
  ["bytes=-3", { start: 7, end: 10 }],
  ["bytes=-99", { start: 0, end: 10 }],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=10-", "unsatisfiable"],
  ["bytes=3-2", undefined],
  ["bytes=-", undefined],
  ["bytes=0-1,3-4", undefined],
  ["items=0-1", undefined],
  ["bytes=1e3-", undefined],
] as const)("52: readRange(%p) of 10 bytes", (header, expected) =>
  expect(readRange(header, 10)).toEqual(expected as never),
);

describe("mediaResponse()", () => {
  const answer = (headers: Record<string, string>): Response =>
    mediaResponse(new Request("http://origin/x", { headers }), "r-1.m4s", new Uint8Array(10));

  test.each([
    [{}, 200, null, "10"],
    [{ range: "bytes=2-4" }, 206, "bytes 2-4/10", "3"],
    [{ range: "bytes=10-" }, 416, "bytes */10", null],
    [{ range: "bytes=2-4", "if-range": '"other"' }, 200, null, "10"],
    [{ range: "bytes=2-4", "if-range": '"r-1.m4s"' }, 206, "bytes 2-4/10", "3"],
    [{ "if-none-match": '"r-1.m4s"' }, 304, null, null],
  ] as const)("48, 52: %p gives %d", (headers, status, range, length) => {
    const response = answer(headers);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-range")).toBe(range);
    expect(response.headers.get("content-length")).toBe(length);
    expect(response.headers.get("cache-control")).toBe("public, max-age=3600, immutable");
    expect(response.headers.get("etag")).toBe('"r-1.m4s"');
  });
});
