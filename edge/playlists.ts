/**
 * The newest version of every media playlist that is being watched. A tail answers each request that its newest
 * version meets, and holds the rest on one upstream request for the next version, whatever positions were asked:
 * the upstream sees one viewer, not all of them. With the playlist come its media, before viewers ask for them.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking reload), B.1 (caching)
import { LRUCache } from "lru-cache";
import type { Clock } from "#common/clock.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import { PlaylistTail, type TailAsker } from "./playlist-tail.ts";
import type { Keeper } from "./playlist-version.ts";
import { Prefetches, type MediaSource, TailPrefetch } from "./prefetches.ts";
import type { ByteBudget } from "./store.ts";
import { FAILURE_MS } from "./stored.ts";
import { type Asked, ASKED_PLAIN, refused, type TailAnswer } from "./tail-answer.ts";
import { type FetchPlaylist, holdMsMaxOf } from "./tail-loop.ts";
import { TailMemory, TailRoom } from "./tail-memory.ts";
import type { UpstreamAnswer } from "./upstream.ts";

/** Playlists kept at once, if there is room for their texts; the one asked for longest ago is forgotten first. Streams x renditions x 2 stay below. */
const TAILS_MAX = 128;
/** Of those that differ in their parameters alone. Past it the others are cached like anything else. */
const VARIANTS_MAX = 8;
/** Playlists not yet known to exist that are being asked for. Past it, 503. */
const STARTING_MAX = 64;
/** Playlists remembered not to exist, and for how long. */
const MISSING_MAX = 1_024;
const MISSING_MS = FAILURE_MS;
/** Of those whose error page is larger the status alone is remembered. */
const MISSING_BYTES_MAX = 4 * 1024;
/** How often a player without blocking reload looks at a playlist, about: segments of 1 to 2 s. */
const PLAIN_BUSY_MS = 1_250;
/** The playlist that lists the parts of its folder. */
const PARTS_PLAYLIST = "index.m3u8";

export interface PlaylistsOptions {
  readonly fetch: FetchPlaylist;
  readonly clock: Clock;
  /** Bounds those who wait, of all playlists together. */
  readonly budget: HeldBudget;
  /** Counts the playlists themselves; see `tail-memory.ts`. */
  readonly bytes: ByteBudget;
  readonly keeper: Keeper;
  /** Where media come from that are fetched ahead. */
  readonly media: MediaSource;
  /** Changes the text of each version before it is given out: once, so all that is derived from it is of one text. */
  readonly rewrite?: (text: string, key: string) => string;
}

