/**
 * Addresses of players and viewers as 16 bytes, and the prefixes and ranges that limits and trust are given for. An IPv4 address is
 * kept as the IPv6 address that it is mapped to, since a dual-stack socket reports it in either form.
 */
import { isIPv4, isIPv6 } from "node:net";

// RFC 4291, section 2.5.5.2: IPv4-mapped IPv6 addresses.

/** Bytes of an address. */
export const ADDRESS_BYTES = 16;
const ADDRESS_BITS = ADDRESS_BYTES * 8;
/** Where an IPv4 address begins in the IPv6 address that it is mapped to. */
const MAPPED_BYTES = 12;
const IPV4_BITS = 32;
/** Groups of an IPv6 address. */
const GROUPS = 8;

/** How much of an address tells one client from another, in bits. */
export interface PrefixBits {
  /** 1 to 32. */
  readonly v4: number;
  /** 1 to 128. */
  readonly v6: number;
}

/** A block of addresses of one family, that of its first. Passes through `postMessage`. */
export interface AddressRange {
  /** The first address, {@link ADDRESS_BYTES} long. */
  readonly address: Uint8Array;
  /** How many leading bits of it count: 96 to 128 of an IPv4 address, 0 to 128 of an IPv6 address. */
  readonly bits: number;
}

/** An address from text such as `192.0.2.1`, `2001:db8::1` or `::ffff:192.0.2.1`, a zone behind `%` left out; undefined where it is none. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return mapIpv4(text.split(".").map(Number));
  const bare = text.split("%", 1)[0] ?? "";
  return isIPv6(bare) ? parseIpv6(bare) : undefined;
}

/** The IPv6 address that the four bytes of an IPv4 address are mapped to. */
export function mapIpv4(bytes: ArrayLike<number>): Uint8Array {
  const address = new Uint8Array(ADDRESS_BYTES);
  address.fill(0xff, MAPPED_BYTES - 2, MAPPED_BYTES);
  address.set(bytes, MAPPED_BYTES);
  return address;
}

/** The key that all addresses of one prefix share: the address with the bits behind the prefix 0. */
export function prefixKey(address: Uint8Array, prefix: PrefixBits): Uint8Array {
  const bits = isMapped(address) ? ADDRESS_BITS - IPV4_BITS + prefix.v4 : prefix.v6;
  const key = address.slice();
  for (let index = 0; index < ADDRESS_BYTES; index += 1) key[index] = (key[index] ?? 0) & maskOf(index, bits);
  return key;
}

/**
 * A range from text such as `10.0.0.0/8`, `2001:db8::/32` or a single address; undefined where it is none. Of a mapped
 * address the 96 bits in front of the IPv4 address count too, `::ffff:10.0.0.0/104`: with fewer it is none.
 */
export function parseRange(text: string): AddressRange | undefined {
  const [addressText = "", bitsText, ...rest] = text.split("/");
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0) return undefined;
  const outsideBits = isIPv4(addressText) ? ADDRESS_BITS - IPV4_BITS : 0;
  if (bitsText === undefined) return { address, bits: ADDRESS_BITS };
  const bits = Number(bitsText) + outsideBits;
  const bitsMin = isMapped(address) ? ADDRESS_BITS - IPV4_BITS : 0;
  if (!/^\d{1,3}$/.test(bitsText) || bits < bitsMin || bits > ADDRESS_BITS) return undefined;
  return { address, bits };
}

/** True where one of the ranges holds the address: one of IPv6 never holds an IPv4 address, however it is written. */
export function isInRanges(address: Uint8Array, ranges: readonly AddressRange[]): boolean {
  return ranges.some((range) => isInRange(address, range));
}

function isInRange(address: Uint8Array, { address: first, bits }: AddressRange): boolean {
  if (isMapped(address) !== isMapped(first)) return false;
  for (let index = 0; index < ADDRESS_BYTES; index += 1) {
    const differing = (address[index] ?? 0) ^ (first[index] ?? 0);
    if ((differing & maskOf(index, bits)) !== 0) return false;
  }
  return true;
}

/** The bits of the byte at `index` that lie within the first `bits` of an address. */
function maskOf(index: number, bits: number): number {
  const inside = Math.min(8, Math.max(0, bits - index * 8));
  return (0xff00 >> inside) & 0xff;
}

function isMapped(address: Uint8Array): boolean {
  for (let index = 0; index < MAPPED_BYTES - 2; index += 1) if (address[index] !== 0) return false;
  return address[MAPPED_BYTES - 2] === 0xff && address[MAPPED_BYTES - 1] === 0xff;
}

/** @param text a valid address without a zone */
function parseIpv6(text: string): Uint8Array {
  // An IPv4 address at the end stands for two groups.
  const hexadecimal = text.replace(/[\d.]+\.\d+$/, (ipv4) => {
    const [a = 0, b = 0, c = 0, d = 0] = ipv4.split(".").map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [front = "", back] = hexadecimal.split("::");
  const head = groupsOf(front);
  const tail = groupsOf(back ?? "");
  const zeros = Array.from({ length: GROUPS - head.length - tail.length }, () => 0);
  const address = new Uint8Array(ADDRESS_BYTES);
  const view = new DataView(address.buffer);
  [...head, ...zeros, ...tail].forEach((group, index) => view.setUint16(index * 2, group));
  return address;
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
