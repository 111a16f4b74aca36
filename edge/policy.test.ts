/** The caching policy, one table: an answer, some time, another request, and what a cache does with it. */
import { describe, expect, test } from "bun:test";
import { cc, FRESH, POLICY_CASES, type Fields, type PolicyCase } from "./policy-cases.ts";
import { decide, mayServeStale, type UpstreamFailure } from "./policy.ts";
import { ageMsAt } from "./policy-freshness.ts";
import { judge, storedHeadOf } from "./policy-storing.ts";
import { varyKeyOf, varyNamesOf } from "./policy-vary.ts";
import type { ResponseHead } from "./response-head.ts";

const NOW_MS = Date.UTC(2026, 0, 15, 12);
function fieldsOf(fields: Fields): Headers {
  const headers = new Headers();
  for (const [name, value] of fields) {
    const seconds = /^@(-?\d+)$/.exec(value)?.[1];
    headers.append(
      name,
      seconds === undefined ? value : new Date(NOW_MS + Number(seconds) * 1_000).toUTCString(),
    );
  }
  return headers;
}

function headOf(answer: Fields, { status = 200, delayMs = 0 } = {}): ResponseHead {
  const headers = fieldsOf(answer);
  return { status, headers, requestedMs: -delayMs, receivedMs: 0, receivedWallMs: NOW_MS };
}

function outcomeOf({
  answer,
  status = 200,
  asked = [],
  method = "GET",
  ...row
}: PolicyCase): PolicyCase["is"] {
  const first = { method, headers: fieldsOf(asked), isHeld: false };
  const head = headOf(answer, { status });
  if (!judge(first, head).isStored) return "not kept";
  const names = varyNamesOf(head.headers);
  if (names === "*") return "not kept";
  const next = { method: row.nextMethod ?? "GET", headers: fieldsOf(row.next ?? asked), isHeld: false };
  const isMatch = varyKeyOf(names, first.headers) === varyKeyOf(names, next.headers);
  return decide(next, isMatch ? storedHeadOf(head) : undefined, (row.after ?? 1) * 1_000).kind;
}

describe("decide()", () => {
  test.each(POLICY_CASES.map((row) => [row.title, row] as const))("%s", (_title, row) => {
    expect(outcomeOf(row)).toBe(row.is);
  });

  const decideOn = (headers: Record<string, string>) =>
    decide({ method: "GET", headers: new Headers(headers), isHeld: false }, undefined, 0);

  test.each([
    ["bytes=0-", { kind: "miss" }],
    ["bytes=0-0", { kind: "part", start: 0 }],
    [" Bytes = 5 - ", { kind: "part", start: 5 }],
    ["bytes=-5", { kind: "part", start: undefined }],
    ...["bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=0-", "x"].map(
      (range) => [range, { kind: "alone", why: "partial" }] as const,
    ),
  ] as const)("of what is not stored, %p: %p", (range, expected) => {
    expect(decideOn({ range })).toEqual(expected);
  });

  test.each(["if-range", "if-none-match", "if-modified-since"])("part of it with %s goes alone", (name) => {
    expect(decideOn({ range: "bytes=0-0", [name]: '"a"' })).toEqual({ kind: "alone", why: "partial" });
  });

  test("a revalidation carries the stored validators, weak ones as they are", () => {
    const head = headOf([...cc("max-age=0"), ["ETag", 'W/"a"'], ["Last-Modified", "@-9"]]);
    expect(decide({ method: "GET", headers: new Headers(), isHeld: false }, head, 1)).toEqual({
      kind: "revalidate",
      conditions: {
        "if-none-match": 'W/"a"',
        "if-modified-since": new Date(NOW_MS - 9_000).toUTCString(),
      },
    });
  });
});

describe("judge()", () => {
  const verdictOf = (answer: Fields) =>
    judge({ method: "GET", headers: new Headers(), isHeld: false }, headOf(answer));
  test("what has to be asked about again is kept and not shared", () => {
    expect(verdictOf([...cc("no-cache"), ["ETag", '"a"']])).toEqual({ isShared: false, isStored: true });
    expect(verdictOf(FRESH)).toEqual({ isShared: true, isStored: true });
    expect(verdictOf([...cc("max-age=0"), ["ETag", '"a"']])).toEqual({ isShared: false, isStored: true });
  });

  test("what took longer to come than it lives is for all who waited, and not kept", () => {
    const verdictAfter = (answer: Fields) =>
      judge({ method: "GET", headers: new Headers(), isHeld: false }, headOf(answer, { delayMs: 1_500 }));
    expect(verdictAfter(cc("max-age=1"))).toEqual({ isShared: true, isStored: false });
    expect(verdictAfter([...cc("max-age=1"), ["Age", "1"]])).toEqual({ isShared: false, isStored: false });
    expect(verdictAfter(cc("max-age=0"))).toEqual({ isShared: false, isStored: false });
    expect(verdictAfter(cc("max-age=2"))).toEqual({ isShared: true, isStored: true });
  });

  test("what has a validator and no lifetime is for all who ask at the same moment", () => {
    expect(verdictOf([["ETag", '"a"']])).toEqual({ isShared: true, isStored: true });
    expect(verdictOf([])).toEqual({ isShared: false, isStored: false });
  });
});

const STALE_CASES: readonly (readonly [string, UpstreamFailure, number, boolean])[] = [
  ["max-age=2", "disconnected", 3, true],
  ["max-age=2", "error", 3, false],
  ["max-age=2", "disconnected", 86_403, false],
  ["max-age=2, stale-if-error=60", "error", 61, true],
  ["max-age=2, stale-if-error=60", "error", 62, false],
  ["max-age=2, must-revalidate, stale-if-error=60", "disconnected", 3, false],
  ["max-age=2, proxy-revalidate", "disconnected", 3, false],
  ["max-age=2, no-cache", "disconnected", 3, false],
  ["max-age=2, s-maxage=2", "disconnected", 3, false],
  ["s-maxage=2, stale-if-error=60", "error", 3, true],
];

describe("mayServeStale()", () => {
  test.each(STALE_CASES)("%s, %s, after %d s: %p", (cacheControl, failure, after, expected) => {
    const request = { method: "GET", headers: new Headers(), isHeld: false };
    const head = headOf(cc(cacheControl));
    expect(mayServeStale(request, head, { nowMs: after * 1_000, failure })).toBe(expected);
  });

  test("E17: a playlist is of use for a few seconds", () => {
    const request = { method: "GET", headers: new Headers(), isHeld: false };
    const head = headOf([...cc("max-age=2"), ["Content-Type", "application/vnd.apple.mpegurl"]]);
    const isUsed = (nowMs: number): boolean =>
      mayServeStale(request, head, { nowMs, failure: "disconnected" });
    expect([isUsed(11_000), isUsed(12_000)]).toEqual([true, false]);
  });
});

describe("ageMsAt()", () => {
  test("E14: the time that a request was held is no age, the time to answer is", () => {
    const head = headOf([...FRESH, ["Age", "30"]], { delayMs: 1_500 });
    expect(ageMsAt(head, { nowMs: 2_000, isHeld: true })).toBe(32_000);
    expect(ageMsAt(head, { nowMs: 2_000, isHeld: false })).toBe(33_500);
  });
});
