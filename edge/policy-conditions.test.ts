/** What of a stored answer a request gets: conditions before ranges, tags before dates. */
import { expect, test } from "bun:test";
import { isForUpstreamOnly, select, type Selection } from "./policy-conditions.ts";

const NOW_MS = Date.UTC(2026, 0, 15, 12);
const AGO_1000 = "Thu, 15 Jan 2026 11:43:20 GMT";
const AGO_900 = "Thu, 15 Jan 2026 11:45:00 GMT";
const AGO_1100 = "Thu, 15 Jan 2026 11:41:40 GMT";
const DATED = { "last-modified": AGO_1000, date: "Thu, 15 Jan 2026 12:00:00 GMT" };
const TAGGED = { ...DATED, etag: '"a"' };

type Row = readonly [
  asked: Record<string, string>,
  stored: Record<string, string>,
  expected: Selection,
  other?: { readonly status?: number; readonly method?: string },
];

const CASES: readonly Row[] = [
  [{}, TAGGED, "whole"],
  [{ "if-none-match": '"a"' }, TAGGED, "not-modified"],
  [{ "if-none-match": 'W/"a"' }, TAGGED, "not-modified"],
  [{ "if-none-match": '"x", "a", "y"' }, TAGGED, "not-modified"],
  [{ "if-none-match": '"x", "y", "a"' }, TAGGED, "not-modified"],
  [{ "if-none-match": 'W/"a"' }, { etag: 'W/"a"' }, "not-modified"],
  [{ "if-none-match": "*" }, {}, "not-modified"],
  [{ "if-none-match": '"b"' }, TAGGED, "whole"],
  [{ "if-none-match": '"a"' }, DATED, "whole"],
  [{ "if-none-match": '"a"' }, TAGGED, "not-modified", { method: "HEAD" }],
  [{ "if-none-match": '"a"' }, TAGGED, "whole", { status: 404 }],
  // A tag that differs outweighs a date that agrees, and the other way round.
  [{ "if-none-match": '"b"', "if-modified-since": AGO_900 }, TAGGED, "whole"],
  [{ "if-none-match": '"a"', "if-modified-since": AGO_1100 }, TAGGED, "not-modified"],
  [{ "if-modified-since": AGO_1000 }, DATED, "not-modified"],
  [{ "if-modified-since": AGO_900 }, DATED, "not-modified"],
  [{ "if-modified-since": AGO_1100 }, DATED, "whole"],
  [{ "if-modified-since": "Thursday, 15-Jan-26 11:43:20 GMT" }, DATED, "not-modified"],
  [{ "if-modified-since": "yesterday" }, DATED, "whole"],
  [{ "if-modified-since": AGO_900 }, { date: AGO_1000 }, "not-modified"],
  [{ "if-modified-since": AGO_1100 }, { date: AGO_1000 }, "whole"],
  [{ range: "bytes=0-1" }, {}, { start: 0, end: 2 }],
  [{ range: "bytes=8-" }, {}, { start: 8, end: 10 }],
  [{ range: "bytes=-3" }, {}, { start: 7, end: 10 }],
  [{ range: "bytes=10-" }, {}, "unsatisfiable"],
  [{ range: "bytes=0-1,4-5" }, {}, "whole"],
  [{ range: "lines=0-1" }, {}, "whole"],
  [{ range: "bytes=0-1" }, {}, "whole", { method: "HEAD" }],
  [{ range: "bytes=0-1" }, {}, "whole", { status: 404 }],
  [{ range: "bytes=0-1", "if-none-match": '"a"' }, TAGGED, "not-modified"],
  [{ range: "bytes=0-1", "if-range": '"a"' }, TAGGED, { start: 0, end: 2 }],
  [{ range: "bytes=0-1", "if-range": '"b"' }, TAGGED, "whole"],
  [{ range: "bytes=0-1", "if-range": 'W/"a"' }, { etag: 'W/"a"' }, "whole"],
  [{ range: "bytes=0-1", "if-range": AGO_1000 }, DATED, { start: 0, end: 2 }],
  [{ range: "bytes=0-1", "if-range": AGO_900 }, DATED, "whole"],
  [{ range: "bytes=0-1", "if-range": AGO_1000 }, { "last-modified": AGO_1000, date: AGO_1000 }, "whole"],
];

test.each(CASES.map((row) => [JSON.stringify(row), row] as const))("select() %s", (_title, row) => {
  const [asked, stored, expected, { status = 200, method = "GET" } = {}] = row;
  const head = {
    status,
    headers: new Headers(stored),
    requestedMs: 0,
    receivedMs: 0,
    receivedWallMs: NOW_MS,
  };
  expect(select({ method, headers: new Headers(asked) }, { head, size: 10 })).toEqual(expected);
});

test("select() judges conditions of a body whose length is not known, and leaves its ranges alone", () => {
  const head = {
    status: 200,
    headers: new Headers(TAGGED),
    requestedMs: 0,
    receivedMs: 0,
    receivedWallMs: NOW_MS,
  };
  const selected = (headers: Record<string, string>): Selection =>
    select({ method: "GET", headers: new Headers(headers) }, { head, size: undefined });
  expect(selected({ "if-none-match": '"a"' })).toBe("not-modified");
  expect(selected({ range: "bytes=0-1" })).toBe("whole");
});

test("isForUpstreamOnly() knows the conditions that no cache may judge", () => {
  const isFor = (name: string): boolean => isForUpstreamOnly(new Headers({ [name]: '"a"' }));
  expect(["if-match", "if-unmodified-since", "if-none-match", "if-range"].map(isFor)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
