/**
 * One upstream request for one thing, however many viewers ask for it meanwhile. A fill belongs to none of them:
 * it runs to its end whoever leaves, so the first viewer's disconnect is invisible to the others, and what it
 * brings is in the store for the next. Nothing incomplete is ever stored.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "#common/clock.ts";
import { FAILURE_MS, readStored, type Stored } from "./stored.ts";
import type { Store } from "./store.ts";
import { UpstreamError, type Upstream, type UpstreamAnswer } from "./upstream.ts";

/** Fills under way at once. Past it, requests for things not stored are refused with 503. */
const FILLS_MAX = 384;
/** Failures remembered; past it the one used longest ago is asked for anew. */
const FAILURES_MAX = 1_024;
/** How long a fill waits for an upstream that cannot be reached, before its second and last try. */
export const UNREACHABLE_MS_MAX = 2_000;
/** Pause before a second try at an upstream that answered with a 5xx. */
const RETRY_PAUSE_MS = 100;
/** A failure that took longer than this was a held request's: asking again would double the wait. */
const RETRY_HELD_MS_MAX = 1_000;
/** Longest wait for an answer to begin: the longest hold of a part (3 target durations of 6 s) and some. */
const HOLD_MS_MAX = 20_000;

/** One thing that can be had from upstream. */
export interface Wanted {
  readonly path: string;
  /** Keep a 200 at least this long, in milliseconds. */
  readonly freshMsMin: number;
  /** Host name that the viewer used, where the answer depends on it: passed on, and part of the key. */
  readonly host?: string | undefined;
}

/** The key of a thing in the store: its path, which is what the hot path looks up, and the host where it matters. */
export function keyOf({ path, host }: Wanted): string {
  return host === undefined ? path : `${path} ${host}`;
}

/** How a request met its fill. */
export type FillPart = "miss" | "collapsed";

/** A fill under way, as one asker sees it. */
export interface FillShare {
  readonly part: FillPart;
  /** Settles for all askers at once. Rejects with {@link UpstreamError}. */
  readonly stored: Promise<Stored>;
}

export interface FillOptions {
  readonly upstream: Upstream;
  readonly store: Store;
  readonly clock: Clock;
}

interface Failure {
  readonly stored: Promise<Stored>;
  readonly untilMs: number;
}

/** All fills under way, by key. */
export class Fills {
  readonly #options: FillOptions;
  readonly #running = new Map<string, Promise<Stored>>();
  /** Fills that brought a 5xx or nothing, a moment ago. Not in the store: a good answer there outlives them. */
  readonly #failures = new LRUCache<string, Failure>({ max: FAILURES_MAX });

  constructor(options: FillOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Joins the fill of a thing or begins it. `undefined` when too many are under way. */
  share(wanted: Wanted): FillShare | undefined {
    const key = keyOf(wanted);
    const running = this.#running.get(key);
    if (running !== undefined) return { part: "collapsed", stored: running };
    const failure = this.#failures.get(key);
    if (failure !== undefined && this.#options.clock.monotonicMs() < failure.untilMs) {
      return { part: "collapsed", stored: failure.stored };
    }
    if (this.#running.size >= FILLS_MAX) return undefined;
    const stored = this.#fill(wanted);
    this.#running.set(key, stored);
    const remember = (): void => {
      const untilMs = this.#options.clock.monotonicMs() + FAILURE_MS;
      this.#failures.set(key, { stored, untilMs });
    };
    stored
      .then(({ status }) => void (status >= 500 && remember()), remember)
      // Askers handle the rejection; a fill that all of them left must not end the process.
      .finally(() => this.#running.delete(key));
    return { part: "miss", stored };
  }

  /** Begins the fill of media that viewers will ask for, so that it is there or on its way when they do. */
  prefetch(path: string): void {
    const { store, clock } = this.#options;
    if (store.getFresh(path, clock.monotonicMs()) === undefined) this.share({ path, freshMsMin: 0 });
  }

  async #fill(wanted: Wanted): Promise<Stored> {
    const { upstream, store, clock } = this.#options;
    const { path, host, freshMsMin } = wanted;
    const answer = await fetchWithRetry({ upstream, clock, path, host, holdMsMax: HOLD_MS_MAX });
    const stored = readStored(answer, freshMsMin);
    if (stored.freshMs > 0 && stored.status < 500) store.set(keyOf(wanted), stored);
    return stored;
  }
}

/** Asks once, and once more where the first failure was quick: not reached, broken off, or a 5xx. */
export async function fetchWithRetry(options: {
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly path: string;
  readonly holdMsMax: number;
  readonly host?: string | undefined;
}): Promise<UpstreamAnswer> {
  const { upstream, clock, path } = options;
  const startMs = clock.monotonicMs();
  const isQuick = (): boolean => clock.monotonicMs() - startMs < RETRY_HELD_MS_MAX;
  try {
    const answer = await upstream.fetch(path, options);
    if (answer.status < 500 || !isQuick()) return answer;
    await new Promise<void>((resolve) => clock.after(RETRY_PAUSE_MS, resolve));
  } catch (error) {
    if (!(error instanceof UpstreamError) || upstream.isClosed) throw error;
    if (error.isReached && !isQuick()) throw error;
    if (!error.isReached) await upstream.untilReachable(UNREACHABLE_MS_MAX);
  }
  return upstream.fetch(path, options);
}
