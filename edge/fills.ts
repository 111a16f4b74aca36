/**
 * All fills under way, by key: who asks for a thing joins its fill or begins it. What turns out not to be for everyone
 * is asked for by each alone, at once, and remembered, so that the next who ask do not wait for one another.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import { FillCounters } from "./fill-counters.ts";
import { Fill, type Asker } from "./fill.ts";
import type { Wanted } from "./wanted.ts";
import { PassedFills } from "./passed-fills.ts";
import { RememberedKeys } from "./remembered-keys.ts";
import type { ByteBudget, Store } from "./store.ts";
import { FAILURE_MS } from "./stored.ts";
import { UpstreamError, type Upstream } from "./upstream.ts";

/** Fills under way at once, beside {@link PassedFills}. Past it, requests for things not stored are refused with 503. */
const FILLS_MAX = 384;
/** Failures remembered; past it the one used longest ago is asked for anew. Large error pages are not. */
const FAILURES_MAX = 1_024;
const FAILURE_BYTES_MAX = 16 * 1024;
/** Things remembered not to be for everyone, the bytes of their keys, and for how long, unless one answer is. */
const UNSHARED_MAX = 8_192;
const UNSHARED_BYTES_MAX = 4 * MEBIBYTE;
const UNSHARED_MS = 120_000;

/** Too many fills are under way. */
export class FillRefusedError extends UpstreamError {
  constructor() {
    super("Too many requests are under way", { status: 503, isReached: false });
  }
}

export interface FillsOptions {
  readonly upstream: Upstream;
  readonly store: Store;
  readonly clock: Clock;
}

/** The fills of an edge. */
export class Fills implements ByteBudget {
  readonly counters = new FillCounters();
  readonly #options: FillsOptions;
  /** Those that can be joined. */
  readonly #joinable = new Map<string, Fill>();
  /** Those that hold memory or a connection. */
  readonly #alive = new Set<Fill>();
  readonly #passed: PassedFills;
  /** Fills that brought a 5xx or nothing, a moment ago. Not in the store: a good answer there outlives them. */
  readonly #failures = new LRUCache<string, { readonly fill: Fill; readonly untilMs: number }>({
    max: FAILURES_MAX,
  });
  /** What is taken not to be for everyone. */
  readonly #unshared: RememberedKeys;
  #running = 0;

  constructor(options: FillsOptions) {
    this.#options = options;
    this.#passed = new PassedFills(options);
    this.#unshared = new RememberedKeys({
      clock: options.clock,
      forMs: UNSHARED_MS,
      countMax: UNSHARED_MAX,
      bytesMax: UNSHARED_BYTES_MAX,
    });
  }

  /** Fills whose answer is not whole. */
  get running(): number {
    return this.#running;
  }

  /** Those of them that pass an answer on to one client. */
  get passing(): number {
    return this.#passed.size;
  }

  get bytesMax(): number {
    return this.#options.store.bytesMax;
  }

  /**
   * Joins the fill of a thing or begins it, and resolves with what the asker makes of it. Rejects with
   * {@link UpstreamError}, {@link FillRefusedError} among them.
   */
  share<Answer>(wanted: Wanted, asker: Asker<Answer>): Promise<Answer> {
    const { key } = wanted;
    const { elsewhere = () => this.alone(wanted, asker) } = asker;
    if (this.#unshared.has(key)) return elsewhere();
    const known = this.#joinable.get(key) ?? this.#recentFailure(key);
    if (known !== undefined) return known.ask(asker, "collapsed", elsewhere);
    return this.#begin(wanted, true)?.ask(asker, "miss") ?? refuse();
  }

  /** Asks for a thing that is nobody else's, beside whatever fills of it are under way. Resolves as {@link share} does. */
  alone<Answer>(wanted: Wanted, asker: Asker<Answer>): Promise<Answer> {
    return this.#begin(wanted, false)?.ask(asker, "miss") ?? refuse();
  }

  /** Bytes that have come of a thing that can be joined; 0 where none is under way. */
  reachedBytes(key: string): number {
    return this.#joinable.get(key)?.body?.size ?? 0;
  }

  /**
   * Fetches a thing for the store alone. `undefined` where it is under way already, and now goes on whoever leaves; or where
   * it has failed a moment ago, is not for everyone, or too many are under way.
   */
  refresh(wanted: Wanted): Fill | undefined {
    const { key } = wanted;
    const known = this.#joinable.get(key);
    known?.keepGoing();
    const isUseless = this.#unshared.has(key) || this.#recentFailure(key) !== undefined;
    if (known !== undefined || isUseless) return undefined;
    const fill = this.#begin(wanted, true);
    fill?.keepGoing();
    return fill;
  }

  /** Takes room. Readers of what is long finished, or has waited for them, go before anything is refused, as many as have to; then slow ones. */
  reserve(bytes: number): boolean {
    const { store } = this.#options;
    if (store.reserve(bytes)) return true;
    for (const fill of this.#alive) {
      if (!fill.isHeldUp) continue;
      fill.body?.dropReaders();
      if (store.reserve(bytes)) return true;
    }
    return this.#passed.reserve(bytes);
  }

  release(bytes: number): void {
    this.#options.store.release(bytes);
  }

  /** `undefined` where too many are under way. */
  #begin(wanted: Wanted, isJoinable: boolean): Fill | undefined {
    const isFull = this.#running - this.#passed.placed >= FILLS_MAX;
    if (isFull && !this.#passed.freePlace()) return undefined;
    const { upstream, store, clock } = this.#options;
    this.#running++;
    const fill = new Fill({
      upstream,
      clock,
      wanted,
      budget: this,
      counters: this.counters,
      store: (key, stored) => store.set(key, stored),
      onClosed: (closed) => this.#onClosed(closed),
      onOver: (over) => this.#onOver(over),
      onFree: (free) => void this.#alive.delete(free),
    });
    this.#alive.add(fill);
    if (isJoinable) this.#joinable.set(wanted.key, fill);
    return fill;
  }

  #onClosed(fill: Fill): void {
    const { key } = fill.wanted;
    if (this.#joinable.get(key) === fill) this.#joinable.delete(key);
    if (fill.isGivenUp && !fill.isOver) this.#passed.add(fill);
    if (fill.isGivenUp && fill.wanted.remembers !== "nothing") this.#unshared.add(key);
  }

  #onOver(fill: Fill): void {
    const { key } = fill.wanted;
    this.#running--;
    this.#passed.delete(fill);
    if (fill.isShared) this.#unshared.delete(key);
    const isLarge = (fill.stored?.body.size ?? 0) > FAILURE_BYTES_MAX;
    if (!fill.isFailure || fill.isGivenUp || isLarge) return;
    if ((fill.wanted.remembers ?? "all") !== "all") return;
    this.#failures.set(key, { fill, untilMs: this.#nowMs() + FAILURE_MS });
  }

  #recentFailure(key: string): Fill | undefined {
    const failure = this.#failures.get(key);
    return failure !== undefined && this.#nowMs() < failure.untilMs ? failure.fill : undefined;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

function refuse(): Promise<never> {
  return Promise.reject(new FillRefusedError());
}
