/**
 * One upstream request for one thing, however many viewers ask for it meanwhile. A fill belongs to none of them:
 * it runs to its end whoever leaves, so the first viewer's disconnect is invisible to the others, and what it
 * brings is in the store for the next. Nothing incomplete is ever stored.
 */
import type { Clock } from "#common/clock.ts";
import { readStored, type Stored } from "./stored.ts";
import type { Store } from "./store.ts";
import { UpstreamError, type Upstream, type UpstreamAnswer } from "./upstream.ts";

/** Fills under way at once. Past it, requests for things not stored are refused with 503. */
const FILLS_MAX = 384;
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

/** All fills under way, by key. */
export class Fills {
  readonly #options: FillOptions;
  readonly #running = new Map<string, Promise<Stored>>();

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
    if (this.#running.size >= FILLS_MAX) return undefined;
    const stored = this.#fill(wanted).finally(() => this.#running.delete(key));
    // Askers handle the rejection; this keeps a fill that all of them left from ending the process.
    stored.catch(() => {});
    this.#running.set(key, stored);
    return { part: "miss", stored };
  }

  async #fill(wanted: Wanted): Promise<Stored> {
    const { upstream, store, clock } = this.#options;
    const { path, host, freshMsMin } = wanted;
    const answer = await fetchWithRetry({ upstream, clock, path, host, holdMsMax: HOLD_MS_MAX });
    const stored = readStored(answer, freshMsMin);
    if (stored.freshMs > 0) store.set(keyOf(wanted), stored);
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
