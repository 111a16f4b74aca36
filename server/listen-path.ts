/**
 * The main thread's side of the receive path that works everywhere: threads open the port themselves and share nothing
 * but the places of players, so little is to be done here. See `listen-receiver.ts`.
 */
import { bindOrExplain } from "#common/listen.ts";
import type { Framebuffer } from "./framebuffer.ts";
import type { PlayerShares } from "./player-shares.ts";
import type { ReceivePath, ReceivePlan } from "./receive-path.ts";

export interface ListenPathOptions {
  readonly framebuffer: Framebuffer;
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The main thread's. */
  readonly shares: PlayerShares;
}

export class ListenPath implements ReceivePath {
  readonly name = "listen";
  readonly #options: ListenPathOptions;
  #port: number;

  /**
   * Takes the port alone for a moment. The threads share theirs, and the system would let them share it with another
   * server of the same user too, silently. Throws a StartError where it cannot.
   */
  constructor(options: ListenPathOptions) {
    const { hostname, port } = options;
    this.#options = options;
    this.#port = port;
    const socket = { data() {} };
    bindOrExplain({ option: "pixelflut-port", port, hostname }, () =>
      Bun.listen({ hostname, port, socket }),
    ).stop(true);
  }

  plan(): ReceivePlan {
    return { type: "listen", hostname: this.#options.hostname, port: this.#port };
  }

  /** The first thread found a port, where any would do; the others take the same. */
  listensOn(port: number): void {
    this.#port = port;
  }

  /** Threads of this path come to read messages. */
  wake(): void {}

  freeLocks(thread: number): void {
    this.#options.shares.forgetThread(thread);
  }

  /** A thread's connections are closed with it; nobody else writes its counters any more. */
  forgetThread(thread: number): void {
    const { framebuffer, shares } = this.#options;
    shares.leaveAllOf(thread);
    const slot = framebuffer.counters[thread];
    slot?.add("closed", slot.read("accepted") - slot.read("closed"));
    for (const name of ["heldBytes", "pausedConnections"] as const) slot?.add(name, -slot.read(name));
  }

  close(): void {}
}
