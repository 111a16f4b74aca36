/**
 * Part of what the caching proxy has not stored: when it is cut from the whole, which is fetched for everyone, and when it
 * is asked for by itself, because the whole may not be kept or would be too long in coming.
 */
// RFC 9110 14 (ranges), RFC 9111 3.3 (incomplete answers)
import type { Clock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import type { Fill } from "./fill.ts";
import type { Judged } from "./proxy-judge.ts";
import { RememberedKeys } from "./remembered-keys.ts";
import { lengthOf, type ResponseHead } from "./response-head.ts";
import type { Verdict } from "./wanted.ts";

/** How far a part may begin beyond what has come of the whole, so that it is waited for, in bytes. */
const AHEAD_BYTES_MAX = MEBIBYTE;
/** Wholes fetched to their end at once though their clients want no more of them: one byte asked for may cost a large body. */
const OUTLIVING_MAX = 16;
/** URLs remembered to have parts that are asked for by themselves, the bytes of their texts, and for how long. */
const UNCUT_MAX = 8_192;
const UNCUT_BYTES_MAX = 4 * MEBIBYTE;
const UNCUT_MS = 120_000;

/** The parts that are asked of a proxy. */
export class ProxyRanges {
  /** Things whose parts are asked for by themselves. */
  readonly #uncut: RememberedKeys;
  readonly #outliving = new Set<Fill>();

  constructor(clock: Clock) {
    this.#uncut = new RememberedKeys({
      clock,
      forMs: UNCUT_MS,
      countMax: UNCUT_MAX,
      bytesMax: UNCUT_BYTES_MAX,
    });
  }

  /** True where parts have turned out not to be cut from the whole, a while ago at most. */
  isUncut(url: string): boolean {
    return this.#uncut.has(url);
  }

  /** Remembers that parts of this are to be asked for by themselves, though the whole is for everyone. */
  noteUncut(url: string): void {
    this.#uncut.add(url);
  }

  /** What may be done with a whole that is fetched for a part: where its length is not told it is not fetched for nobody. */
  judge(url: string, head: ResponseHead, verdict: Verdict): Verdict {
    const isSized = lengthOf(head) !== undefined;
    if (head.status === 200 && verdict.isShared && !isSized) this.noteUncut(url);
    return { ...verdict, mayOutlive: verdict.isStored && isSized };
  }

  /** Fetches a whole for the next who ask, beside a part of it, if not too many are fetched like that. */
  fetchBeside(begin: () => Fill | undefined): void {
    if (this.#outliving.size >= OUTLIVING_MAX) return;
    const fill = begin();
    if (fill !== undefined) this.#follow(fill);
  }

  /** Lets a whole go on when all have their parts of it, if not too many do. */
  letOutlive(fill: Fill): void {
    if (fill.isOver || this.#outliving.has(fill) || this.#outliving.size >= OUTLIVING_MAX) return;
    fill.keepGoing();
    this.#follow(fill);
  }

  #follow(fill: Fill): void {
    this.#outliving.add(fill);
    const forget = (): void => void this.#outliving.delete(fill);
    fill.finished.then(forget, forget);
  }
}

/**
 * True for a part that is soon reached.
 *
 * @param start its first byte; `undefined` where it is counted from the end
 * @param reachedBytes of the whole that have come
 */
export function isNear(start: number | undefined, reachedBytes: number): boolean {
  return start !== undefined && start <= reachedBytes + AHEAD_BYTES_MAX;
}

/** True where a part can be cut from the answer to a request for the whole, or where that is no body to cut. */
export function isCuttable(fill: Fill, { varyNames, isStored }: Judged): boolean {
  const { status } = fill.head;
  if (status !== 200) return status !== 206;
  if (fill.length === undefined || varyNames.includes("range")) return false;
  return fill.stored !== undefined || ((fill.isShared || isStored) && fill.body?.isWindow === false);
}
