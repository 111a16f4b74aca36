/** Addresses in the form that Linux takes. */
import { expect, test } from "bun:test";
import { encodeSocketAddress } from "./socket-address.ts";

const SIX = "0a00 04d2 00000000";

for (const [address, hex] of [
  ["127.0.0.1", "0200 04d2 7f000001 0000000000000000"],
  ["255.1.20.3", "0200 04d2 ff011403 0000000000000000"],
  ["::1", `${SIX} 00000000000000000000000000000001 00000000`],
  ["::", `${SIX} 00000000000000000000000000000000 00000000`],
  ["2001:db8::a:0:1", `${SIX} 20010db800000000 0000000a00000001 00000000`],
  ["1:2:3:4:5:6:7:8", `${SIX} 00010002000300040005000600070008 00000000`],
  ["::ffff:10.0.0.1", `${SIX} 00000000000000000000ffff0a000001 00000000`],
  ["fe80::1%eth0", `${SIX} fe800000000000000000000000000001 00000000`],
] as const) {
  test(`encodeSocketAddress() writes ${address}`, () => {
    expect(Buffer.from(encodeSocketAddress(address, 1234)).toString("hex")).toBe(hex.replaceAll(" ", ""));
  });
}
