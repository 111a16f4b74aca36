/**
 * When playback must be helped: pure decisions about a picture that stands still or has fallen behind.
 * `player.ts` asks several times a second and does what is answered.
 */

export type PlayerState = "waiting" | "playing" | "stalled";

/** What the player knows of its playback. Milliseconds, but for `behindSeconds`. */
export interface Playback {
  /** Since the picture last moved, or since the source was opened if it has not moved yet. */
  readonly stillMs: number;
  /** True once the picture has moved since the source was opened. */
  readonly hasPlayed: boolean;
  /** How often the player was helped since the picture last moved, and how long ago the last time was. */
  readonly stepsTaken: number;
  readonly sinceStepMs: number;
  /** How far playback is behind where it means to be; `undefined` where nobody knows. */
  readonly behindSeconds: number | undefined;
  /** Whether the origin says that frames arrive; `undefined` where it says nothing. */
  readonly isLive: boolean | undefined;
  /** True while the tab is not shown: browsers then pause and slow things down on purpose. */
  readonly isHidden: boolean;
}

/** `jump`: seek to the live edge. `recreate`: throw the player away and build a new one on the same element. */
export type Step = "none" | "jump" | "recreate";

/** A picture that moved this recently is playing. */
const MOVING_MS = 900;
/** A short stop is a stall, which resolves by itself; a longer one is waiting. */
export const STALLED_MS_MAX = 3_000;
/** Standing still this long with a stream there: first jump, then recreate, each time after twice as long. */
export const JUMP_AFTER_MS = 3_000;
export const RECREATE_AFTER_MS = 8_000;
export const RECREATE_AFTER_MS_MAX = 32_000;
/** Falling behind more than this ends with a jump, at most once in {@link JUMP_PAUSE_MS}. */
export const BEHIND_SECONDS_MAX = 2;
export const JUMP_PAUSE_MS = 3_000;

/** What to show of a playback. */
export function stateOf({ stillMs, hasPlayed }: Pick<Playback, "stillMs" | "hasPlayed">): PlayerState {
  if (!hasPlayed) return "waiting";
  if (stillMs <= MOVING_MS) return "playing";
  return stillMs <= STALLED_MS_MAX ? "stalled" : "waiting";
}

/** How to help a playback, if at all. */
export function nextStep(playback: Playback): Step {
  const { stillMs, hasPlayed, stepsTaken, sinceStepMs, behindSeconds, isLive, isHidden } = playback;
  if (isHidden) return "none";
  if (hasPlayed && stillMs <= MOVING_MS) {
    const isFarBehind = behindSeconds !== undefined && behindSeconds > BEHIND_SECONDS_MAX;
    return isFarBehind && sinceStepMs > JUMP_PAUSE_MS ? "jump" : "none";
  }
  // With no frames arriving there is nothing to jump to, and hls.js asks for the playlist by itself.
  if (isLive === false) return "none";
  if (hasPlayed && stepsTaken === 0) return stillMs > JUMP_AFTER_MS ? "jump" : "none";
  const doublings = hasPlayed ? stepsTaken - 1 : stepsTaken;
  const patienceMs = Math.min(RECREATE_AFTER_MS * 2 ** doublings, RECREATE_AFTER_MS_MAX);
  return Math.min(stillMs, sinceStepMs) > patienceMs ? "recreate" : "none";
}
