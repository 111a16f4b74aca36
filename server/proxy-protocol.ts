/**
 * Reads the header that a TCP load balancer puts before a player's bytes to tell where they come from. A receive path
 * asks for it on connections from trusted addresses only, before anything reaches the parser, and keeps what has come so
 * far; so this is a function of those bytes, whatever reads they came in.
 */
import { mapIpv4, parseAddress } from "#common/address-prefix.ts";

// The PROXY protocol, versions 1 and 2: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

/**
 * Longest header taken, in bytes; a longer one is bad. One with addresses is at most 107 bytes in version 1 and 52 in
 * version 2; what balancers add to that (names, TLS) is a few hundred.
 */
export const PROXY_HEADER_BYTES_MAX = 1_024;

/** What the bytes so far mean. */
export type ProxyHeader =
  /** Not yet whole: ask again with more. */
  | { readonly state: "incomplete" }
  /**
   * Whole: the first `length` bytes. `address` is the player's, as `address-prefix.ts` has it; undefined where the
   * balancer speaks for itself (LOCAL, UNKNOWN) or for what has no IP address: then the socket's holds.
   */
  | { readonly state: "complete"; readonly length: number; readonly address: Uint8Array | undefined }
  /** None: close the connection. */
  | { readonly state: "bad" };

const INCOMPLETE: ProxyHeader = { state: "incomplete" };
const BAD: ProxyHeader = { state: "bad" };

/** Section 2.1: the longest line, with its CRLF. */
const LINE_BYTES_MAX = 107;
const V1_SIGNATURE = new TextEncoder().encode("PROXY ");
/** Section 2.2: signature, then version and command, family and transport, and the length of the rest. */
const V2_SIGNATURE = Uint8Array.fromHex("0d0a0d0a000d0a515549540a");
const V2_HEADER_BYTES = 16;
const V2_LOCAL = 0x20;
const V2_PROXY = 0x21;
/** Bytes of source and destination, address and port, by family and transport. */
const V2_TCP4 = 0x11;
const V2_TCP6 = 0x21;
/** Unspecified, datagrams of IPv4 and IPv6, and sockets of the machine itself: valid, with no address of use to us. */
const V2_OTHER: ReadonlySet<number> = new Set([0x00, 0x12, 0x22, 0x31, 0x32]);

/** Reads the header at the beginning of a connection. @param bytes all that has come so far */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader {
  if (startsLike(bytes, V2_SIGNATURE)) return readVersion2(bytes);
  return startsLike(bytes, V1_SIGNATURE) ? readVersion1(bytes) : BAD;
}

/** True where the bytes begin with the signature, or may once there are more of them. */
function startsLike(bytes: Uint8Array, signature: Uint8Array): boolean {
  const length = Math.min(bytes.length, signature.length);
  for (let index = 0; index < length; index += 1) if (bytes[index] !== signature[index]) return false;
  return true;
}

function readVersion1(bytes: Uint8Array): ProxyHeader {
  const line = bytes.subarray(0, LINE_BYTES_MAX);
  const end = line.indexOf(0x0a);
  if (end < 0) return line.length < LINE_BYTES_MAX ? INCOMPLETE : BAD;
  const text = new TextDecoder("latin1").decode(line.subarray(0, end + 1));
  const length = end + 1;
  if (/^PROXY UNKNOWN( .*)?\r\n$/.test(text)) return { state: "complete", length, address: undefined };
  const match = /^PROXY TCP([46]) ([\d.a-f:]+) ([\d.a-f:]+) (\d{1,5}) (\d{1,5})\r\n$/i.exec(text);
  const [, family, source = "", destination = "", ...ports] = match ?? [];
  const isFamily = (address: string): boolean => address.includes(":") === (family === "6");
  if (!isFamily(source) || !isFamily(destination) || parseAddress(destination) === undefined) return BAD;
  if (ports.some((port) => Number(port) > 65_535)) return BAD;
  const address = parseAddress(source);
  return address === undefined ? BAD : { state: "complete", length, address };
}

function readVersion2(bytes: Uint8Array): ProxyHeader {
  // A wrong version or an overlong header is bad as soon as it shows.
  const command = bytes[12] ?? V2_LOCAL;
  if (command !== V2_LOCAL && command !== V2_PROXY) return BAD;
  if (bytes.length < V2_HEADER_BYTES) return INCOMPLETE;
  const length = V2_HEADER_BYTES + (((bytes[14] ?? 0) << 8) | (bytes[15] ?? 0));
  if (length > PROXY_HEADER_BYTES_MAX) return BAD;
  if (bytes.length < length) return INCOMPLETE;
  if (command === V2_LOCAL) return { state: "complete", length, address: undefined };
  const family = bytes[13] ?? 0;
  const addresses = bytes.subarray(V2_HEADER_BYTES, length);
  if (family === V2_TCP4 && addresses.length >= 12) {
    return { state: "complete", length, address: mapIpv4(addresses.subarray(0, 4)) };
  }
  if (family === V2_TCP6 && addresses.length >= 36) {
    return { state: "complete", length, address: addresses.slice(0, 16) };
  }
  return V2_OTHER.has(family) ? { state: "complete", length, address: undefined } : BAD;
}
