/**
 * Media that are fetched before a viewer asks, and whether any viewer asked in the end. Each thing is asked for once: what
 * is in memory or on its way is left alone by those who fetch. The newest segments of a playlist come one after the other.
 */
import type { Clock } from "#common/clock.ts";
import { secondsToMs } from "#common/units.ts";
import type { PlaylistFacts } from "./playlist-facts.ts";
import { type MediaProgress, progressOf, wantedMedia } from "./tail-media.ts";
import { holdMsMaxOf } from "./tail-loop.ts";

/** How `spillway_edge_prefetches_total` counts what was fetched ahead. */
export type PrefetchResult = "used" | "unused" | "dropped";

/** Segments of one playlist that wait for those before them. Past it the oldest is dropped: viewers fetch it by asking. */
const QUEUE_MAX = 8;
/** How long a thing has to be asked for by a viewer, to count as used. */
const JUDGED_MS = secondsToMs(20);
/** Things not judged yet. Past it the oldest is judged at once. */
const UNJUDGED_MAX = 4_096;
/** Things that came and may not be kept, one after the other, after which no more of the playlist are fetched ahead. */
const UNKEPT_MAX = 4;

/** What is known of the wait for a thing. */
export interface Waiting {
  /** Longest time until the answer begins, in milliseconds. */
  readonly holdMsMax: number;
  /** True for what is still to come: the upstream holds the request until then. */
  readonly isHeld: boolean;
}

/** Where media come from. */
export interface MediaSource {
  /** The key of what a playlist names by `uri`; `undefined` for what must not be fetched ahead. */
  readonly resolve: (playlistKey: string, uri: string) => string | undefined;
  /**
   * Begins to fetch a thing unless it is there or on its way: then `undefined`. Resolves when it is over, however: false
   * where it came but may not be kept. Never rejects.
   */
  readonly fetch: (key: string, waiting: Waiting) => Promise<boolean> | undefined;
  /** True if a thing in memory was given to a viewer. */
  readonly wasAnswered: (key: string) => boolean;
}

/** What was fetched ahead by all playlists together. */
export class Prefetches {
  readonly #counts: Record<PrefetchResult, number> = { used: 0, unused: 0, dropped: 0 };
  readonly source: MediaSource;
  readonly #clock: Clock;
  /** By key, in the order in which they are due. */
  readonly #unjudged = new Map<string, { readonly dueMs: number; isUsed: boolean }>();

  constructor({ source, clock }: { readonly source: MediaSource; readonly clock: Clock }) {
    this.source = source;
    this.#clock = clock;
  }

  /** Fetches a thing, unless it is there or on its way. */
  fetch(key: string, waiting: Waiting): Promise<boolean> | undefined {
    const fetching = this.source.fetch(key, waiting);
    if (fetching === undefined) return undefined;
    this.#unjudged.delete(key);
    this.#unjudged.set(key, { dueMs: this.#clock.monotonicMs() + JUDGED_MS, isUsed: false });
    this.#judge();
    return fetching;
  }

  /** A viewer asks for a thing that is still on its way. */
  noteUse(key: string): void {
    const unjudged = this.#unjudged.get(key);
    if (unjudged !== undefined) unjudged.isUsed = true;
  }

  /** Counts since start, of what is old enough to be judged. */
  get judged(): Readonly<Record<PrefetchResult, number>> {
    this.#judge();
    return this.#counts;
  }

  /** Counts things that were not fetched ahead for want of room. */
  drop(count: number): void {
    this.#counts.dropped += count;
  }

  #judge(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [key, { dueMs, isUsed }] of this.#unjudged) {
      if (dueMs > nowMs && this.#unjudged.size <= UNJUDGED_MAX) return;
      this.#unjudged.delete(key);
      this.#counts[isUsed || this.source.wasAnswered(key) ? "used" : "unused"]++;
    }
  }
}

/** What is fetched ahead for one playlist. */
export class TailPrefetch {
  readonly #prefetches: Prefetches;
  readonly #playlistKey: string;
  #progress: MediaProgress | undefined;
  #queue: string[] = [];
  #isFetching = false;
  /** Things that may not be kept, since the last one that may. */
  #unkept = 0;

  constructor(prefetches: Prefetches, playlistKey: string) {
    this.#prefetches = prefetches;
    this.#playlistKey = playlistKey;
  }

  /** Fetches what a new version lists and names. */
  follow(facts: PlaylistFacts): void {
    const progress = progressOf(facts);
    const isBack = this.#progress !== undefined && progress.lastSegment < this.#progress.lastSegment;
    const wanted = wantedMedia(facts, isBack ? undefined : this.#progress);
    this.#progress = progress;
    if (this.#unkept >= UNKEPT_MAX) return;
    const holdMsMax = holdMsMaxOf(facts);
    const { hintedPart } = facts.media;
    const [hinted] = this.#keysOf(hintedPart === undefined ? [] : [hintedPart]);
    for (const key of this.#keysOf(wanted.now)) void this.#fetch(key, { holdMsMax, isHeld: key === hinted });
    this.#queue.push(...this.#keysOf(wanted.later));
    const dropped = this.#queue.splice(0, Math.max(0, this.#queue.length - QUEUE_MAX));
    this.#prefetches.drop(dropped.length);
    if (!this.#isFetching) void this.#fetchQueue(holdMsMax);
  }

  /** Never rejects, since no {@link MediaSource} does. */
  async #fetch(key: string, waiting: Waiting): Promise<void> {
    const isKept = await this.#prefetches.fetch(key, waiting);
    if (isKept !== undefined) this.#unkept = isKept ? 0 : this.#unkept + 1;
  }

  /** Never rejects, since no fetch does. */
  async #fetchQueue(holdMsMax: number): Promise<void> {
    this.#isFetching = true;
    for (let key = this.#queue.shift(); key !== undefined; key = this.#queue.shift()) {
      await this.#fetch(key, { holdMsMax, isHeld: false });
    }
    this.#isFetching = false;
  }

  #keysOf(uris: readonly string[]): string[] {
    return uris.flatMap((uri) => this.#prefetches.source.resolve(this.#playlistKey, uri) ?? []);
  }
}
