/** Dates of HTTP headers: the three formats, and what only looks like one. */
import { expect, test } from "bun:test";
import { readHttpDate } from "./policy-dates.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const CASES: readonly (readonly [text: string | null, iso: string | undefined])[] = [
  ["Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
  ["Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
  ["Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z"],
  ["Thursday, 18-Aug-50 02:01:18 GMT", "2050-08-18T02:01:18.000Z"],
  ["Thursday, 18-Aug-77 02:01:18 GMT", "1977-08-18T02:01:18.000Z"],
  ["THU, 18 AUG 2050 02:01:18 gMT", "2050-08-18T02:01:18.000Z"],
  ["Sun, 21 Nov 2286 04:46:39 GMT", "2286-11-21T04:46:39.000Z"],
  ["Thu, 18 Aug 2050 02:01:18 UTC", undefined],
  ["Thu, 18 Aug 2050 02:01:18 AEST", undefined],
  ["Thu, 18 Aug 50 02:01:18 GMT", undefined],
  ["Thu 18 Aug 2050 02:01:18 GMT", undefined],
  ["Thu, 18  Aug  2050 02:01:18 GMT", undefined],
  ["Thu, 18-Aug-2050 02:01:18 GMT", undefined],
  ["Thu, 18 Aug 2050 02.01.18 GMT", undefined],
  ["Thu, 18 Aug 2050 2:01:18 GMT", undefined],
  ["Thu, 18 Foo 2050 02:01:18 GMT", undefined],
  ["Thu, 18 Aug 2050 24:01:18 GMT", undefined],
  ["Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT", undefined],
  ["0", undefined],
  ["", undefined],
  [null, undefined],
];

test.each(CASES)("readHttpDate() %p", (text, iso) => {
  const readMs = readHttpDate(text, NOW_MS);
  expect(readMs === undefined ? undefined : new Date(readMs).toISOString()).toBe(iso);
});
