/** Cached media and multivariant playlists against a scripted origin: collapsing, ranges, failures, limits. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import {
  FakeOrigin,
  startTestEdge,
  until,
  whileAdvancing,
  type TestEdge,
  type TestEdgeLimits,
} from "./fake-origin.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
const BODY = Uint8Array.from({ length: 5_000 }, (_, index) => index % 251);
const MEDIA_HEADERS = {
  "content-type": "video/mp4",
  "cache-control": "public, max-age=3600, immutable",
  etag: '"m1"',
  "set-cookie": "a=b",
  connection: "keep-alive, x-hop",
  "x-hop": "1",
};

const closers: (() => Promise<void>)[] = [];

function start(
  handler: ConstructorParameters<typeof FakeOrigin>[0],
  limits: TestEdgeLimits = {},
): { readonly origin: FakeOrigin; readonly edge: TestEdge } {
  const origin = new FakeOrigin(handler);
  const edge = startTestEdge(origin.url, limits);
  closers.push(edge.close, () => origin.close());
  return { origin, edge };
}

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const media = (): Response => new Response(BODY, { headers: MEDIA_HEADERS });

describe("media", () => {
  test.each([1, 100])("is asked for once by %d viewers at the same time", async (count) => {
    const gate = Promise.withResolvers<void>();
    const { origin, edge } = start(async () => {
      await gate.promise;
      return media();
    });
    const answers = Array.from({ length: count }, async () => (await fetch(edge.url + MEDIA)).bytes());
    await until(() => edge.fills.running === 1 && origin.count() === 1);
    gate.resolve();
    for (const body of await Promise.all(answers)) expect(body).toEqual(BODY);
    expect(await (await fetch(edge.url + MEDIA)).bytes()).toEqual(BODY);
    expect(origin.count()).toBe(1);
    expect(edge.counters.sentBytes).toBe((count + 1) * BODY.length);
    expect(edge.counters.requests.miss).toBe(1);
  });

  test("of more than 15 kB is streamed to who waited for it, and has its length when it is stored", async () => {
    const large = new Uint8Array(20_000).fill(7);
    const { edge } = start(() => new Response(large, { headers: MEDIA_HEADERS }));
    const answers = [await fetch(edge.url + MEDIA), await fetch(edge.url + MEDIA)];
    const facts = answers.map(({ headers }) =>
      ["content-length", "transfer-encoding", "etag", "accept-ranges"].map((name) => headers.get(name)),
    );
    expect(facts).toEqual([
      [null, "chunked", '"m1"', "bytes"],
      ["20000", null, '"m1"', "bytes"],
    ]);
    for (const answer of answers) expect(await answer.bytes()).toEqual(large);
    expect(edge.counters.sentBytes).toBe(2 * large.length);
  });

  test("reaches the others when the first viewer leaves", async () => {
    const gate = Promise.withResolvers<void>();
    const { origin, edge } = start(async () => {
      await gate.promise;
      return media();
    });
    const abort = new AbortController();
    const leader = fetch(edge.url + MEDIA, { signal: abort.signal }).catch(() => "left");
    await until(() => origin.count() === 1);
    const followers = Array.from({ length: 10 }, async () => (await fetch(edge.url + MEDIA)).bytes());
    abort.abort();
    expect(await leader).toBe("left");
    gate.resolve();
    for (const body of await Promise.all(followers)) expect(body).toEqual(BODY);
    expect(origin.count()).toBe(1);
  });

  test("passes on what viewers need and nothing more", async () => {
    const { origin, edge } = start(media);
    const sent = { cookie: "secret=1", authorization: "x", "x-forwarded-for": "1.2.3.4", range: "bytes=0-9" };
    const response = await fetch(edge.url + MEDIA, { headers: sent });
    expect(Object.keys(sent).filter((name) => origin.lastHeaders.has(name))).toEqual([]);
    expect(origin.lastHeaders.get("cdn-loop")).toBe("spillway");
    expect(["set-cookie", "x-hop"].filter((name) => response.headers.has(name))).toEqual([]);
    const { headers } = await fetch(edge.url + MEDIA);
    expect(Object.fromEntries(headers)).toMatchObject({
      "content-type": "video/mp4",
      "cache-control": "public, max-age=3600, immutable",
      etag: '"m1"',
      age: "0",
      "cache-status": `spillway; hit; ttl=3599; key="${MEDIA}"`,
      "access-control-allow-origin": "*",
      "timing-allow-origin": "*",
      "accept-ranges": "bytes",
    });
    expect(Date.parse(headers.get("date") ?? "")).toBeGreaterThan(0);
  });

  const ranges = [
    ["bytes=0-", 206, "bytes 0-4999/5000", 5_000],
    ["bytes=10-19", 206, "bytes 10-19/5000", 10],
    ["bytes=4990-9999", 206, "bytes 4990-4999/5000", 10],
    ["bytes=-5", 206, "bytes 4995-4999/5000", 5],
    ["bytes=5000-", 416, "bytes */5000", 0],
    ["bytes=9-3", 200, null, 5_000],
    ["bytes=0-1,5-6", 200, null, 5_000],
    ["items=0-1", 200, null, 5_000],
  ] as const;
  test.each(ranges)("answers Range %s with %d", async (range, status, contentRange, length) => {
    const { edge } = start(media);
    const response = await fetch(edge.url + MEDIA, { headers: { range } });
    const body = await response.bytes();
    expect([response.status, response.headers.get("content-range"), body.length]).toEqual([
      status,
      contentRange,
      length,
    ]);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    // A cache in front must not keep a 416 in place of the whole.
    expect(response.headers.get("cache-control") === "no-store").toBe(status === 416);
  });

  test("is not sent again to who has it, and HEAD shares the entry", async () => {
    const { origin, edge } = start(media);
    const head = await fetch(edge.url + MEDIA, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "5000"]);
    const known = await fetch(edge.url + MEDIA, { headers: { "if-none-match": '"x", W/"m1"' } });
    expect([known.status, known.headers.get("etag"), known.headers.get("age")]).toEqual([304, '"m1"', "0"]);
    const other = await fetch(edge.url + MEDIA, { headers: { range: "bytes=0-9", "if-range": '"old"' } });
    expect(other.status).toBe(200);
    expect(origin.count()).toBe(1);
  });
});

