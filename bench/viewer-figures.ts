/** What all modelled players of a process count together. */
import type { Clock } from "#common/clock.ts";
import { Distribution, Tally } from "./statistics.ts";

/** Versions of playlists whose first arrival is remembered; the oldest is dropped. */
const ARRIVALS_MAX = 1_024;
/**
 * Media may be there before its end by its date: its last frame is taken one frame earlier. Dates further ahead of
 * the clock than this, or this far behind it, are not from a clock that agrees with ours. Milliseconds.
 */
const CLOCK_AHEAD_MS_MAX = 100;
const CLOCK_BEHIND_MS_MAX = 60_000;

/** Counters and distributions; distributions are in milliseconds. */
export class ViewerFigures {
  readonly #clock: Clock;
  readonly #arrivals = new Map<string, number>();
  /** By what was asked: `multivariant`, `playlist`, `part`, `segment`, `init`. */
  readonly requests = new Tally();
  /** Requests that failed, by what went wrong, and bodies that were no playlists. */
  readonly errors = new Tally();
  /** Answers that break HLS, by what they break. */
  readonly protocolErrors = new Tally();
  /** Bodies received. */
  bytes = 0;
  /** From the first request to the first picture. */
  readonly join = new Distribution();
  /** How much later than its first recipient a player got a version of a playlist that both waited for. */
  readonly wake = new Distribution();
  /** From the end of the newest media by its date until a player knew the playlist that lists it. */
  readonly playlistDelay = new Distribution(-CLOCK_AHEAD_MS_MAX);
  /** From the end of a part by its date until a player had all of it. */
  readonly mediaDelay = new Distribution(-CLOCK_AHEAD_MS_MAX);
  /** From request to end of body, of media that was listed and so had to come at once. */
  readonly fetch = new Distribution();
  /** Dates that cannot be right by our clock. */
  clockMismatches = 0;
  /** Players that fell out of the playlist's window and joined again. */
  rejoins = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A held playlist with position `key` has arrived at one of the players that waited for it. */
  playlistArrived(key: string): void {
    const nowMs = this.#clock.monotonicMs();
    const firstMs = this.#arrivals.get(key);
    if (firstMs === undefined) {
      this.#arrivals.set(key, nowMs);
      const oldest = this.#arrivals.keys().next().value;
      if (this.#arrivals.size > ARRIVALS_MAX && oldest !== undefined) this.#arrivals.delete(oldest);
    }
    this.wake.add(nowMs - (firstMs ?? nowMs));
  }

  /** Media that ended at `endWallMs` by its date was there at `arrivedWallMs`. */
  delayed(distribution: Distribution, endWallMs: number | undefined, arrivedWallMs: number): void {
    if (endWallMs === undefined) return;
    const delayMs = arrivedWallMs - endWallMs;
    if (delayMs < -CLOCK_AHEAD_MS_MAX || delayMs > CLOCK_BEHIND_MS_MAX) this.clockMismatches += 1;
    else distribution.add(delayMs);
  }
}
