/** The headers of an edge's answers: dates, ages, coding, and how the cache came by them, on every status. */
import { afterEach, describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { FakeClock } from "#common/clock.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, type TestEdge } from "./fake-origin.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
const PLAYLIST = "/live/canvas/720p/index.m3u8";
const DATE = "Thu, 01 Jan 2026 00:00:00 GMT";
const FRESH = { "content-type": "video/mp4", "cache-control": "max-age=60", date: DATE, etag: '"m1"' };

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Started {
  readonly origin: FakeOrigin;
  readonly edge: TestEdge;
  readonly clock: FakeClock;
  readonly get: (path: string, headers?: Record<string, string>, method?: string) => Promise<Response>;
}

function start(handler: ConstructorParameters<typeof FakeOrigin>[0]): Started {
  const origin = new FakeOrigin(handler);
  const clock = new FakeClock();
  const edge = startTestEdge(origin.url, { clock });
  closers.push(edge.close, () => origin.close());
  return {
    origin,
    edge,
    clock,
    get: (path, headers = {}, method = "GET") =>
      fetch(edge.url + path, { headers, method, decompress: false }),
  };
}

const media = (): Response => new Response("0123456789", { headers: FRESH });

describe("an answer from memory", () => {
  test("E15: keeps the origin's Date, and shows pages the headers that players read", async () => {
    const { get, clock } = start(media);
    await (await get(MEDIA)).text();
    clock.advance(5_000);
    const { headers } = await get(MEDIA);
    expect([headers.get("date"), headers.get("age")]).toEqual([DATE, "5"]);
    const exposed = (headers.get("access-control-expose-headers") ?? "").split(", ");
    const wanted = ["Age", "Date", "ETag", "Content-Length", "Content-Range", "Retry-After"];
    expect(wanted.filter((name) => !exposed.includes(name))).toEqual([]);
  });

  test("E19: confirms what a client has by 304, with Age, Date and Cache-Control", async () => {
    const { get, clock, origin } = start(media);
    await (await get(MEDIA)).text();
    clock.advance(7_000);
    const { status, headers } = await get(MEDIA, { "if-none-match": 'W/"m1", "x"' });
    const facts = ["age", "date", "cache-control", "etag", "content-type"].map((name) => headers.get(name));
    expect([status, ...facts]).toEqual([304, "7", DATE, "max-age=60", '"m1"', null]);
    expect(origin.count()).toBe(1);
  });

  test("E20: is compressed once for a text, of the right length in each coding, and plain where that is asked", async () => {
    const playlist = new FakeLivePlaylist();
    const { get } = start((request) => playlist.answer(request));
    const codings: readonly (readonly [accepted: string, coding: string | null])[] = [
      ["gzip", "gzip"],
      ["br, gzip;q=0.5", "gzip"],
      ["identity", null],
      ["gzip;q=0, *;q=0", null],
    ];
    for (const [accepted, coding] of codings) {
      const response = await get(PLAYLIST, { "accept-encoding": accepted });
      const body = new Uint8Array(await response.arrayBuffer());
      expect([response.headers.get("content-encoding"), response.headers.get("vary")]).toEqual([
        coding,
        "Accept-Encoding",
      ]);
      expect(response.headers.get("content-length")).toBe(String(body.length));
      const text = coding === null ? body : gunzipSync(body);
      expect(Buffer.from(text).toString()).toBe(playlist.text());
    }
  });
});

test("E12: what is missing is remembered for a quarter of a second, since it may be published in the next instant", async () => {
  let isThere = false;
  const { get, clock, origin } = start(() => (isThere ? media() : new Response("none\n", { status: 404 })));
  expect((await get(MEDIA)).status).toBe(404);
  isThere = true;
  expect((await get(MEDIA)).status).toBe(404);
  expect(origin.count()).toBe(1);
  clock.advance(250);
  expect((await get(MEDIA)).status).toBe(200);
});

test("E24: every answer says how the cache came by it, behind what caches before this one said", async () => {
  const before = { "cache-status": "other; hit" };
  const own = MEDIA.replace("100", "102");
  const { get, clock } = start((_request, path) => {
    if (path === own) return new Response("own", { headers: { "cache-control": "private" } });
    return path === MEDIA
      ? new Response("0123456789", { headers: { ...FRESH, ...before } })
      : new Response("none\n", { status: 404 });
  });
  const statusOf = async (path: string, headers: Record<string, string> = {}, method = "GET") => {
    const response = await get(path, headers, method);
    return `${response.status} ${response.headers.get("cache-status")}`;
  };
  const key = `key="${MEDIA}"`;
  expect(await statusOf(`${MEDIA}?other`)).toBe(`200 other; hit, spillway; fwd=miss; stored; ${key}`);
  expect(await statusOf(own)).toBe(`200 spillway; fwd=miss; key="${own}"`);
  clock.advance(9_500);
  const hit = `other; hit, spillway; hit; ttl=50; ${key}`;
  expect(await statusOf(MEDIA)).toBe(`200 ${hit}`);
  expect(await statusOf(MEDIA, {}, "HEAD")).toBe(`200 ${hit}`);
  expect(await statusOf(MEDIA, { range: "bytes=1-2" })).toBe(`206 ${hit}`);
  expect(await statusOf(MEDIA, { range: "bytes=99-" })).toBe(`416 ${hit}`);
  expect(await statusOf(MEDIA, { "if-none-match": '"m1"' })).toBe(`304 ${hit}`);
  const missing = MEDIA.replace("100", "101");
  expect(await statusOf(missing)).toBe(`404 spillway; fwd=miss; fwd-status=404; key="${missing}"`);
  expect(await statusOf(`${PLAYLIST}?_HLS_part=1`)).toBe("400 spillway; detail=refused");
  for (const path of ["/healthz", "/health", "/nothing"]) {
    expect(await statusOf(path)).toEndWith(" spillway; detail=own");
  }
  expect(await statusOf(MEDIA, {}, "POST")).toBe("405 spillway; detail=own");
});
