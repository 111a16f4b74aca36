/**
 * Opens the HTTP side of a node: with a certificate HTTPS, which serves HTTP/2, HTTP/1.1 and HTTP/3 on one port, else HTTP/1.1;
 * the same limits for all; errors that name the option to change; another certificate without a pause.
 */
// RFC 9113 (HTTP/2), RFC 7301 (ALPN: which of the two), RFC 9114 (HTTP/3), RFC 7838 (Alt-Svc)
import { networkInterfaces } from "node:os";
import type { Server, WebSocketHandler } from "bun";
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode, StartError } from "#common/errors.ts";
import { Http3Side } from "#common/http3-side.ts";
import type { Log } from "#common/log.ts";
import { pause } from "#common/pause.ts";
import { answerFault, faultOf, type RequestFault } from "#common/request-faults.ts";
import type { Tls, TlsSource } from "#common/tls.ts";

/** Longest silence on a connection, in seconds; longer than any held playlist (3 target durations). 255 is Bun's limit. */
export const IDLE_TIMEOUT_SECONDS = 60;
/** Requests have no bodies; what is longer is refused by Bun with 413. */
const REQUEST_BODY_BYTES_MAX = 1024;
/** Answers that are under way may take this long when a node ends. */
const DRAIN_MS_MAX = 500;
const DRAIN_POLL_MS = 10;
/**
 * How long a server whose certificate has been replaced goes on, milliseconds. It asks clients of HTTP/1.1 to leave with their
 * next answer, since its end would cut off a request that has not been read yet: longer than players pause between requests.
 */
export const RETIRE_MS = 3_000;

/** How a socket of both families shows an address of IPv4. */
const IPV4_MAPPED = /^::ffff:(?=[\d.]+$)/;

const CAUSES: Readonly<Record<string, string>> = {
  EADDRINUSE: "address in use",
  EACCES: "permission denied",
  EADDRNOTAVAIL: "no such address on this machine",
  ENOTFOUND: "unknown host name",
};

/** Where and how a node listens, and what answers. */
export interface HttpServerOptions<Data> {
  /** The flag whose value `port` is, for errors. */
  readonly option: string;
  readonly port: number;
  readonly hostname: string;
  /** Without it everything is plain HTTP/1.1. */
  readonly tls: TlsSource | undefined;
  /** HTTP/3 on the same port of UDP, where there is TLS. Default off. */
  readonly http3?: "on" | "off";
  /** Other processes listen on the same port, and the system spreads connections over them. Default false. */
  readonly reusePort?: boolean;
  /** Longest silence on a connection. Default {@link IDLE_TIMEOUT_SECONDS}. */
  readonly idleTimeoutSeconds?: number;
  /** `undefined` where the request has become a WebSocket. */
  readonly fetch: Fetch<Data>;
  /** Answers for a `fetch` that has thrown. */
  readonly error: (error: unknown) => Response;
  /** Told of requests that were refused before `fetch`. */
  readonly onFault?: (fault: RequestFault) => void;
  /** For what `fetch` upgrades. Default: nothing is. */
  readonly websocket?: WebSocketHandler<Data>;
  readonly clock: Clock;
  readonly log: Log;
}

type Answer = Response | undefined | Promise<Response>;
type Fetch<Data> = (request: Request, server: Server<Data>) => Answer;

/** A node's open HTTP port. It owns what Bun listens with: nobody else keeps hold of that. */
export class HttpServer<Data = undefined> {
  readonly scheme: "http" | "https";
  readonly #options: HttpServerOptions<Data>;
  #server: Server<Data>;
  /** Those with a certificate that has been replaced, until their last answer has ended, and what has them stay no longer. */
  readonly #retired = new Map<Server<Data>, () => void>();
  readonly #http3: Http3Side<Data> | undefined;
  #isClosed = false;

