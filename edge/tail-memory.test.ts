/** A playlist at an edge whose memory is too small for its media. */
import { expect, test } from "bun:test";
import { FakeClock, systemClock } from "#common/clock.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, until } from "./fake-origin.ts";

const FOLDER = "/live/canvas/720p/";
const PATH = `${FOLDER}index.m3u8`;

test("E11: a full memory lets the oldest media go, and never the newest playlist", async () => {
  const live = new FakeLivePlaylist(40);
  const media = new Uint8Array(3 * 1024 * 1024);
  const headers = { "content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable" };
  const origin = new FakeOrigin((request, path) =>
    path.endsWith("2.m4s") ? new Response(media, { headers }) : live.answer(request),
  );
  // It stands still: however long this takes, the playlist is new.
  const clock = new FakeClock(systemClock.wallMs());
  const edge = startTestEdge(origin.url, { cacheMib: 16, clock });
  expect((await fetch(edge.url + PATH)).status).toBe(200);
  const names = [2, 12, 22, 32, 42, 52, 62].map((number) => `${FOLDER}aabbccdd-${number}2.m4s`);
  for (const name of names) expect((await (await fetch(edge.url + name)).bytes()).length).toBe(media.length);
  await until(() => live.held === 1);
  expect([edge.store.evictions > 0, edge.store.getAny(names[0] ?? "")]).toEqual([true, undefined]);
  expect(edge.store.getAny(names.at(-1) ?? "")).toBeDefined();
  const asked = origin.count("index.m3u8");
  const playlist = await fetch(edge.url + PATH);
  expect(await playlist.text()).toBe(live.text());
  expect(playlist.headers.get("cache-status")).toStartWith("spillway; hit");
  expect(origin.count("index.m3u8")).toBe(asked);
  await edge.close();
  await origin.close();
});
