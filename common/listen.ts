/**
 * Opens the HTTP side of a node: with a certificate HTTPS, which serves HTTP/2 and HTTP/1.1 on one port, else HTTP/1.1;
 * the same limits for all; errors that name the option to change.
 */
// RFC 9113 (HTTP/2), RFC 7301 (ALPN: which of the two), RFC 9112 3.2 (Host)
import type { Server, WebSocketHandler } from "bun";
import type { Clock } from "#common/clock.ts";
import { errorCode, StartError } from "#common/errors.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import type { Tls } from "#common/tls.ts";

/** Longest silence on a connection, in seconds; longer than any held playlist (3 target durations). 255 is Bun's limit. */
export const IDLE_TIMEOUT_SECONDS = 60;
/** Requests have no bodies; what is longer is refused by Bun with 413. */
const REQUEST_BODY_BYTES_MAX = 1024;
/** Answers that are under way may take this long when a node ends. */
const DRAIN_MS_MAX = 500;
const DRAIN_POLL_MS = 10;

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
  /** True where several processes listen on this port and the system spreads connections over them. Default false. */
  readonly reusePort?: boolean;
  /** Without it everything is plain HTTP/1.1. */
  readonly tls: Tls | undefined;
  /** `undefined` where the request has become a WebSocket. */
  readonly fetch: (request: Request, server: Server<Data>) => Response | undefined | Promise<Response>;
  /** Answers for a `fetch` that has thrown. */
  readonly error: (error: unknown) => Response;
  /** For what `fetch` upgrades. Default: nothing is. */
  readonly websocket?: WebSocketHandler<Data>;
}

/** A node's open HTTP port. It owns what Bun listens with: nobody else keeps hold of that. */
export class HttpServer<Data = undefined> {
  readonly scheme: "http" | "https";
  readonly #server: Server<Data>;

  constructor(options: HttpServerOptions<Data>) {
    this.scheme = options.tls === undefined ? "http" : "https";
    this.#server = bindOrExplain(options, () => serve(options));
  }

  /** The real one where 0 was asked. */
  get port(): number {
    return this.#server.port ?? 0;
  }

  /** Takes no new request, has `endOpen` end what is endless or held, and gives the other answers a moment. */
  async close(clock: Clock, endOpen: () => void): Promise<void> {
    const stopped = this.#server.stop();
    endOpen();
    const endMs = clock.monotonicMs() + DRAIN_MS_MAX;
    // Idle connections keep `stopped` waiting; they are nobody's loss.
    while (this.#server.pendingRequests > 0 && clock.monotonicMs() < endMs) {
      await Promise.race([stopped, new Promise<void>((resolve) => clock.after(DRAIN_POLL_MS, resolve))]);
    }
    await this.stop();
  }

  /** Ends every connection at once. */
  async stop(): Promise<void> {
    await this.#server.stop(true);
  }
}

function serve<Data>(options: HttpServerOptions<Data>): Server<Data> {
  const { port, hostname, reusePort = false, tls, fetch, error, websocket = { message() {} } } = options;
  return Bun.serve<Data>({
    port,
    hostname,
    reusePort,
    idleTimeout: IDLE_TIMEOUT_SECONDS,
    maxRequestBodySize: REQUEST_BODY_BYTES_MAX,
    development: false,
    fetch: (request, server) => (hasOneHost(request) ? fetch(request, server) : ambiguousHost()),
    error,
    websocket,
    // Without a certificate nobody asks for HTTP/2: browsers speak it over TLS only.
    ...(tls !== undefined && { tls, http2: true }),
  });
}

/** Bun joins several fields of one name by commas, which no host has. */
function hasOneHost(request: Request): boolean {
  return request.headers.get("host")?.includes(",") !== true;
}

/** RFC 9112 3.2: whoever is between may have taken another of them for the host. */
function ambiguousHost(): Response {
  return new Response("One Host is expected\n", {
    status: 400,
    headers: { ...CORS_HEADERS, date: new Date().toUTCString(), "cache-control": "no-store" },
  });
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

/** True for an address of this machine itself: 127.0.0.0/8, ::1, and 127.0.0.0/8 mapped into IPv6. */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return plain === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}
