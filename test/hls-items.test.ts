/**
 * Every rule of HLS that an origin must keep has a test whose title begins with its number: `12, 13: dates …`. The rules
 * are those that `bench/hls-rules.ts` and its neighbours name by the same numbers. So has every rule that an edge must
 * keep, by numbers of their own that begin with an E.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const FOLDERS = ["bench", "common", "origin", "edge", "server", "test"];
const ORIGIN_TITLE = /["`](\d{1,2}(?:(?:, | to )\d{1,2})*): /g;
const EDGE_TITLE = /["`](E\d{1,2}(?:(?:, | to )E\d{1,2})*): /g;

const ORIGIN_ITEMS = Array.from({ length: 55 }, (_, index) => index + 1);
const EDGE_ITEMS = Array.from({ length: 37 }, (_, index) => index + 1);

/** The numbers of `3, 5 to 7`, with or without an E before each. */
function itemsOf(list: string): number[] {
  return list
    .replaceAll("E", "")
    .split(", ")
    .flatMap((part) => {
      const [first = 0, last = first] = part.split(" to ").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

async function shownItems(title: RegExp): Promise<ReadonlySet<number>> {
  const shown = new Set<number>();
  for (const folder of FOLDERS) {
    for await (const path of new Bun.Glob("**/*.test.ts").scan({ cwd: join(ROOT, folder) })) {
      const text = await Bun.file(join(ROOT, folder, path)).text();
      for (const [, list = ""] of text.matchAll(title)) for (const item of itemsOf(list)) shown.add(item);
    }
  }
  return shown;
}

test("every rule of an origin has a test that is named for it", async () => {
  const shown = await shownItems(ORIGIN_TITLE);
  expect(ORIGIN_ITEMS.filter((item) => !shown.has(item))).toEqual([]);
});

test("every rule of an edge has a test that is named for it", async () => {
  const shown = await shownItems(EDGE_TITLE);
  expect(EDGE_ITEMS.filter((item) => !shown.has(item))).toEqual([]);
});
