/**
 * Cached things below `/live/`: media, media playlists, multivariant playlists; and the API answers that the edge
 * passes on. What is in memory is answered at once by {@link LiveCache.hit}, before any router; the rest by
 * {@link LiveCache.answer}.
 */
import type { Clock } from "#common/clock.ts";
import { asksForDelta, readDirectives } from "#common/delivery-directives.ts";
import { describeError } from "#common/errors.ts";
import { COPIED_BYTES_MAX } from "#common/late-body.ts";
import type { Log } from "#common/log.ts";
import { answerComing, answerFrom, answerRefusal, answerStatus, type AnswerOptions } from "./answer.ts";
import type { Counters } from "./counters.ts";
import type { Fill, FillPart } from "./fill.ts";
import { FillRefusedError, type Fills } from "./fills.ts";
import { wantedOf, type LiveThing } from "./live-wanted.ts";
import type { Playlists } from "./playlists.ts";
import type { Store } from "./store.ts";
import { isFreshEnough, readHead, type Stored } from "./stored.ts";
import type { TailAnswer } from "./tail-answer.ts";
import type { Target } from "./targets.ts";
import { UpstreamError } from "./upstream.ts";
import type { ViewerConnection } from "./viewer-connection.ts";
import type { Viewers } from "./viewers.ts";

/** How old an answer may be given out while the upstream is away. */
const STALE_MS_MAX = 30_000;
const RETRY_AFTER_SECONDS = 1;

export interface LiveOptions {
  readonly store: Store;
  readonly fills: Fills;
  readonly playlists: Playlists;
  readonly viewers: Viewers;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who asks: the peer's address, looked up only where it is needed. */
export type AddressOf = () => string;

/** A request, and what it came over. */
export interface Visit {
  readonly request: Request;
  readonly connection: ViewerConnection;
  /** What the answer is called in the cache. */
  readonly key: string;
}

/** A request as `http.ts` has read it. */
export interface LiveRequest {
  readonly target: Target;
  readonly query: string;
  readonly addressOf: AddressOf;
}

/** The cached part of the edge. */
export class LiveCache {
  readonly #options: LiveOptions;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Media and the like if in memory, by one look-up. `undefined` otherwise, and nothing is counted then. */
  hit(visit: Visit, path: string): Response | undefined {
    const stored = this.#options.store.getFresh(path, this.#options.clock.monotonicMs());
    return stored === undefined ? undefined : this.#send(visit, { stored, result: "hit" });
  }

  /** Answers a request for a cached target from memory, at once where it can, or from upstream. */
  answer(visit: Visit, { target, query, addressOf }: LiveRequest): Response | Promise<Response> {
    const { request } = visit;
    const { kind, path } = target;
    const { playlists, viewers } = this.#options;
    if (kind === "multivariant") return this.#shared(visit, { path, kind });
    if (kind === "media") {
      playlists.prefetches.noteUse(path);
      return this.#shared(visit, { path, kind, holdMsMax: playlists.holdMsMax(path) });
    }
    const directives = readDirectives(query);
    if (directives === "malformed") return this.#refuse("directives", "Bad delivery directives");
    const asked = { directives, isDelta: asksForDelta(query) };
    const isNoted = viewers.note({
      address: addressOf(),
      userAgent: request.headers.get("user-agent") ?? "",
      isBlocking: directives !== undefined,
      busyMs: playlists.busyMs(path, asked),
    });
    if (!isNoted) return this.#refuse("full", "This edge is full");
    const now = playlists.answerNow(path, asked);
    if (now !== undefined) return this.#sendTail(visit, now);
    const answer = (tail: TailAnswer): Response => this.#sendTail(visit, tail);
    // HEAD gets the headers of what there is and is never held.
    if (request.method === "HEAD") {
      return playlists.ask(path, { ...asked, directives: undefined }, request.signal).then(answer);
    }
    const waiting = playlists.hold(path, asked, { client: request, answer });
    return waiting ?? playlists.ask(path, asked, request.signal).then(answer);
  }

  /** Passes on an answer of the origin's API that depends on the host name that the viewer used, as in `Host`. */
  answerApi(visit: Visit, path: string, hostHeader: string | null): Response | Promise<Response> {
    return this.#shared(visit, { path, host: readHostName(hostHeader), kind: "api" });
  }

  /** Answers from the store or by a fill that all who ask share. */
  #shared(visit: Visit, thing: LiveThing): Response | Promise<Response> {
    const { store, fills, clock } = this.#options;
    const wanted = wantedOf(thing);
    const fresh = store.getFresh(wanted.key, clock.monotonicMs());
    if (fresh !== undefined) return this.#send(visit, { stored: fresh, result: "hit" });
    const old = store.getAny(wanted.key);
    if (old !== undefined && isFreshEnough(old, clock.monotonicMs(), old.revalidateMs)) {
      // Nobody waits for it; how it ends is seen by who asks next.
      fills.refresh(wanted);
      return this.#send(visit, { stored: old, result: "stale" });
    }
    const answer = (fill: Fill, part: FillPart): Response | Promise<Response> =>
      this.#answerFill(visit, { fill, part, old });
    return fills
      .share(wanted, { signal: visit.request.signal, answer })
      .catch((error: unknown) => this.#answerFailure(visit, { error, old }));
  }

