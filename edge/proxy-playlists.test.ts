/** Foreign live playlists behind the caching proxy: which get a tail, and what comes with them. */
import { afterEach, describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { MEBIBYTE } from "#common/units.ts";
import { FakeLivePlaylist, until } from "./fake-origin.ts";
import { closers, start } from "./proxy-fixture.ts";
import { plainAnswer, resolveMedia } from "./proxy-playlists.ts";

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

describe("a foreign live playlist", () => {
  const PATH = "/any/where/low.m3u8";

  test("E2: has a tail where it can be waited for, whatever it says about caching", async () => {
    const playlist = new FakeLivePlaylist();
    const { origin, url } = start(async (request) => {
      const answer = await playlist.answer(request);
      answer.headers.set("cache-control", "no-cache");
      return answer;
    });
    await (await fetch(url + PATH)).text();
    const held = Array.from({ length: 50 }, (_, index) =>
      fetch(`${url}${PATH}?_HLS_msn=${playlist.lastMsn + 1}&_HLS_part=${playlist.openParts + (index % 2)}`),
    );
    await until(() => playlist.held > 0);
    playlist.publish();
    await until(() => playlist.held > 0);
    playlist.publish();
    const texts = await Promise.all(held.map(async (answer) => (await answer).text()));
    expect(texts.every((text) => text.includes("#EXT-X-PART"))).toBe(true);
    // One plain request that shows what it is, one of the tail, and one for each version.
    expect(origin.count(PATH)).toBeLessThanOrEqual(5);
  });

  test("E11: brings its media before anybody asks, who then has them from memory", async () => {
    const playlist = new FakeLivePlaylist();
    const { origin, edge, url } = start((request) => playlist.answer(request));
    await (await fetch(url + PATH)).text();
    const part = `/any/where/aabbccdd-${playlist.lastMsn + 1}.0.m4s`;
    await until(() => edge.store.getAny(part) !== undefined);
    const before = origin.count(part);
    const answer = await fetch(url + part);
    expect([answer.status, answer.headers.get("cache-status")?.startsWith("spillway; hit")]).toEqual([
      200,
      true,
    ]);
    expect([before, origin.count(part)]).toEqual([1, 1]);
  });

  test.each([true, false])(
    "has media that are not fetched to their end where they may not be kept (proxy: %p)",
    async (proxyAll) => {
      const { edge } = start(
        () => new Response(new Uint8Array(3 * MEBIBYTE), { headers: { "cache-control": "private" } }),
        { proxyAll },
      );
      const { source } = edge.playlists.prefetches;
      expect(
        await source.fetch("/live/canvas/720p/aabbccdd-1.m4s", { holdMsMax: 1_000, isHeld: false }),
      ).toBe(false);
      expect(edge.upstream.receivedBytes).toBeLessThan(3 * MEBIBYTE);
    },
  );

  test.each([302, 401, 200])(
    "is passed on as anything else once there is something else in its place (%d)",
    async (status) => {
      const playlist = new FakeLivePlaylist();
      const { origin, edge, url } = start(async (request) => {
        const answer = await playlist.answer(request);
        answer.headers.set("cache-control", "no-cache");
        return answer;
      });
      await (await fetch(url + PATH)).text();
      expect(edge.playlists.has(PATH)).toBe(true);
      origin.handler = () => new Response("other", { status, headers: { location: "/login", "x-own": "1" } });
      playlist.publish();
      await until(() => !edge.playlists.has(PATH));
      const answer = await fetch(url + PATH, { redirect: "manual" });
      expect([answer.status, answer.headers.get("x-own"), await answer.text()]).toEqual([
        status,
        "1",
        "other",
      ]);
    },
  );

  test("keeps its tail while it is not there: the upstream is not asked once for each player", async () => {
    const playlist = new FakeLivePlaylist();
    const { origin, edge, url } = start((request) => playlist.answer(request));
    await (await fetch(url + PATH)).text();
    origin.handler = () => new Response("none", { status: 404 });
    const held = fetch(`${url}${PATH}?_HLS_msn=${playlist.lastMsn + 1}&_HLS_part=${playlist.openParts + 1}`);
    playlist.publish();
    expect((await held).status).toBe(404);
    expect(edge.playlists.has(PATH)).toBe(true);
  });

  test("has few tails however many parameters are made up, and is right with all of them", async () => {
    const playlist = new FakeLivePlaylist();
    const { edge, url } = start((request) => playlist.answer(request));
    const urls = Array.from({ length: 20 }, (_, index) => `${PATH}?x=${index}`);
    for (const path of urls) expect(await (await fetch(url + path)).text()).toBe(playlist.text());
    expect(urls.filter((path) => edge.playlists.has(path)).length).toBe(8);
  });

  test("has none where it cannot, or is somebody's own", async () => {
    const playlist = new FakeLivePlaylist();
    const type = { "content-type": "application/vnd.apple.mpegurl" };
    const { edge, url } = start((_request, path) => {
      const text = path === "/plain.m3u8" ? "#EXTM3U\n#EXT-X-TARGETDURATION:2\n" : playlist.text();
      return new Response(text, {
        headers: { ...type, "cache-control": path === "/own.m3u8" ? "private" : "max-age=1" },
      });
    });
    const paths = ["/plain.m3u8", "/own.m3u8", "/low.m3u8?token=1", "/low.m3u8"];
    for (const path of paths) await (await fetch(url + path)).text();
    expect(paths.map((path) => edge.playlists.has(path))).toEqual([false, false, true, true]);
  });
});

describe("a tail does not begin with", () => {
  const PATH = "/low.m3u8";

  test("a delta update, which is of use only to those who have the rest", async () => {
    const playlist = new FakeLivePlaylist();
    const { edge, url } = start((request) => playlist.answer(request));
    await (await fetch(`${url}${PATH}?_HLS_skip=YES`)).text();
    expect(edge.playlists.has(PATH)).toBe(false);
    await (await fetch(url + PATH)).text();
    expect(edge.playlists.has(PATH)).toBe(true);
  });

  test.each([
    ["no-cache", false],
    ["max-age=1", true],
  ])("what a cookie may have chosen, unless it is for all (%s: %p)", async (cacheControl, isFollowed) => {
    const playlist = new FakeLivePlaylist();
    const { edge, url } = start(async (request) => {
      const answer = await playlist.answer(request);
      answer.headers.set("cache-control", cacheControl);
      return answer;
    });
    await (await fetch(url + PATH, { headers: { cookie: "session=1" } })).text();
    expect(edge.playlists.has(PATH)).toBe(isFollowed);
  });
});

describe("plainAnswer()", () => {
  const TEXT = "#EXTM3U\n";
  const BYTES = new TextEncoder().encode(TEXT);
  test.each([
    [null, BYTES, TEXT],
    ["identity", BYTES, TEXT],
    ["gzip", gzipSync(TEXT), TEXT],
    ["br", brotliCompressSync(TEXT), TEXT],
    ["gzip", BYTES, undefined],
    ["zstd", BYTES, undefined],
    [null, new Uint8Array(4 * 1024 * 1024 + 1), undefined],
  ] as const)("reads a body whose coding is %p", (coding, body, text) => {
    const headers = new Headers(coding === null ? {} : { "content-encoding": coding });
    const head = { status: 200, headers, requestedMs: 0, receivedMs: 0, receivedWallMs: 0 };
    const answer = plainAnswer(head, body);
    expect(answer && new TextDecoder().decode(answer.body)).toBe(text);
    expect(answer?.headers.has("content-encoding") ?? false).toBe(false);
  });
});

test.each([
  ["/a/b/low.m3u8", "1.m4s", "/a/b/1.m4s"],
  ["/a/b/low.m3u8?token=1", "1.m4s?x=2", "/a/b/1.m4s?x=2"],
  ["/a/b/low.m3u8", "../c/1.m4s", "/a/c/1.m4s"],
  ["/a/b/low.m3u8", "/1.m4s", "/1.m4s"],
  ["//a/low.m3u8", "1.m4s", "//a/1.m4s"],
  ["//[", "1.m4s", "//1.m4s"],
  ["/a/low.m3u8", "//[", undefined],
  ["/a/b/low.m3u8", "https://other.example/1.m4s", undefined],
  ["/a/b/low.m3u8", "//other.example/1.m4s", undefined],
  ["/a/b/low.m3u8", "data:x", undefined],
])("resolveMedia() of %p and %p: %p", (playlist, uri, path) => {
  expect(resolveMedia(playlist, uri)).toBe(path);
});
