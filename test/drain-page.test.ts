/** What somebody sees whose page is open while its edge is asked to end: the page goes on at another one before that. */
import { expect, test } from "bun:test";
import { block, getText, metric, paint, Spillway, waitFor } from "./harness.ts";
import { CHROMIUM, HEIGHT, Spectator, WIDTH } from "./spectator.ts";

/** Longest that the picture may stand still. Generous: machines are shared. */
const STILL_MS_MAX = 2_500;

if (CHROMIUM === null)
  console.warn("SKIPPED: no page moves away from an edge that ends, there is no chromium on this machine");

test.skipIf(CHROMIUM === null)(
  "our own page moves to another edge while its own one drains, in the same video element",
  async () => {
    await using spillway = new Spillway(["--drain-seconds=6"]);
    await spillway.ready();
    await waitFor("both edges to be listed", async () => {
      const edges = JSON.parse(await getText(`${spillway.edge()}/api/v1/edges`)) as unknown[];
      return edges.length === 2;
    });
    await using spectator = await Spectator.open(`${spillway.edge()}/`);
    await paint(spillway.ports.pixelflut, block(WIDTH, HEIGHT, "c02020"));
    await spectator.seeColour("red", [192, 32, 32]);
    spectator.stillMs = 0;

    const pid = spillway.childPid("edge 1");
    if (pid === undefined) throw new Error("edge 1 does not run");
    process.kill(pid, "SIGTERM");
    const viewersOf = async (index: number): Promise<number> =>
      metric(await getText(`${spillway.edge(index)}/metrics`), 'spillway_edge_viewers{kind="events"}');
    await waitFor("the page to listen at the other edge", async () => (await viewersOf(1)) === 1);
    expect(await viewersOf(0)).toBe(0);
    await paint(spillway.ports.pixelflut, block(WIDTH, HEIGHT, "20a020"));
    await spectator.seeColour("green at the other edge", [32, 160, 32]);
    await waitFor("the edge to be replaced", () => {
      const next = spillway.childPid("edge 1");
      return next !== undefined && next !== pid;
    });
    await paint(spillway.ports.pixelflut, block(WIDTH, HEIGHT, "2040c0"));
    await spectator.seeColour("blue after its end", [32, 64, 192]);
    console.info(`the picture stood still for ${Math.round(spectator.stillMs)} ms at most`);
    expect(spectator.stillMs).toBeLessThan(STILL_MS_MAX);
  },
  90_000,
);
