/**
 * The edge's side of the wire to its upstreams: pooled connections, one timeout for each kind of wait, and the
 * choice among several upstreams. Fills, playlists, the relay and the events all ask through here; nothing of a
 * viewer's own headers is passed on.
 */
// RFC 9110 (HTTP semantics), RFC 8586 (CDN-Loop)
import { Pool, type Dispatcher } from "undici/index.js";
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode, SpillwayError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { joinBytes } from "./join-bytes.ts";
import { lengthOf, readHeaders, type ResponseHead } from "./response-head.ts";
import type { ByteBudget } from "./store.ts";

/**
 * Connections to one upstream: all fills at once, and a held request for each playlist that is watched. Requests past
 * it, such as for more relays than that leaves room for, wait inside the pool.
 */
const CONNECTIONS_MAX = 512;
const CONNECT_MS_MAX = 3_000;
/** Silence inside a body after which the upstream counts as failed. */
const BODY_SILENCE_MS_MAX = 10_000;
/** Shorter than an origin keeps an idle connection, so that it is we who close. */
const KEEP_ALIVE_MS = 30_000;
/** How long a failed upstream is passed over, while another one is there, until it is probed: longer each time. */
const LEFT_ALONE_MS_MIN = 10_000;
const LEFT_ALONE_MS_MAX = 30_000;
const PROBE_ANSWER_MS_MAX = 2_000;
/** Playlists and the like are far smaller. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;
/** Of a body that nobody wants so much is read off, which keeps the connection. */
const DISCARD_BYTES_MAX = 16 * 1024;
const REACHABLE_POLL_MS = 100;
const REACHABLE_ANSWER_MS_MAX = 1_000;

/** `unix:/path`: the socket of another process on this machine, which speaks HTTP/1.1 too. */
const UNIX_SOCKET = "unix:";
const UNIX_SOCKET_ORIGIN = "http://localhost";

export const READINESS_PATH = "/readyz";

/** The header that says who we are. Origins answer it with playlists whose URIs are relative. */
const REQUEST_HEADERS = { "cdn-loop": "spillway", "accept-encoding": "identity" };

/** Why an upstream gave no answer. `isReached` is false when no byte of an answer came: asking again repeats nothing. */
export class UpstreamError extends SpillwayError {
  override readonly name = "UpstreamError";
  /** What a viewer is told: 502, 503 or 504. */
  readonly status: number;
  readonly isReached: boolean;

  constructor(
    message: string,
    options: { readonly status: number; readonly isReached: boolean; readonly cause?: unknown },
  ) {
    super("upstream-failed", message, { cause: options.cause });
    this.status = options.status;
    this.isReached = options.isReached;
  }
}

/** A whole answer. */
export interface UpstreamAnswer extends ResponseHead {
  readonly body: Uint8Array;
}

/** An answer that has begun. Either all `chunks` are read or {@link UpstreamResponse.discard} is called. */
export interface UpstreamResponse {
  readonly head: ResponseHead;
  /** The body as it comes; throws {@link UpstreamError} where it breaks off. What is not asked for waits upstream. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Ends the request without the rest of its body. */
  readonly discard: () => void;
}

/** An answer without end: `.ts` or events. `chunks` are for status 200 only. */
export interface UpstreamStream {
  readonly status: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface FetchOptions {
  /** Longest time until the answer begins: longer than the upstream may hold it. */
  readonly holdMsMax: number;
  /** Host name that the viewer used, for the few answers that depend on it. Default: the upstream's own. */
  readonly host?: string | undefined;
}

export interface RequestOptions extends FetchOptions {
  /** Default: GET. */
  readonly method?: "GET" | "HEAD" | undefined;
  /** Sent beside our own, in lower case; `accept-encoding` replaces ours, which asks for plain bytes. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface SendOptions extends RequestOptions {
  readonly bodyTimeout: number;
}

export interface UpstreamOptions {
  readonly urls: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** Counts what is on its way in. Where there is no room an answer fails with 503. */
  readonly budget: ByteBudget;
}

interface Peer {
  readonly url: string;
  readonly basePath: string;
  readonly pool: Pool;
  /** Ends the wait for the next probe of an upstream that failed; others go first meanwhile. */
  cancelProbe: (() => void) | undefined;
}

/** All upstreams of this edge, in the operator's order. */
export class Upstream {
  /** Requests sent, of every kind. */
  requests = 0;
  /** Requests that brought no answer. */
  failures = 0;
  readonly #peers: readonly Peer[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #budget: ByteBudget;
  #isClosed = false;
  /** The poll that all who wait for an upstream share, and how many they are. */
  #reachable: Promise<void> | undefined;
  #waitingForReachable = 0;

