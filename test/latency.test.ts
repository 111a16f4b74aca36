/** `bench latency` at a small size: a painted block reaches each kind of player through server, origin and edge. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { LATENCY_PLAYERS } from "../bench/config.ts";
import { flags, Program, Spillway, TemporaryFolder } from "./harness.ts";

const CHROMIUM = Bun.which("chromium") ?? Bun.which("google-chrome");
const FLIPS = 2;

if (CHROMIUM === null)
  console.warn("SKIPPED: latency is not measured in players, there is no chromium on this machine");

test.skipIf(CHROMIUM === null)(
  "bench latency measures our page, and hls.js with and without parts",
  async () => {
    await using spillway = new Spillway([], 1);
    using folder = new TemporaryFolder();
    await spillway.ready();
    for (const player of LATENCY_PLAYERS) {
      const json = join(folder.path, `${player}.json`);
      const options = flags({
        player,
        page: `${spillway.edge()}/`,
        port: spillway.ports.pixelflut,
        flips: FLIPS,
        "settle-seconds": 1,
        json,
      });
      await using bench = new Program(["bench", "latency", ...options]);
      expect(await bench.process.exited, bench.errors).toBe(0);
      const { results } = await Bun.file(json).json();
      expect(results, player).toMatchObject({ flips: { value: FLIPS }, missed: { value: 0 } });
      // Less than one frame would be another flip's.
      expect(results.latencyMin.value, player).toBeGreaterThan(1000 / 30);
    }
  },
);
