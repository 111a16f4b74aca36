/** The address of a peer in the bytes that Linux gives for it. */
import { ADDRESS_BYTES, mapIpv4 } from "#common/address-prefix.ts";
import { AF_INET, AF_INET6 } from "./linux-constants.ts";

/**
 * An address from Linux's `sockaddr_in` or `sockaddr_in6`; undefined where the family is another one.
 *
 * @param sockaddr at least 8 bytes, 24 for IPv6
 */
export function addressOfSockaddr(sockaddr: Uint8Array): Uint8Array | undefined {
  const family = (sockaddr[0] ?? 0) | ((sockaddr[1] ?? 0) << 8);
  if (family === AF_INET) return mapIpv4(sockaddr.subarray(4, 8));
  return family === AF_INET6 ? sockaddr.slice(8, 8 + ADDRESS_BYTES) : undefined;
}
