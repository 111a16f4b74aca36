/**
 * The endless responses of the edge, by path: relays of `stream.ts` and of events. Begun by the first viewer, gone
 * a while after the last, few enough that made-up names cost nothing.
 */
import type { Clock } from "#common/clock.ts";
import { encodeMove, EVENTS_CONTENT_TYPE, MOVE_KIND } from "#common/formats/events.ts";
import type { Log } from "#common/log.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import { type Admission, streamOf } from "./admission.ts";
import { answerRefusal, answerStatus } from "./answer.ts";
import { cacheStatusOf } from "./cache-status.ts";
import type { Counters, RefusalCause } from "./counters.ts";
import { EventsRelay } from "./events-relay.ts";
import { Relay, type RelayCounters, type RelayOptions } from "./relay.ts";
import { RememberedKeys } from "./remembered-keys.ts";
import type { TargetKind } from "./targets.ts";
import { OWN_HEADERS } from "./upstream-probe.ts";
import type { Upstream } from "./upstream.ts";
import type { Viewers } from "./viewers.ts";

/** Paths relayed at once, of each kind. Past it, 503. */
const PATHS_MAX = 64;
/** Event connections at once; a page without figures still plays. */
const LISTENERS_MAX = 50_000;
const RETRY_AFTER_SECONDS = 2;
/** Paths remembered not to exist upstream, and for how long: a stream that begins is there a moment later. */
const MISSING_MAX = 1_024;
const MISSING_MS = 1_000;

export interface StreamsOptions {
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly relayCounters: RelayCounters;
  readonly viewers: Viewers;
  readonly admission: Admission;
  /** What viewers of `stream.ts` are told when they are refused, or there is nothing to see: 503 or 404. */
  readonly refuseStatus: number;
}

/** A viewer's request for what has no end. */
export interface EndlessRequest {
  readonly request: Request;
  /** Of the contract, without its query. */
  readonly path: string;
  /** Called where the answer is endless, just before it is given: its connection may be silent for as long as it likes. */
  readonly onEndless: () => void;
}

