/** How media are asked for before viewers ask. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { FakeLivePlaylist } from "./fake-origin.ts";
import { readPlaylistFacts } from "./playlist-facts.ts";
import { Prefetches, TailPrefetch } from "./prefetches.ts";

test("TailPrefetch knows that of all it asks for the hinted part alone is held upstream", () => {
  const held: string[] = [];
  const others: string[] = [];
  const source = {
    resolve: (_: string, uri: string) => `/live/${uri}`,
    fetch(key: string, { isHeld }: { readonly isHeld: boolean }) {
      (isHeld ? held : others).push(key);
      return Promise.resolve(true);
    },
    wasAnswered: () => false,
  };
  const facts = readPlaylistFacts(new FakeLivePlaylist(45).text());
  if (facts === undefined) throw new Error("no media playlist");
  new TailPrefetch(new Prefetches({ source, clock: new FakeClock() }), "/live/index.m3u8").follow(facts);
  expect(held).toEqual(["/live/aabbccdd-104.5.m4s"]);
  expect(others).toContain("/live/aabbccdd-104.4.m4s");
  expect(others).toContain("/live/aabbccdd-101.m4s");
});
