/**
 * What a caching proxy does with an answer when its head has come, before anybody gets it: whom it is for, whether and
 * under which key it is kept, and what it changes of what is stored already.
 */
// RFC 9111 3 (storing), 4.3.3 and 4.3.4 (validation), 4.3.5 (HEAD)
import { COPIED_BYTES_MAX } from "#common/late-body.ts";
import { hasOwnConditions } from "./policy-conditions.ts";
import { readCacheControl } from "./policy-directives.ts";
import { judge, storedHeadOf, updatedHeadOf } from "./policy-storing.ts";
import { playlistKey } from "./playlist-key.ts";
import { varyKeyOf, varyNamesOf } from "./policy-vary.ts";
import type { PolicyRequest } from "./policy.ts";
import { isForTail, plainAnswer } from "./proxy-playlists.ts";
import { ProxyVariants } from "./proxy-variants.ts";
import { lengthOf, type ResponseHead } from "./response-head.ts";
import type { Store } from "./store.ts";
import { storedOf, type Stored, type WholeAnswer } from "./stored.ts";
import { STATUS_MAX, unexpectedStatus, type UpstreamAnswer } from "./upstream.ts";
import type { ViewerConnection } from "./viewer-connection.ts";
import type { Verdict } from "./wanted.ts";

/** Failures that a stored answer may stand in for (RFC 5861 4). */
const FAILURE_STATUSES = new Set([500, 502, 503, 504]);
const STATUS_MIN = 200;
/** What a body's coding is chosen by. */
const CODING_FIELD = "accept-encoding";
const NO_BYTES = new Uint8Array(0);

/** A request on its way through the cache. */
export interface Asked {
  readonly request: Request;
  readonly connection: ViewerConnection;
  /** What the answer is called in the cache. */
  readonly key: string;
  /** Path and query, as asked of the upstream. */
  readonly url: string;
  readonly policy: PolicyRequest;
}

/** A head that has come, and what was stored when it was asked for. */
export interface Arrival {
  readonly head: ResponseHead;
  readonly stored: Stored | undefined;
}

/** What was found out about an answer. */
export interface Judged {
  /** What it varies by, and the values of that in the request which it answers. */
  readonly varyNames: readonly string[];
  readonly varyKey: string;
  /** What a 304 has confirmed. */
  readonly renewed?: Stored;
  readonly isStored: boolean;
}

/** Gives a playlist to whoever follows live ones. */
export type OfferPlaylist = (key: string, answer: UpstreamAnswer) => void;

/** For one client, and not stored. */
const FOR_ONE: Verdict = { isShared: false, isStored: false, toStored: proxiedOf };

/** True for a failure of the upstream that a stored answer may stand in for. */
export function isFailure({ status }: ResponseHead): boolean {
  return FAILURE_STATUSES.has(status);
}

/** Judges heads and remembers what it found. */
export class ProxyJudge {
  readonly variants = new ProxyVariants();
  readonly #store: Store;
  readonly #offer: OfferPlaylist;
  readonly #judged = new WeakMap<ResponseHead, Judged>();

  constructor({ store, offer }: { readonly store: Store; readonly offer: OfferPlaylist }) {
    this.#store = store;
    this.#offer = offer;
  }

  /** What was found out about an answer; `undefined` for one that is good for nobody. */
  find(head: ResponseHead): Judged | undefined {
    return this.#judged.get(head);
  }

  /** The key that a request's answer has in the store, as far as is known what it varies by. */
  keyOf({ url, request }: Asked): string {
    return this.variants.keyOf(url, request.headers);
  }

  /** Judges the answer to a request that was sent for everyone. */
  shared(asked: Asked, { head, stored }: Arrival): Verdict {
    expectStatus(asked, head);
    if (head.status === 304 && stored !== undefined) return this.#renew(asked, { head, stored });
    const verdict = this.#take(asked, head);
    // What the upstream says no longer is forgotten; a failure says nothing.
    if (!verdict.isStored && !isFailure(head)) this.#store.delete(this.keyOf(asked));
    return verdict;
  }

