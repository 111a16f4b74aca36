/**
 * Every rule of HLS that an origin must keep has a test whose title begins with its number: `12, 13: dates …`. The rules
 * are those that `bench/hls-rules.ts` and its neighbours name by the same numbers.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const ITEMS = Array.from({ length: 55 }, (_, index) => index + 1);
const TITLE = /["`](\d{1,2}(?:(?:, | to )\d{1,2})*): /g;

/** The numbers of `3, 5 to 7`. */
function itemsOf(list: string): number[] {
  return list.split(", ").flatMap((part) => {
    const [first = 0, last = first] = part.split(" to ").map(Number);
    return ITEMS.filter((item) => item >= first && item <= last);
  });
}

async function shownItems(): Promise<ReadonlySet<number>> {
  const shown = new Set<number>();
  for (const folder of ["common", "origin", "server", "test"]) {
    for await (const path of new Bun.Glob("**/*.test.ts").scan({ cwd: join(ROOT, folder) })) {
      const text = await Bun.file(join(ROOT, folder, path)).text();
      for (const [, list = ""] of text.matchAll(TITLE)) for (const item of itemsOf(list)) shown.add(item);
    }
  }
  return shown;
}

test("every rule has a test that is named for it", async () => {
  const shown = await shownItems();
  expect(ITEMS.filter((item) => !shown.has(item))).toEqual([]);
});
