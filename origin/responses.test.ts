/** Media as they go out: whole, a range, not modified; cache headers. */
import { describe, expect, test } from "bun:test";
import { emptyCounts } from "./live-answers.ts";
import { mediaResponse } from "./responses.ts";

describe("mediaResponse()", () => {
  const answer = (headers: Record<string, string>, method = "GET", late = { bytes: 10, isLate: false }) =>
    mediaResponse(new Request("http://origin/x", { headers, method }), {
      name: "r-1.m4s",
      bytes: new Uint8Array(late.bytes),
      kind: "segment",
      sent: emptyCounts(),
      isLate: late.isLate,
    });

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
    expect(response.headers.get("cache-control")).toBe(
      status === 416 ? "no-store" : "public, max-age=3600, immutable",
    );
    expect(response.headers.get("etag")).toBe('"r-1.m4s"');
  });

  test.each(["bytes=2-4", "bytes=10-"])("51, 52: HEAD has no ranges, so %p is the whole", (range) => {
    const response = answer({ range }, "HEAD");
    expect([response.status, response.headers.get("content-length")]).toEqual([200, "10"]);
  });

  test.each([
    [20_000, false],
    [20_000, true],
    [10, true],
  ])("of %d bytes, waited for: %p", async (bytes, isLate) => {
    const response = answer({}, "GET", { bytes, isLate });
    expect((await response.bytes()).length).toBe(bytes);
  });
});