  constructor({ urls, clock, log, budget }: UpstreamOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#budget = budget;
    this.#peers = urls.map((url) => createPeer(url));
  }

  /** Base URLs, in order. */
  get urls(): readonly string[] {
    return this.#peers.map((peer) => peer.url);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Asks for `path` and resolves once the answer has begun, from the first upstream that answers. */
  async request(path: string, options: RequestOptions): Promise<UpstreamResponse> {
    const requestedMs = this.#clock.monotonicMs();
    const { statusCode, headers, body } = await this.#send(path, {
      ...options,
      bodyTimeout: BODY_SILENCE_MS_MAX,
    });
    return {
      head: {
        status: statusCode,
        headers: readHeaders(headers),
        requestedMs,
        receivedMs: this.#clock.monotonicMs(),
        receivedWallMs: this.#clock.wallMs(),
      },
      chunks: this.#readChunks(path, body),
      // Nobody is interested in how it ends any more.
      discard: () => void body.dump({ limit: DISCARD_BYTES_MAX }).catch(() => {}),
    };
  }

  /** Fetches `path` whole: a text of moderate size. */
  async fetch(path: string, options: FetchOptions): Promise<UpstreamAnswer> {
    const { head, chunks, discard } = await this.request(path, options);
    if (head.status !== 200 && head.status < 400) {
      discard();
      throw unexpectedStatus(path, head.status);
    }
    const parts: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of chunks) {
        if (Math.max(size + chunk.length, lengthOf(head) ?? 0) > TEXT_BYTES_MAX) {
          throw new UpstreamError("Upstream's answer is too large", { status: 502, isReached: true });
        }
        if (!this.#budget.reserve(chunk.length)) throw noRoom();
        parts.push(chunk);
        size += chunk.length;
      }
      return { ...head, body: joinBytes(parts, size) };
    } finally {
      this.#budget.release(size);
    }
  }

  async *#readChunks(path: string, body: Dispatcher.ResponseData["body"]): AsyncGenerator<Uint8Array> {
    try {
      // undici hands out Buffers, its stream type says any.
      for await (const chunk of body) yield chunk as Uint8Array;
    } catch (error) {
      this.failures++;
      throw new UpstreamError(`Upstream broke off ${path}`, { status: 502, isReached: true, cause: error });
    }
  }

  /** Opens `path` as a stream that ends when the upstream or `signal` ends it. */
  async open(
    path: string,
    options: { readonly signal: AbortSignal; readonly silenceMsMax: number },
  ): Promise<UpstreamStream> {
    const { statusCode, body } = await this.#send(path, {
      holdMsMax: options.silenceMsMax,
      bodyTimeout: options.silenceMsMax,
      signal: options.signal,
    });
    // An error's text is of no use to anyone; reading it off keeps the connection.
    if (statusCode !== 200) await body.dump();
    return { status: statusCode, chunks: body };
  }

  /** Resolves once some upstream accepts connections, or after `waitMs`. One poll serves all who wait. */
  async untilReachable(waitMs: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancel = this.#clock.after(waitMs, over.resolve);
    this.#waitingForReachable++;
    this.#reachable ??= this.#pollReachable().finally(() => {
      this.#reachable = undefined;
    });
    await Promise.race([this.#reachable, over.promise]);
    this.#waitingForReachable--;
    cancel();
  }

  async #pollReachable(): Promise<void> {
    while (!this.#isClosed && this.#waitingForReachable > 0) {
      for (const { pool } of this.#peers) {
        this.requests++;
        if (await canConnect(pool)) return;
      }
      await new Promise<void>((resolve) => this.#clock.after(REACHABLE_POLL_MS, resolve));
    }
  }

  /** Ends all connections and everything that waits on them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const peer of this.#peers) peer.cancelProbe?.();
    await Promise.all(this.#peers.map((peer) => peer.pool.destroy()));
  }

  async #send(path: string, options: SendOptions): Promise<Dispatcher.ResponseData> {
    const { method = "GET", host, signal } = options;
    const headers = { ...REQUEST_HEADERS, ...options.headers, ...(host !== undefined && { host }) };
    let failure: unknown;
    for (const peer of this.#inOrder()) {
      this.requests++;
      try {
        return await peer.pool.request({
          method,
          path: `${peer.basePath}${path}`,
          headers,
          headersTimeout: options.holdMsMax,
          bodyTimeout: options.bodyTimeout,
          ...(signal !== undefined && { signal }),
        });
      } catch (error) {
        failure = error;
        this.failures++;
        if (this.#isClosed || signal?.aborted === true) break;
        this.#log.debug(`Upstream ${peer.url} failed: ${describeError(error)}`);
        this.#leaveAlone(peer, LEFT_ALONE_MS_MIN);
        // Who waited that long is not made to wait once more.
        if (isTimeout(error)) break;
      }
    }
    throw new UpstreamError("Upstream does not answer", {
      status: isTimeout(failure) ? 504 : 502,
      isReached: isTimeout(failure),
      cause: failure,
    });
  }

  /** The operator's order, those that failed last. */
  #inOrder(): readonly Peer[] {
    if (this.#peers.length === 1) return this.#peers;
    const isAlone = (peer: Peer): boolean => peer.cancelProbe !== undefined;
    return [...this.#peers.filter((peer) => !isAlone(peer)), ...this.#peers.filter(isAlone)];
  }

  /** Passes an upstream over until a probe finds it ready: requests of viewers never try it out. */
  #leaveAlone(peer: Peer, pauseMs: number): void {
    if (this.#peers.length === 1 || peer.cancelProbe !== undefined) return;
    peer.cancelProbe = this.#clock.after(pauseMs, () => {
      void this.#isPeerReady(peer).then((isReady) => {
        peer.cancelProbe = undefined;
        if (this.#isClosed) return;
        if (isReady) this.#log.info(`Upstream ${peer.url} is back`);
        else this.#leaveAlone(peer, Math.min(LEFT_ALONE_MS_MAX, 2 * pauseMs));
      });
    });
  }

  async #isPeerReady({ pool, basePath }: Peer): Promise<boolean> {
    this.requests++;
    const timeouts = { headersTimeout: PROBE_ANSWER_MS_MAX, bodyTimeout: PROBE_ANSWER_MS_MAX };
    try {
      const { statusCode, body } = await pool.request({
        method: "GET",
        path: `${basePath}${READINESS_PATH}`,
        headers: REQUEST_HEADERS,
        ...timeouts,
      });
      await body.dump();
      return isReadyStatus(statusCode);
    } catch {
      // Not there yet is an answer too; it is asked again later.
      this.failures++;
      return false;
    }
  }
}

