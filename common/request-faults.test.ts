/** Requests that no node answers. */
import { describe, expect, test } from "bun:test";
import { answerFault, faultOf, URL_CHARACTERS_MAX } from "#common/request-faults.ts";

const URL = "http://a/live/canvas/index.m3u8";

describe("faultOf()", () => {
  test.each([
    ["a.example", undefined],
    ["a.example:8081", undefined],
    ["192.0.2.1:80", undefined],
    ["[2001:db8::1]:8081", undefined],
    ["", undefined],
    ["a, a", "host"],
    ["a b", "host"],
    ["a/b", "host"],
    ["user@a", "host"],
    ["[2001:db8::1", "host"],
    ["a:port", "host"],
    ["a".repeat(300), "host"],
  ] as const)("Host: %s", (host, fault) => {
    expect(faultOf(new Request(URL, { headers: { host } }))).toBe(fault);
  });

  test("no Host, as in HTTP/1.0", () => {
    expect(faultOf(new Request(URL))).toBeUndefined();
  });

  test("a URL may have so many characters and no more", () => {
    const long = URL.padEnd(URL_CHARACTERS_MAX, "a");
    expect([faultOf(new Request(long)), faultOf(new Request(`${long}a`))]).toEqual([undefined, "url"]);
  });
});

test.each([
  ["host", 400, null],
  ["url", 414, null],
  ["method", 405, "GET, HEAD, OPTIONS"],
] as const)("E21: answerFault(%p) is one that any page may read", (fault, status, allow) => {
  const { headers, status: given } = answerFault(fault);
  expect([given, headers.get("allow")]).toEqual([status, allow]);
  expect(headers.get("access-control-allow-origin")).toBe("*");
  expect(Number.isNaN(Date.parse(headers.get("date") ?? ""))).toBe(false);
});
