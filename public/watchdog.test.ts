/** The watchdog's decisions, case by case. */
import { expect, test } from "bun:test";
import { nextStep, stateOf, type Playback, type PlayerState, type Step } from "./watchdog.ts";

const moving: Playback = {
  stillMs: 100,
  hasPlayed: true,
  stepsTaken: 0,
  sinceStepMs: Number.POSITIVE_INFINITY,
  behindSeconds: 0.2,
  isLive: true,
  isHidden: false,
};
const standing: Playback = { ...moving, stillMs: 3_100 };

test.each<[string, Playback, Step]>([
  ["leaves a moving picture alone", moving, "none"],
  ["jumps from far behind", { ...moving, behindSeconds: 2.5 }, "jump"],
  ["gives a jump time to work", { ...moving, behindSeconds: 2.5, sinceStepMs: 1_000 }, "none"],
  ["does not judge an unknown distance", { ...moving, behindSeconds: undefined }, "none"],
  ["waits out a short stall", { ...moving, stillMs: 2_900 }, "none"],
  ["jumps after a long one", standing, "jump"],
  ["jumps without figures as well", { ...standing, isLive: undefined }, "jump"],
  ["jumps once", { ...standing, stepsTaken: 1, sinceStepMs: 500 }, "none"],
  [
    "recreates when the jump was no use",
    { ...standing, stillMs: 12_000, stepsTaken: 1, sinceStepMs: 8_100 },
    "recreate",
  ],
  ["recreates a source that never played", { ...standing, hasPlayed: false, stillMs: 8_100 }, "recreate"],
  [
    "waits twice as long each time",
    { ...standing, hasPlayed: false, stillMs: 15_900, stepsTaken: 1, sinceStepMs: 15_900 },
    "none",
  ],
  [
    "never waits longer than its bound",
    { ...standing, hasPlayed: false, stillMs: 32_100, stepsTaken: 40, sinceStepMs: 32_100 },
    "recreate",
  ],
  ["has nothing to jump to while no frames arrive", { ...standing, isLive: false, stillMs: 60_000 }, "none"],
  ["lets a hidden tab be", { ...standing, isHidden: true, stillMs: 60_000, behindSeconds: 60 }, "none"],
])("nextStep() %s", (_, playback, step) => {
  expect(nextStep(playback)).toBe(step);
});

test.each<[number, boolean, PlayerState]>([
  [100, true, "playing"],
  [1_500, true, "stalled"],
  [3_500, true, "waiting"],
  [100, false, "waiting"],
])("stateOf() a picture still for %p ms (has played: %p) is %s", (stillMs, hasPlayed, state) => {
  expect(stateOf({ stillMs, hasPlayed })).toBe(state);
});
