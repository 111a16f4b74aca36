/**
 * The buffer of a modelled player: media is put in at one end and played in real time from the other. It stalls at
 * the very moment when it runs dry, whenever that is noticed, and goes on once enough is there.
 */

type State = "starting" | "playing" | "stalled";

/** Buffer and playhead. Times of media are milliseconds from wherever the first piece began. */
export class PlaybackBuffer {
  readonly #resumeMs: number;
  #state: State = "starting";
  /** Where the playhead stood at `#sinceMs`. */
  #positionMs = 0;
  #sinceMs = 0;
  #endMs = 0;
  #stalls = 0;
  #stalledMs = 0;

  /** @param resumeMs media ahead of the playhead that starts it, and starts it again after a stall */
  constructor(resumeMs: number) {
    this.#resumeMs = resumeMs;
  }

  /** How often it ran dry after it had begun to play. */
  get stalls(): number {
    return this.#stalls;
  }

  /** How long it stood still in all, finished stalls only: see {@link advance}. */
  get stalledMs(): number {
    return this.#stalledMs;
  }

  /** True once it has begun to play. */
  get hasBegun(): boolean {
    return this.#state !== "starting";
  }

  get isStalled(): boolean {
    return this.#state === "stalled";
  }

  /** Sets the playhead into media that is yet to come, such as the middle of the first segment. */
  seek(positionMs: number): void {
    this.#positionMs = positionMs;
  }

  /** Puts in `durationMs` of media behind what is there. True when it begins to play by that, the first time. */
  append(nowMs: number, durationMs: number): boolean {
    const hadBegun = this.hasBegun;
    this.advance(nowMs);
    this.#endMs += durationMs;
    this.#startIfReady(nowMs);
    return !hadBegun && this.hasBegun;
  }

  /** Corrects the length of media that was put in before its exact duration was known. */
  correct(nowMs: number, differenceMs: number): void {
    this.advance(nowMs);
    this.#endMs += differenceMs;
  }

  /** Media ahead of the playhead. */
  aheadMs(nowMs: number): number {
    this.advance(nowMs);
    const playedMs = this.#state === "playing" ? nowMs - this.#sinceMs : 0;
    return this.#endMs - this.#positionMs - playedMs;
  }

  /** Moves the playhead to `nowMs`. At the end of a run, `isOver` counts a stall that still lasts. */
  advance(nowMs: number, isOver = false): void {
    if (this.#state === "playing") {
      const dryMs = this.#sinceMs + (this.#endMs - this.#positionMs);
      if (nowMs > dryMs) {
        this.#state = "stalled";
        this.#stalls += 1;
        this.#positionMs = this.#endMs;
        this.#sinceMs = dryMs;
      }
    }
    if (isOver && this.#state === "stalled") {
      this.#stalledMs += nowMs - this.#sinceMs;
      this.#sinceMs = nowMs;
    }
  }

  #startIfReady(nowMs: number): void {
    if (this.#state === "playing" || this.#endMs - this.#positionMs < this.#resumeMs) return;
    if (this.#state === "stalled") this.#stalledMs += nowMs - this.#sinceMs;
    this.#state = "playing";
    this.#sinceMs = nowMs;
  }
}
