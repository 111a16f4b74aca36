/**
 * How close playback goes to the end of what is there: pure decisions about the media ahead of the playhead. hls.js
 * stays wherever it happened to start, some tenths of a second later for each viewer than it could be. The page knows
 * what its own network does and goes as close as that allows. `chaser.ts` looks many times a second and does what is
 * answered.
 *
 * What counts is the least of the last second: just before a part arrives there is nothing but this between the
 * picture and a stall.
 */

/** What playback does while it is looked at. `resting`: paused, seeking, not shown, or without media yet. */
export type Movement = "playing" | "starved" | "resting";

export interface BufferSample {
  /** By a steady clock. */
  readonly nowMs: number;
  readonly movement: Movement;
  /** Media from the playhead to the end of its buffered range, in seconds. */
  readonly aheadSeconds: number;
}

/** `seek`: leave out so many seconds. `rate`: play at this rate from now on, 1 being the normal one. */
export type ChaseStep =
  { readonly kind: "seek"; readonly seconds: number } | { readonly kind: "rate"; readonly rate: number };

/**
 * What the least media ahead should be at first, in seconds. Decoding takes three frames of 30 a second; with no more
 * than those every other viewer on a busy machine stalls for some milliseconds.
 */
export const TARGET_SECONDS_MIN = 0.15;
/** And at the most, however bad the network is: beyond, the watchdog takes playback for lost. */
export const TARGET_SECONDS_MAX = 1.5;
/** Added by a stall, and twice as much by each that soon follows another. */
export const STALL_SECONDS = 0.05;
const STALL_SECONDS_MAX = 0.4;
export const STALLS_RELATED_MS = 15_000;
/** After so long without a stall the target comes down by {@link STALL_SECONDS}; a stall doubles it. */
export const CALM_MS = 30_000;
export const CALM_MS_MAX = 8 * 60_000;
/** From the start, a seek or a stall on so much is not looked at: buffers fill unevenly then. */
export const IGNORED_MS = 1_500;
export const WINDOW_MS = 1_000;
/** More than this over the target is left out at once; the rest is caught up unnoticed. */
export const SEEK_SECONDS = 0.12;
/** Nearer than this to the target is good. */
const DEAD_SECONDS = 0.02;
/** People see it on a moving picture if it is played faster or slower than this. */
export const RATE_MAX = 1.05;
export const RATE_MIN = 0.97;
/** Rate for each second of distance, and its steps: a rate that changed with every look would itself be unsteady. */
const RATE_PER_SECOND = 0.6;
const RATE_STEPS = 100;

const NORMAL: ChaseStep = { kind: "rate", rate: 1 };

/** Follows one playback of one source. */
export class Chase {
  #targetSeconds = TARGET_SECONDS_MIN;
  /** The samples of the last second, oldest first. */
  #window: BufferSample[] = [];
  /** Since when it plays without a break; `undefined` while it does not. */
  #playsSinceMs: number | undefined;
  /** Whether it has played for {@link IGNORED_MS} since it last rested: what stands before that has just begun. */
  #hasSettled = false;
  /** From a seek of its own until it plays again. A stall after that is one: the seek went too far. */
  #isSeeking = false;
  #stallMs = Number.NEGATIVE_INFINITY;
  #stallSeconds = STALL_SECONDS;
  /** When the target last changed, and how long it stays if nothing happens. */
  #changedMs = 0;
  #calmMs = CALM_MS;

  /** What the least media ahead should be, in seconds. */
  get targetSeconds(): number {
    return this.#targetSeconds;
  }

  /** What to do after a look at the buffer. To be called every 50 ms or so. */
  step(sample: BufferSample): ChaseStep {
    const { nowMs, movement } = sample;
    if (movement !== "playing") {
      // Counted once: from then on it does not play.
      const isStall = movement === "starved" && this.#playsSinceMs !== undefined && this.#hasSettled;
      if (isStall) this.#onStall(nowMs);
      this.#restart(movement);
      return NORMAL;
    }
    this.#isSeeking = false;
    this.#playsSinceMs ??= nowMs;
    if (nowMs - this.#playsSinceMs < IGNORED_MS) return NORMAL;
    this.#hasSettled = true;
    this.#comeDown(nowMs);
    this.#window.push(sample);
    while (nowMs - (this.#window[1]?.nowMs ?? nowMs) >= WINDOW_MS) this.#window.shift();
    if (nowMs - (this.#window[0]?.nowMs ?? nowMs) < WINDOW_MS) return NORMAL;
    const leastSeconds = Math.min(...this.#window.map(({ aheadSeconds }) => aheadSeconds));
    const excessSeconds = leastSeconds - this.#targetSeconds;
    if (excessSeconds <= SEEK_SECONDS) return { kind: "rate", rate: rateFor(excessSeconds) };
    this.#restart(movement);
    this.#isSeeking = true;
    return { kind: "seek", seconds: excessSeconds };
  }

  #restart(movement: Movement): void {
    this.#window = [];
    this.#playsSinceMs = undefined;
    if (movement === "resting" && !this.#isSeeking) this.#hasSettled = false;
  }

  #onStall(nowMs: number): void {
    const isRelated = nowMs - this.#stallMs < STALLS_RELATED_MS;
    this.#stallSeconds = isRelated ? Math.min(2 * this.#stallSeconds, STALL_SECONDS_MAX) : STALL_SECONDS;
    this.#stallMs = nowMs;
    this.#targetSeconds = Math.min(this.#targetSeconds + this.#stallSeconds, TARGET_SECONDS_MAX);
    this.#changedMs = nowMs;
    this.#calmMs = Math.min(2 * this.#calmMs, CALM_MS_MAX);
  }

  #comeDown(nowMs: number): void {
    if (nowMs - this.#changedMs < this.#calmMs) return;
    this.#changedMs = nowMs;
    // Where it is down already and does no harm, the network is another one than it was.
    if (this.#targetSeconds === TARGET_SECONDS_MIN) this.#calmMs = CALM_MS;
    this.#targetSeconds = Math.max(this.#targetSeconds - STALL_SECONDS, TARGET_SECONDS_MIN);
  }
}

function rateFor(excessSeconds: number): number {
  if (Math.abs(excessSeconds) < DEAD_SECONDS) return 1;
  const rate = 1 + Math.round(excessSeconds * RATE_PER_SECOND * RATE_STEPS) / RATE_STEPS;
  return Math.min(Math.max(rate, RATE_MIN), RATE_MAX);
}