  constructor(options: HttpServerOptions<Data>) {
    const { tls } = options;
    this.#options = options;
    this.scheme = tls === undefined ? "http" : "https";
    this.#server = bindOrExplain(options, () => {
      refuseTaken(options);
      return this.#listen(options.port);
    });
    if (tls !== undefined && options.http3 === "on") {
      const serve = (current: Tls): Server<Data> =>
        Bun.serve<Data>({ ...this.#handlers(), tls: current, port: this.port, http1: false, http3: true });
      this.#http3 = new Http3Side({ ...options, tls, serve });
    }
    tls?.onChange(() => this.#replace());
  }

  /** The real one where 0 was asked. */
  get port(): number {
    return this.#server.port ?? 0;
  }

  /** Takes no new request, has `endOpen` end what is endless or held, and gives the other answers a moment. */
  async close(endOpen: () => void): Promise<void> {
    const { clock } = this.#options;
    this.#isClosed = true;
    const stopped = Promise.all([this.#server, ...this.#retired.keys()].map((server) => server.stop()));
    this.#http3?.drain();
    endOpen();
    const endMs = clock.monotonicMs() + DRAIN_MS_MAX;
    // Idle connections keep `stopped` waiting; they are nobody's loss.
    while (this.#pendingRequests > 0 && clock.monotonicMs() < endMs) {
      await Promise.race([stopped, pause(clock, DRAIN_POLL_MS)]);
    }
    await this.stop();
  }

  /** Ends every connection at once. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    for (const cancel of this.#retired.values()) cancel();
    const servers = [this.#server, ...this.#retired.keys()];
    await Promise.all([...servers.map((server) => server.stop(true)), this.#http3?.stop()]);
  }

  get #pendingRequests(): number {
    let sum = this.#server.pendingRequests + (this.#http3?.pendingRequests ?? 0);
    for (const { pendingRequests } of this.#retired.keys()) sum += pendingRequests;
    return sum;
  }

  #listen(port: number): Server<Data> {
    const { tls, reusePort = false } = this.#options;
    const handlers = { ...this.#handlers(), port };
    if (tls === undefined) return Bun.serve<Data>({ ...handlers, reusePort });
    const { fetch } = handlers;
    return Bun.serve<Data>({
      ...handlers,
      // Without a certificate nobody asks for HTTP/2: browsers speak it over TLS only.
      http2: true,
      reusePort: true,
      tls: tls.current,
      fetch: (request, server) => {
        const answer = fetch(request, server);
        if (!(answer instanceof Promise)) return answer && this.#signed(answer, server);
        return answer.then((response) => this.#signed(response, server));
      },
    });
  }

  /** Names HTTP/3, and asks who came by a certificate that has been replaced to leave: HTTP/2 hears that at the end. */
  #signed(response: Response, server: Server<Data>): Response {
    const altSvc = this.#http3?.altSvc;
    if (altSvc !== undefined) response.headers.set("alt-svc", altSvc);
    // Bun leaves it out of answers of HTTP/2, where it means nothing.
    if (this.#retired.has(server)) response.headers.set("connection", "close");
    return response;
  }

  /** `server.reload` keeps the old certificate, so another server opens the port before the old one leaves it. */
  #replace(): void {
    if (this.#isClosed) return;
    const old = this.#server;
    try {
      this.#server = this.#listen(this.port);
    } catch (error) {
      this.#options.log.warn(`The certificate stays as it was: ${describeError(error)}`);
      return;
    }
    const cancel = this.#options.clock.after(RETIRE_MS, () => {
      // What it has begun it ends; connections that are idle it closes.
      void old.stop().then(() => this.#retired.delete(old));
    });
    this.#retired.set(old, cancel);
  }

  #handlers(): ServeHandlers<Data> {
    const { hostname, fetch, error, onFault, websocket = { message() {} } } = this.#options;
    const { idleTimeoutSeconds: idleTimeout = IDLE_TIMEOUT_SECONDS } = this.#options;
    return {
      hostname,
      idleTimeout,
      maxRequestBodySize: REQUEST_BODY_BYTES_MAX,
      development: false,
      fetch(request, server) {
        const fault = faultOf(request);
        if (fault === undefined) return fetch(request, server);
        onFault?.(fault);
        return answerFault(fault);
      },
      error,
      websocket,
    };
  }
}

/** A port that may be handed over would open beside somebody else's as well, who would get half of the viewers. */
function refuseTaken({
  tls,
  reusePort,
  hostname,
  port,
}: Pick<HttpServerOptions<unknown>, "tls" | "reusePort" | "hostname" | "port">): void {
  if (tls === undefined || reusePort === true || port === 0) return;
  Bun.listen({ hostname, port, socket: { data() {} } }).stop(true);
}

/** What all servers of one node have in common. */
interface ServeHandlers<Data> {
  readonly hostname: string;
  readonly idleTimeout: number;
  readonly maxRequestBodySize: number;
  readonly development: false;
  readonly fetch: Fetch<Data>;
  readonly error: (error: unknown) => Response;
  readonly websocket: WebSocketHandler<Data>;
}

/**
 * Runs `listen` and turns a failure to bind into one line: `Cannot bind --edge-port 8081 on ::: address in use`.
 *
 * @param option the flag whose value was tried
 */
export function bindOrExplain<T>(
  where: { readonly option: string; readonly port: number; readonly hostname: string },
  listen: () => T,
): T {
  try {
    return listen();
  } catch (error) {
    const code = errorCode(error) ?? "";
    const why = CAUSES[code] ?? (error instanceof Error ? error.message : String(error));
    throw new StartError(
      "cannot-bind",
      `Cannot bind port ${where.port} on ${where.hostname} (--${where.option}): ${why}`,
    );
  }
}

/** A URL's host part for an address that a server is bound to: IPv6 in brackets, "any" addresses as loopback. */
export function hostOfBind(hostname: string): string {
  if (hostname === "::" || hostname === "0.0.0.0" || hostname === "") return "127.0.0.1";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

/** True for every address by which this machine reaches itself, as far as this process sees its interfaces. */
export function isOwnAddress(address: string): boolean {
  if (isLoopbackAddress(address)) return true;
  const plain = address.replace(IPV4_MAPPED, "");
  const interfaces = Object.values(networkInterfaces()).flat();
  return interfaces.some((found) => found?.address === plain);
}

/** True for a loopback address: 127.0.0.0/8, ::1, and 127.0.0.0/8 mapped into IPv6. */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.replace(IPV4_MAPPED, "");
  return plain === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}
