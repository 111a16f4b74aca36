/** The small size of the players' queue's benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { benchPlayerShares } from "./player-shares.bench.ts";

test("benchPlayerShares() serves the same connections whenever it runs", () => {
  const first = benchPlayerShares({ turns: 500, rounds: 2 });
  const second = benchPlayerShares({ turns: 500, rounds: 2 });
  expect(first.map(({ checksum }) => checksum)).toEqual(second.map(({ checksum }) => checksum));
  for (const { nsPerTurn } of first) expect(nsPerTurn).toBeGreaterThan(0);
});
