/**
 * Which connections to a port are open, as the system has them: `Bun.serve` tells of requests, not of connections that
 * come and go.
 */
// proc(5): /proc/net/tcp and tcp6 have a line a socket: number, local address, remote address, state, …
import { readFileSync } from "node:fs";
import { endianness } from "node:os";
import { mapIpv4, parseAddress } from "#common/address-prefix.ts";

/** IPv4 and IPv6; a dual-stack socket's are in the second. */
export const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"];
/** Hexadecimal, as the table writes it. */
export const ESTABLISHED = "01";
const HEX_PER_WORD = 8;
/** What an address of IPv4 begins with that is written as one of IPv6. */
const MAPPED = mapIpv4([0, 0, 0, 0]).subarray(0, -HEX_PER_WORD / 2);

/** The name by which {@link openPeers} knows a peer; `undefined` where `address` is none. */
export function peerName(address: string, port: number): string | undefined {
  const bytes = parseAddress(address);
  return bytes === undefined ? undefined : `${bytes.toHex()}:${port}`;
}

/** Peers that have a connection to `port` of this machine now; `undefined` where the system has no such tables. */
export function openPeers(port: number): ReadonlySet<string> | undefined {
  const peers = new Set<string>();
  try {
    for (const table of TABLES) readPeers(readFileSync(table, "latin1"), port, peers);
  } catch {
    // Not Linux, or /proc is hidden: whoever needs the table is told at start. Later it is a want of open files.
    return undefined;
  }
  return peers;
}

/** Adds the peers that `table` lists for `port`. */
export function readPeers(table: string, port: number, peers: Set<string>): void {
  const suffix = `:${hexPort(port)}`;
  for (const line of table.split("\n")) {
    if (!line.includes(suffix)) continue;
    const [, local = "", remote = "", state] = line.trim().split(/ +/, 4);
    if (state !== ESTABLISHED || !local.endsWith(suffix)) continue;
    const [words = "", portHex = ""] = remote.split(":");
    peers.add(`${addressOf(words)}:${Number.parseInt(portHex, 16)}`);
  }
}

/** How the tables write a port. */
export function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** How the tables may write an address: that of IPv4 in two ways. None where it is none. */
export function remoteNames(address: string): readonly string[] {
  const bytes = parseAddress(address);
  if (bytes === undefined) return [];
  const words = Uint8Array.from(bytes);
  swapWords(words);
  const hex = words.toHex().toUpperCase();
  const isIpv4 = MAPPED.every((byte, index) => bytes[index] === byte);
  return isIpv4 ? [hex, hex.slice(-HEX_PER_WORD)] : [hex];
}

/** The table has an address as words in the machine's own order of bytes. */
function addressOf(words: string): string {
  const bytes = Uint8Array.fromHex(words);
  swapWords(bytes);
  return (bytes.length === HEX_PER_WORD / 2 ? mapIpv4(bytes) : bytes).toHex();
}

function swapWords(bytes: Uint8Array): void {
  if (endianness() !== "LE") return;
  for (let start = 0; start < bytes.length; start += HEX_PER_WORD / 2) {
    bytes.subarray(start, start + HEX_PER_WORD / 2).reverse();
  }
}
