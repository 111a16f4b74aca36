/** Whose word on a viewer's address counts. */
import { describe, expect, test } from "bun:test";
import { parseRange, type AddressRange } from "#common/address-prefix.ts";
import { ViewerAddresses, type ForwardedHeader } from "./viewer-address.ts";

function ranges(...texts: readonly string[]): AddressRange[] {
  return texts.flatMap((text) => parseRange(text) ?? []);
}

const TRUSTED = ranges("10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1");

function read(header: ForwardedHeader, value: string, peer: string): string {
  const addresses = new ViewerAddresses({ trusted: TRUSTED, header });
  return addresses.of(new Headers(value === "" ? {} : { [header]: value }), peer);
}

describe("ViewerAddresses.of()", () => {
  test.each([
    ["nobody says anything", "", "10.0.0.1", "10.0.0.1"],
    ["a stranger's claim", "192.0.2.1", "198.51.100.1", "198.51.100.1"],
    ["a proxy's word", "192.0.2.1", "10.0.0.1", "192.0.2.1"],
    ["the same from a dual-stack socket", "192.0.2.1", "::ffff:10.0.0.1", "192.0.2.1"],
    ["what the viewer claimed stands before it", "203.0.113.9, 192.0.2.1", "10.0.0.1", "192.0.2.1"],
    ["two proxies", "203.0.113.9, 192.0.2.1, 10.0.0.2", "10.0.0.1", "192.0.2.1"],
    ["proxies all the way", "10.0.0.3, 10.0.0.2", "10.0.0.1", "10.0.0.3"],
    ["IPv6", "2001:db8:2::1", "2001:db8:1::1", "2001:db8:2::1"],
    ["with a port", "192.0.2.1:4711", "10.0.0.1", "192.0.2.1"],
    ["IPv6 with a port", "[2001:db8:2::1]:4711", "10.0.0.1", "2001:db8:2::1"],
    ["no address", "unknown", "10.0.0.1", "10.0.0.1"],
    ["no address behind a proxy", "unknown, 10.0.0.2", "10.0.0.1", "10.0.0.2"],
    ["rubbish", ",,%%,", "10.0.0.1", "10.0.0.1"],
  ])("X-Forwarded-For: %s", (_, value, peer, expected) => {
    expect(read("x-forwarded-for", value, peer)).toBe(expected);
  });

  test.each([
    ["for=192.0.2.1", "192.0.2.1"],
    ['proto=https;For="[2001:db8:2::1]:4711";by=10.0.0.1', "2001:db8:2::1"],
    ["for=203.0.113.9, for=192.0.2.1;host=a, for=10.0.0.2", "192.0.2.1"],
    ["for=_hidden", "10.0.0.1"],
    ["proto=https", "10.0.0.1"],
  ])("Forwarded: %s", (value, expected) => {
    expect(read("forwarded", value, "10.0.0.1")).toBe(expected);
  });

  test("reads the configured header alone: a proxy that sets one passes the other on as the viewer wrote it", () => {
    const headers = new Headers({ forwarded: "for=203.0.113.9", "x-forwarded-for": "192.0.2.1" });
    const of = (header: ForwardedHeader): string =>
      new ViewerAddresses({ trusted: TRUSTED, header }).of(headers, "10.0.0.1");
    expect([of("x-forwarded-for"), of("forwarded")]).toEqual(["192.0.2.1", "203.0.113.9"]);
  });
});

describe("ViewerAddresses.hostOf()", () => {
  test.each([
    ["x-forwarded-for", { "x-forwarded-host": "tv.example" }, "10.0.0.1", "tv.example"],
    ["x-forwarded-for", { "x-forwarded-host": "tv.example" }, "192.0.2.1", "edge.internal"],
    ["x-forwarded-for", {}, "10.0.0.1", "edge.internal"],
    ["forwarded", { forwarded: "for=192.0.2.1;host=tv.example:444" }, "10.0.0.1", "tv.example:444"],
    ["forwarded", { forwarded: "for=192.0.2.1" }, "10.0.0.1", "edge.internal"],
  ] as const)("%s %j from %s", (header, told, peer, expected) => {
    const addresses = new ViewerAddresses({ trusted: TRUSTED, header });
    expect(addresses.hostOf(new Headers({ host: "edge.internal", ...told }), peer)).toBe(expected);
  });
});
