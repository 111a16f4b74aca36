/** PROXY headers of both versions, whole and in every beginning. */
import { describe, expect, test } from "bun:test";
import { parseAddress } from "#common/address-prefix.ts";
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from "./proxy-protocol.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const TCP4 = "c0000201 c6336401 04d2 0050".replaceAll(" ", "");
const TCP6 = `20010db8${"00".repeat(11)}01 20010db8${"00".repeat(11)}02 04d2 0050`.replaceAll(" ", "");
const MORE = new TextEncoder().encode("PX 1 2 ff0000\n");

function bytesOf(header: string): Uint8Array {
  return new TextEncoder().encode(header);
}

/** A header of version 2: command, family and transport, then the rest. */
function version2(commandAndFamily: string, rest: string): Uint8Array {
  const length = (rest.length / 2).toString(16).padStart(4, "0");
  return Uint8Array.fromHex(SIGNATURE + commandAndFamily + length + rest);
}

const LONGEST_LINE = `PROXY UNKNOWN ${"f".repeat(107 - 16)}\r\n`;

describe("readProxyHeader()", () => {
  test.each<[string, Uint8Array, string | undefined]>([
    ["TCP4", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.1 1234 80\r\n"), "192.0.2.1"],
    ["TCP6", bytesOf("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n"), "2001:db8::1"],
    ["TCP6 in capitals", bytesOf("PROXY TCP6 2001:DB8::1 2001:DB8::2 1 2\r\n"), "2001:db8::1"],
    ["TCP6 with a mapped address", bytesOf("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1"],
    ["UNKNOWN", bytesOf("PROXY UNKNOWN\r\n"), undefined],
    ["UNKNOWN with the longest line", bytesOf(LONGEST_LINE), undefined],
    ["v2 TCP4", version2("2111", TCP4), "192.0.2.1"],
    ["v2 TCP6", version2("2121", TCP6), "2001:db8::1"],
    ["v2 TCP4 with fields behind", version2("2111", `${TCP4}04000300aabb`), "192.0.2.1"],
    [
      "v2 TCP4 as long as can be",
      version2("2111", TCP4.padEnd(2 * (PROXY_HEADER_BYTES_MAX - 16), "0")),
      "192.0.2.1",
    ],
    ["v2 LOCAL", version2("2000", ""), undefined],
    ["v2 LOCAL with addresses", version2("2011", TCP4), undefined],
    ["v2 without a family", version2("2100", "aabb"), undefined],
    ["v2 datagrams", version2("2112", TCP4), undefined],
    ["v2 of the machine itself", version2("2131", "00".repeat(216)), undefined],
  ])("reads %s at every length", (_, header, address) => {
    for (let length = 0; length < header.length; length += 1) {
      expect(readProxyHeader(header.subarray(0, length))).toEqual({ state: "incomplete" });
    }
    const complete = {
      state: "complete" as const,
      length: header.length,
      address: address === undefined ? undefined : parseAddress(address),
    };
    expect(readProxyHeader(header)).toEqual(complete);
    expect(readProxyHeader(Uint8Array.from([...header, ...MORE]))).toEqual(complete);
  });

  test.each<[string, Uint8Array]>([
    ["no header", MORE],
    ["a browser", bytesOf("GET / HTTP/1.1\r\n")],
    ["small letters", bytesOf("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n")],
    ["LF alone", bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n")],
    ["another family", bytesOf("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n")],
    ["an address of the other family", bytesOf("PROXY TCP4 ::1 1.2.3.4 1 2\r\n")],
    ["a destination of the other family", bytesOf("PROXY TCP6 ::1 1.2.3.4 1 2\r\n")],
    ["no address", bytesOf("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n")],
    ["no destination", bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4.5 1 2\r\n")],
    ["a high port", bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n")],
    ["a missing port", bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n")],
    ["two spaces", bytesOf("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n")],
    ["more than ports", bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n")],
    ["UNKNOWN with more letters", bytesOf("PROXY UNKNOWNS\r\n")],
    ["no line end in 107 bytes", bytesOf("PROXY UNKNOWN ".padEnd(107, "f"))],
    ["a line of 108 bytes", bytesOf(`${LONGEST_LINE.slice(0, -2)}f\r\n`)],
    ["version 1 in the binary form", version2("1111", TCP4)],
    ["another command", version2("2211", TCP4)],
    ["too few addresses", version2("2111", TCP4.slice(2))],
    ["too few addresses of IPv6", version2("2121", TCP6.slice(2))],
    ["an unknown family", version2("2141", TCP6)],
    ["more than the longest", version2("2111", TCP4.padEnd(2 * (PROXY_HEADER_BYTES_MAX - 15), "0"))],
    ["a signature with a mistake", bytesOf("\r\n\r\n\0\r\nQUIP\n")],
  ])("refuses %s", (_, bytes) => {
    expect(readProxyHeader(bytes)).toEqual({ state: "bad" });
  });

  test("refuses what cannot become a header at its first wrong byte", () => {
    expect(readProxyHeader(bytesOf("PX"))).toEqual({ state: "bad" });
    expect(readProxyHeader(Uint8Array.fromHex(`${SIGNATURE}31`))).toEqual({ state: "bad" });
    expect(readProxyHeader(Uint8Array.fromHex(`${SIGNATURE}2111ffff`))).toEqual({ state: "bad" });
  });
});
