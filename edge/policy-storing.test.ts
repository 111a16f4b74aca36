/** What of an answer is kept, and what a later one changes of that. */
import { describe, expect, test } from "bun:test";
import { storedHeadOf, updatedHeadOf } from "./policy-storing.ts";
import type { ResponseHead } from "./response-head.ts";

function headOf(fields: readonly (readonly [string, string])[], status = 200, receivedMs = 0): ResponseHead {
  const headers = new Headers(fields.map(([name, value]) => [name, value]));
  return { status, headers, requestedMs: receivedMs, receivedMs, receivedWallMs: receivedMs };
}

const entriesOf = (head: ResponseHead | undefined) => head && [...head.headers];

describe("storedHeadOf()", () => {
  test("leaves behind what the answer says is not for others", () => {
    const head = headOf([
      ["cache-control", 'no-cache="x-a, X-B", private="set-cookie", max-age=9'],
      ["set-cookie", "a=b"],
      ["x-a", "1"],
      ["x-b", "2"],
      ["x-c", "3"],
    ]);
    expect(entriesOf(storedHeadOf(head))?.slice(1)).toEqual([["x-c", "3"]]);
    expect(head.headers.has("x-a")).toBe(true);
  });

  test("names that cannot be a header's are no harm", () => {
    const head = headOf([["cache-control", 'private="a b, \u00fc, c", max-age=9']]);
    expect(entriesOf(storedHeadOf(head))?.length).toBe(1);
  });
});

const STORED = headOf([
  ["age", "30"],
  ["cache-control", "max-age=2"],
  ["content-encoding", "gzip"],
  ["content-length", "36"],
  ["etag", '"a"'],
  ["set-cookie", "a=1"],
  ["x-kept", "1"],
]);

describe("updatedHeadOf()", () => {
  test("a 304 changes what it names, but nothing about the stored bytes", () => {
    const newer = headOf(
      [
        ["cache-control", "max-age=3600"],
        ["content-encoding", "br"],
        ["content-length", "0"],
        ["content-foo", "2"],
        ["etag", 'W/"a"'],
        ["set-cookie", "a=2"],
        ["set-cookie", "b=2"],
      ],
      304,
      5,
    );
    const updated = updatedHeadOf(STORED, newer);
    expect(entriesOf(updated)?.toSorted()).toEqual([
      ["cache-control", "max-age=3600"],
      ["content-encoding", "gzip"],
      ["content-foo", "2"],
      ["content-length", "36"],
      ["etag", 'W/"a"'],
      ["set-cookie", "a=2"],
      ["set-cookie", "b=2"],
      ["x-kept", "1"],
    ]);
    expect([updated?.status, updated?.receivedMs]).toEqual([200, 5]);
    expect(STORED.headers.get("age")).toBe("30");
  });

  test("an answer about another representation updates nothing", () => {
    const isUpdated = (status: number, name: string, value: string): boolean =>
      updatedHeadOf(STORED, headOf([[name, value]], status)) !== undefined;
    expect(isUpdated(304, "etag", '"b"')).toBe(false);
    expect(isUpdated(304, "x", "y")).toBe(true);
    expect(isUpdated(200, "etag", '"b"')).toBe(false);
    expect(isUpdated(200, "content-length", "37")).toBe(false);
    expect(isUpdated(200, "content-length", "36")).toBe(true);
    expect(isUpdated(410, "etag", '"a"')).toBe(false);
  });
});
