/**
 * How many connections one prefix of addresses may have. A connection is noticed with its first request and forgotten
 * once the system does not list it any more; one that sends nothing is closed by Bun after 12 s. What is one too
 * many is answered 503, and closed over HTTP/1.1: Bun has no way to close one of HTTP/2 or HTTP/3. Processes on one port
 * tell each other what they have.
 */
import type { Clock } from "#common/clock.ts";

/**
 * Reading the system's table takes some milliseconds a thousand connections: it is done this often at most, … Connections
 * that close between two looks count until the second: players that open one for each request meet the limit by them.
 */
const LOOK_MS_MIN = 100;
/** … and pauses for so many times what it took, so that it never takes more than a fiftieth of a core. */
const LOOK_PAUSES = 50;
/** Connections remembered at once, all prefixes together. Past it, new ones are not counted. */
const CONNECTIONS_MAX = 200_000;
/** HTTP/3 has no connections that the system knows: such a peer is forgotten after this long without a request. */
const SILENCE_MS_MAX = 30_000;

export interface ConnectionLimitOptions {
  readonly clock: Clock;
  /** For each prefix. */
  readonly connectionsMax: number;
  /** How many processes share the limit, told of each other by {@link ConnectionLimit.heavy}. Default: this one alone. */
  readonly processes?: number;
  /** Peers that the system has connections of now, by name; `undefined` while it does not say. */
  readonly openPeers: () => ReadonlySet<string> | undefined;
}

/** A request's connection. */
export interface PeerConnection {
  readonly prefix: string;
  /** The peer's address and port, as the system's table has them. */
  readonly name: string;
  /** True where it is no connection of TCP. */
  readonly isHttp3: boolean;
}

/** Connections of each prefix. */
export class ConnectionLimit {
  /** Connections that the other processes together have, by prefix. */
  elsewhere: ReadonlyMap<string, number> = new Map();
  readonly #options: ConnectionLimitOptions;
  /** When each was last heard of, on the monotonic clock; of those over TCP: for ever, as long as they are listed. */
  readonly #peers = new Map<string, Map<string, number>>();
  #count = 0;
  #nextLookMs = Number.NEGATIVE_INFINITY;

  constructor(options: ConnectionLimitOptions) {
    this.#options = options;
  }

  /** Connections known now. */
  get count(): number {
    return this.#count;
  }

  /** Notes a request. False where its connection is one too many. */
  admits({ prefix, name, isHttp3 }: PeerConnection): boolean {
    const { clock, connectionsMax } = this.#options;
    const nowMs = clock.monotonicMs();
    const heardMs = isHttp3 ? nowMs : Number.POSITIVE_INFINITY;
    const known = this.#peers.get(prefix);
    if (known?.has(name) === true) {
      if (isHttp3) known.set(name, heardMs);
      return true;
    }
    const ownMax = connectionsMax - (this.elsewhere.get(prefix) ?? 0);
    if ((known?.size ?? 0) >= ownMax || this.#count >= CONNECTIONS_MAX) this.#forgetClosed(nowMs);
    const peers = this.#peers.get(prefix) ?? new Map<string, number>();
    if (peers.size >= ownMax) return false;
    if (this.#count >= CONNECTIONS_MAX) return true;
    peers.set(name, heardMs);
    this.#peers.set(prefix, peers);
    this.#count++;
    return true;
  }

  /**
   * Connections of the prefixes that have a process's share of the limit or more. What is left out is less than that in each
   * process: all together have less than twice the limit, and the limit itself where the kernel spreads them evenly.
   */
  get heavy(): ReadonlyMap<string, number> {
    if (this.#readHeavy().size > 0) this.#forgetClosed(this.#options.clock.monotonicMs());
    return this.#readHeavy();
  }

  #readHeavy(): ReadonlyMap<string, number> {
    const { connectionsMax, processes = 1 } = this.#options;
    const counts = this.#peers.entries().map(([prefix, { size }]) => [prefix, size] as const);
    return new Map(counts.filter(([, size]) => size * processes >= connectionsMax));
  }

  #forgetClosed(nowMs: number): void {
    if (nowMs < this.#nextLookMs) return;
    const { clock, openPeers } = this.#options;
    const open = openPeers();
    for (const [prefix, peers] of this.#peers) {
      for (const [name, heardMs] of peers) {
        const isTcp = heardMs === Number.POSITIVE_INFINITY;
        // The table cannot be read where no file can be opened any more: under the very flood that this is to bound.
        const isOpen = isTcp ? (open?.has(name) ?? true) : nowMs - heardMs < SILENCE_MS_MAX;
        if (isOpen) continue;
        peers.delete(name);
        this.#count--;
      }
      if (peers.size === 0) this.#peers.delete(prefix);
    }
    this.#nextLookMs = nowMs + Math.max(LOOK_MS_MIN, LOOK_PAUSES * (clock.monotonicMs() - nowMs));
  }
}