  /** Judges the answer to one client's own request: to HEAD, or to GET with credentials, a range or conditions. */
  alone(asked: Asked, { head, stored }: Arrival): Verdict {
    const { headers, method } = asked.request;
    expectStatus(asked, head);
    if (hasOwnConditions(headers)) return FOR_ONE;
    if (method === "GET") return { ...this.#take(asked, head), isShared: false };
    // About a part, or what only these credentials see.
    const isOwn = headers.has("range") || headers.has("authorization");
    if (stored !== undefined && !isFailure(head) && !isOwn) {
      // As the answer to GET would be, it is judged before any of it is kept.
      this.#renew({ ...asked, policy: { ...asked.policy, method: "GET" } }, { head, stored });
    }
    return FOR_ONE;
  }

  #take(asked: Asked, head: ResponseHead): Verdict {
    const { url, policy } = asked;
    const { isShared, isStored } = judge(policy, head);
    const varied = this.#variedBy(asked, head);
    this.#judged.set(head, { ...varied, isStored });
    // A delta update is not the playlist; one that a cookie may have chosen, not everyone's.
    const isWhole = !url.includes("_HLS_skip") && (isShared || !policy.headers.has("cookie"));
    const mayFollow = isWhole && isForTail(policy, head);
    // A crowd gets a failure as one: asking once for each would be no help to an upstream in trouble.
    const isForAll = isShared || (isFailure(head) && !isPersonal(policy, head));
    const toStored = (whole: WholeAnswer): Stored => {
      const playlist = mayFollow ? plainAnswer(head, whole.bytes()) : undefined;
      if (playlist !== undefined) this.#offer(playlistKeyOf(url), playlist);
      return proxiedOf({ ...whole, head: storedHeadOf(head) });
    };
    // What one client alone gets is sent as it comes: a copy of it would be made for nobody.
    const isNeeded = isStored || isForAll || mayFollow || (lengthOf(head) ?? 0) <= COPIED_BYTES_MAX;
    return {
      isStored,
      storeKey: isStored ? this.variants.note(url, varied.varyNames, policy.headers) : undefined,
      isShared: isForAll,
      toStored: isNeeded ? toStored : undefined,
    };
  }

  /** Takes over what a 304, or the answer to HEAD, says about a stored answer. One that is about another answer is of use to nobody. */
  #renew(asked: Asked, { head, stored }: { readonly head: ResponseHead; readonly stored: Stored }): Verdict {
    const updated = updatedHeadOf(stored.head, head);
    if (updated === undefined) {
      this.#store.delete(this.keyOf(asked));
      return FOR_ONE;
    }
    const { isShared, isStored } = judge(asked.policy, updated);
    const renewed = proxiedOf({ head: updated, body: stored.body });
    const varied = this.#variedBy(asked, updated);
    const key = this.variants.note(asked.url, varied.varyNames, asked.policy.headers);
    if (isStored) this.#store.set(key, renewed);
    else this.#store.delete(key);
    this.#judged.set(head, { ...varied, isStored, renewed });
    return { ...FOR_ONE, isShared };
  }

  #variedBy({ policy }: Asked, { headers }: ResponseHead): Pick<Judged, "varyNames" | "varyKey"> {
    const names = varyNamesOf(headers);
    const named = names === "*" ? [] : names;
    // Many file servers compress without a word of it in `Vary`.
    const isCoded = headers.has("content-encoding") && !named.includes(CODING_FIELD);
    const varyNames = isCoded ? [...named, CODING_FIELD].toSorted() : named;
    return { varyNames, varyKey: varyKeyOf(varyNames, policy.headers) };
  }
}

/** True for what may tell of the client who asked, where nothing says that it is for all. */
function isPersonal({ headers: asked }: PolicyRequest, { headers }: ResponseHead): boolean {
  if (asked.has("authorization") || asked.has("cookie") || headers.has("set-cookie")) return true;
  return readCacheControl(headers.get("cache-control")).has("private");
}

/** Throws for a status that is none (RFC 9110 15), which nobody can be sent. */
function expectStatus({ url }: Asked, { status }: ResponseHead): void {
  if (status < STATUS_MIN || status > STATUS_MAX) throw unexpectedStatus(url, status);
}

function playlistKeyOf(url: string): string {
  const mark = url.indexOf("?");
  return mark === -1 ? url : playlistKey(url.slice(0, mark), url.slice(mark + 1));
}

/** An answer as it is stored. Its bytes stay as the upstream has sent them: they are never compressed here. */
function proxiedOf(whole: Pick<WholeAnswer, "head" | "body">): Stored {
  const stored = storedOf({ ...whole, bytes: () => NO_BYTES });
  return { ...stored, isText: false, text: undefined };
}
