/** The small size of the held reload's benchmark, so that it cannot rot. */
import { expect, test } from "bun:test";
import { benchHeldReload } from "./held-reload.bench.ts";

test("benchHeldReload() wakes everyone with the same answers whenever it runs", async () => {
  const first = await benchHeldReload({ waiters: 100, rounds: 3 });
  const second = await benchHeldReload({ waiters: 100, rounds: 3 });
  expect(first.checksum).toBe(second.checksum);
  expect(first.wakeMsP99).toBeGreaterThan(0);
});
