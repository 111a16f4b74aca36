/** Looks at the buffer of a video element and carries out what `chase.ts` decides. */
import type { Clock } from "#common/clock.ts";
import { Chase, type Movement } from "./chase.ts";

/** The parts of a video element that the chaser looks at and sets. */
export type ChasedVideo = Pick<
  HTMLVideoElement,
  | "addEventListener"
  | "buffered"
  | "currentTime"
  | "paused"
  | "playbackRate"
  | "readyState"
  | "removeEventListener"
  | "seeking"
>;

export interface ChaserOptions {
  readonly video: ChasedVideo;
  readonly clock: Clock;
  /** True while the tab is not shown: its timers are slow, and browsers pause pictures that nobody sees. */
  readonly isHidden: () => boolean;
}

const LOOK_MS = 50;
/** HTMLMediaElement.HAVE_FUTURE_DATA: below it playback stands. */
const HAVE_FUTURE_DATA = 3;

/** Chases from its creation until {@link Chaser.close}. */
export class Chaser {
  readonly #options: ChaserOptions;
  readonly #chase = new Chase();
  readonly #onWaiting = (): void => {
    this.#hasWaited = true;
  };
  /** Whether playback stood since the last look: it may go on again before the next. */
  #hasWaited = false;
  #cancel: () => void;

  constructor(options: ChaserOptions) {
    this.#options = options;
    options.video.addEventListener("waiting", this.#onWaiting);
    this.#cancel = this.#schedule();
  }

  close(): void {
    const { video } = this.#options;
    this.#cancel();
    video.removeEventListener("waiting", this.#onWaiting);
    video.playbackRate = 1;
  }

  #schedule(): () => void {
    return this.#options.clock.after(LOOK_MS, () => {
      this.#look();
      this.#cancel = this.#schedule();
    });
  }

  #look(): void {
    const { video, clock } = this.#options;
    const step = this.#chase.step({
      nowMs: clock.monotonicMs(),
      movement: this.#movement(),
      aheadSeconds: secondsAhead(video),
    });
    this.#hasWaited = false;
    if (step.kind === "seek") video.currentTime += step.seconds;
    // Setting it is an event for the browser even where nothing changes.
    else if (video.playbackRate !== step.rate) video.playbackRate = step.rate;
  }

  #movement(): Movement {
    const { video, isHidden } = this.#options;
    if (video.paused || video.seeking || isHidden()) return "resting";
    return this.#hasWaited || video.readyState < HAVE_FUTURE_DATA ? "starved" : "playing";
  }
}

/** Media from the playhead to the end of its buffered range; 0 outside of any. */
function secondsAhead({ buffered, currentTime }: Pick<ChasedVideo, "buffered" | "currentTime">): number {
  for (let range = 0; range < buffered.length; range += 1) {
    if (buffered.start(range) <= currentTime && currentTime <= buffered.end(range))
      return buffered.end(range) - currentTime;
  }
  return 0;
}
