/**
 * Who may play: what a receive path asks when a connection comes, when a load balancer has told whose it is, and what
 * it says to those it sends away. The limits are those of `player-shares.ts`, the same for all threads.
 *
 * Players held to a rate are told by HELP only: they lose nothing, and a line that they did not ask for, in the middle of
 * answers, would be taken for one of them.
 */
import { isInRanges, prefixKey, type AddressRange, type PrefixBits } from "#common/address-prefix.ts";
import { NO_PLAYER_LIMITS, type Denial, type PlayerLimits, type PlayerShares } from "./player-shares.ts";

/**
 * Connections that are kept open at most only to have their last line arrive, by all threads together. A thread's part
 * is {@link AdmissionRules.deniedLingeringMax}.
 */
export const DENIED_LINGERING_MAX = 128;
/** How long a connection that was not let in may stay to read why, in milliseconds. */
export const DENIED_LINGER_MS = 1_000;
/** How long a load balancer may take for its header, in milliseconds. */
export const PROXY_HEADER_MS_MAX = 10_000;

/** The operator's rules. Passes through `postMessage`. */
export interface AdmissionRules {
  readonly limits: PlayerLimits;
  /** How much of an address tells one player from another. */
  readonly prefixBits: PrefixBits;
  /** Load balancers: connections from here begin with a header of the PROXY protocol. */
  readonly proxies: readonly AddressRange[];
  /** How long a player may send nothing, in milliseconds; infinity for as long as it likes. */
  readonly idleMs: number;
  /**
   * Connections that one thread keeps open at most only to have their last line arrive; past it the oldest is closed at
   * once. It bounds the descriptors that a flood of connections can hold beside those of players.
   */
  readonly deniedLingeringMax: number;
}

/** No rule but that there is room. */
export const OPEN_ADMISSION: AdmissionRules = {
  limits: NO_PLAYER_LIMITS,
  prefixBits: { v4: 32, v6: 64 },
  proxies: [],
  idleMs: Number.POSITIVE_INFINITY,
  deniedLingeringMax: DENIED_LINGERING_MAX,
};

const encoder = new TextEncoder();

/** What a balancer's connection is told that does not begin with the header. */
export const PROXY_REPLY = encoder.encode("ERR expected a header of the PROXY protocol\n");

/** One thread's door. */
export class Admission {
  /** Where those let in are counted; {@link PlayerShares.leave} when they are gone. */
  readonly shares: PlayerShares;
  readonly #rules: AdmissionRules;
  readonly #denials: Readonly<Record<Denial, Uint8Array>>;
  /** What a player is told who has sent nothing for too long. */
  readonly idleReply: Uint8Array;

  constructor(shares: PlayerShares, rules: AdmissionRules) {
    this.shares = shares;
    this.#rules = rules;
    const { connectionsPerPrefix } = rules.limits;
    this.#denials = {
      prefix: encoder.encode(`ERR too many connections from your address (limit ${connectionsPerPrefix})\n`),
      all: encoder.encode(`ERR too many connections to this server (limit ${shares.connectionsMax})\n`),
    };
    this.idleReply = encoder.encode(`ERR nothing received for ${rules.idleMs / 1_000} s\n`);
  }

  /** Who gets equal parts when there is more to read than time ({@link PlayerLimits}). */
  get fairShare(): PlayerLimits["fairShare"] {
    return this.#rules.limits.fairShare;
  }

  /** How many of those not let in may stay at once to read why ({@link AdmissionRules.deniedLingeringMax}). */
  get deniedLingeringMax(): number {
    return this.#rules.deniedLingeringMax;
  }

  /** Milliseconds that a player may send nothing, perhaps infinity. */
  get idleMs(): number {
    return this.#rules.idleMs;
  }

  /**
   * True for an address of a load balancer: nothing of its connection may reach the parser before `proxy-protocol.ts`
   * has read the header and {@link readmit} has let the player in.
   */
  isProxy(address: Uint8Array): boolean {
    return isInRanges(address, this.#rules.proxies);
  }

  /**
   * Lets a new connection in, or not: see {@link PlayerShares.admit}. No single balancer's address is counted against
   * the limit of a prefix.
   *
   * @param address 16 bytes, as `address-prefix.ts` has them
   */
  admit(address: Uint8Array): number | Denial {
    return this.shares.admit(this.#keyOf(address), this.isProxy(address));
  }

  /**
   * Lets the player in behind a balancer's connection: see {@link PlayerShares.readmit}. Not to be called where the
   * balancer speaks for itself.
   */
  readmit(prefix: number, address: Uint8Array, connection: number): number | Denial {
    return this.shares.readmit(prefix, this.#keyOf(address), connection);
  }

  /** What somebody is told who is not let in: one line. */
  replyTo(denial: Denial): Uint8Array {
    return this.#denials[denial];
  }

  #keyOf(address: Uint8Array): Uint8Array {
    return prefixKey(address, this.#rules.prefixBits);
  }
}
