/**
 * The newest version of every media playlist that is being watched. A tail answers each request that its newest
 * version meets, and holds the rest on one upstream request for the next version, whatever positions were asked:
 * the upstream sees one viewer, not all of them.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.2 (blocking reload), B.1 (caching)
import { LRUCache } from "lru-cache";
import type { Directives } from "#common/delivery-directives.ts";
import { FAILURE_MS } from "./stored.ts";
import { PlaylistTail, type TailAnswer, type TailAsker, type TailOptions } from "./playlist-tail.ts";

/** Playlists kept at once; the one asked for longest ago is forgotten first. Streams x renditions x 2 stay below. */
const TAILS_MAX = 128;
/** Playlists not yet known to exist that are being asked for. Past it, 503. */
const STARTING_MAX = 64;
/** Playlists remembered not to exist, and for how long. */
const MISSING_MAX = 1_024;
const MISSING_MS = FAILURE_MS;
/** How often a player without blocking reload looks at a playlist, about: segments of 1 to 2 s. */
const PLAIN_BUSY_MS = 1_250;

export type PlaylistsOptions = Omit<TailOptions, "path">;

/** The tails by playlist path. */
export class Playlists {
  readonly #tails = new LRUCache<string, PlaylistTail>({ max: TAILS_MAX });
  readonly #starting = new Map<string, PlaylistTail>();
  readonly #missing = new LRUCache<string, TailAnswer>({ max: MISSING_MAX, ttl: MISSING_MS });
  readonly #options: PlaylistsOptions;

  constructor(options: PlaylistsOptions) {
    this.#options = options;
  }

  /** How long one request keeps a viewer of the playlist busy: until the version after the one asked for. */
  busyMs(path: string, directives: Directives | undefined): number {
    if (directives === undefined) return PLAIN_BUSY_MS;
    return this.#tails.peek(path)?.intervalMs ?? PLAIN_BUSY_MS;
  }

  /** Answers at once from memory, or returns `undefined`: then {@link ask}. */
  answerNow(path: string, directives: Directives | undefined): TailAnswer | undefined {
    return this.#tails.get(path)?.answerNow(directives) ?? this.#missing.get(path);
  }

  /**
   * Holds a request that only has to wait, and resolves with what `answer` makes of it in its turn; `undefined` where
   * more is needed: then {@link ask}.
   */
  hold<Answer>(path: string, directives: Directives, asker: TailAsker<Answer>): Promise<Answer> | undefined {
    return this.#tails.get(path)?.hold(directives, asker);
  }

  /** Answers as soon as the playlist contains what is asked. Never rejects. */
  async ask(path: string, directives: Directives | undefined, signal: AbortSignal): Promise<TailAnswer> {
    const known = this.#tails.get(path) ?? this.#starting.get(path);
    if (known !== undefined) return known.ask(directives, signal);
    if (this.#starting.size >= STARTING_MAX) {
      return { status: 503, cacheControl: "no-store", result: "refused" };
    }
    const tail = new PlaylistTail({ ...this.#options, path });
    this.#starting.set(path, tail);
    // Settled by the tail's first version or failure, so that made-up names never push out real playlists.
    const first = await tail.ask(undefined, signal);
    this.#starting.delete(path);
    if (first.status !== 200) {
      this.#missing.set(path, { ...first, result: "error" });
      return first;
    }
    this.#tails.set(path, tail);
    return directives === undefined ? first : tail.ask(directives, signal);
  }
}
