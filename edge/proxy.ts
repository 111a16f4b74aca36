/**
 * The edge as a plain caching proxy (`--proxy-all`): any path of the upstream, by the rules of HTTP caching. The policy
 * decides, fills ask the upstream, the store keeps; here they meet. A live playlist that can be waited for is given
 * over to its tail, as those of the URL contract are.
 */
// RFC 9111 (caching), RFC 5861 (stale), RFC 8586 (loops)
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { answerRefusal, answerStatus } from "./answer.ts";
import { staleStatusOf, type CacheStatus, type Forwarded } from "./cache-status.ts";
import type { Counters, RefusalCause, RequestResult } from "./counters.ts";
import type { Fill, FillPart } from "./fill.ts";
import type { Wanted } from "./wanted.ts";
import { FillRefusedError, type Fills } from "./fills.ts";
import { isForAuthorized, storedHeadOf } from "./policy-storing.ts";
import { varyKeyOf } from "./policy-vary.ts";
import {
  decide,
  mayServeStale,
  type AloneReason,
  type Conditions,
  type Decision,
  type UpstreamFailure,
} from "./policy.ts";
import type { Visit } from "./live.ts";
import type { MediaSource, Waiting } from "./prefetches.ts";
import { answerAlone, answerFill, answerStored } from "./proxy-answer.ts";
import { endToEndRequest, forwardedHeaders, isForwardable, isLooping } from "./proxy-headers.ts";
import { isFailure, ProxyJudge, type Asked, type OfferPlaylist } from "./proxy-judge.ts";
import { resolveMedia } from "./proxy-playlists.ts";
import { isCuttable, isNear, ProxyRanges } from "./proxy-ranges.ts";
import type { Store } from "./store.ts";
import type { Stored } from "./stored.ts";
import { UpstreamError } from "./upstream.ts";
import { UNWATCHED } from "./viewer-connection.ts";

/** How often a request may find that what it joined was not for it, before it is asked for alone. */
const TURNS_MAX = 3;
const RETRY_AFTER_SECONDS = 1;
/** How long any upstream may take until its answer begins: pages and interfaces are slower than playlists. */
const FIRST_BYTE_MS_MAX = 20_000;
const HIT: CacheStatus = { isHit: true };

/** Who follows live playlists. */
export interface ProxyTails {
  readonly offer: OfferPlaylist;
  /** A client asks for what may have been fetched ahead, and is on its way. */
  readonly noteUse: (url: string) => void;
  /** How long the upstream may hold a request for something that a playlist names, milliseconds. */
  readonly holdMsMax: (url: string) => number;
}

export interface ProxyOptions {
  readonly store: Store;
  readonly fills: Fills;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  readonly tails: ProxyTails;
  /** Base URLs of the upstreams. */
  readonly upstreamUrls: readonly string[];
  /** How this process calls itself towards other caches, so that it knows its own requests again. */
  readonly nodeId: string;
}

/** What is stored and cannot be given out as it is, if anything, and what asks about it. */
interface Stale {
  readonly stored: Stored | undefined;
  readonly conditions: Conditions;
}

/** What is stored for a request, and what is to be done with it. */
interface Found {
  readonly stored: Stored | undefined;
  readonly decision: Decision;
  /** When it was looked for, on the monotonic clock. */
  readonly nowMs: number;
}

/** A fill whose answer is there, how a request met it, and what was stored before. */
interface FillAnswer {
  readonly fill: Fill;
  readonly part: FillPart;
  readonly stored: Stored | undefined;
}

/** A stored answer, and how the request met it. */
interface FromStore {
  readonly stored: Stored;
  readonly result: RequestResult;
  readonly status: CacheStatus;
  /** On the monotonic clock. Default: now. */
  readonly nowMs?: number;
}

