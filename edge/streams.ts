/**
 * The endless responses of the edge, by path: relays of `stream.ts` and of events. Begun by the first viewer, gone
 * a while after the last, few enough that made-up names cost nothing.
 */
import type { Clock } from "#common/clock.ts";
import { EVENTS_CONTENT_TYPE } from "#common/formats/events.ts";
import type { Log } from "#common/log.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import { answerRefusal, answerStatus } from "./answer.ts";
import type { Counters, RefusalCause } from "./counters.ts";
import { EventsRelay } from "./events-relay.ts";
import { Relay, type RelayCounters } from "./relay.ts";
import type { Upstream } from "./upstream.ts";
import type { Viewers } from "./viewers.ts";

/** Paths relayed at once, of each kind. Past it, 503. */
const PATHS_MAX = 64;
/** Event connections at once; a page without figures still plays. */
const LISTENERS_MAX = 50_000;
const RETRY_AFTER_SECONDS = 2;

export interface StreamsOptions {
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly relayCounters: RelayCounters;
  readonly viewers: Viewers;
}

/** All endless responses. */
export class Streams {
  readonly #options: StreamsOptions;
  readonly #relays = new Map<string, Relay>();
  readonly #events = new Map<string, EventsRelay>();

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** `stream.ts`: from the newest key frame on, until either side ends it. */
  async relay(request: Request, path: string): Promise<Response> {
    const { viewers } = this.#options;
    if (viewers.isFull) return this.#refuse("full", "This edge is full");
    const known = this.#relays.get(path);
    const relay = known ?? this.#beginRelay(path);
    if (relay === undefined) return this.#refuse("busy", "Too many streams are relayed");
    const status = await relay.ready();
    if (status !== 200 || relay.isOver) return this.#fail(status);
    const headers = streamHeaders("video/mp2t", known !== undefined);
    this.#options.counters.requests[known === undefined ? "miss" : "collapsed"]++;
    if (request.method === "HEAD" || request.signal.aborted) return new Response(null, { headers });
    viewers.ts++;
    return new Response(
      relay.add(request.signal, () => void viewers.ts--),
      { headers },
    );
  }

  /** Server-sent events, the latest of each kind at once. */
  async events(request: Request, path: string): Promise<Response> {
    const { viewers } = this.#options;
    if (viewers.events >= LISTENERS_MAX) return this.#refuse("busy", "Too many listen to events");
    const known = this.#events.get(path);
    const relay = known ?? this.#beginEvents(path);
    if (relay === undefined) return this.#refuse("busy", "Too many event streams are relayed");
    const status = await relay.firstStatus();
    if (status === 404 || relay.isOver) return this.#fail(status);
    const headers = streamHeaders(EVENTS_CONTENT_TYPE, known !== undefined);
    this.#options.counters.requests[known === undefined ? "miss" : "collapsed"]++;
    if (request.method === "HEAD" || request.signal.aborted) return new Response(null, { headers });
    viewers.events++;
    return new Response(
      relay.add(request.signal, () => void viewers.events--),
      { headers },
    );
  }

  get paths(): number {
    return this.#relays.size + this.#events.size;
  }

  /** Ends every relay and every viewer of one. */
  close(): void {
    for (const relay of this.#relays.values()) relay.close();
    for (const relay of this.#events.values()) relay.close();
  }

  #beginRelay(path: string): Relay | undefined {
    if (this.#relays.size >= PATHS_MAX) return undefined;
    const relay = new Relay({
      ...this.#options,
      path,
      onOver: () => void this.#relays.delete(path),
    });
    this.#relays.set(path, relay);
    return relay;
  }

  #beginEvents(path: string): EventsRelay | undefined {
    if (this.#events.size >= PATHS_MAX) return undefined;
    const relay = new EventsRelay({ ...this.#options, path, onIdle: () => void this.#events.delete(path) });
    this.#events.set(path, relay);
    return relay;
  }

  #refuse(cause: RefusalCause, reason: string): Response {
    const { counters } = this.#options;
    return answerRefusal({ cause, status: 503, reason, counters, retryAfterSeconds: RETRY_AFTER_SECONDS });
  }

  #fail(status: number): Response {
    const { counters } = this.#options;
    if (status === 404) return answerStatus({ status, reason: "Not found", counters, result: "error" });
    return answerStatus({
      status: 503,
      reason: "The stream is not live",
      counters,
      result: "error",
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
}

function streamHeaders(contentType: string, isJoined: boolean): Record<string, string> {
  return {
    ...CORS_HEADERS,
    date: new Date().toUTCString(),
    "content-type": contentType,
    "cache-control": "no-store",
    // Proxies such as nginx would otherwise collect an endless answer before passing it on.
    "x-accel-buffering": "no",
    "cache-status": isJoined ? "spillway; fwd=miss; collapsed" : "spillway; fwd=miss",
  };
}
