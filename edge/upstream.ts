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
/** Larger objects are not ours: a segment of 6 s at 100 Mbit/s is 75 MB. */
const OBJECT_BYTES_MAX = 96 * 1024 * 1024;
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
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  /** When its header arrived, on the monotonic clock: the moment its age counts from. */
  readonly receivedMs: number;
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

interface SendOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly holdMsMax: number;
  readonly bodyTimeout: number;
  readonly signal?: AbortSignal;
}

export interface UpstreamOptions {
  readonly urls: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes that all answers still on their way may hold together. Past it a new one fails with 503. */
  readonly inFlightBytesMax: number;
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
  /** Bytes received of answers that are not complete yet. */
  inFlightBytes = 0;
  readonly #peers: readonly Peer[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #inFlightBytesMax: number;
  #isClosed = false;
  /** The poll that all who wait for an upstream share, and how many they are. */
  #reachable: Promise<void> | undefined;
  #waitingForReachable = 0;

  constructor({ urls, clock, log, inFlightBytesMax }: UpstreamOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#inFlightBytesMax = inFlightBytesMax;
    this.#peers = urls.map((url) => createPeer(url));
  }

  /** Base URLs, in order. */
  get urls(): readonly string[] {
    return this.#peers.map((peer) => peer.url);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Fetches `path` whole, from the first upstream that answers. */
  async fetch(path: string, { holdMsMax, host }: FetchOptions): Promise<UpstreamAnswer> {
    const headers = host === undefined ? REQUEST_HEADERS : { ...REQUEST_HEADERS, host };
    const { response } = await this.#send(path, { headers, holdMsMax, bodyTimeout: BODY_SILENCE_MS_MAX });
    const receivedMs = this.#clock.monotonicMs();
    try {
      const body = await this.#readBody(response);
      const isAnswer = response.statusCode === 200 || response.statusCode >= 400;
      if (!isAnswer) {
        const message = `Upstream answered ${path} with unexpected status ${response.statusCode}`;
        throw new UpstreamError(message, { status: 502, isReached: true });
      }
      return { status: response.statusCode, headers: readHeaders(response.headers), body, receivedMs };
    } catch (error) {
      if (error instanceof UpstreamError) throw error;
      this.failures++;
      throw new UpstreamError(`Upstream broke off ${path}`, { status: 502, isReached: true, cause: error });
    }
  }

  /** Opens `path` as a stream that ends when the upstream or `signal` ends it. */
  async open(
    path: string,
    options: { readonly signal: AbortSignal; readonly silenceMsMax: number },
  ): Promise<UpstreamStream> {
    const { response } = await this.#send(path, {
      headers: REQUEST_HEADERS,
      holdMsMax: options.silenceMsMax,
      bodyTimeout: options.silenceMsMax,
      signal: options.signal,
    });
    // An error's text is of no use to anyone; reading it off keeps the connection.
    if (response.statusCode !== 200) await response.body.dump();
    return { status: response.statusCode, chunks: response.body };
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

  async #send(path: string, options: SendOptions): Promise<{ readonly response: Dispatcher.ResponseData }> {
    let failure: unknown;
    for (const peer of this.#inOrder()) {
      this.requests++;
      try {
        const response = await peer.pool.request({
          method: "GET",
          path: `${peer.basePath}${path}`,
          headers: options.headers,
          headersTimeout: options.holdMsMax,
          bodyTimeout: options.bodyTimeout,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        });
        return { response };
      } catch (error) {
        failure = error;
        this.failures++;
        if (this.#isClosed || options.signal?.aborted === true) break;
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

  async #readBody({ headers, body }: Dispatcher.ResponseData): Promise<Uint8Array> {
    const length = Number(headers["content-length"] ?? Number.NaN);
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of body) {
        // undici hands out Buffers, its stream type says any.
        const bytes = chunk as Uint8Array;
        chunks.push(bytes);
        size += bytes.length;
        this.inFlightBytes += bytes.length;
        if (size > OBJECT_BYTES_MAX || length > OBJECT_BYTES_MAX) {
          throw new UpstreamError("Upstream's answer is too large", { status: 502, isReached: true });
        }
        if (this.inFlightBytes > this.#inFlightBytesMax) {
          throw new UpstreamError("Too much is on its way from upstream", { status: 503, isReached: true });
        }
      }
    } finally {
      this.inFlightBytes -= size;
    }
    return join(chunks, size);
  }
}

/** One array out of several; a single one is taken as it is. */
export function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined && first.byteLength === first.buffer.byteLength)
    return first;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
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

function readHeaders(headers: Dispatcher.ResponseData["headers"]): ReadonlyMap<string, string> {
  const read = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) read.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return read;
}
