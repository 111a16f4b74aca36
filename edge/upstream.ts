/**
 * The edge's side of the wire to its upstreams: pooled connections, one timeout for each kind of wait, and the
 * choice among several upstreams. Fills, playlists, the relay and the events all ask through here; nothing of a
 * viewer's own headers is passed on.
 */
// RFC 9110 (HTTP semantics), RFC 8586 (CDN-Loop)
import type { Dispatcher } from "undici/index.js";
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode, SpillwayError } from "#common/errors.ts";
import { wholeOf } from "#common/join-bytes.ts";
import type { Log } from "#common/log.ts";
import { pause } from "#common/pause.ts";
import { playlistKey } from "./playlist-key.ts";
import { lengthOf, readHeaders, type ResponseHead } from "./response-head.ts";
import type { ByteBudget } from "./store.ts";
import { orderFor } from "./upstream-order.ts";
import { PeerLeftError, UpstreamPeer, type PeerState, type Pulse } from "./upstream-peer.ts";
import { OWN_HEADERS } from "./upstream-probe.ts";

/** Silence inside a body after which the upstream counts as failed. */
const BODY_SILENCE_MS_MAX = 10_000;
/** Playlists and the like are far smaller. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;
/** Of a body that nobody wants so much is read off, which keeps the connection. */
const DISCARD_BYTES_MAX = 16 * 1024;
const REACHABLE_POLL_MS = 100;
/**
 * After this share of the longest hold it is asked whether the upstream answers at all: later than a segment comes, and
 * early enough for those who wait to have their answer from another, since they wait for three target durations.
 */
const DOUBT_SHARE = 0.4;
/** There are none above (RFC 9110 15). */
export const STATUS_MAX = 599;

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
  /** Those that have answered this with a 5xx before: asked after all others, and told here of the next. */
  readonly failed?: Set<UpstreamPeer> | undefined;
}

export interface RequestOptions extends FetchOptions {
  /** Default: GET. */
  readonly method?: "GET" | "HEAD" | undefined;
  /** Sent beside our own, in lower case; `accept-encoding` replaces ours, which asks for plain bytes. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** True for what is still to come: how long its answer takes says nothing of the upstream. Default: false. */
  readonly isHeld?: boolean | undefined;
}

interface SendOptions extends RequestOptions {
  readonly bodyTimeout: number;
  readonly pulse?: Pulse;
}

export interface UpstreamOptions {
  readonly urls: readonly string[];
  /** Shares of the upstreams, in their order; see `upstream-order.ts`. Empty: the first that is well is asked. */
  readonly weights?: readonly number[];
  readonly clock: Clock;
  readonly log: Log;
  /** Counts what is on its way in. Where there is no room an answer fails with 503. */
  readonly budget: ByteBudget;
}

