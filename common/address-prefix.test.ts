/** Addresses, prefixes and ranges. */
import { describe, expect, test } from "bun:test";
import {
  isInRanges,
  parseAddress,
  parseRange,
  prefixKey,
  type AddressRange,
} from "#common/address-prefix.ts";

const V4_MAPPED = "00000000000000000000ffff";

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes?.toHex();
}

function address(text: string): Uint8Array {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new TypeError(`${text} is no address`);
  return parsed;
}

describe("parseAddress()", () => {
  test.each([
    ["192.0.2.1", `${V4_MAPPED}c0000201`],
    ["::ffff:192.0.2.1", `${V4_MAPPED}c0000201`],
    ["::ffff:c000:201", `${V4_MAPPED}c0000201`],
    ["::1", "00000000000000000000000000000001"],
    ["::", "00000000000000000000000000000000"],
    ["2001:db8::", "20010db8000000000000000000000000"],
    ["2001:DB8::8:800:200c:417a", "20010db80000000000080800200c417a"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
    ["64:ff9b::255.255.255.255", "0064ff9b0000000000000000ffffffff"],
    ["1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"],
    ["fe80::1%eth0", "fe800000000000000000000000000001"],
    ["", undefined],
    ["localhost", undefined],
    ["1.2.3", undefined],
    ["1.2.3.256", undefined],
    ["1::2::3", undefined],
    ["1:2:3:4:5:6:7:8:9", undefined],
    ["::ffff:192.0.2.1/96", undefined],
  ])("reads %p", (text, expected) => {
    expect(hex(parseAddress(text))).toBe(expected);
  });
});

describe("prefixKey()", () => {
  test.each([
    ["192.0.2.77", 32, 64, `${V4_MAPPED}c000024d`],
    ["192.0.2.77", 24, 64, `${V4_MAPPED}c0000200`],
    ["::ffff:192.0.2.77", 30, 1, `${V4_MAPPED}c000024c`],
    ["192.0.2.77", 1, 128, `${V4_MAPPED}80000000`],
    ["2001:db8:1:2:3:4:5:6", 32, 64, "20010db8000100020000000000000000"],
    ["2001:db8:1:2ff:3:4:5:6", 32, 56, "20010db8000102000000000000000000"],
    ["2001:db8:1:2:3:4:5:6", 32, 128, "20010db8000100020003000400050006"],
    ["2001:db8:ffff::", 32, 33, "20010db8800000000000000000000000"],
  ])("of %s with /%d and /%d", (text, v4, v6, expected) => {
    const bytes = address(text);
    const before = hex(bytes);
    expect(hex(prefixKey(bytes, { v4, v6 }))).toBe(expected);
    expect(hex(bytes)).toBe(before);
  });
});

describe("parseRange() and isInRanges()", () => {
  test.each([
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.2", false],
    ["10.1.2.3/8", "10.9.9.9", true],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "203.0.113.9", false],
    ["::/80", "203.0.113.9", false],
    ["::fffe:0:0/95", "203.0.113.9", false],
    ["::/0", "2001:db8::1", true],
    ["::ffff:10.0.0.0/104", "10.255.255.255", true],
    ["::ffff:10.0.0.0/104", "11.0.0.0", false],
    ["::ffff:0:0/96", "203.0.113.9", true],
    ["::ffff:0:0/96", "::1", false],
    ["::ffff:10.1.2.3", "10.1.2.3", true],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["::1", "::1", true],
    ["::1/127", "::2", false],
  ])("%s and %s: %p", (text, candidate, expected) => {
    const range = parseRange(text);
    if (range === undefined) throw new TypeError(`${text} is no range`);
    const elsewhere: AddressRange = { address: address("ffff::"), bits: 128 };
    expect(isInRanges(address(candidate), [elsewhere, range])).toBe(expected);
  });

  test("no range holds anything where there is none", () => {
    expect(isInRanges(address("::1"), [])).toBe(false);
  });

  test.each([
    "",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "example.org",
    "/8",
    "::ffff:10.0.0.0/8",
    "::ffff:10.0.0.0/95",
    "::ffff:a00:0/0",
  ])("%p is no range", (text) => {
    expect(parseRange(text)).toBeUndefined();
  });
});
