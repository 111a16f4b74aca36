/** What the edge makes of the heads of the contract's answers. */
import { describe, expect, test } from "bun:test";
import { FAILURE_MS, readHead } from "./stored.ts";

function read(headers: Record<string, string>, status = 200): ReturnType<typeof readHead> {
  const times = { requestedMs: 0, receivedMs: 0, receivedWallMs: 0 };
  return readHead({ status, headers: new Headers(headers), ...times });
}

describe("readHead()", () => {
  test.each([
    ["max-age=60", 60_000, 0],
    ["public, Max-Age=60, immutable", 60_000, 0],
    ['max-age="60"', 60_000, 0],
    ["max-age=60, s-maxage=5", 5_000, 0],
    ["max-age=1, stale-while-revalidate=9", 1_000, 9_000],
    // What is no directive, or in quotes, is none.
    ['x="max-age=60"', 0, 0],
    ["xmax-age=60", 0, 0],
    ["max-age=60x", 0, 0],
    ["max-age=-1", 0, 0],
    ["public", 0, 0],
    ["", 0, 0],
    ["max-age=60, no-store", 0, 0],
    ["max-age=60, no-cache", 0, 0],
    ['max-age=60, no-cache="set-cookie"', 0, 0],
    ["max-age=60, private", 0, 0],
  ])("reads %p", (cacheControl, freshMs, revalidateMs) => {
    const head = read({ "cache-control": cacheControl });
    expect([head.freshMs, head.revalidateMs]).toEqual([freshMs, revalidateMs]);
  });

  test("media without a lifetime are not kept, whatever else would allow it", () => {
    const others = {
      "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
      expires: "Thu, 01 Jan 2099 00:00:00 GMT",
    };
    expect(read({ "content-type": "video/mp4", ...others }).freshMs).toBe(0);
  });

  test("failures are kept for a moment, whatever they say", () => {
    const head = read({ "cache-control": "max-age=60, stale-while-revalidate=9" }, 404);
    expect([head.freshMs, head.revalidateMs]).toEqual([FAILURE_MS, 0]);
  });

  test.each([
    ["7", 7_000],
    ["7, 9", 7_000],
    ["-7", 0],
    ["x", 0],
  ])("of Age %p", (age, ageMs) => expect(read({ age }).ageAtArrivalMs).toBe(ageMs));
});
