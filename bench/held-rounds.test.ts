/** What receipts come to: waits, missed parts, lag behind the cadence. */
import { describe, expect, test } from "bun:test";
import { HeldRounds } from "./held-rounds.ts";

const PART_MS = 200;

/** Three players and `rounds` parts of 200 ms. Part k is published at 1,000 + 200 k, as its media ends. */
function open(rounds: number, publishedMs: (part: number) => number | undefined = () => undefined) {
  const held = new HeldRounds({
    waiters: 3,
    rounds,
    partTargetMs: PART_MS,
    publishedMs: ({ part }) => publishedMs(part),
  });
  /** Part `part` comes to each player so long after its time, and not to those without a delay. */
  const play = (part: number, delaysMs: readonly (number | undefined)[], areAllThere = true): void => {
    const endMs = PART_MS * part;
    const at = { msn: 7, part };
    const dueMs = 1_000 + endMs;
    const first = Math.min(...delaysMs.map((delayMs) => delayMs ?? Number.POSITIVE_INFINITY));
    held.begin({ at, endMs }, dueMs + first, areAllThere);
    delaysMs.forEach((delayMs, waiter) => {
      if (delayMs !== undefined) held.receive(waiter, at, dueMs + delayMs);
    });
  };
  return { held, play };
}

/** Parts that come before the first measured one. */
function warmUp(play: (part: number, delaysMs: readonly number[], areAllThere?: boolean) => void): void {
  play(0, [90, 90, 90], false);
  for (let part = 1; part <= 5; part++) play(part, [90, 90, 90]);
}

describe("HeldRounds", () => {
  test("counts parts from their publication, and those that come when the next is due", () => {
    const { held, play } = open(2, (part) => (part === 7 ? 1_000 + PART_MS * part : undefined));
    warmUp(play);
    for (const part of [6, 7]) {
      play(part, [10, 10, 10]);
      for (const delayMs of [20, 30, PART_MS + 10]) {
        held.receivePart({ msn: 7, part }, 1_000 + PART_MS * part + delayMs);
      }
    }
    held.receivePart({ msn: 6, part: 0 }, 9_999);
    // Part 6 counts from its first recipient, 10 ms late: its last one is just in time.
    expect({
      count: held.parts.count,
      min: held.parts.min,
      max: held.parts.max,
      late: held.lateParts,
    }).toEqual({
      count: 6,
      min: 10,
      max: PART_MS + 10,
      late: 1,
    });
  });

  test("counts from the first recipient where nothing else tells of a publication", () => {
    const { held, play } = open(2);
    warmUp(play);
    expect(held.isMeasuring).toBe(false);
    play(6, [1, 3, 5]);
    play(7, [2, 2, 12]);
    expect(held.isComplete).toBe(false);
    play(8, [50, 50, 50]);
    play(9, [50, 50, 50]);
    expect(held.isComplete).toBe(true);
    held.end();
    expect(held).toMatchObject({ partsPublished: 2, answers: 6, datedVersions: 0 });
    expect([...held.seen]).toEqual([2, 2, 2]);
    expect(held.waits.max).toBeCloseTo(10);
    expect(held.waits.min).toBeCloseTo(0);
    // The most punctual part came 1 ms after its time, the latest answer 12 ms.
    expect(held.behindCadenceMs).toBeCloseTo(11);
  });

  test("counts from the publication where it is known", () => {
    const { held, play } = open(1, (part) => 1_000 + PART_MS * part - 4);
    warmUp(play);
    for (let part = 6; part <= 8; part++) play(part, [1, 3, 5]);
    held.end();
    expect(held.datedVersions).toBe(1);
    expect([held.waits.min, held.waits.max]).toEqual([5, 9]);
    expect([held.spreads.min, held.spreads.max]).toEqual([0, 4]);
  });

  test("knows of parts that a player, or nobody, ever got", () => {
    const { held, play } = open(2);
    warmUp(play);
    play(6, [1, 1, 1]);
    // Part 7 reached nobody.
    play(8, [1, 1, undefined]);
    play(9, [1, 1, 1]);
    play(10, [1, 1, 1]);
    held.end();
    expect(held.partsPublished).toBe(3);
    expect([...held.seen]).toEqual([1, 2, 2]);
  });
});
