/**
 * One version of a media playlist as an edge gives it out: the text as it came or rewritten, its delta update, and what
 * is known of it. Whatever is derived from the text is derived once, however many ask.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5.1 (delta updates), RFC 9110 8.8.3 (entity tags)
import { deltaOf } from "#common/formats/playlist-delta.ts";
import type { PlaylistReach } from "#common/playlist-reach.ts";
import type { Lending } from "./lending.ts";
import { Loan } from "./loan.ts";
import { readPlaylistFacts, type PlaylistFacts } from "./playlist-facts.ts";
import { ageMsOf, readStored, sizeOf, type Stored } from "./stored.ts";
import type { UpstreamAnswer } from "./upstream.ts";

/**
 * What a version takes beside the answer that it came as, in lengths of its text: the text as a string, what is read of it, its
 * delta update, and that compressed. Measured, of rows as short as there are.
 */
const DERIVED_FACTOR = 9.5;

/** Counts bodies that are kept somewhere, and those that are not and still being sent. */
export type Keeper = Pick<Lending, "onKept" | "onGone">;

/** Changes URIs of a playlist's text, the same for the same text. */
export type Rewrite = (text: string) => string;

/** A version of a playlist. */
export class TailVersion {
  readonly facts: PlaylistFacts;
  /** The whole playlist. */
  readonly whole: Stored;
  /** When it was first seen with this reach, on the monotonic clock. */
  readonly sinceMs: number;
  readonly #text: string;
  #delta: Stored | undefined;
  #keeper: Keeper | undefined;

  constructor(options: {
    readonly facts: PlaylistFacts;
    readonly whole: Stored;
    readonly text: string;
    readonly sinceMs: number;
  }) {
    this.facts = options.facts;
    this.whole = options.whole;
    this.sinceMs = options.sinceMs;
    this.#text = options.text;
  }

  get reach(): PlaylistReach {
    return this.facts.reach;
  }

  /** What it weighs in memory with all that may be derived from it, in bytes. */
  bytes(key: string): number {
    return sizeOf(this.whole, key) + Math.ceil(DERIVED_FACTOR * this.whole.body.size);
  }

  /** What a player gets that asks for a delta update: the whole playlist where there is none. */
  get delta(): Stored {
    if (this.#delta === undefined) {
      this.#delta = this.#makeDelta();
      if (this.#delta !== this.whole) this.#keeper?.onKept(this.#delta);
    }
    return this.#delta;
  }

  /** It is counted as the newest from now on, with all that is derived from it. */
  keep(keeper: Keeper): void {
    this.#keeper = keeper;
    for (const stored of this.#bodies) keeper.onKept(stored);
  }

  /** It is not any more. */
  letGo(): void {
    for (const stored of this.#bodies) this.#keeper?.onGone(stored);
    this.#keeper = undefined;
  }

  /** Age on the monotonic clock, in milliseconds. */
  ageMs(nowMs: number): number {
    return ageMsOf(this.whole, nowMs);
  }

  /** The same version, known for as long as `earlier`, which reached as far. */
  since(earlier: TailVersion): TailVersion {
    const { facts, whole } = this;
    return new TailVersion({ facts, whole, text: this.#text, sinceMs: earlier.sinceMs });
  }

  get #bodies(): ReadonlySet<Stored> {
    return new Set(this.#delta === undefined ? [this.whole] : [this.whole, this.#delta]);
  }

  #makeDelta(): Stored {
    const text = deltaOf(this.#text);
    return text === undefined
      ? this.whole
      : withText(this.whole, { text, etag: this.whole.etag.replace(/"$/, '-delta"') });
  }
}

/** Reads an upstream's answer; `undefined` where it is no media playlist. */
export function readVersion(answer: UpstreamAnswer, rewrite: Rewrite | undefined): TailVersion | undefined {
  const text = new TextDecoder().decode(answer.body);
  const facts = readPlaylistFacts(text);
  if (facts === undefined) return undefined;
  const stored = readStored(answer);
  const sinceMs = stored.receivedMs;
  const written = rewrite?.(text) ?? text;
  if (written === text) {
    return new TailVersion({ facts, whole: { ...stored, isText: true, text: answer.body }, text, sinceMs });
  }
  const etag = `"${Bun.hash(written).toString(36)}"`;
  return new TailVersion({ facts, whole: withText(stored, { text: written, etag }), text: written, sinceMs });
}

/** The same answer with another text, whose tag is `etag`. */
function withText(stored: Stored, { text, etag }: { readonly text: string; readonly etag: string }): Stored {
  const bytes = new TextEncoder().encode(text);
  return {
    ...stored,
    body: new Blob([bytes]),
    isText: true,
    text: bytes,
    etag,
    gzip: undefined,
    ready: new Map(),
    loan: new Loan(),
  };
}
