/** The small size of the edge's benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { startTestEdge } from "../../edge/fake-origin.ts";
import { benchEdgeWake } from "./edge-wake.bench.ts";

test.if(process.platform === "linux")(
  "E25: benchEdgeWake() times what an edge adds for each of a hundred players that wait, none of which misses a part",
  async () => {
    const figures = await benchEdgeWake({
      waiters: 100,
      rounds: 10,
      warmUpRounds: 5,
      startEdge: (upstream) => startTestEdge(upstream),
    });
    expect(figures.errors).toBe("none");
    expect(figures.lastMsMin).toBeGreaterThan(0);
    expect(figures.wakeMsP99).toBeGreaterThan(0);
    // The playlist and the part; what a new segment brings besides, and requests of a slow round.
    expect(figures.upstreamPerPart).toBeLessThan(3);
  },
);
