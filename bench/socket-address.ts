/** Linux's form of an address and a port, as `connect` takes it. */
import { isIPv6 } from "node:net";

/** Address families of Linux. */
export const AF_INET = 2;
export const AF_INET6 = 10;

/** `struct sockaddr_in` or `sockaddr_in6` of a numeric address; the zone of a link-local one is not kept. */
export function encodeSocketAddress(address: string, port: number): Uint8Array {
  const isLong = isIPv6(address);
  const bytes = new DataView(new ArrayBuffer(isLong ? 28 : 16));
  bytes.setUint16(0, isLong ? AF_INET6 : AF_INET, true);
  // Network order, as is the address; an IPv6 flow label of four bytes stands between them.
  bytes.setUint16(2, port);
  if (isLong) {
    for (const [index, group] of ipv6Groups(address).entries()) bytes.setUint16(8 + index * 2, group);
  } else {
    for (const [index, part] of address.split(".").entries()) bytes.setUint8(4 + index, Number(part));
  }
  return new Uint8Array(bytes.buffer);
}

/** The eight groups of 16 bits. */
function ipv6Groups(address: string): readonly number[] {
  // A URL writes every address in its one short form, without dots.
  const host = new URL(`http://[${address.replace(/%.*/, "")}]/`).hostname.slice(1, -1);
  const [head = "", tail = ""] = host.split("::");
  const [first, last] = [readGroups(head), readGroups(tail)];
  return [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
}

function readGroups(text: string): readonly number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
