/** The small size of the benchmark of hits. */
import { expect, test } from "bun:test";
import { PLAYLIST_BYTES } from "../cache-playlists.ts";
import { SEGMENT_BYTES } from "../cache-objects.ts";
import { benchEdgeHit } from "./edge-hit.bench.ts";

test("benchEdgeHit() gives each object out whole, as a hit", async () => {
  const figures = await benchEdgeHit({ hits: 50, rounds: 2 });
  expect(figures.map(({ bytesPerHit }) => bytesPerHit)).toEqual([PLAYLIST_BYTES, SEGMENT_BYTES]);
  for (const { nsPerHit } of figures) expect(nsPerHit).toBeGreaterThan(0);
});
