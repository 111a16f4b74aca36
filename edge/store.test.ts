/** What is remembered of many URLs takes no more memory than there is for it, however long they and their headers are. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { ProxyVariants } from "./proxy-variants.ts";
import { Store } from "./store.ts";
import { storedOf, type Stored } from "./stored.ts";

const BYTES_MAX = 1_000_000;
const LONG = 8_000;

function storedWith(headers: Headers): Stored {
  const head = { status: 200, headers, requestedMs: 0, receivedMs: 0, receivedWallMs: 0 };
  return storedOf({ head, body: new Blob(["x"]), bytes: () => new Uint8Array(0) });
}

/** Entries that a store keeps of very many. */
function keptOf(keyLength: number, headers: Headers): number {
  const store = new Store({ bytesMax: BYTES_MAX, clock: systemClock });
  for (let index = 0; index < 1_000; index++)
    store.set(`/${index}`.padEnd(keyLength, "k"), storedWith(headers));
  return store.items;
}

test("a store counts keys and headers", () => {
  expect(keptOf(10, new Headers())).toBeGreaterThan(900);
  expect(keptOf(LONG, new Headers())).toBeLessThanOrEqual(BYTES_MAX / LONG);
  expect(keptOf(10, new Headers({ "x-a": "a".repeat(LONG) }))).toBeLessThanOrEqual(BYTES_MAX / LONG);
  const short = new Headers();
  for (let index = 0; index < 50; index++) short.set(`x-${index}`, "");
  expect(keptOf(10, short)).toBeLessThan(200);
});

test("URLs that vary are forgotten by their length too", () => {
  const variants = new ProxyVariants();
  const urls = Array.from({ length: 4_000 }, (_, index) => `/${index}`.padEnd(LONG, "k"));
  for (const url of urls) variants.note(url, ["accept"], new Headers());
  const bytes = urls.filter((url) => variants.isVarying(url)).length * LONG;
  expect([bytes > 10_000_000, bytes < 17_000_000]).toEqual([true, true]);
});
