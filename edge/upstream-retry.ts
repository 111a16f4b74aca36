/** The one second try that a failed request gets, and when. Fills and playlists share the rule. */
import type { Clock } from "#common/clock.ts";
import { pause } from "#common/pause.ts";
import type { UpstreamPeer } from "./upstream-peer.ts";
import { UpstreamError, type Upstream, type UpstreamAnswer } from "./upstream.ts";

/** How long an upstream that cannot be reached is waited for, before the second and last try. */
const UNREACHABLE_MS_MAX = 2_000;
/** Pause before a second try at an upstream that failed: a 5xx, or an answer that broke off. */
const RETRY_PAUSE_MS = 100;
/** A failure that took longer than this was a held request's: asking again would double the wait. */
const RETRY_HELD_MS_MAX = 1_000;

export interface RetryOptions {
  readonly upstream: Upstream;
  readonly clock: Clock;
  /** Whether a second try is wanted, asked when the first has failed. Default: yes. */
  readonly mayRetry?: () => boolean;
  /** Called before the second try. */
  readonly onRetry?: () => void;
}

/** One of the two tries. */
export interface Attempt {
  /** True where a 5xx is the answer, since nothing follows it. */
  readonly isFinal: () => boolean;
  /** Upstreams that have answered with a 5xx, to be handed to every request: others are asked before them. */
  readonly failed: Set<UpstreamPeer>;
}

/**
 * Runs `attempt`, and once more where it failed quickly: not reached, broken off, or a 5xx.
 *
 * @param attempt throws {@link UpstreamError}; with a 5xx only where it is not the final one, else that is the answer
 */
export async function retryOnce<Result>(
  attempt: (attempt: Attempt) => Promise<Result>,
  { upstream, clock, mayRetry = () => true, onRetry }: RetryOptions,
): Promise<Result> {
  const startMs = clock.monotonicMs();
  const isHeld = (): boolean => clock.monotonicMs() - startMs >= RETRY_HELD_MS_MAX;
  const failed = new Set<UpstreamPeer>();
  try {
    return await attempt({ isFinal: () => isHeld() || !mayRetry(), failed });
  } catch (error) {
    if (!(error instanceof UpstreamError) || upstream.isClosed || !mayRetry()) throw error;
    if (error.isReached && isHeld()) throw error;
    if (error.isReached) await pause(clock, RETRY_PAUSE_MS);
    else await upstream.untilReachable(UNREACHABLE_MS_MAX);
  }
  onRetry?.();
  return attempt({ isFinal: () => true, failed });
}

/** Fetches a text whole, by the same rule. */
export function fetchWithRetry(options: {
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly path: string;
  readonly holdMsMax: number;
}): Promise<UpstreamAnswer> {
  const { upstream, path } = options;
  return retryOnce(async ({ isFinal, failed }) => {
    const answer = await upstream.fetch(path, { holdMsMax: options.holdMsMax, failed });
    if (answer.status >= 500 && !isFinal()) throw serverError(path, answer.status);
    return answer;
  }, options);
}

/** A 5xx that is not taken for the answer yet. */
export function serverError(path: string, status: number): UpstreamError {
  return new UpstreamError(`Upstream answered ${path} with ${status}`, { status: 503, isReached: true });
}