/** The tails by playlist: see `playlistKey`. */
export class Playlists {
  readonly prefetches: Prefetches;
  readonly #tails = new LRUCache<string, PlaylistTail>({
    max: TAILS_MAX,
    dispose: (tail) => tail.close(),
  });
  readonly #starting = new Map<string, PlaylistTail>();
  readonly #missing = new LRUCache<string, { readonly answer: TailAnswer; readonly untilMs: number }>({
    max: MISSING_MAX,
  });
  readonly #memory: TailMemory;
  readonly #options: PlaylistsOptions;

  constructor(options: PlaylistsOptions) {
    this.#options = options;
    this.#memory = new TailMemory({ budget: options.bytes, dropOther: (room) => this.#dropOther(room) });
    this.prefetches = new Prefetches({ source: options.media, clock: options.clock });
  }

  /** Tails that follow their playlist now. */
  get running(): number {
    return this.#runningTails().length;
  }

  /** How long ago the newest version came of the tail that waits longest, milliseconds; 0 where none runs. */
  get ageMs(): number {
    return Math.max(0, ...this.#runningTails().map((tail) => tail.ageMs));
  }

  /** Memory of all playlists, with what is made of them. */
  get bytes(): number {
    return this.#memory.bytes;
  }

  /** True for a playlist that is answered here. */
  has(key: string): boolean {
    return this.#tails.has(key);
  }

  /** How long one request keeps a viewer of the playlist busy: until the version after the one asked for. */
  busyMs(key: string, { directives }: Asked): number {
    const facts = directives === undefined ? undefined : this.#tails.peek(key)?.facts;
    return facts?.partTargetMs ?? facts?.targetDurationMs ?? PLAIN_BUSY_MS;
  }

  /** How long the upstream may hold a request for media beside a playlist, milliseconds: a part may be yet to come. */
  holdMsMax(mediaPath: string): number {
    const folder = mediaPath.slice(0, mediaPath.lastIndexOf("/") + 1);
    return holdMsMaxOf(this.#tails.peek(folder + PARTS_PLAYLIST)?.facts);
  }

  /** Answers at once from memory, or returns `undefined`: then {@link hold}. */
  answerNow(key: string, asked: Asked): TailAnswer | undefined {
    return this.#tails.get(key)?.answerNow(asked) ?? this.#recentlyMissing(key);
  }

  /**
   * Holds a request that only has to wait, and resolves with what `answer` makes of it in its turn; `undefined` where
   * more is needed: then {@link ask}.
   */
  hold<Answer>(key: string, asked: Asked, asker: TailAsker<Answer>): Promise<Answer> | undefined {
    return this.#tails.get(key)?.hold(asked, asker);
  }

  /** Answers as soon as the playlist contains what is asked, or with why it does not. Rejects by our own mistake only. */
  async ask(key: string, asked: Asked, signal: AbortSignal): Promise<TailAnswer> {
    const known = this.#tails.get(key) ?? this.#starting.get(key);
    if (known !== undefined) return known.ask(asked, signal);
    if (this.#starting.size >= STARTING_MAX) return refused(503);
    const tail = this.#create(key);
    this.#starting.set(key, tail);
    try {
      // Settled by the tail's first version or failure, so that made-up names never push out real playlists.
      const first = await tail.ask(asked.directives === undefined ? asked : ASKED_PLAIN, signal);
      if (first.status !== 200) {
        const untilMs = this.#options.clock.monotonicMs() + MISSING_MS;
        this.#missing.set(key, { answer: rememberedOf(first), untilMs });
        tail.close();
        return first;
      }
      this.#tails.set(key, tail);
      return asked.directives === undefined ? first : await tail.ask(asked, signal);
    } finally {
      this.#starting.delete(key);
    }
  }

  /**
   * Follows a playlist that was fetched elsewhere, if its upstream holds requests; false where there is nothing to follow,
   * or too much: made-up parameters do not make as many loops.
   */
  offer(key: string, answer: UpstreamAnswer): boolean {
    if (answer.status !== 200) return false;
    if (this.#tails.has(key)) return true;
    if (this.#variantsOf(key) >= VARIANTS_MAX) return false;
    const tail = this.#create(key, () => this.#forget(key, tail));
    if (!tail.begin(answer)) return false;
    this.#tails.set(key, tail);
    return true;
  }

  #variantsOf(key: string): number {
    const path = withoutQuery(key);
    return [...this.#tails.keys()].filter((known) => withoutQuery(known) === path).length;
  }

  /** Ends all loops and waits. */
  close(): void {
    for (const tail of this.#starting.values()) tail.close();
    this.#tails.clear();
  }

  #recentlyMissing(key: string): TailAnswer | undefined {
    const missing = this.#missing.get(key);
    return missing !== undefined && this.#options.clock.monotonicMs() < missing.untilMs
      ? missing.answer
      : undefined;
  }

  /** Leaves to whoever offered a playlist what is in its place now. */
  #forget(key: string, tail: PlaylistTail): void {
    if (this.#tails.peek(key) === tail) this.#tails.delete(key);
  }

  #create(key: string, onOther?: () => void): PlaylistTail {
    const { fetch, clock, budget, keeper, rewrite } = this.#options;
    const prefetch = new TailPrefetch(this.prefetches, key);
    return new PlaylistTail({
      key,
      fetch,
      clock,
      budget,
      room: new TailRoom(this.#memory),
      keeper,
      onVersion: (facts) => prefetch.follow(facts),
      onOther,
      rewrite: rewrite && ((text) => rewrite(text, key)),
    });
  }

  /** For the sake of another: the one asked for longest ago. */
  #dropOther(room: TailRoom): boolean {
    const oldest = this.#tails.rkeys().find((key) => this.#tails.peek(key)?.room !== room);
    return oldest !== undefined && this.#tails.delete(oldest);
  }

  #runningTails(): PlaylistTail[] {
    return [...this.#tails.values()].filter((tail) => tail.isRunning);
  }
}

/** What is remembered of an answer that there is no such playlist. */
function rememberedOf({ stored, ...answer }: TailAnswer): TailAnswer {
  const isLarge = (stored?.body.size ?? 0) > MISSING_BYTES_MAX;
  return { ...answer, ...(stored !== undefined && !isLarge && { stored }), result: "error" };
}

function withoutQuery(key: string): string {
  return key.split("?", 1)[0] ?? key;
}