/** The caching proxy. */
export class ProxyCache {
  readonly #options: ProxyOptions;
  readonly #judge: ProxyJudge;
  readonly #ranges: ProxyRanges;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const { store, tails, clock } = options;
    this.#ranges = new ProxyRanges(clock);
    this.#judge = new ProxyJudge({ store, offer: tails.offer });
  }

  /**
   * Answers `GET` or `HEAD`, at once where it can.
   *
   * @param url path and query
   */
  answer({ request, connection }: Visit, url: string): Response | Promise<Response> {
    const asked = askedOf({ request: endToEndRequest(request), connection }, url);
    const known = this.#fromStore(asked, this.#look(asked));
    if (known !== undefined) return known;
    if (!isForwardable(url)) return this.#refuse("path", 400, "Bad path");
    if (isLooping(request.headers, this.#options.nodeId)) {
      return this.#refuse("loop", 508, "This request goes round in circles");
    }
    this.#options.tails.noteUse(url);
    return this.#ask(asked);
  }

  /** Where the media of live playlists come from: fetched as a client without wishes of its own would. */
  get media(): MediaSource {
    return {
      resolve: resolveMedia,
      fetch: (url, waiting) => this.#prefetch(url, waiting),
      wasAnswered: (url) => (this.#options.store.getAny(url)?.ready.size ?? 0) > 0,
    };
  }

  /** Resolves with false where the answer may not be kept, so that fetching such things ahead is of no use. */
  #prefetch(url: string, waiting: Waiting): Promise<boolean> | undefined {
    const asked = askedOf(
      { request: new Request(`http://prefetch.invalid${url}`), connection: UNWATCHED },
      url,
    );
    const { stored, decision } = this.#look(asked);
    if (decision.kind !== "miss" || !isForwardable(url)) return undefined;
    const wanted = this.#wanted(asked, { stored, conditions: {} });
    const fill = this.#options.fills.refresh({ ...wanted, ...waiting });
    return fill?.finished.then(
      () => fill.head.status !== 200 || this.#look(asked).stored !== undefined,
      // A failure is told to clients who ask for it. One that is given up is too large to be fetched for nobody.
      () => !fill.isGivenUp,
    );
  }

  #look(asked: Asked): Found {
    const stored = this.#options.store.get(this.#judge.keyOf(asked));
    const nowMs = this.#nowMs();
    return { stored, nowMs, decision: decide(asked.policy, stored?.head, nowMs) };
  }

  /** The answer where it is there already. */
  #fromStore(asked: Asked, { stored, decision, nowMs }: Found): Response | undefined {
    if (stored === undefined) return undefined;
    if (decision.kind === "hit") {
      return this.#sendStored(asked, { stored, result: "hit", status: HIT, nowMs });
    }
    if (decision.kind !== "stale-while-revalidate") return undefined;
    const { conditions } = decision;
    this.#options.fills.refresh(this.#wanted(asked, { stored, conditions }));
    return this.#sendStale(asked, stored);
  }

  /** Asks the upstream, together with others where that is right. */
  async #ask(asked: Asked): Promise<Response> {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      const found = this.#look(asked);
      const { stored, decision } = found;
      const known = this.#fromStore(asked, found);
      if (known !== undefined) return known;
      if (decision.kind === "alone") {
        const { why } = decision;
        // Only for HEAD: what the upstream is to judge is not answered with something old.
        return this.#askAlone(asked, { stored: why === "method" ? stored : undefined, why });
      }
      const conditions = decision.kind === "revalidate" ? decision.conditions : {};
      const isPart = decision.kind === "part";
      const answer = await (isPart
        ? this.#askPart(asked, decision.start)
        : this.#share(asked, { stored, conditions }));
      if (answer !== undefined) return answer;
    }
    return this.#askAlone(asked, { stored: undefined, why: "request" });
  }

  /** Joins the fill or begins it. `undefined` where its answer turns out to be for other requests than this. */
  async #share(asked: Asked, stale: Stale): Promise<Response | undefined> {
    const { stored } = stale;
    const { signal } = asked.request;
    const answer = (fill: Fill, part: FillPart): Response | undefined | Promise<Response | undefined> => {
      const make = (): Response | undefined => this.#answerFill(asked, { fill, part, stored });
      return isWaitedFor(asked, fill) ? fill.whole(make) : make();
    };
    try {
      return await this.#options.fills.share(this.#wanted(asked, stale), { signal, answer });
    } catch (error) {
      return this.#answerFailure(asked, { error, stored });
    }
  }

  /** Asks for part of what is not stored: as {@link #share} does and cuts it out, or alone with the whole fetched beside it. */
  async #askPart(asked: Asked, start: number | undefined): Promise<Response | undefined> {
    const { fills } = this.#options;
    const elsewhere = (): Promise<Response> => this.#askAlone(asked, { stored: undefined, why: "partial" });
    if (this.#ranges.isUncut(asked.url)) return elsewhere();
    const whole = this.#wanted(asked, { stored: undefined, conditions: {} });
    const wanted: Wanted = {
      ...whole,
      judge: (head) => this.#ranges.judge(asked.url, head, whole.judge(head)),
    };
    if (!isNear(start, fills.reachedBytes(wanted.key))) {
      this.#ranges.fetchBeside(() => fills.refresh(wanted));
      return elsewhere();
    }
    const answer = (fill: Fill, part: FillPart): Response | undefined | Promise<Response | undefined> => {
      const judged = this.#judge.find(fill.head);
      if (judged !== undefined && !isCuttable(fill, judged)) {
        // Fills remember themselves what is not for everyone, or too large.
        if (!fill.isGivenUp) this.#ranges.noteUncut(asked.url);
        return elsewhere();
      }
      if (judged?.isStored === true) this.#ranges.letOutlive(fill);
      const make = (): Response | undefined => this.#answerFill(asked, { fill, part, stored: undefined });
      return isWaitedFor(asked, fill) ? fill.whole(make) : make();
    };
    const { signal } = asked.request;
    try {
      return await fills.share(wanted, { signal, answer, elsewhere });
    } catch (error) {
      return this.#answerFailure(asked, { error, stored: undefined });
    }
  }

  /** What is asked of the upstream for everyone. */
  #wanted(asked: Asked, { stored, conditions }: Stale): Wanted {
    const { nodeId } = this.#options;
    const forwarded = forwardedHeaders(asked.request.headers, { nodeId, isAlone: false });
    const holdMsMax = this.#options.tails.holdMsMax(asked.url);
    return {
      key: this.#judge.keyOf(asked),
      path: asked.url,
      holdMsMax: Math.max(holdMsMax, FIRST_BYTE_MS_MAX),
      headers: { ...forwarded, ...conditions },
      retriesAlone: false,
      remembers: "unshared",
      judge: (head) => this.#judge.shared(asked, { head, stored }),
    };
  }

  #answerFill(asked: Asked, { fill, part, stored }: FillAnswer): Response | undefined {
    const { headers } = asked.policy;
    const judged = this.#judge.find(fill.head);
    const isCollapsed = part === "collapsed";
    if (judged === undefined) return undefined;
    if (isCollapsed && varyKeyOf(judged.varyNames, headers) !== judged.varyKey) return undefined;
    const isForAll = isFailure(fill.head) || isForAuthorized(judged.renewed?.head ?? fill.head);
    if (isCollapsed && headers.has("authorization") && !isForAll) return undefined;
    const forwardStatus = fill.head.status;
    if (isFailure(fill.head) && stored !== undefined && this.#mayBeStale(asked, stored, "error")) {
      return this.#sendStale(asked, stored, forwardStatus);
    }
    const { renewed, isStored } = judged;
    const missed = this.#judge.variants.isVarying(asked.url) ? "vary-miss" : "uri-miss";
    const status: CacheStatus = {
      forward: stored === undefined ? missed : "stale",
      isStored,
      isCollapsed,
      ...(renewed !== undefined && { forwardStatus }),
    };
    if (renewed !== undefined) return this.#sendStored(asked, { stored: renewed, result: part, status });
    const head = isCollapsed ? storedHeadOf(fill.head) : fill.head;
    const answer = { ...this.#send(asked), head, result: resultOf(part, forwardStatus), status };
    if (!asked.connection.isHttp3 || fill.stored === undefined) return answerFill(answer, fill);
    return answerStored({ ...answer, lending: this.#options.store.lending }, fill.stored);
  }

  /** Asks for one client alone, with its own conditions and range. */
  async #askAlone(
    asked: Asked,
    { stored, why }: { readonly stored: Stored | undefined; readonly why: AloneReason },
  ): Promise<Response> {
    const { request, url } = asked;
    const { fills, nodeId } = this.#options;
    const wanted: Wanted = {
      key: this.#judge.keyOf(asked),
      path: url,
      method: request.method === "HEAD" ? "HEAD" : "GET",
      headers: forwardedHeaders(request.headers, { nodeId, isAlone: true }),
      retriesAlone: false,
      remembers: "nothing",
      judge: (head) => this.#judge.alone(asked, { head, stored }),
    };
    const answer = (fill: Fill): Response => {
      const { head } = fill;
      const result = resultOf("miss", head.status);
      return answerAlone({ ...this.#send(asked), head, result, status: { forward: why } }, fill);
    };
    try {
      return await fills.alone(wanted, { signal: request.signal, answer });
    } catch (error) {
      return this.#answerFailure(asked, { error, stored });
    }
  }

  #answerFailure(
    asked: Asked,
    { error, stored }: { readonly error: unknown; readonly stored: Stored | undefined },
  ): Response {
    if (!(error instanceof UpstreamError)) throw error;
    if (asked.request.signal.aborted) return unheard();
    const isRefused = error instanceof FillRefusedError;
    if (stored !== undefined && this.#mayBeStale(asked, stored, "disconnected")) {
      return this.#sendStale(asked, stored, isRefused ? undefined : "unanswered");
    }
    if (isRefused) return this.#refuse("busy", error.status, error.message);
    this.#options.log.debug(`No answer for a client: ${describeError(error)}`);
    const { counters } = this.#options;
    return answerStatus({ status: error.status, result: "error", counters, reason: error.message });
  }

  #mayBeStale(asked: Asked, stored: Stored, failure: UpstreamFailure): boolean {
    return mayServeStale(asked.policy, stored.head, { nowMs: this.#nowMs(), failure });
  }

  #sendStale(asked: Asked, stored: Stored, forwarded?: Forwarded): Response {
    return this.#sendStored(asked, { stored, result: "stale", status: staleStatusOf(forwarded) });
  }

  #sendStored(asked: Asked, { stored, result, status, nowMs = this.#nowMs() }: FromStore): Response {
    const { counters, store, upstreamUrls } = this.#options;
    const { request, connection, key, policy } = asked;
    const { isHeld } = policy;
    const { head } = stored;
    const send = { request, connection, key, isHeld, counters, upstreamUrls, nowMs, head, result, status };
    return answerStored({ ...send, lending: store.lending }, stored);
  }

  #send({ request, connection, key, policy: { isHeld } }: Asked) {
    const { counters, upstreamUrls } = this.#options;
    return { request, connection, key, isHeld, counters, upstreamUrls, nowMs: this.#nowMs() };
  }

  #refuse(cause: RefusalCause, status: number, reason: string): Response {
    const { counters } = this.#options;
    const retry = status === 503 ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {};
    return answerRefusal({ cause, status, counters, reason, ...retry });
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

/** True for what is sent only once it is all there: over HTTP/3 an answer that breaks off looks like a whole one. */
function isWaitedFor({ connection, policy }: Asked, { isShared, stored }: Fill): boolean {
  return connection.isHttp3 && policy.method !== "HEAD" && isShared && stored === undefined;
}

function askedOf(visit: Omit<Visit, "key">, url: string): Asked {
  const { method, headers } = visit.request;
  return { ...visit, key: url, url, policy: { method, headers, isHeld: url.includes("_HLS_msn=") } };
}

/** For nobody: the client has left, so it is not counted either. */
function unheard(): Response {
  return new Response(null, { status: 503 });
}

function resultOf(part: FillPart, status: number): RequestResult {
  return status >= 400 ? "error" : part;
}