/** All endless responses. */
export class Streams {
  readonly #options: StreamsOptions;
  readonly #relays = new Map<string, Relay>();
  readonly #events = new Map<string, EventsRelay>();
  /** Paths that are taken not to exist. */
  readonly #missing: RememberedKeys;
  /** By when pages are to have left, on the monotonic clock; `undefined` while they may stay. */
  #leaveByMs: number | undefined;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#missing = new RememberedKeys({ clock: options.clock, forMs: MISSING_MS, countMax: MISSING_MAX });
    options.admission.onChange((stream, state) => {
      if (state === "off") this.#letGo(stream);
    });
  }

  /** `stream.ts`: from the newest key frame on, until either side ends it. */
  async relay({ request, path, onEndless }: EndlessRequest): Promise<Response> {
    const { admission, counters } = this.#options;
    if (this.#missing.has(path)) return this.#fail(404);
    const stream = streamOf(path);
    // Whoever waits for the first picture counts: a crowd that comes at once is bounded too.
    const refusal = admission.enter(stream);
    if (refusal === "off") return this.refuseOff(request, "relay");
    if (refusal === "full") {
      return this.#refuseViewer(request, "full", `This ${admission.isClosed ? "edge" : "stream"} is full`);
    }
    const leave = (): void => admission.leave(stream);
    const known = this.#relays.get(path);
    const relay = known ?? this.#begin(this.#relays, path, (options) => new Relay(options));
    const status = await relay?.ready();
    if (relay === undefined || status !== 200 || relay.isOver) {
      leave();
      if (status === 404) this.#missing.add(path);
      return relay === undefined
        ? this.#refuseViewer(request, "busy", "Too many streams are relayed")
        : this.#fail(status === 404 ? status : this.#refuseStatusFor(request));
    }
    const headers = streamHeaders("video/mp2t", path, known !== undefined);
    counters.requests[known === undefined ? "miss" : "collapsed"]++;
    if (request.method === "HEAD" || request.signal.aborted) {
      leave();
      return new Response(null, { headers });
    }
    onEndless();
    return new Response(relay.add(request.signal, leave), { headers });
  }

  /** The answer for a stream that an operator has switched off. */
  refuseOff(request: Request, kind: TargetKind): Response {
    const reason = "This stream is switched off";
    return kind === "relay" ? this.#refuseViewer(request, "off", reason) : this.#refuse("off", reason);
  }

  /** Server-sent events, the latest of each kind at once. */
  async events({ request, path, onEndless }: EndlessRequest): Promise<Response> {
    const { viewers } = this.#options;
    if (this.#missing.has(path)) return this.#fail(404);
    if (viewers.events >= LISTENERS_MAX) return this.#refuse("busy", "Too many listen to events");
    const known = this.#events.get(path);
    const relay = known ?? this.#begin(this.#events, path, (options) => new EventsRelay(options));
    if (relay === undefined) return this.#refuse("busy", "Too many event streams are relayed");
    const status = await relay.firstStatus();
    if (status === 404) this.#missing.add(path);
    if (status === 404 || relay.isOver) return this.#fail(status);
    const headers = streamHeaders(EVENTS_CONTENT_TYPE, path, known !== undefined);
    this.#options.counters.requests[known === undefined ? "miss" : "collapsed"]++;
    if (request.method === "HEAD" || request.signal.aborted) return new Response(null, { headers });
    onEndless();
    viewers.events++;
    return new Response(
      relay.add(request.signal, () => void viewers.events--, this.#farewell()),
      { headers },
    );
  }

  /**
   * Tells every page that listens to go to another edge: all of them within `withinMs`, each at a moment of its own; and
   * from now on every page that comes.
   */
  sendAway(withinMs: number): void {
    this.#leaveByMs = this.#options.clock.monotonicMs() + withinMs;
    const text = encodeMove({ withinMs });
    for (const relay of this.#events.values()) relay.say(MOVE_KIND, text);
  }

  /** For who listens anew while pages are to leave. */
  #farewell(): string | undefined {
    if (this.#leaveByMs === undefined) return undefined;
    const leftMs = this.#leaveByMs - this.#options.clock.monotonicMs();
    return encodeMove({ withinMs: Math.max(0, Math.round(leftMs)) });
  }

  get paths(): number {
    return this.#relays.size + this.#events.size;
  }

  /** Ends every relay and every viewer of one. */
  close(): void {
    for (const relay of this.#relays.values()) relay.close();
    for (const relay of this.#events.values()) relay.close();
  }

  /** Begins a relay of a path; `undefined` where there are too many. */
  #begin<One>(relays: Map<string, One>, path: string, make: (options: RelayOptions) => One): One | undefined {
    if (relays.size >= PATHS_MAX) return undefined;
    const relay = make({ ...this.#options, path, onOver: () => void relays.delete(path) });
    relays.set(path, relay);
    return relay;
  }

  /** Ends every response of a stream that is endless. */
  #letGo(stream: string): void {
    for (const relays of [this.#relays, this.#events]) {
      for (const [path, relay] of relays) if (streamOf(path) === stream) relay.close();
    }
  }

  #refuseViewer(request: Request, cause: RefusalCause, reason: string): Response {
    return this.#refuse(cause, reason, this.#refuseStatusFor(request));
  }

  /** To an edge behind this one, or a worker, 404 would mean that the stream has ended: it would let its viewers go. */
  #refuseStatusFor({ headers }: Request): number {
    const nodes = (headers.get("cdn-loop") ?? "").split(",").map((node) => node.trim().toLowerCase());
    return nodes.includes(OWN_HEADERS["cdn-loop"]) ? 503 : this.#options.refuseStatus;
  }

  #refuse(cause: RefusalCause, reason: string, status = 503): Response {
    const { counters } = this.#options;
    const refusal = { cause, status, reason, counters };
    return answerRefusal(status === 503 ? { ...refusal, retryAfterSeconds: RETRY_AFTER_SECONDS } : refusal);
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

function streamHeaders(contentType: string, path: string, isJoined: boolean): Record<string, string> {
  return {
    ...CORS_HEADERS,
    date: new Date().toUTCString(),
    "content-type": contentType,
    "cache-control": "no-store",
    // It has no idle timeout any more, so it is not kept for another request.
    connection: "close",
    // Proxies such as nginx would otherwise collect an endless answer before passing it on.
    "x-accel-buffering": "no",
    "cache-status": cacheStatusOf({ forward: "miss", isCollapsed: isJoined, key: path }),
  };
}
