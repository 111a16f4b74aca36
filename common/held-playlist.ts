/**
 * A media playlist that reloads wait for, at an origin, which writes its versions, or at an edge, which is given them:
 * the newest version, and those who wait for a later one. Who may wait is decided in `playlist-reach.ts`, how they wait
 * and are woken in `held-requests.ts`.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking playlist reload)
import type { Clock } from "#common/clock.ts";
import type { Directives } from "#common/delivery-directives.ts";
import { type HeldBudget, type HeldOutcome, HeldRequests, type HoldOptions } from "#common/held-requests.ts";
import {
  endOf,
  isTooFar,
  placeOf,
  type PlaylistReach,
  type Position,
  positionAt,
  type Standing,
  standingOf,
} from "#common/playlist-reach.ts";

/** A request is held for at most this many target durations. */
export const HOLD_TARGET_DURATIONS = 3;

/** One version of a playlist. */
export interface PlaylistVersion {
  readonly reach: PlaylistReach;
}

export interface HeldPlaylistOptions {
  readonly clock: Clock;
  /** Shared with other playlists, or of this one alone. */
  readonly budget: HeldBudget;
  readonly targetDurationMs: () => number;
}

/** @typeParam Ended what waiters may be told by {@link HeldPlaylist.end} */
export class HeldPlaylist<Version extends PlaylistVersion, Ended = never> {
  readonly #options: HeldPlaylistOptions;
  readonly #held: HeldRequests<Ended>;
  #newest: Version | undefined;

  constructor(options: HeldPlaylistOptions) {
    this.#options = options;
    this.#held = new HeldRequests(options);
  }

  /** The newest version; `undefined` while nothing is listed. */
  get newest(): Version | undefined {
    return this.#newest;
  }

  /** Requests that wait for a later version. */
  get waiting(): number {
    return this.#held.count;
  }

  /**
   * Takes `version` as the newest and wakes those who waited for it. Where it reaches less far than the one before, those
   * who wait for what is now too far ahead are told that it will not come; the others go on waiting.
   */
  publish(version: Version | undefined): void {
    const before = this.#newest;
    this.#newest = version;
    if (version === undefined) return;
    const { reach } = version;
    this.#held.publish(endOf(reach));
    if (before !== undefined && endOf(reach) < endOf(before.reach)) {
      this.#held.giveUp((waited) => isTooFar(reach, positionAt(waited)));
    }
  }

  /** What a reload with `directives` may expect; `undefined` while nothing is listed. */
  standing(directives: Directives): Standing | undefined {
    return this.#newest === undefined ? undefined : standingOf(this.#newest.reach, directives);
  }

  /** Waits until `position` is listed, and resolves with what `answer` makes of it. */
  hold<Answer>(
    position: Position,
    { client, answer }: Omit<HoldOptions<HeldOutcome | Ended, Answer>, "holdMsMax">,
  ): Promise<Answer> {
    const holdMsMax = HOLD_TARGET_DURATIONS * this.#options.targetDurationMs();
    return this.#held.hold(placeOf(position), { holdMsMax, client, answer });
  }

  /** Sequence numbers begin anew: whoever waits is told that it will not come. */
  reset(): void {
    this.#held.reset();
  }

  /** Tells everyone who waits the same: why no later version can be had. */
  end(ended: Ended): void {
    this.#held.end(ended);
  }

  /** Ends all waits for good. */
  close(): void {
    this.#held.close();
  }
}
