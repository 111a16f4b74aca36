/**
 * What happens to a socket of `listen-receiver.ts` before, or instead of, its becoming a player's connection
 * (`connection.ts`): somebody not let in is told why, a load balancer tells whose connection it is.
 */
import { DENIED_LINGER_MS, PROXY_HEADER_MS_MAX, PROXY_REPLY } from "./admission.ts";
import type { Peer } from "./connection.ts";
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from "./proxy-protocol.ts";

/** Takes what comes on a socket. */
export interface SocketHandler {
  /** Bytes of one read, not kept beyond the call. */
  receive(bytes: Uint8Array): void;
  /** The peer takes bytes again. */
  drain(): void;
  /** The peer sent FIN. */
  finish(): void;
  /** The socket is closed. */
  close(): void;
}

/** Those who are sent away and have not gone yet, of one thread. */
export class DeniedPeers {
  /** When each is closed, in the order of their coming. */
  readonly #deadlinesMs = new Map<Peer, number>();
  readonly #monotonicMs: () => number;
  readonly #lingeringMax: number;

  /** @param options `lingeringMax`: most that stay at once; past it the oldest is closed */
  constructor(options: { readonly monotonicMs: () => number; readonly lingeringMax: number }) {
    this.#monotonicMs = options.monotonicMs;
    this.#lingeringMax = options.lingeringMax;
  }

  /**
   * Says the last words and FIN, and drops what comes for a while: closing at once would answer it with RST, on which
   * many a peer forgets what it has not read yet.
   */
  send(peer: Peer, reply: Uint8Array): SocketHandler {
    peer.write(reply);
    peer.finish();
    this.#deadlinesMs.set(peer, this.#monotonicMs() + DENIED_LINGER_MS);
    const [oldest] = this.#deadlinesMs.keys();
    if (oldest !== undefined && this.#deadlinesMs.size > this.#lingeringMax) this.#end(oldest);
    return {
      receive() {},
      drain() {},
      finish: () => peer.close(),
      close: () => void this.#deadlinesMs.delete(peer),
    };
  }

  /** Closes those who have had their time. */
  checkDeadlines(nowMs: number): void {
    for (const [peer, deadlineMs] of this.#deadlinesMs) {
      if (nowMs < deadlineMs) return;
      this.#end(peer);
    }
  }

  #end(peer: Peer): void {
    this.#deadlinesMs.delete(peer);
    peer.terminate();
  }
}

export interface ProxyGreetingOptions {
  readonly peer: Peer;
  readonly denied: DeniedPeers;
  readonly nowMs: number;
  /** Greetings that are not over, for {@link ProxyGreeting.checkDeadline}. */
  readonly pending: Set<ProxyGreeting>;
  /** The header is whole. Returns who takes over: `address` is the player's, if the balancer speaks for one. */
  readonly onHeader: (address: Uint8Array | undefined) => SocketHandler;
  /** There is no such header. */
  readonly onFailure: () => void;
}

/** A connection from a load balancer until its header is whole: then whoever takes over gets the rest. */
export class ProxyGreeting implements SocketHandler {
  readonly #options: ProxyGreetingOptions;
  readonly #deadlineMs: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #next: SocketHandler | undefined;

  constructor(options: ProxyGreetingOptions) {
    this.#options = options;
    this.#deadlineMs = options.nowMs + PROXY_HEADER_MS_MAX;
    options.pending.add(this);
  }

  receive(bytes: Uint8Array): void {
    if (this.#next !== undefined) {
      this.#next.receive(bytes);
      return;
    }
    // No header is longer, so the rest of a long read is not copied.
    const missing = PROXY_HEADER_BYTES_MAX - this.#bytes.length;
    const kept = Buffer.concat([this.#bytes, bytes.subarray(0, missing)]);
    const header = readProxyHeader(kept);
    if (header.state === "incomplete") {
      this.#bytes = kept;
    } else if (header.state === "bad") {
      this.#fail();
    } else {
      const taken = header.length - this.#bytes.length;
      const next = this.#options.onHeader(header.address);
      this.#proceed(next);
      if (taken < bytes.length) next.receive(bytes.subarray(taken));
    }
  }

  drain(): void {
    this.#next?.drain();
  }

  finish(): void {
    // A balancer that only looks whether we are there says nothing at all.
    if (this.#next === undefined && this.#bytes.length > 0) this.#fail();
    this.#options.pending.delete(this);
    if (this.#next === undefined) this.#options.peer.close();
    else this.#next.finish();
  }

  close(): void {
    this.#options.pending.delete(this);
    this.#next?.close();
  }

  /** Sends away a balancer that takes too long. */
  checkDeadline(nowMs: number): void {
    if (nowMs >= this.#deadlineMs) this.#fail();
  }

  #fail(): void {
    this.#options.onFailure();
    this.#proceed(this.#options.denied.send(this.#options.peer, PROXY_REPLY));
  }

  #proceed(next: SocketHandler): void {
    this.#next = next;
    this.#bytes = new Uint8Array(0);
    this.#options.pending.delete(this);
  }
}
