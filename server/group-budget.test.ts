/** What frames may take: with a made-up encoder, whose frames need so many bits and are cut at what its buffer holds. */
import { describe, expect, test } from "bun:test";
import { GroupBudget, groupBitsMin } from "./group-budget.ts";

const FRAMES = 30;
const BITS_MAX = 6_000_000;

interface Need {
  /** Bits at quantizer 26. */
  readonly key: number;
  readonly other: number;
}
const STILL: Need = { key: 1_000_000, other: 500 };
const NOISE: Need = { key: 3_000_000, other: 3_000_000 };
const PAINTED: Need = { key: 1_000_000, other: 60_000 };

/** Quantizers and bits of each group, where second `n` has the need that `needs` names. */
function play(needs: readonly Need[], { overshoot = 1, frames = FRAMES } = {}) {
  const budget = new GroupBudget({
    bitsMax: BITS_MAX,
    frames,
    macroblocks: 3600,
    quantizerMin: 12,
  });
  // What x264 may take: its buffer holds no more than it could before.
  let heldBits = budget.keyBitsMax;
  return needs.map((need) => {
    const quantizers: number[] = [];
    let groupBits = 0;
    for (let index = 0; index < frames; index++) {
      const plan = budget.plan(index === 0);
      const wanted = (index === 0 ? need.key : need.other) * 2 ** ((26 - plan.quantizer) / 6);
      const room = Math.min(heldBits, plan.bufferBits);
      const bits = plan.isHeld ? 300 : Math.min(wanted, overshoot * room);
      heldBits = Math.min(Math.max(room - bits, 0) + plan.inflowBits, plan.bufferBits);
      // What x264 tells: coarser than planned where its buffer did not hold what was wanted.
      budget.take(bits, plan.quantizer + Math.max(0, 6 * Math.log2(wanted / Math.max(bits, 1))));
      groupBits += bits;
      quantizers.push(plan.quantizer);
    }
    return { quantizers, groupBits };
  });
}

describe("GroupBudget", () => {
  test.each<[string, Need[]]>([
    ["still", [STILL, STILL, STILL]],
    ["noise", [NOISE, NOISE, NOISE]],
    ["painted", [PAINTED, PAINTED, PAINTED]],
    ["still, then noise, then still", [STILL, STILL, NOISE, STILL, NOISE, NOISE, STILL]],
  ])("keeps every group within its bits: %s", (_, needs) => {
    for (const { groupBits } of play(needs)) expect(groupBits).toBeLessThanOrEqual(BITS_MAX);
  });

  test.each([1, 2, 3, 60])("keeps every group within its bits at %d frames a second", (frames) => {
    for (const { groupBits } of play([NOISE, NOISE, STILL, NOISE, PAINTED, NOISE], { frames })) {
      expect(groupBits).toBeLessThanOrEqual(BITS_MAX);
    }
  });

  test("keeps them also with an encoder that takes a tenth more than its buffer has: the picture is held", () => {
    for (const { groupBits } of play([NOISE, NOISE, STILL, NOISE], { overshoot: 1.1 })) {
      expect(groupBits).toBeLessThanOrEqual(BITS_MAX);
    }
  });

  test("gives a still picture's frames one quantizer, key frames and others, so that nothing pulses", () => {
    const [, , , last] = play([STILL, STILL, STILL, STILL]);
    const { quantizers = [] } = last ?? {};
    expect(Math.max(...quantizers) - Math.min(...quantizers)).toBeLessThan(1);
    expect(quantizers[0]).toBeLessThan(16);
  });

  test("is no finer than what is worth its bits", () => {
    const easy = { key: 1_000, other: 1 };
    expect(new Set(play([easy, easy, easy])[2]?.quantizers)).toEqual(new Set([12]));
  });

  test("refines a picture that comes to rest, in the same second", () => {
    const budget = new GroupBudget({
      bitsMax: BITS_MAX,
      frames: FRAMES,
      macroblocks: 3600,
      quantizerMin: 12,
    });
    const quantizers = Array.from({ length: 3 * FRAMES }, (_, index) => {
      const { quantizer, bufferBits } = budget.plan(index % FRAMES === 0);
      const isNoise = index < FRAMES;
      budget.take(isNoise ? Math.min(bufferBits, 150_000) : 2_000, isNoise ? 46 : quantizer);
      return quantizer;
    });
    expect(quantizers[FRAMES - 1]).toBeGreaterThan(30);
    expect(quantizers[2 * FRAMES]).toBeLessThan(16);
  });

  test("gives the frames of a picture that moves all over much the same quantizer, key frames and others", () => {
    const moving = { key: 1_200_000, other: 800_000 };
    const { quantizers = [] } = play(Array.from({ length: 6 }, () => moving))[5] ?? {};
    expect(Math.max(...quantizers) - Math.min(...quantizers)).toBeLessThan(2);
  });
});

test("groupBitsMin() grows with the picture and the rate", () => {
  expect(groupBitsMin(3600, 30)).toBeLessThan(groupBitsMin(3600, 60));
  expect(groupBitsMin(3600, 30)).toBeLessThan(groupBitsMin(8160, 30));
  expect(groupBitsMin(3600, 30)).toBeGreaterThan(3600 * 12);
});
