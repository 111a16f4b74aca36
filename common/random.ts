/** Numbers that look random and follow from a seed alone, for load and tests that can be repeated (mulberry32). */

/** Numbers in [0, 1). */
export function createRandom(seed: number): () => number {
  const next = mulberry32(seed);
  return () => next() / 2 ** 32;
}

/** Whole numbers from 0 below `end`, each time another one. */
export function createRandomBelow(seed: number): (end: number) => number {
  const next = mulberry32(seed);
  return (end) => next() % end;
}

/** Whole numbers below 2^32. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}
