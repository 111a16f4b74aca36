/** Decisions about the distance to the live edge: case by case, and over minutes of modelled networks. */
import { describe, expect, test } from "bun:test";
import {
  CALM_MS,
  Chase,
  type ChaseStep,
  IGNORED_MS,
  type Movement,
  RATE_MAX,
  RATE_MIN,
  STALL_SECONDS,
  TARGET_SECONDS_MAX,
  TARGET_SECONDS_MIN,
  WINDOW_MS,
} from "./chase.ts";

const LOOK_MS = 50;
/** From here on the buffer is judged. */
const JUDGED_MS = IGNORED_MS + WINDOW_MS;

/** Looks at the same buffer until `untilMs` and returns what is answered last. */
function lookUntil(chase: Chase, untilMs: number, aheadSeconds: number, fromMs = 0): ChaseStep {
  let step: ChaseStep = { kind: "rate", rate: 1 };
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += LOOK_MS)
    step = chase.step({ nowMs, movement: "playing", aheadSeconds });
  return step;
}

function rate(value: number): ChaseStep {
  return { kind: "rate", rate: value };
}

describe("Chase.step()", () => {
  test.each<[string, number, ChaseStep]>([
    ["is content at its target", TARGET_SECONDS_MIN, rate(1)],
    ["is content a little above", TARGET_SECONDS_MIN + 0.019, rate(1)],
    ["plays faster above", TARGET_SECONDS_MIN + 0.05, rate(1.03)],
    ["never much faster", TARGET_SECONDS_MIN + 0.119, rate(RATE_MAX)],
    ["plays slower below", TARGET_SECONDS_MIN - 0.04, rate(0.98)],
    ["never much slower", 0.05, rate(RATE_MIN)],
  ])("%s", (_, aheadSeconds, step) => {
    expect(lookUntil(new Chase(), JUDGED_MS, aheadSeconds)).toEqual(step);
  });

  test("leaves out what is far above, once, and then looks anew", () => {
    const chase = new Chase();
    expect(lookUntil(chase, JUDGED_MS, 0.6)).toEqual({ kind: "seek", seconds: 0.6 - TARGET_SECONDS_MIN });
    expect(lookUntil(chase, JUDGED_MS + LOOK_MS + JUDGED_MS - 1, 0.6, JUDGED_MS + LOOK_MS)).toEqual(rate(1));
  });

  test("goes by the least of the last second, not by what a part has just brought", () => {
    const chase = new Chase();
    const saw = (nowMs: number) => TARGET_SECONDS_MIN + 0.2 - ((nowMs % 200) / 150) * 0.2;
    let step = rate(0);
    for (let nowMs = 0; nowMs <= 6_000; nowMs += LOOK_MS)
      step = chase.step({ nowMs, movement: "playing", aheadSeconds: saw(nowMs) });
    expect(step).toEqual(rate(1));
  });

  test("says nothing about the first moments of playback", () => {
    expect(lookUntil(new Chase(), JUDGED_MS - LOOK_MS, 5)).toEqual(rate(1));
  });

  test.each<Movement>(["resting", "starved"])("forgets what it saw before playback was %s", (movement) => {
    const chase = new Chase();
    lookUntil(chase, JUDGED_MS - LOOK_MS, 5);
    expect(chase.step({ nowMs: JUDGED_MS, movement, aheadSeconds: 5 })).toEqual(rate(1));
    expect(lookUntil(chase, 2 * JUDGED_MS, 5, JUDGED_MS + LOOK_MS)).toEqual(rate(1));
  });

  test("keeps more ahead after a stall, and comes down after a calm time", () => {
    const chase = new Chase();
    lookUntil(chase, JUDGED_MS, TARGET_SECONDS_MIN);
    chase.step({ nowMs: JUDGED_MS, movement: "starved", aheadSeconds: 0 });
    chase.step({ nowMs: JUDGED_MS + LOOK_MS, movement: "starved", aheadSeconds: 0 });
    expect(chase.targetSeconds).toBeCloseTo(TARGET_SECONDS_MIN + STALL_SECONDS);
    lookUntil(chase, JUDGED_MS + 1.9 * CALM_MS, chase.targetSeconds, JUDGED_MS);
    expect(chase.targetSeconds).toBeCloseTo(TARGET_SECONDS_MIN + STALL_SECONDS);
    lookUntil(chase, JUDGED_MS + 2.1 * CALM_MS, chase.targetSeconds, JUDGED_MS + 1.9 * CALM_MS);
    expect(chase.targetSeconds).toBeCloseTo(TARGET_SECONDS_MIN);
  });

  test("does not take the start, a seek or a pause for a stall", () => {
    const chase = new Chase();
    for (const movement of ["starved", "playing", "starved", "resting", "starved"] as const)
      chase.step({ nowMs: 0, movement, aheadSeconds: 0 });
    expect(chase.targetSeconds).toBe(TARGET_SECONDS_MIN);
  });
});

