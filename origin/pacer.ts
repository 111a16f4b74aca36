/**
 * Lets frames pass no faster than they are shown, whatever a source does: what comes ahead of its time waits, and who reads
 * the source waits with it, so that the source is slowed down by its socket. What comes late passes at once.
 */
import type { Clock } from "#common/clock.ts";
import { pause } from "./pause.ts";

/** A source's clock may run this much faster than ours without anything ever waiting for it. */
const DRIFT = 0.001;
/** What comes later than this will not catch up. */
const LATE_MS_MAX = 10_000;
/** Times that are further apart than this belong to different time lines. */
const JUMP_MS = 10_000;

export interface PacerOptions {
  readonly clock: Clock;
  /** How far ahead of its time a frame may pass: as much as a source may send at once to begin with. */
  readonly leadMs: number;
}

interface Waiting {
  /** When it is to be shown, on the source's time line; `undefined` passes with what is before it. */
  readonly mediaMs: number | undefined;
  readonly deliver: () => void;
}

/** The pace of one connection. */
export class Pacer {
  readonly #options: PacerOptions;
  #waiting: Waiting[] = [];
  /** When which moment of the source's time line came. */
  #anchor: { clockMs: number; mediaMs: number } | undefined;
  #lastMediaMs = 0;

  constructor(options: PacerOptions) {
    this.#options = options;
  }

  /** Passes it on, now or in {@link drain}. */
  add(mediaMs: number | undefined, deliver: () => void): void {
    if (this.#waiting.length === 0 && this.#waitMs(mediaMs) === 0) deliver();
    else this.#waiting.push({ mediaMs, deliver });
  }

  /** Waits until all has passed, or for the end of `signal`: no more is to be read until then. */
  async drain(signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { mediaMs, deliver } of waiting) {
      for (let ms = this.#waitMs(mediaMs); ms > 0 && !signal.aborted; ms = this.#waitMs(mediaMs)) {
        await pause(this.#options.clock, ms, signal);
      }
      if (signal.aborted) return;
      deliver();
    }
  }

  /** How long until it may pass. */
  #waitMs(mediaMs: number | undefined): number {
    if (mediaMs === undefined) return 0;
    const clockMs = this.#options.clock.monotonicMs();
    if (this.#anchor === undefined || Math.abs(mediaMs - this.#lastMediaMs) > JUMP_MS) {
      this.#anchor = { clockMs, mediaMs };
    }
    this.#lastMediaMs = mediaMs;
    const aheadMs = mediaMs - this.#anchor.mediaMs - (clockMs - this.#anchor.clockMs) * (1 + DRIFT);
    if (aheadMs < -LATE_MS_MAX) this.#anchor = { clockMs, mediaMs: mediaMs + LATE_MS_MAX };
    return Math.max(0, Math.ceil(aheadMs - this.#options.leadMs));
  }
}