  /** Where no answer came: an old one that may still be given, or an error. */
  #answerFailure(
    visit: Visit,
    { error, old }: { readonly error: unknown; readonly old: Stored | undefined },
  ): Response {
    if (!(error instanceof UpstreamError)) throw error;
    if (visit.request.signal.aborted) return unheard();
    const stale = this.#usableStale(old);
    const isRefused = error instanceof FillRefusedError;
    const forwarded = isRefused ? undefined : "unanswered";
    if (stale !== undefined) return this.#send(visit, { stored: stale, result: "stale", forwarded });
    if (isRefused) return this.#refuse("busy", error.message);
    this.#options.log.debug(`No answer for a viewer: ${describeError(error)}`);
    return answerStatus({
      status: error.status,
      result: "error",
      counters: this.#options.counters,
      reason: error.message,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }

  /**
   * From what a fill has: all of it, or what is still coming. Texts are waited for, since they are compressed whole; and what goes out
   * over HTTP/3, where an answer that breaks off looks like a whole one.
   */
  #answerFill(
    visit: Visit,
    { fill, part, old }: { readonly fill: Fill; readonly part: FillPart; readonly old: Stored | undefined },
  ): Response | Promise<Response> {
    const { request } = visit;
    const head = readHead(fill.head);
    const stale = head.status >= 500 ? this.#usableStale(old) : undefined;
    if (stale !== undefined) {
      return this.#send(visit, { stored: stale, result: "stale", forwarded: head.status });
    }
    const { stored, length } = fill;
    const { isHttp3 } = visit.connection;
    // One too large to be kept is never whole.
    if ((head.isText || isHttp3) && request.method !== "HEAD" && stored === undefined && fill.isShared) {
      return fill.whole(() => this.#answerFill(visit, { fill, part, old }));
    }
    const isSmall = stored !== undefined && stored.body.size <= COPIED_BYTES_MAX;
    if (stored !== undefined && (isSmall || isHttp3 || request.method === "HEAD")) {
      return this.#send(visit, { stored, result: part });
    }
    const { counters, clock } = this.#options;
    const { signal } = request;
    return answerComing({
      request,
      key: visit.key,
      stored: head,
      length,
      result: head.status >= 400 ? "error" : part,
      counters,
      nowMs: clock.monotonicMs(),
      stream: (range) => fill.stream({ range, signal, counters, connection: visit.connection }),
    });
  }

  #refuse(cause: "directives" | "full" | "busy", reason: string): Response {
    const { counters } = this.#options;
    if (cause === "directives") return answerRefusal({ cause, status: 400, reason, counters });
    return answerRefusal({ cause, status: 503, reason, counters, retryAfterSeconds: RETRY_AFTER_SECONDS });
  }

  #usableStale(old: Stored | undefined): Stored | undefined {
    if (old?.status !== 200) return undefined;
    const nowMs = this.#options.clock.monotonicMs();
    return isFreshEnough(old, nowMs, STALE_MS_MAX) ? old : undefined;
  }

  #send(visit: Visit, answer: Pick<AnswerOptions, "stored" | "result" | "forwarded">): Response {
    const isError = answer.stored.status >= 400 && answer.result !== "hit";
    const { store, counters } = this.#options;
    return answerFrom({
      ...visit,
      ...answer,
      result: isError ? "error" : answer.result,
      counters,
      lending: store.lending,
      nowMs: this.#options.clock.monotonicMs(),
    });
  }

  #sendTail(visit: Visit, { status, stored, cacheControl, result, forwarded }: TailAnswer): Response {
    const { store, counters, clock } = this.#options;
    if (status >= 400 && visit.request.signal.aborted) return unheard();
    if (stored === undefined) {
      const isFar = status === 400;
      const answer = {
        status,
        counters,
        reason: isFar ? "Too far ahead" : "The playlist is not available",
        ...(status >= 500 ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {}),
      };
      return result === "refused"
        ? answerRefusal({ ...answer, cause: isFar ? "directives" : "busy" })
        : answerStatus({ ...answer, result });
    }
    return answerFrom({
      ...visit,
      stored,
      result,
      forwarded,
      counters,
      lending: store.lending,
      cacheControl,
      nowMs: clock.monotonicMs(),
    });
  }
}

/** For nobody: the client has left, so it is not counted either. */
function unheard(): Response {
  return new Response(null, { status: 503 });
}

/** The name in a `Host` header, without its port; `undefined` for what cannot be one. */
function readHostName(header: string | null): string | undefined {
  return /^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/
    .exec(header ?? "")?.[1]
    ?.toLowerCase();
}
