/**
 * The edge as a plain caching proxy (`--proxy-all`): any path of the upstream, by the rules of HTTP caching. The policy
 * decides, fills ask the upstream, the store keeps; here they meet. A live playlist that can be waited for is given
 * over to its tail, as those of the URL contract are.
 */
// RFC 9111 (caching), RFC 5861 (stale), RFC 8586 (loops)
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { answerStatus } from "./answer.ts";
import type { CacheStatus } from "./cache-status.ts";
import type { Counters, RequestResult } from "./counters.ts";
import type { Fill, Verdict, Wanted } from "./fill.ts";
import type { FillPart, Fills } from "./fills.ts";
import { hasOwnConditions } from "./policy-conditions.ts";
import { judge, storedHeadOf, updatedHeadOf } from "./policy-storing.ts";
import { varyKeyOf, varyNamesOf } from "./policy-vary.ts";
import {
  decide,
  mayServeStale,
  type AloneReason,
  type Conditions,
  type PolicyRequest,
  type UpstreamFailure,
} from "./policy.ts";
import { answerAlone, answerFill, answerStored } from "./proxy-answer.ts";
import { forwardedHeaders, isForwardable, isLooping } from "./proxy-headers.ts";
import { ProxyPlaylists } from "./proxy-playlists.ts";
import { ProxyVariants } from "./proxy-variants.ts";
import type { ResponseHead } from "./response-head.ts";
import type { Store } from "./store.ts";
import { storedOf, type Stored, type WholeAnswer } from "./stored.ts";
import { UpstreamError } from "./upstream.ts";

/** How often a request may find that what it joined was not for it, before it is asked for alone. */
const TURNS_MAX = 3;
const RETRY_AFTER_SECONDS = 1;
/** Failures that a stored answer may stand in for (RFC 5861 4). */
const FAILURE_STATUSES = new Set([500, 502, 503, 504]);

export interface ProxyOptions {
  readonly store: Store;
  readonly fills: Fills;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  /** How this process calls itself towards other caches, so that it knows its own requests again. */
  readonly nodeId: string;
}

/** A request on its way through the cache. */
interface Asked {
  readonly request: Request;
  /** Path and query, as asked of the upstream. */
  readonly url: string;
  readonly policy: PolicyRequest;
}

/** What was found out about an answer when its head came. */
interface Judged {
  /** What it varies by, and the values of that in the request which it answers. */
  readonly varyNames: readonly string[];
  readonly varyKey: string;
  /** What a 304 has confirmed. */
  readonly renewed?: Stored;
  /** True for a 304 to something else than is stored: nobody can be answered with it. */
  readonly isUseless?: boolean;
  readonly isStored: boolean;
}

/** The caching proxy. */
export class ProxyCache {
  /** Playlists that players may wait for, and which therefore have a tail. */
  readonly playlists = new ProxyPlaylists();
  readonly #options: ProxyOptions;
  readonly #variants = new ProxyVariants();
  readonly #judged = new WeakMap<ResponseHead, Judged>();

  constructor(options: ProxyOptions) {
    this.#options = options;
  }