describe("a failing upstream", () => {
  test("that answers 503 once is asked once more, for all", async () => {
    let isWell = false;
    const { origin, edge } = start(() => {
      if (isWell) return media();
      isWell = true;
      return new Response("later\n", { status: 503 });
    });
    const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(edge.url + MEDIA)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(origin.count()).toBe(2);
  });

  test("that dies in the middle leaves nobody with half an object, and nothing stored", async () => {
    const peers: Bun.Socket[] = [];
    const socket = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(peer) {
          peers.push(peer);
          peer.write("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\ncontent-type: video/mp4\r\n\r\nhalf");
          peer.flush();
        },
      },
    });
    const edge = startTestEdge(`http://127.0.0.1:${socket.port}`);
    closers.push(edge.close, async () => socket.stop(true));
    const begun = await Promise.all(Array.from({ length: 20 }, () => fetch(edge.url + MEDIA)));
    peers[0]?.end();
    const answers = await Promise.all(begun.map((response) => response.bytes().catch(() => "broken off")));
    expect(new Set(answers)).toEqual(new Set(["broken off"]));
    // What readers have begun with is never asked for a second time in their place.
    expect([peers.length, edge.store.items, edge.store.reservedBytes]).toEqual([1, 0, 0]);
  });

  test("that is not there is 502 with Retry-After in the end", async () => {
    const origin = new FakeOrigin(media);
    const { url } = origin;
    await origin.close();
    const edge = startTestEdge(url);
    closers.push(edge.close);
    const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(edge.url + MEDIA)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([502]));
    expect(answers[0]?.headers.get("retry-after")).toBe("1");
    // Two tries and a poll every 100 ms, whoever waits; the next viewer hears of the failure at once.
    expect(edge.upstream.requests).toBeLessThan(30);
    expect((await fetch(edge.url + MEDIA)).status).toBe(502);
  });

  test("that comes back within a moment is waited for", async () => {
    const origin = new FakeOrigin(media);
    const { url } = origin;
    await origin.close();
    const edge = startTestEdge(url);
    closers.push(edge.close);
    const waiting = fetch(edge.url + MEDIA);
    const again = new FakeOrigin(media, Number(new URL(url).port));
    closers.push(() => again.close());
    expect((await waiting).status).toBe(200);
  });

  test("that says 404 is believed for a moment only", async () => {
    let isThere = false;
    const { origin, edge } = start(() => (isThere ? media() : new Response("no\n", { status: 404 })));
    const answers = await Promise.all(Array.from({ length: 10 }, () => fetch(edge.url + MEDIA)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
    expect(origin.count()).toBe(1);
    isThere = true;
    let status = 404;
    while (status === 404) status = (await fetch(edge.url + MEDIA)).status;
    expect([status, origin.count()]).toEqual([200, 2]);
  });
});

