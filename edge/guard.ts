/**
 * The limits of one viewer, before anything is looked up for it: connections and requests of its prefix of addresses.
 * Without such a limit there is no guard, and a request costs nothing here. The workers of an edge share the limits: each
 * hears what prefixes use at the others.
 */
import type { Clock } from "#common/clock.ts";
import { OptionError } from "#common/errors.ts";
import { isHttp3 } from "#common/http3-side.ts";
import type { EdgeConfig } from "./config.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import type { RefusalCause } from "./counters.ts";
import { RequestRates } from "./request-rates.ts";
import { openPeers, peerName } from "./tcp-connections.ts";
import { ViewerAddresses, viewerPrefix } from "./viewer-address.ts";

/** Which of the edge's options bound viewers. */
export type GuardConfig = Pick<
  EdgeConfig,
  | "viewerConnectionsPerPrefix"
  | "viewerRequestsPerPrefix"
  | "trustedProxies"
  | "forwardedHeader"
  | "edgeWorkers"
>;

/** What prefixes use of their limits: those that use much, by prefix. */
export interface PrefixUse {
  /** A second. */
  readonly requests: ReadonlyMap<string, number>;
  readonly connections: ReadonlyMap<string, number>;
}

/** Where nothing is limited. */
export const NO_USE: PrefixUse = { requests: new Map(), connections: new Map() };

export interface GuardOptions {
  readonly addresses: ViewerAddresses;
  readonly rates?: RequestRates | undefined;
  readonly connections?: ConnectionLimit | undefined;
}

/** Who may not ask now. */
export class Guard {
  readonly #options: GuardOptions;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** At this process. */
  get use(): PrefixUse {
    const { rates, connections } = this.#options;
    return {
      requests: rates?.heavy ?? NO_USE.requests,
      connections: connections?.heavy ?? NO_USE.connections,
    };
  }

  /** Takes over what is used at the other processes. */
  hear({ requests, connections }: PrefixUse): void {
    const { rates, connections: limit } = this.#options;
    if (rates !== undefined) rates.elsewhere = requests;
    if (limit !== undefined) limit.elsewhere = connections;
  }

  /** Why a request is refused, if it is. */
  refusal(request: Request, server: Bun.Server<undefined>): RefusalCause | undefined {
    const { addresses, rates } = this.#options;
    const peer = server.requestIP(request);
    // No address: a socket of this machine.
    if (peer === null) return undefined;
    if (this.#isTooMany(peer, server)) return "connections";
    if (rates === undefined) return undefined;
    return rates.admits(viewerPrefix(addresses.of(request.headers, peer.address))) ? undefined : "rate";
  }

  /** True where the request came over one connection too many; others are counted from now on. */
  isConnectionTooMany(request: Request, server: Bun.Server<undefined>): boolean {
    const peer = server.requestIP(request);
    return peer !== null && this.#isTooMany(peer, server);
  }

  #isTooMany(peer: Bun.SocketAddress, server: Bun.Server<undefined>): boolean {
    const { addresses, connections } = this.#options;
    // The connections of a proxy are many viewers'.
    if (connections === undefined || addresses.isTrusted(peer.address)) return false;
    const prefix = viewerPrefix(peer.address);
    const name = peerName(peer.address, peer.port) ?? "";
    return !connections.admits({ prefix, name, isHttp3: isHttp3(server) });
  }
}

/** The proxies that are trusted, as configured. */
export function createViewerAddresses(
  config: Pick<GuardConfig, "trustedProxies" | "forwardedHeader">,
): ViewerAddresses {
  return new ViewerAddresses({ trusted: config.trustedProxies, header: config.forwardedHeader });
}

/**
 * The guard as configured, `undefined` where nothing is limited. Throws {@link OptionError} where the system cannot tell
 * of connections.
 *
 * @param port told once it is open: connections are looked up by it
 */
export function createGuard(
  config: GuardConfig,
  { clock, port }: { readonly clock: Clock; readonly port: () => number },
): Guard | undefined {
  const { viewerConnectionsPerPrefix: connectionsMax, viewerRequestsPerPrefix: requestsPerSecond } = config;
  const { edgeWorkers: processes } = config;
  if (connectionsMax === 0 && requestsPerSecond === 0) return undefined;
  if (connectionsMax > 0 && openPeers(0) === undefined) {
    throw new OptionError(
      `Option --viewer-connections-per-prefix ${connectionsMax} needs /proc/net/tcp, which this system does not show: expected 0`,
    );
  }
  return new Guard({
    addresses: createViewerAddresses(config),
    rates: requestsPerSecond > 0 ? new RequestRates({ clock, requestsPerSecond, processes }) : undefined,
    connections:
      connectionsMax > 0
        ? new ConnectionLimit({ clock, connectionsMax, processes, openPeers: () => openPeers(port()) })
        : undefined,
  });
}