/** Parts of 0.2 s, each late by what `delayMs` says; a buffer and a playhead that the chase moves. */
class Playback {
  readonly chase = new Chase();
  stalls = 0;
  seeks = 0;
  fastest = 1;
  /** Distance of the playhead from the live edge, seconds. */
  behindSeconds = 0;
  #timeSeconds: number;
  #bufferedSeconds = 0;
  #isStanding = false;
  /** Whether it stood since the last look. */
  #hasStood = false;
  #nowMs = 0;
  #rate = 1;

  constructor(behindSeconds: number) {
    this.#timeSeconds = -behindSeconds;
  }

  play(durationMs: number, delayMs: (part: number) => number): void {
    const endMs = this.#nowMs + durationMs;
    for (; this.#nowMs < endMs; this.#nowMs += 10) {
      const nextPart = Math.round(this.#bufferedSeconds / 0.2);
      if (this.#nowMs >= (nextPart + 1) * 200 + delayMs(nextPart)) this.#bufferedSeconds += 0.2;
      const aheadSeconds = this.#bufferedSeconds - this.#timeSeconds;
      if (aheadSeconds <= 0 && !this.#isStanding) this.stalls += 1;
      this.#isStanding = aheadSeconds <= (this.#isStanding ? 0.1 : 0);
      this.#hasStood ||= this.#isStanding;
      if (!this.#isStanding) this.#timeSeconds += (10 / 1000) * this.#rate;
      if (this.#nowMs % LOOK_MS === 0) this.#obey(aheadSeconds);
    }
    this.behindSeconds = this.#nowMs / 1000 - this.#timeSeconds;
  }

  #obey(aheadSeconds: number): void {
    const movement = this.#hasStood ? "starved" : "playing";
    this.#hasStood = this.#isStanding;
    const step = this.chase.step({ nowMs: this.#nowMs, movement, aheadSeconds });
    if (step.kind === "seek") {
      this.#timeSeconds += step.seconds;
      this.seeks += 1;
    } else {
      this.#rate = step.rate;
      this.fastest = Math.max(this.fastest, step.rate);
    }
  }
}

const MINUTE_MS = 60_000;
const quick = (): number => 20;

describe("Chase over a network", () => {
  test.each([0.5, 0.8, 1.2, 4])("that is quick comes from %p s behind to 0.4 s with one seek", (behind) => {
    const playback = new Playback(behind);
    playback.play(5_000, quick);
    expect(playback.behindSeconds).toBeLessThan(0.4);
    playback.play(10 * MINUTE_MS, quick);
    expect(playback.behindSeconds).toBeWithin(0.34, 0.4);
    expect([playback.stalls, playback.seeks]).toEqual([0, 1]);
  });

  test("with a part late by 0.4 s every 5 s soon plays without a stall, and keeps to it", () => {
    const playback = new Playback(0.8);
    const jittery = (part: number): number => (part % 25 === 24 ? 400 : 20);
    playback.play(MINUTE_MS, jittery);
    expect(playback.stalls).toBeLessThan(6);
    const before = playback.stalls;
    playback.play(30 * MINUTE_MS, jittery);
    expect(playback.stalls - before).toBeLessThan(12);
    expect(playback.behindSeconds).toBeLessThan(1.2);
  });

  test("that stops being jittery is followed close again", () => {
    const playback = new Playback(0.8);
    playback.play(MINUTE_MS, (part) => (part % 25 === 24 ? 400 : 20));
    expect(playback.chase.targetSeconds).toBeGreaterThan(0.2);
    playback.play(120 * MINUTE_MS, quick);
    expect(playback.behindSeconds).toBeWithin(0.34, 0.4);
  });

  test("that never delivers in time does not make playback fall behind without a bound", () => {
    const playback = new Playback(0.8);
    playback.play(10 * MINUTE_MS, (part) => (part % 50 < 25 ? 3_000 : 20));
    expect(playback.chase.targetSeconds).toBe(TARGET_SECONDS_MAX);
    expect(playback.behindSeconds).toBeLessThan(5);
  });
});