/** For an answer that nobody here can make anything of. */
export function unexpectedStatus(path: string, status: number): UpstreamError {
  const message = `Upstream answered ${path} with unexpected status ${status}`;
  return new UpstreamError(message, { status: 502, isReached: true });
}

/** For an answer that the memory has no room for. */
export function noRoom(): UpstreamError {
  return new UpstreamError("Too much is on its way from upstream", { status: 503, isReached: true });
}

function createPeer(url: string): Peer {
  const { protocol, origin, pathname } = new URL(url);
  const isSocket = protocol === UNIX_SOCKET;
  const pool = new Pool(isSocket ? UNIX_SOCKET_ORIGIN : origin, {
    ...(isSocket && { socketPath: decodeURI(pathname) }),
    connections: CONNECTIONS_MAX,
    pipelining: 1,
    connectTimeout: CONNECT_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
  });
  return { url, basePath: isSocket ? "" : pathname.replace(/\/+$/, ""), pool, cancelProbe: undefined };
}

/** Asks for the smallest thing there is; any answer at all means that somebody listens. */
async function canConnect(pool: Pool): Promise<boolean> {
  try {
    const { body } = await pool.request({
      method: "HEAD",
      path: "/healthz",
      headersTimeout: REACHABLE_ANSWER_MS_MAX,
    });
    await body.dump();
    return true;
  } catch {
    // Not reachable yet is the expected answer; the caller asks again.
    return false;
  }
}

/** An upstream that is no Spillway node has no such path: that it answers is all that can be known. */
export function isReadyStatus(status: number): boolean {
  return status < 400 || status === 404;
}

function isTimeout(error: unknown): boolean {
  const code = errorCode(error);
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT";
}
