/**
 * The arithmetic of `bench held`: which version of the playlist each waiter got when, and what follows from that once
 * the run is over. A version's receipts are kept until a few newer ones have come, so memory is bounded by the waiters.
 */
import { Distribution } from "./statistics.ts";
import type { Position } from "./playlist-position.ts";

/** Versions whose receipts are kept: waiters that are further behind are counted, and timed no more. */
const VERSIONS_OPEN_MAX = 8;
/** Versions that come before the first measured one, after all waiters are there. */
const WARM_UP_VERSIONS = 5;

/** A version of the playlist as it was first seen. */
export interface NewVersion {
  /** Its newest part. */
  readonly at: Position;
  /** Where its media ends on the time line of the stream. Milliseconds. */
  readonly endMs: number;
}

interface Version extends NewVersion {
  readonly firstMs: number;
  lastMs: number;
  readonly receiptsMs: Float64Array;
  count: number;
}

export interface HeldRoundsOptions {
  readonly waiters: number;
  /** Versions to measure. */
  readonly rounds: number;
  readonly partTargetMs: number;
  /** When a part was published; `undefined` where nothing but its first recipient tells. */
  readonly publishedMs: (at: Position) => number | undefined;
}

/** Collects receipts from the moment when all waiters are there. */
export class HeldRounds {
  readonly #options: HeldRoundsOptions;
  /** Seen while waiters gathered and warmed up. */
  #warmUp = 0;
  #versions: Version[] = [];
  #isMeasuring = false;
  #first: Version | undefined;
  #newest: Version | undefined;
  readonly #seen: Uint32Array;
  #onTime = Number.POSITIVE_INFINITY;
  #latest = Number.NEGATIVE_INFINITY;
  /** Versions measured so far, and those of them whose publication was seen. */
  versions = 0;
  datedVersions = 0;
  answers = 0;
  /** From publication to a waiter's last byte; from the first waiter's last byte to the others'. Milliseconds. */
  readonly waits = new Distribution();
  readonly spreads = new Distribution();
  /** From publication to the last byte of the part itself, where waiters fetch it. Milliseconds. */
  readonly parts = new Distribution();
  /** Parts that came later than another one was due. */
  lateParts = 0;

  constructor(options: HeldRoundsOptions) {
    this.#options = options;
    this.#seen = new Uint32Array(options.waiters);
  }

  get isMeasuring(): boolean {
    return this.#isMeasuring;
  }

  get partTargetMs(): number {
    return this.#options.partTargetMs;
  }

  /** True once the versions that were asked for have come, and two more: who has not got them by then has missed them. */
  get isComplete(): boolean {
    return this.versions > this.#options.rounds + 1;
  }

  /** A version comes for the first time. Returns true if measuring begins with it. */
  begin(version: NewVersion, nowMs: number, areAllThere: boolean): boolean {
    if (!this.#isMeasuring) {
      this.#warmUp = areAllThere ? this.#warmUp + 1 : 0;
      if (this.#warmUp <= WARM_UP_VERSIONS) return false;
    }
    const isFirst = !this.#isMeasuring;
    this.#isMeasuring = true;
    this.versions++;
    const receiptsMs = new Float64Array(this.#options.waiters);
    const begun = { ...version, firstMs: nowMs, lastMs: nowMs, receiptsMs, count: 0 };
    this.#versions.push(begun);
    if (this.versions > this.#options.rounds) return isFirst;
    this.#first ??= begun;
    this.#newest = begun;
    if (this.#versions.length > VERSIONS_OPEN_MAX) this.#settle(this.#versions.shift());
    return isFirst;
  }

  /** A waiter has got the version whose newest part is `at`, whole. */
  receive(waiter: number, at: Position, nowMs: number): void {
    const version = this.#versions.findLast((open) => open.at.msn === at.msn && open.at.part === at.part);
    if (version === undefined || !this.#isMeasured(version)) return;
    this.answers++;
    this.#seen[waiter] = (this.#seen[waiter] ?? 0) + 1;
    version.lastMs = nowMs;
    if (version.count < version.receiptsMs.length) version.receiptsMs[version.count++] = nowMs;
  }

  /** A waiter has got the newest part of the version that ends with it, whole. */
  receivePart(at: Position, nowMs: number): void {
    const { publishedMs, partTargetMs } = this.#options;
    const version = this.#versions.findLast((open) => open.at.msn === at.msn && open.at.part === at.part);
    if (version === undefined || !this.#isMeasured(version)) return;
    const waitMs = Math.max(0, nowMs - (publishedMs(at) ?? version.firstMs));
    this.parts.add(waitMs);
    if (waitMs > partTargetMs) this.lateParts++;
  }

  /** Takes what is still open into the figures. */
  end(): void {
    for (const version of this.#versions.splice(0)) if (this.#isMeasured(version)) this.#settle(version);
  }

  /** Parts published meanwhile, by the time line of the stream: those too that no waiter ever got. */
  get partsPublished(): number {
    if (this.#first === undefined || this.#newest === undefined) return 0;
    return Math.round((this.#newest.endMs - this.#first.endMs) / this.#options.partTargetMs) + 1;
  }

  /** Parts that each waiter got in a version of its own, ascending. */
  get seen(): Uint32Array {
    return this.#seen.toSorted();
  }

  /** How long after the time line of the stream, set to the most punctual publication, the latest answer came. Milliseconds. */
  get behindCadenceMs(): number {
    return Math.max(0, this.#latest - this.#onTime);
  }

  #isMeasured(version: Version): boolean {
    return this.#newest !== undefined && version.firstMs <= this.#newest.firstMs;
  }

  #settle(version: Version | undefined): void {
    if (version === undefined) return;
    const { firstMs, lastMs, receiptsMs, count, endMs } = version;
    const publishedMs = this.#options.publishedMs(version.at);
    if (publishedMs !== undefined) this.datedVersions++;
    const sinceMs = publishedMs ?? firstMs;
    for (const receivedMs of receiptsMs.subarray(0, count)) {
      this.waits.add(Math.max(0, receivedMs - sinceMs));
      this.spreads.add(receivedMs - firstMs);
    }
    this.#onTime = Math.min(this.#onTime, sinceMs - endMs);
    this.#latest = Math.max(this.#latest, lastMs - endMs);
  }
}