/** All upstreams of this edge, in the operator's order. */
export class Upstream {
  /** Requests sent, of every kind. */
  requests = 0;
  /** Requests that brought no answer. */
  failures = 0;
  /** Body bytes that came. */
  receivedBytes = 0;
  /** In the operator's order. */
  readonly peers: readonly UpstreamPeer[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #budget: ByteBudget;
  #isClosed = false;
  /** The poll that all who wait for an upstream share, and how many they are. */
  #reachable: Promise<void> | undefined;
  #waitingForReachable = 0;

  constructor({ urls, weights = [], clock, log, budget }: UpstreamOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#budget = budget;
    const labels = labelsOf(urls);
    this.peers = urls.map((url, index) => {
      const others = (): readonly UpstreamPeer[] => this.peers.filter((_, at) => at !== index);
      const [label = url, weight] = [labels[index], weights[index]];
      return new UpstreamPeer({ url, label, weight, clock, log, others });
    });
    if (this.peers.length > 1) for (const peer of this.peers) peer.startProbes();
  }

  /** Base URLs, in order. */
  get urls(): readonly string[] {
    return this.peers.map((peer) => peer.url);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * What asking again and again has found. It is taken for the state of an only upstream, so that one lost request is no
   * outage; of several each has its own, by its own probes.
   */
  tellState(state: PeerState): void {
    const [only, ...others] = this.peers;
    if (others.length === 0) only?.tellState(state);
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
      chunks: this.#readWhole(path, body),
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
      return { ...head, body: wholeOf(parts) };
    } finally {
      this.#budget.release(size);
    }
  }

  async *#readChunks(body: Dispatcher.ResponseData["body"], pulse?: Pulse): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      if (pulse !== undefined) pulse.heardMs = this.#clock.monotonicMs();
      // undici hands out Buffers, its stream type says any.
      const bytes = chunk as Uint8Array;
      this.receivedBytes += bytes.length;
      yield bytes;
    }
  }

  /** A body that breaks off before its end is a failure. */
  async *#readWhole(path: string, body: Dispatcher.ResponseData["body"]): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#readChunks(body);
    } catch (error) {
      this.failures++;
      throw new UpstreamError(`Upstream broke off ${path}`, { status: 502, isReached: true, cause: error });
    }
  }

  /** Opens `path` as a stream that ends when the upstream or `signal` ends it, or is silent and its upstream down. */
  async open(
    path: string,
    options: { readonly signal: AbortSignal; readonly silenceMsMax: number },
  ): Promise<UpstreamStream> {
    const pulse = { heardMs: this.#clock.monotonicMs() };
    const { statusCode, body } = await this.#send(path, {
      holdMsMax: options.silenceMsMax,
      bodyTimeout: options.silenceMsMax,
      signal: options.signal,
      pulse,
    });
    // An error's text is of no use to anyone; reading it off keeps the connection.
    if (statusCode !== 200) await body.dump();
    return { status: statusCode, chunks: this.#readChunks(body, pulse) };
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
      this.requests += this.peers.length;
      const answers = await Promise.all(this.peers.map((peer) => peer.canConnect()));
      if (answers.includes(true)) return;
      await pause(this.#clock, REACHABLE_POLL_MS);
    }
  }

  /** Ends all connections and everything that waits on them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.peers.map((peer) => peer.close()));
  }

  /** Asks one upstream after the other until an answer begins: nothing that has begun is asked for again. */
  async #send(path: string, options: SendOptions): Promise<Dispatcher.ResponseData> {
    const { method = "GET", host, failed, signal, isHeld } = options;
    const headers = { ...OWN_HEADERS, ...options.headers, ...(host !== undefined && { host }) };
    let failure: unknown;
    for (const peer of this.#candidates(path, failed)) {
      this.requests++;
      const cancelDoubt = this.#doubtLater(peer, path, options.holdMsMax);
      try {
        const response = await peer.request({
          method,
          path,
          headers,
          headersTimeout: options.holdMsMax,
          bodyTimeout: options.bodyTimeout,
          signal,
          pulse: options.pulse,
          isHeld,
        });
        if (response.statusCode >= 500) {
          failed?.add(peer);
          peer.probeSoon();
        }
        return response;
      } catch (error) {
        failure = error;
        this.failures++;
        if (this.#isClosed || signal?.aborted === true) break;
        this.#log.debug(`Upstream ${peer.label} failed: ${describeError(error)}`);
        if (this.peers.length === 1) break;
        if (error instanceof PeerLeftError) continue;
        // Who waited that long is not made to wait once more. It says nothing of other folders: probes do.
        if (isTimeout(error)) {
          peer.noteTimeout(path);
          peer.probeSoon();
          break;
        }
        peer.markDown(error);
      } finally {
        cancelDoubt();
      }
    }
    throw new UpstreamError("Upstream does not answer", {
      status: isTimeout(failure) ? 504 : 502,
      isReached: isTimeout(failure),
      cause: failure,
    });
  }

  /** A held request is answered late by an upstream that is well, too: the playlist as it is tells them apart. */
  #doubtLater(peer: UpstreamPeer, path: string, holdMsMax: number): () => void {
    const query = path.indexOf("?");
    if (this.peers.length === 1 || query === -1 || !path.includes("_HLS_msn=", query)) return () => {};
    const plain = playlistKey(path.slice(0, query), path.slice(query + 1));
    return this.#clock.after(DOUBT_SHARE * holdMsMax, () => void peer.doubt(plain));
  }

  /**
   * Those that are well; where there are none, those that answer at least; else all. Each time those on their slate last,
   * after them the failed ones, and after those the ones that have left this folder unanswered.
   */
  #candidates(path: string, failed: ReadonlySet<UpstreamPeer> = new Set()): readonly UpstreamPeer[] {
    const ranks = new Map(this.peers.map((peer) => [peer, rankOf(peer, path, failed)]));
    const ordered = orderFor(path, this.peers).toSorted((a, b) => (ranks.get(a) ?? 0) - (ranks.get(b) ?? 0));
    const well = ordered.filter(({ state }) => state === "up");
    if (well.length > 0) return well;
    const alive = ordered.filter(({ state }) => state !== "down");
    return alive.length > 0 ? alive : ordered;
  }
}

/** An answer that nobody here can make anything of. */
export class UnexpectedStatusError extends UpstreamError {}

/** For an answer that nobody here can make anything of. */
export function unexpectedStatus(path: string, status: number): UnexpectedStatusError {
  const message = `Upstream answered ${path} with unexpected status ${status}`;
  return new UnexpectedStatusError(message, { status: 502, isReached: true });
}

/** For a request that was given up because nobody was left to wait for it. */
export function nobodyWaits(): UpstreamError {
  return new UpstreamError("Nobody waits any more", { status: 503, isReached: true });
}

/** For an answer that the memory has no room for. */
export function noRoom(): UpstreamError {
  return new UpstreamError("Too much is on its way from upstream", { status: 503, isReached: true });
}

/** Host and port of each: no secret and few. A host that is given twice is told apart by a number. */
function labelsOf(urls: readonly string[]): readonly string[] {
  // A Unix socket has none.
  const hosts = urls.map((url) => new URL(url).host || "local");
  return hosts.map((host, index) => {
    const earlier = hosts.slice(0, index).filter((other) => other === host).length;
    return earlier === 0 ? host : `${host}#${earlier + 1}`;
  });
}

/** The least is asked first. */
function rankOf(peer: UpstreamPeer, path: string, failed: ReadonlySet<UpstreamPeer>): number {
  return 4 * Number(peer.hangsAt(path)) + 2 * Number(failed.has(peer)) + Number(peer.isOnSlate);
}

function isTimeout(error: unknown): boolean {
  const code = errorCode(error);
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT";
}
