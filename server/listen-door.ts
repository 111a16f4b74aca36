/**
 * The door of `listen-receiver.ts`: decides what a new socket becomes, a player's connection, somebody who is sent away,
 * or a load balancer's that first tells whose it is; and gives its place back when it closes.
 */
import { ADDRESS_BYTES, parseAddress } from "#common/address-prefix.ts";
import type { Admission } from "./admission.ts";
import type { Peer } from "./connection.ts";
import type { CounterSlot } from "./counters.ts";
import { DeniedPeers, ProxyGreeting, type SocketHandler } from "./socket-handler.ts";

/** One socket. */
export interface ListenPlayer {
  handler: SocketHandler;
  /** Of the place that it has; -1 where it was not let in, or all are. */
  prefix: number;
}

export interface ListenDoorOptions {
  /** Without it everybody is let in. */
  readonly admission: Admission | undefined;
  readonly counters: CounterSlot;
  readonly monotonicMs: () => number;
  /** Opens a player's connection. */
  readonly open: (peer: Peer, prefix: number) => SocketHandler;
}

export class ListenDoor {
  readonly #options: ListenDoorOptions;
  readonly #denied: DeniedPeers;
  /** Greetings that are not over. */
  readonly #greetings = new Set<ProxyGreeting>();

  constructor(options: ListenDoorOptions) {
    this.#options = options;
    const { admission, monotonicMs } = options;
    this.#denied = new DeniedPeers({ monotonicMs, lingeringMax: admission?.deniedLingeringMax ?? 0 });
  }

  /** A socket was accepted. @param remoteAddress as Bun has it; none where the peer is gone already */
  enter(peer: Peer, remoteAddress: string | undefined): ListenPlayer {
    const { admission, open, monotonicMs } = this.#options;
    if (admission === undefined) return { handler: open(peer, 0), prefix: -1 };
    const address = parseAddress(remoteAddress ?? "") ?? NO_ADDRESS;
    const outcome = admission.admit(address);
    if (typeof outcome === "string") {
      return { handler: this.#denied.send(peer, admission.replyTo(outcome)), prefix: -1 };
    }
    if (!admission.isProxy(address)) return { handler: open(peer, outcome), prefix: outcome };
    const player: ListenPlayer = { handler: NOBODY, prefix: outcome };
    player.handler = new ProxyGreeting({
      peer,
      denied: this.#denied,
      nowMs: monotonicMs(),
      pending: this.#greetings,
      onHeader: (told) => this.#takeOver({ player, peer, admission, told }),
      onFailure: () => this.#options.counters.add("proxyFailures", 1),
    });
    return player;
  }

  /** A socket is closed. */
  leave(player: ListenPlayer): void {
    player.handler.close();
    if (player.prefix >= 0) this.#options.admission?.shares.leave(player.prefix);
    player.prefix = -1;
  }

  /** To be called now and then. */
  checkDeadlines(nowMs: number): void {
    this.#denied.checkDeadlines(nowMs);
    for (const greeting of this.#greetings) greeting.checkDeadline(nowMs);
  }

  /** Lets the player in whom a balancer has told of, or the balancer itself. */
  #takeOver(options: {
    readonly player: ListenPlayer;
    readonly peer: Peer;
    readonly admission: Admission;
    readonly told: Uint8Array | undefined;
  }): SocketHandler {
    const { player, peer, admission, told } = options;
    const { open, counters } = this.#options;
    if (told === undefined) return open(peer, player.prefix);
    counters.add("proxiedConnections", 1);
    const outcome = admission.readmit(player.prefix, told, -1);
    if (typeof outcome === "string") return this.#denied.send(peer, admission.replyTo(outcome));
    player.prefix = outcome;
    return open(peer, outcome);
  }
}

const NO_ADDRESS = new Uint8Array(ADDRESS_BYTES);
/** Until the real one is there. */
const NOBODY: SocketHandler = { receive() {}, drain() {}, finish() {}, close() {} };
