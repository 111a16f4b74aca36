/**
 * Whose request it is: the peer's own address, or behind proxies that are trusted the one that they tell. From anybody
 * else such headers are a viewer's claim, and are not read.
 */
// RFC 7239 (Forwarded); X-Forwarded-For and X-Forwarded-Host are the same by habit
import {
  isInRanges,
  parseAddress,
  prefixKey,
  type AddressRange,
  type PrefixBits,
} from "#common/address-prefix.ts";

/** Headers of proxies that can be read: one, since a proxy that sets one of them passes the other on as it came. */
export const FORWARDED_HEADERS = ["x-forwarded-for", "forwarded"] as const;
export type ForwardedHeader = (typeof FORWARDED_HEADERS)[number];

/** What tells one viewer from another: one host usually has a whole /64 to itself. */
const PREFIX: PrefixBits = { v4: 32, v6: 64 };
/** Hops read of one header; what is farther away does not count. */
const HOPS_MAX = 16;

export interface ViewerAddressOptions {
  /** Proxies whose word counts. */
  readonly trusted: readonly AddressRange[];
  readonly header: ForwardedHeader;
}

/** One hop of the way: what a proxy told of the side that it was asked from. */
interface Hop {
  readonly address: string;
  /** The host that it was asked for, where it says so. */
  readonly host?: string;
}

/** What all addresses of one viewer have in common; of what is no address, all of it. */
export function viewerPrefix(address: string): string {
  const bytes = parseAddress(address);
  return bytes === undefined ? address : prefixKey(bytes, PREFIX).toHex();
}

/** Reads viewers' addresses. */
export class ViewerAddresses {
  readonly #options: ViewerAddressOptions;

  constructor(options: ViewerAddressOptions) {
    this.#options = options;
  }

  /** True for a proxy whose word counts. */
  isTrusted(peer: string): boolean {
    const { trusted } = this.#options;
    if (trusted.length === 0) return false;
    const address = parseAddress(peer);
    return address !== undefined && isInRanges(address, trusted);
  }

  /** The viewer's address: the first on the way back from `peer` that is no trusted proxy's. */
  of(headers: Headers, peer: string): string {
    let address = peer;
    if (!this.isTrusted(address)) return address;
    for (const hop of this.#hops(headers)) {
      // Something else than an address, such as `unknown`: it was the last proxy that said so.
      if (parseAddress(hop.address) === undefined) break;
      address = hop.address;
      if (!this.isTrusted(address)) break;
    }
    return address;
  }

  /** What the viewer wrote into `Host`: as the nearest proxy tells, if it is trusted and does. */
  hostOf(headers: Headers, peer: string): string | null {
    if (this.isTrusted(peer)) {
      const told =
        this.#options.header === "forwarded"
          ? this.#hops(headers)[0]?.host
          : headers.get("x-forwarded-host")?.split(",").at(-1)?.trim();
      if (told !== undefined && told !== "") return told;
    }
    return headers.get("host");
  }

  /** Nearest first. */
  #hops(headers: Headers): readonly Hop[] {
    const { header } = this.#options;
    const entries = (headers.get(header) ?? "").split(",").slice(-HOPS_MAX).toReversed();
    return entries.map(header === "forwarded" ? readForwarded : (entry) => ({ address: withoutPort(entry) }));
  }
}

/** `for="[2001:db8::1]:4711";host=a.example`; a hop without address where `for` is missing. */
function readForwarded(element: string): Hop {
  const pairs = new Map(
    element.split(";").map((pair) => {
      const [name = "", ...value] = pair.split("=");
      return [name.trim().toLowerCase(), value.join("=").trim().replaceAll('"', "")] as const;
    }),
  );
  const host = pairs.get("host");
  return { address: withoutPort(pairs.get("for") ?? ""), ...(host !== undefined && { host }) };
}

/** The address in `192.0.2.1:80`, `[2001:db8::1]:80` and their like. */
function withoutPort(text: string): string {
  const entry = text.trim();
  if (entry.startsWith("[")) return entry.slice(1, entry.indexOf("]"));
  return /^[\d.]+:\d+$/.test(entry) ? entry.slice(0, entry.indexOf(":")) : entry;
}
