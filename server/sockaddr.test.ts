/** Peers' addresses as Linux writes them. */
import { describe, expect, test } from "bun:test";
import { addressOfSockaddr } from "./sockaddr.ts";

const V4_MAPPED = "00000000000000000000ffff";

describe("addressOfSockaddr()", () => {
  test.each([
    ["sockaddr_in", "0200 04d2 c0000201 0000000000000000", `${V4_MAPPED}c0000201`],
    [
      "sockaddr_in6",
      "0a00 04d2 00000000 20010db8000000000000000000000001 00000000",
      "20010db8000000000000000000000001",
    ],
    ["sockaddr_un", "0100 2f746d70 00000000", undefined],
    ["nothing", "", undefined],
  ])("reads a %s", (_, bytes, expected) => {
    expect(addressOfSockaddr(Uint8Array.fromHex(bytes.replaceAll(" ", "")))?.toHex()).toBe(expected);
  });
});
