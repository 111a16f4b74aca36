/**
 * Lets frames pass no faster than they are shown, whatever a source does: what comes ahead of its time waits, and who reads
 * the source waits with it, so that the source is slowed down by its socket. What comes late passes at once.
 */
import type { Clock } from "#common/clock.ts";
import { pause } from "#common/pause.ts";

/** A source's clock may run this much faster than ours without anything ever waiting for it. */
const DRIFT = 0.001;
/** What comes later than this will not catch up. */
const LATE_MS_MAX = 10_000;
/**
 * Times that are further apart than this belong to different time lines: no frame lasts so long. Below the silence that
 * ends a connection, so that waiting is not taken for it.
 */
const JUMP_MS = 2_000;
/** Frames of several renditions may come in so different an order. */
const REORDER_MS = 1_000;

export interface PacerOptions {
  readonly clock: Clock;
  /** How far ahead of its time a frame may pass: as much as a source may send at once to begin with. */
  readonly leadMs: number;
}

interface Waiting {
  /** How much was to be shown before it, since the start. */
  readonly positionMs: number;
  readonly deliver: () => void;
}

/** The pace of one connection, or of all that follow each other. */
export class Pacer {
  readonly #options: PacerOptions;
  #waiting: Waiting[] = [];
  /** What has come so far, however its times began anew, and when all of it would have begun to be shown. */
  #positionMs = 0;
  #startMs: number | undefined;
  /** The latest time of the present time line. */
  #mediaMs: number | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
  }

  /** Times begin anew: what comes next follows what came. */
  beginLine(): void {
    this.#mediaMs = undefined;
  }

  /**
   * Passes it on, now or in {@link drain}.
   *
   * @param mediaMs when it is to be shown, on the source's time line; `undefined` passes with what is before it
   */
  add(mediaMs: number | undefined, deliver: () => void): void {
    if (mediaMs !== undefined) this.#advance(mediaMs);
    const positionMs = this.#positionMs;
    if (this.#waiting.length === 0 && this.#waitMs(positionMs) === 0) deliver();
    else this.#waiting.push({ positionMs, deliver });
  }

  /** Waits until all has passed, or for the end of `signal`: no more is to be read until then. */
  async drain(signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { positionMs, deliver } of waiting) {
      for (let ms = this.#waitMs(positionMs); ms > 0 && !signal.aborted; ms = this.#waitMs(positionMs)) {
        await pause(this.#options.clock, ms, signal);
      }
      if (signal.aborted) return;
      deliver();
    }
  }

  #advance(mediaMs: number): void {
    const stepMs = mediaMs - (this.#mediaMs ?? mediaMs);
    if (stepMs < 0 && stepMs >= -REORDER_MS) return;
    if (stepMs > 0 && stepMs <= JUMP_MS) this.#positionMs += stepMs;
    this.#mediaMs = mediaMs;
  }

  /** How long until what is at `positionMs` may pass. */
  #waitMs(positionMs: number): number {
    const nowMs = this.#options.clock.monotonicMs();
    this.#startMs ??= nowMs;
    const aheadMs = positionMs - (nowMs - this.#startMs) * (1 + DRIFT);
    if (aheadMs < -LATE_MS_MAX) this.#startMs = nowMs - (positionMs + LATE_MS_MAX) / (1 + DRIFT);
    return Math.max(0, Math.ceil(aheadMs - this.#options.leadMs));
  }
}
