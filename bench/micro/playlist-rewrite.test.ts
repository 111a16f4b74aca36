/** The small size of the benchmark of rewriting playlists, so that it cannot rot. */
import { expect, test } from "bun:test";
import { benchRewrite } from "./playlist-rewrite.bench.ts";

test("benchRewrite() writes the same texts whenever it runs", async () => {
  const [first, second, others] = [
    await benchRewrite(2, 3),
    await benchRewrite(2, 3),
    await benchRewrite(64, 3),
  ];
  expect(first.checksum).toBe(second.checksum);
  expect(others.checksum).not.toBe(first.checksum);
  expect(first.textBytes).toBeGreaterThan(3_000);
  expect(Math.min(first.lookUs, first.rewriteUs)).toBeGreaterThan(0);
});
