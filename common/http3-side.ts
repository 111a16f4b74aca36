/**
 * HTTP/3 beside a node's port: the same number on UDP, found by clients through `Alt-Svc`. A Bun server of its own, since its
 * socket cannot be handed over as a listening one of TCP can: of two UDP sockets on one port each gets a part of every
 * connection's packets.
 */
// RFC 9114 (HTTP/3), 3.1.1 (Alt-Svc); RFC 7838
import type { Server } from "bun";
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { pause } from "#common/pause.ts";
import type { Tls, TlsSource } from "#common/tls.ts";

/** How long clients remember that there is HTTP/3, in seconds. */
const ADVERTISED_SECONDS = 86_400;
/** A new certificate waits this long at most for an instant without requests: longer than playlists are held. */
const QUIET_MS_MAX = 20_000;
const QUIET_POLL_MS = 5;

/** The servers of HTTP/3 of this process. */
const http3Servers = new WeakSet<object>();

/** True for the server that a request of HTTP/3 came to. */
export function isHttp3(server: object): boolean {
  return http3Servers.has(server);
}

export interface Http3Options<Data> {
  /** Opens the UDP socket. */
  readonly serve: (tls: Tls) => Server<Data>;
  readonly tls: TlsSource;
  readonly clock: Clock;
  readonly log: Log;
}

/** The HTTP/3 of one port. */
export class Http3Side<Data> {
  readonly #options: Http3Options<Data>;
  #server: Server<Data> | undefined;
  #isReplacing = false;
  #isClosed = false;

  constructor(options: Http3Options<Data>) {
    this.#options = options;
    this.#open();
    options.tls.onChange(() => void this.#replace());
  }

  /** What answers over TCP say of it in `Alt-Svc`; `undefined` while there is none. */
  get altSvc(): string | undefined {
    const port = this.#server?.port;
    return port === undefined ? undefined : `h3=":${port}"; ma=${ADVERTISED_SECONDS}`;
  }

  /** Requests that wait for their answers. */
  get pendingRequests(): number {
    return this.#server?.pendingRequests ?? 0;
  }

  /** Takes no new connection. */
  drain(): void {
    this.#isClosed = true;
    // Not awaited: it resolves when the last connection has ended.
    void this.#server?.stop();
  }

  /** Ends every connection, and tells the clients so. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    await this.#server?.stop(true);
    this.#server = undefined;
  }

  #open(): void {
    const { serve, tls, log } = this.#options;
    try {
      this.#server = serve(tls.current);
      http3Servers.add(this.#server);
    } catch (error) {
      log.warn(`No HTTP/3: ${describeError(error)}`);
    }
  }

  /**
   * Bun takes a certificate only with a new socket, and there can be but one. So the next instant without a request is
   * waited for; clients are told that their connections end, and make new ones. Never rejects.
   */
  async #replace(): Promise<void> {
    // Whoever waits takes the newest.
    if (this.#isReplacing || this.#isClosed) return;
    this.#isReplacing = true;
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + QUIET_MS_MAX;
    while (this.pendingRequests > 0 && clock.monotonicMs() < endMs && !this.#isClosed) {
      await pause(clock, QUIET_POLL_MS);
    }
    if (this.#isClosed) return;
    const old = this.#server;
    this.#server = undefined;
    await old?.stop(true);
    if (this.#isClosed) return;
    this.#isReplacing = false;
    this.#open();
  }
}