  /**
   * Answers `GET` or `HEAD`, at once where it can.
   *
   * @param url path and query
   */
  answer(request: Request, url: string): Response | Promise<Response> {
    const { headers, method } = request;
    if (!isForwardable(url)) return this.#refuse(400, "Bad path");
    if (isLooping(headers, this.#options.nodeId))
      return this.#refuse(508, "This request goes round in circles");
    const policy = { method, headers, isHeld: url.includes("_HLS_msn=") };
    const asked = { request, url, policy };
    const stored = this.#look(asked);
    if (stored !== undefined && decide(policy, stored.head, this.#nowMs()).kind === "hit") {
      return this.#sendStored(asked, { stored, result: "hit", status: { isHit: true } });
    }
    return this.#ask(asked);
  }

  /** Fetches what clients will ask for, so that it is there or on its way when they do. */
  prefetch(url: string): void {
    const request = new Request(`http://prefetch.invalid${url}`);
    const { method, headers } = request;
    const asked = { request, url, policy: { method, headers, isHeld: false } };
    const stored = this.#look(asked);
    const { kind } = decide(asked.policy, stored?.head, this.#nowMs());
    if (kind === "miss") this.#options.fills.refresh(this.#wanted(asked, { stored, conditions: {} }));
  }

  #look({ url, request }: Asked): Stored | undefined {
    return this.#options.store.get(this.#variants.keyOf(url, request.headers));
  }

  /** Asks the upstream, together with others where that is right. */
  async #ask(asked: Asked): Promise<Response> {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      const stored = this.#look(asked);
      const decision = decide(asked.policy, stored?.head, this.#nowMs());
      const { kind } = decision;
      if (stored !== undefined && kind === "hit") {
        return this.#sendStored(asked, { stored, result: "hit", status: { isHit: true } });
      }
      if (stored !== undefined && kind === "stale-while-revalidate") {
        const { conditions } = decision;
        this.#options.fills.refresh(this.#wanted(asked, { stored, conditions }));
        return this.#sendStored(asked, { stored, result: "stale", status: { isHit: true } });
      }
      if (kind === "alone") return this.#askAlone(asked, { stored, why: decision.why });
      const conditions = kind === "revalidate" ? decision.conditions : {};
      const answer = await this.#share(asked, { stored, conditions });
      if (answer !== undefined) return answer;
    }
    return this.#askAlone(asked, { stored: undefined, why: "request" });
  }

  /** Joins the fill or begins it. `undefined` where its answer turns out to be for other requests than this. */
  async #share(asked: Asked, stale: Stale): Promise<Response | undefined> {
    const answer = (fill: Fill, part: FillPart): Response | undefined =>
      this.#answerFill(asked, { fill, part, stored: stale.stored });
    try {
      return await this.#options.fills.share(this.#wanted(asked, stale), {
        signal: asked.request.signal,
        answer,
      });
    } catch (error) {
      return this.#answerFailure(asked, { error, stored: stale.stored });
    }
  }

  /** What is asked of the upstream for everyone. */
  #wanted(asked: Asked, { stored, conditions }: Stale): Wanted {
    const { request, url } = asked;
    const forwarded = forwardedHeaders(request.headers, { nodeId: this.#options.nodeId, isAlone: false });
    return {
      key: this.#variants.keyOf(url, request.headers),
      path: url,
      headers: { ...forwarded, ...conditions },
      retriesAlone: false,
      remembers: "unshared",
      judge: (head) =>
        head.status === 304 && stored !== undefined
          ? this.#renew(asked, { stored, head })
          : this.#judge(asked, head),
    };
  }

  /** Judges an answer when its head has come, before anybody gets it. */
  #judge(asked: Asked, head: ResponseHead): Verdict {
    const { request, url, policy } = asked;
    const { isShared, isStored } = judge(policy, head);
    const names = varyNamesOf(head.headers);
    const varyNames = names === "*" ? [] : names;
    const varyKey = varyKeyOf(varyNames, request.headers);
    this.#judged.set(head, { varyNames, varyKey, isStored });
    const isFailure = FAILURE_STATUSES.has(head.status);
    // What the upstream no longer says is not said for it either; a failure says nothing.
    if (!isStored && !isFailure) this.#options.store.delete(this.#variants.keyOf(url, request.headers));
    const key = isStored ? this.#variants.note(url, varyNames, request.headers) : "";
    const mayWait = this.playlists.mayWaitFor(policy, head);
    return {
      isStored,
      storeKey: key,
      // A crowd gets a failure as one: asking once for each would be no help to an upstream in trouble.
      isShared: isShared || (isFailure && !head.headers.has("set-cookie")),
      toStored: (whole) => {
        if (mayWait) this.playlists.note(url, head, whole.bytes());
        return proxiedOf({ ...whole, head: storedHeadOf(head) });
      },
    };
  }

  /** Takes over what a 304 says about a stored answer. */
  #renew(asked: Asked, { stored, head }: { readonly stored: Stored; readonly head: ResponseHead }): Verdict {
    const { request, url, policy } = asked;
    const updated = updatedHeadOf(stored.head, head);
    if (updated === undefined) {
      this.#options.store.delete(this.#variants.keyOf(url, request.headers));
      this.#judged.set(head, { varyNames: [], varyKey: "", isStored: false, isUseless: true });
      return FOR_ONE;
    }
    const { isShared, isStored } = judge(policy, updated);
    const names = varyNamesOf(updated.headers);
    const varyNames = names === "*" ? [] : names;
    const varyKey = varyKeyOf(varyNames, request.headers);
    const renewed = proxiedOf({ head: updated, body: stored.body });
    const key = this.#variants.note(url, varyNames, request.headers);
    if (isStored) this.#options.store.set(key, renewed);
    else this.#options.store.delete(key);
    this.#judged.set(head, { varyNames, varyKey, isStored, renewed });
    return { ...FOR_ONE, isShared };
  }

  #answerFill(
    asked: Asked,
    {
      fill,
      part,
      stored,
    }: { readonly fill: Fill; readonly part: FillPart; readonly stored: Stored | undefined },
  ): Response | undefined {
    const { request } = asked;
    const judged = this.#judged.get(fill.head);
    const isCollapsed = part === "collapsed";
    if (judged === undefined || judged.isUseless === true) return undefined;
    if (isCollapsed && varyKeyOf(judged.varyNames, request.headers) !== judged.varyKey) return undefined;
    const { status } = fill.head;
    if (FAILURE_STATUSES.has(status) && stored !== undefined && this.#mayBeStale(asked, stored, "error")) {
      return this.#sendStale(asked, stored, status);
    }
    const { renewed, isStored } = judged;
    const cacheStatus: CacheStatus = {
      forward:
        stored === undefined ? (this.#variants.isVarying(asked.url) ? "vary-miss" : "uri-miss") : "stale",
      isStored,
      isCollapsed,
      ...(renewed !== undefined && { forwardStatus: status }),
    };
    if (renewed !== undefined) {
      return this.#sendStored(asked, { stored: renewed, result: part, status: cacheStatus });
    }
    const head = isCollapsed ? storedHeadOf(fill.head) : fill.head;
    return answerFill(
      { ...this.#send(asked), head, result: resultOf(part, status), status: cacheStatus },
      fill,
    );
  }

  /** Asks for one client alone, with its own conditions and range. */
  async #askAlone(
    asked: Asked,
    { stored, why }: { readonly stored: Stored | undefined; readonly why: AloneReason },
  ): Promise<Response> {
    const { request, url } = asked;
    const { fills, nodeId } = this.#options;
    const wanted: Wanted = {
      key: this.#variants.keyOf(url, request.headers),
      path: url,
      method: request.method === "HEAD" ? "HEAD" : "GET",
      headers: forwardedHeaders(request.headers, { nodeId, isAlone: true }),
      retriesAlone: false,
      remembers: "nothing",
      judge: (head) => this.#judgeAlone(asked, { head, stored }),
    };
    const answer = (fill: Fill): Response => {
      const { head } = fill;
      const status = { forward: why };
      return answerAlone({ ...this.#send(asked), head, result: resultOf("miss", head.status), status }, fill);
    };
    try {
      return await fills.alone(wanted, { signal: request.signal, answer });
    } catch (error) {
      return this.#answerFailure(asked, { error, stored });
    }
  }

  /** An answer to HEAD tells whether what is stored still holds; one to GET may be stored where nothing narrowed it. */
  #judgeAlone(
    asked: Asked,
    { head, stored }: { readonly head: ResponseHead; readonly stored: Stored | undefined },
  ): Verdict {
    const { request, url } = asked;
    if (request.method === "HEAD") {
      if (stored === undefined || head.status >= 500) return FOR_ONE;
      const updated = updatedHeadOf(stored.head, head);
      const key = this.#variants.keyOf(url, request.headers);
      if (updated === undefined) this.#options.store.delete(key);
      else this.#options.store.set(key, proxiedOf({ head: updated, body: stored.body }));
      return FOR_ONE;
    }
    if (hasOwnConditions(request.headers)) return FOR_ONE;
    return { ...this.#judge(asked, head), isShared: false };
  }

  #answerFailure(
    asked: Asked,
    { error, stored }: { readonly error: unknown; readonly stored: Stored | undefined },
  ): Response {
    if (!(error instanceof UpstreamError)) throw error;
    if (stored !== undefined && this.#mayBeStale(asked, stored, "disconnected")) {
      return this.#sendStale(asked, stored);
    }
    const { counters, log } = this.#options;
    log.debug(`No answer for a client: ${describeError(error)}`);
    const { status, message } = error;
    return answerStatus({
      status,
      result: "error",
      counters,
      reason: message,
      ...(status === 503 && { retryAfterSeconds: RETRY_AFTER_SECONDS }),
    });
  }

  #mayBeStale(asked: Asked, stored: Stored, failure: UpstreamFailure): boolean {
    return mayServeStale(asked.policy, stored.head, { nowMs: this.#nowMs(), failure });
  }

  #sendStale(asked: Asked, stored: Stored, forwardStatus?: number): Response {
    const status = { isHit: true, detail: "stale", ...(forwardStatus !== undefined && { forwardStatus }) };
    return this.#sendStored(asked, { stored, result: "stale", status });
  }

  #sendStored(
    asked: Asked,
    {
      stored,
      result,
      status,
    }: { readonly stored: Stored; readonly result: RequestResult; readonly status: CacheStatus },
  ): Response {
    return answerStored({ ...this.#send(asked), head: stored.head, result, status }, stored);
  }

  #send({ request, policy: { isHeld } }: Asked) {
    return { request, isHeld, counters: this.#options.counters, nowMs: this.#nowMs() };
  }

  #refuse(status: number, reason: string): Response {
    return answerStatus({ status, result: "refused", counters: this.#options.counters, reason });
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

/** For one client, and not stored. */
const FOR_ONE: Verdict = { isShared: false, isStored: false, toStored: proxiedOf };

/** An answer as it is stored. Its bytes stay as the upstream has sent them: they are never compressed here. */
function proxiedOf(whole: Pick<WholeAnswer, "head" | "body">): Stored {
  const stored = storedOf({ ...whole, bytes: () => NO_BYTES });
  return { ...stored, isText: false, text: undefined };
}

const NO_BYTES = new Uint8Array(0);

/** What is stored and too old, if anything, and what asks about it. */
interface Stale {
  readonly stored: Stored | undefined;
  readonly conditions: Conditions;
}

function resultOf(part: FillPart, status: number): RequestResult {
  return status >= 400 ? "error" : part;
}