test("a multivariant playlist is shared for a second whatever it says, then given out stale while the upstream fails, which is asked 4 times a second", async () => {
  const text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n720p/index.m3u8\n";
  const clock = new FakeClock();
  const { origin, edge } = start(
    () =>
      new Response(text, {
        headers: { "content-type": "application/vnd.apple.mpegurl", "cache-control": "no-store" },
      }),
    { clock },
  );
  const url = `${edge.url}/live/canvas/index.m3u8`;
  for (let index = 0; index < 20; index++) expect(await (await fetch(url)).text()).toBe(text);
  clock.advance(990);
  expect(await (await fetch(url)).text()).toBe(text);
  expect(origin.count()).toBe(1);
  origin.handler = () => new Response("down\n", { status: 503 });
  clock.advance(20);
  const startMs = clock.monotonicMs();
  // Two tries for each failure, which is remembered for 250 ms.
  const failures = 4;
  while (origin.count() < 1 + 2 * failures) {
    const stale = await whileAdvancing(clock, fetch(url));
    expect([stale.status, await stale.text()]).toEqual([200, text]);
    expect(stale.headers.get("cache-status")).toMatch(
      /^spillway; fwd=stale; fwd-status=503; ttl=-\d+; detail=stale; key="[^"]+"$/,
    );
    clock.advance(10);
  }
  expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual((failures - 1) * 250);
  // The same without any answer.
  await origin.close();
  clock.advance(250);
  const unanswered = await whileAdvancing(clock, fetch(url));
  expect(unanswered.headers.get("cache-status")).toMatch(
    /^spillway; fwd=stale; ttl=-\d+; detail=stale; key="[^"]+"$/,
  );
});

test("E18: an expired multivariant playlist that allows it is given to 50 viewers at once while one request brings a newer", async () => {
  const [old, newer] = ["#EXTM3U\n#old\n", "#EXTM3U\n#newer\n"];
  const headers = {
    "content-type": "application/vnd.apple.mpegurl",
    "cache-control": "max-age=1, stale-while-revalidate=9",
  };
  const clock = new FakeClock();
  const gate = Promise.withResolvers<void>();
  const origin = new FakeOrigin(async () => {
    if (origin.count() === 1) return new Response(old, { headers });
    await gate.promise;
    return new Response(newer, { headers });
  });
  const edge = startTestEdge(origin.url, { clock });
  closers.push(edge.close, () => origin.close());
  const url = `${edge.url}/live/canvas/index.m3u8`;
  expect(await (await fetch(url)).text()).toBe(old);
  clock.advance(5_000);
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(url)));
  const texts = await Promise.all(answers.map((answer) => answer.text()));
  expect([new Set(texts), answers[0]?.headers.get("age")]).toEqual([new Set([old]), "5"]);
  expect(answers[0]?.headers.get("cache-status")).toStartWith("spillway; hit; ttl=-5; detail=stale");
  await until(() => origin.count() === 2);
  gate.resolve();
  await until(() => edge.fills.running === 0);
  expect(await (await fetch(url)).text()).toBe(newer);
  clock.advance(11_000);
  expect(await (await fetch(url)).text()).toBe(newer);
  expect([origin.count(), edge.counters.requests.stale]).toEqual([3, 50]);
});

test("a status that is none is the upstream's failure", async () => {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end("HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n") },
  });
  const edge = startTestEdge(`http://127.0.0.1:${listener.port}`);
  closers.push(edge.close, async () => void listener.stop(true));
  const paths = [MEDIA, "/live/canvas/index.m3u8"];
  const statuses = paths.map(async (path) => (await fetch(edge.url + path)).status);
  expect(await Promise.all(statuses)).toEqual([502, 502]);
});

test("the store keeps to its bytes and lets the oldest go", async () => {
  const large = new Uint8Array(5 * 1024 * 1024);
  const origin = new FakeOrigin(() => new Response(large, { headers: MEDIA_HEADERS }));
  const edge = startTestEdge(origin.url, { cacheMib: 32 });
  closers.push(edge.close, () => origin.close());
  for (let msn = 0; msn < 8; msn++) {
    await (await fetch(`${edge.url}/live/canvas/720p/aabbccdd-${msn}.m4s`)).bytes();
    expect(edge.store.bytes).toBeLessThanOrEqual(32 * 1024 * 1024);
  }
  expect([edge.store.items, edge.store.evictions]).toEqual([5, 3]);
});

test("a full edge refuses new viewers and keeps those it has", async () => {
  const { FakeLivePlaylist } = await import("./fake-origin.ts");
  const live = new FakeLivePlaylist();
  const origin = new FakeOrigin((request) => live.answer(request));
  const edge = startTestEdge(origin.url, { viewerMax: 1 });
  closers.push(edge.close, () => origin.close());
  const ask = (agent: string): Promise<Response> =>
    fetch(`${edge.url}/live/canvas/720p/index.m3u8`, { headers: { "user-agent": agent } });
  expect((await ask("one")).status).toBe(200);
  const refused = await ask("two");
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect((await ask("one")).status).toBe(200);
  expect((await fetch(`${edge.url}/live/canvas/stream.ts`)).status).toBe(503);
});
