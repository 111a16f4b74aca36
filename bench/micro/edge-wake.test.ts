/** The small size of the edge's benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { startTestEdge } from "../../edge/fake-origin.ts";
import { benchEdgeWake } from "./edge-wake.bench.ts";

/** The bound of a whole edge with 2,000 players, for a hundred that share its thread. */
const LAST_MS_MAX = 20;

test.if(process.platform === "linux")(
  "E25: players that wait have the next version within 20 ms of the upstream's answer, in the best of ten rounds",
  async () => {
    const figures = await benchEdgeWake({
      waiters: 100,
      rounds: 10,
      startEdge: (upstream) => startTestEdge(upstream),
    });
    expect(figures.errors).toBe("none");
    expect(figures.lastMsMin).toBeLessThan(LAST_MS_MAX);
    expect(figures.wakeMsP99).toBeGreaterThan(0);
    // The playlist and the part; what a new segment brings besides, and requests of a slow round.
    expect(figures.upstreamPerPart).toBeLessThan(3);
  },
);
