/** One fill and many readers, over real sockets, against an origin that is driven byte by byte. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock, systemClock, type Clock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import { startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { Fill } from "./fill.ts";
import { wantedOf } from "./live-wanted.ts";
import { Download, PacedOrigin } from "./paced-origin.ts";
import type { Upstream, UpstreamResponse } from "./upstream.ts";
import { UNWATCHED } from "./viewer-connection.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
const CHUNK = 64 * 1024;
const CHUNKS = 10;
const WHOLE = Uint8Array.from({ length: CHUNK * CHUNKS }, (_, index) => (index * 7 + (index >> 8)) % 251);
const CACHEABLE = { "content-type": "video/mp4", "cache-control": "public, max-age=3600" };

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(
  clock: Clock = systemClock,
): Promise<{ readonly origin: PacedOrigin; readonly edge: TestEdge }> {
  const origin = await PacedOrigin.listen();
  const edge = startTestEdge(origin.url, { clock });
  closers.push(
    () => edge.close(),
    () => origin.close(),
  );
  return { origin, edge };
}

/** Chunk `index` of the object. */
function chunk(index: number): Uint8Array {
  return WHOLE.subarray(index * CHUNK, (index + 1) * CHUNK);
}

describe("one fill and many readers", () => {
  test("E1: 50 cold clients are one request, and all have its first bytes while the rest is still to come", async () => {
    const { origin, edge } = await start();
    const downloads = Array.from({ length: 50 }, () => new Download(edge.url + MEDIA));
    await until(() => origin.requests.length === 1);
    origin
      .at(0)
      .begin(200, { ...CACHEABLE, "content-length": String(WHOLE.length) })
      .send(chunk(0));
    await until(() => downloads.every(({ bytes }) => bytes === CHUNK));
    for (let index = 1; index < CHUNKS; index++) origin.at(0).send(chunk(index));
    origin.at(0).end();
    await until(() => downloads.every(({ outcome }) => outcome === "whole"));
    for (const download of downloads) expect(download.body).toEqual(Buffer.from(WHOLE));
    expect(await (await fetch(edge.url + MEDIA)).bytes()).toEqual(WHOLE);
    const { requests } = edge.counters;
    expect([origin.requests.length, requests.miss, requests.collapsed, requests.hit]).toEqual([1, 1, 49, 1]);
    expect([edge.store.items, edge.store.reservedBytes, edge.fills.running]).toEqual([1, 0, 0]);
  });

  test("a failure's text that comes late reaches who asked", async () => {
    const clock = new FakeClock(systemClock.wallMs());
    const { origin, edge } = await start(clock);
    origin.onRequest = (request) => request.begin(500, { "content-type": "text/plain" });
    const answer = fetch(edge.url + MEDIA);
    const heads = (): number =>
      edge.upstream.peers[0]?.firstBytes.counts.reduce((sum, count) => sum + count) ?? 0;
    while (heads() < 2) {
      clock.advance(1);
      await Bun.sleep(1);
    }
    // The head has been there for a while: what is no text would be streamed.
    clock.advance(100);
    origin.at(1).send("late").end();
    const { status } = await answer;
    expect([status, await (await answer).text()]).toEqual([500, "late"]);
    await until(() => edge.fills.running === 0);
  });

  test("one that was given up in the moment of its head takes no room for a body", async () => {
    const { edge } = await start();
    let leave = (): void => {};
    const response: UpstreamResponse = {
      head: {
        status: 200,
        headers: new Headers({ "content-length": "1000" }),
        requestedMs: 0,
        receivedMs: 0,
        receivedWallMs: 0,
      },
      chunks: (async function* () {})(),
      discard: () => isDiscarded.resolve(),
    };
    const isDiscarded = Promise.withResolvers<void>();
    const upstream = { isClosed: false, request: () => Promise.resolve().then(() => (leave(), response)) };
    const fill = new Fill({
      // Of an upstream it needs no more.
      upstream: upstream as unknown as Upstream,
      budget: edge.store,
      clock: systemClock,
      counters: edge.fills.counters,
      wanted: wantedOf({ path: MEDIA, kind: "media" }),
      store: () => {},
      onClosed: () => {},
      onOver: () => {},
      onFree: () => {},
    });
    leave = () => fill.abandon();
    await isDiscarded.promise;
    expect(edge.store.reservedBytes).toBe(0);
  });

  test("who joins in the middle has what came so far, although nothing more comes", async () => {
    const { origin, edge } = await start();
    const first = new Download(edge.url + MEDIA);
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, CACHEABLE);
    for (let index = 0; index < 5; index++) origin.at(0).send(chunk(index));
    await until(() => first.bytes === 5 * CHUNK);
    const second = new Download(edge.url + MEDIA);
    await until(() => second.bytes === 5 * CHUNK);
    expect(second.headers.get("cache-status")).toStartWith("spillway; fwd=miss; collapsed");
    for (let index = 5; index < CHUNKS; index++) origin.at(0).send(chunk(index));
    origin.at(0).end();
    await until(() => [first, second].every(({ outcome }) => outcome === "whole"));
    expect([first.body.equals(WHOLE), second.body.equals(WHOLE)]).toEqual([true, true]);
  });

  test("E5: ten followers get all when the first viewer leaves in the middle", async () => {
    const { origin, edge } = await start();
    const leader = new Download(edge.url + MEDIA);
    await until(() => origin.requests.length === 1);
    const followers = Array.from({ length: 10 }, () => new Download(edge.url + MEDIA));
    origin.at(0).begin(200, CACHEABLE).send(chunk(0));
    await until(() => [leader, ...followers].every(({ bytes }) => bytes === CHUNK));
    leader.leave();
    await until(() => leader.outcome === "broken off");
    for (let index = 1; index < CHUNKS; index++) origin.at(0).send(chunk(index));
    origin.at(0).end();
    await until(() => followers.every(({ outcome }) => outcome !== "open"));
    expect(followers.every(({ body }) => body.equals(WHOLE))).toBe(true);
    expect(origin.requests.length).toBe(1);
  });

  test("E5: when the last viewer leaves, a large object is asked for no longer, a nearly whole one is fetched to its end", async () => {
    const { origin, edge } = await start();
    const length = 8 * MEBIBYTE;
    const leave = async (already: number): Promise<void> => {
      const index = origin.requests.length;
      const viewer = new Download(`${edge.url}/live/canvas/720p/aabbccdd-${index}.m4s`);
      await until(() => origin.requests.length === index + 1);
      origin.at(index).begin(200, { ...CACHEABLE, "content-length": String(length) });
      origin.at(index).send(new Uint8Array(already));
      await until(() => viewer.bytes === already);
      viewer.leave();
    };
    await leave(MEBIBYTE);
    await until(() => origin.at(0).isClosed);
    await until(() => edge.fills.running === 0);
    expect([edge.fills.counters.ends.abandoned, edge.store.reservedBytes]).toEqual([1, 0]);
    await leave(5 * MEBIBYTE);
    origin
      .at(1)
      .send(new Uint8Array(3 * MEBIBYTE))
      .end();
    await until(() => edge.store.items === 1);
    expect(edge.fills.counters.ends.done).toBe(1);
  });

  test.each([
    ["with a length", { "content-length": String(WHOLE.length) }],
    ["in chunks", {}],
  ])(
    "nobody is silently short when the origin dies in the middle of a body %s, and the next request is whole",
    async (_, framing) => {
      const { origin, edge } = await start();
      const downloads = Array.from({ length: 20 }, () => new Download(edge.url + MEDIA));
      await until(() => origin.requests.length === 1);
      origin.at(0).begin(200, { ...CACHEABLE, ...framing });
      for (let index = 0; index < 5; index++) origin.at(0).send(chunk(index));
      await until(() => downloads.every(({ bytes }) => bytes === 5 * CHUNK));
      origin.at(0).die();
      await until(() => downloads.every(({ outcome }) => outcome !== "open"));
      expect(new Set(downloads.map(({ outcome }) => outcome))).toEqual(new Set(["broken off"]));
      expect([edge.store.items, edge.store.reservedBytes, edge.fills.counters.ends.broken_off]).toEqual([
        0, 0, 1,
      ]);
      origin.onRequest = (request) => request.begin(200, CACHEABLE).send(WHOLE).end();
      expect(await (await fetch(edge.url + MEDIA)).bytes()).toEqual(WHOLE);
      expect(origin.requests.length).toBe(2);
    },
  );

  test("a body that breaks off before anybody was given a byte is asked for once more", async () => {
    const clock = new FakeClock();
    const { origin, edge } = await start(clock);
    origin.onRequest = (request) => {
      if (origin.requests.length > 1) return request.begin(200, CACHEABLE).send(WHOLE).end();
      request.begin(200, { ...CACHEABLE, "content-length": "10" }).die();
    };
    const answers = Array.from({ length: 20 }, async () => (await fetch(edge.url + MEDIA)).bytes());
    // No time passes between the head and the break.
    await until(() => edge.upstream.failures === 1);
    clock.advance(1_000);
    for (const body of await Promise.all(answers)) expect(body.length).toBe(WHOLE.length);
    expect([origin.requests.length, edge.fills.counters.retries]).toEqual([2, 1]);
  });

  test("a thousand who wait are answered in slices: the first is on its way before the last is made", async () => {
    const { origin, edge } = await start();
    const wanted = wantedOf({ path: MEDIA, kind: "media" });
    let made = 0;
    let firstGivenAt = 0;
    const answer = (): number => ++made;
    const asked = Array.from({ length: 1_000 }, () => edge.fills.share(wanted, { answer }));
    void asked[0]?.then(() => (firstGivenAt = made));
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, CACHEABLE).send("x").end();
    expect((await Promise.all(asked)).at(-1)).toBe(1_000);
    expect(firstGivenAt).toBeLessThanOrEqual(2 * 64);
  });

  test("who leaves while waiting is let go at once, and the others are answered", async () => {
    const { origin, edge } = await start();
    const wanted = wantedOf({ path: MEDIA, kind: "media" });
    const abort = new AbortController();
    const gone = edge.fills.share(wanted, { signal: abort.signal, answer: () => "answered" });
    const stays = edge.fills.share(wanted, { answer: () => "answered" });
    const late = edge.fills.share(wanted, { signal: AbortSignal.abort(), answer: () => "answered" });
    abort.abort();
    for (const left of [gone, late]) {
      expect(await left.catch((error: unknown) => error)).toMatchObject({ message: "Nobody waits any more" });
    }
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, CACHEABLE).send("x").end();
    expect(await stays).toBe("answered");
  });

  test("a failure is read again by who comes a moment later", async () => {
    const { origin, edge } = await start();
    origin.onRequest = (request) => request.begin(503).send(chunk(0).subarray(0, 5_000)).end();
    const read = (): Promise<Uint8Array> =>
      edge.fills
        .share(wantedOf({ path: MEDIA, kind: "media" }), {
          answer: (fill) =>
            fill.stream({
              counters: { sentBytes: 0 },
              connection: UNWATCHED,
              signal: new AbortController().signal,
            }),
        })
        .then((body) => new Response(body).bytes());
    expect(await Promise.all([read(), read()])).toEqual([WHOLE.slice(0, 5_000), WHOLE.slice(0, 5_000)]);
    expect(await read()).toEqual(WHOLE.slice(0, 5_000));
    expect(origin.requests.length).toBe(2);
  });

  test("E8: what is not for everyone goes to who began it; the others ask for themselves, the next wave at once", async () => {
    const { origin, edge } = await start();
    const wave = (count: number): Download[] =>
      Array.from({ length: count }, () => new Download(edge.url + MEDIA));
    const first = wave(20);
    await until(() => origin.requests.length === 1 && edge.fills.running === 1);
    const uncacheable = { "content-type": "video/mp4", "cache-control": "no-store" };
    // The head is enough: nobody waits for the first one's body.
    origin.at(0).begin(200, uncacheable);
    await until(() => origin.requests.length === 20);
    origin.requests.forEach((request, index) => {
      if (index > 0) request.begin(200, uncacheable);
      request.send(`body ${index}`).end();
    });
    await until(() => first.every(({ outcome }) => outcome === "whole"));
    const second = wave(20);
    // None of them is answered before all have been asked for.
    await until(() => origin.requests.length === 40);
    origin.requests.slice(20).forEach((request, index) => {
      request
        .begin(200, uncacheable)
        .send(`body ${20 + index}`)
        .end();
    });
    await until(() => second.every(({ outcome }) => outcome === "whole"));
    const bodies = new Set([...first, ...second].map(({ body }) => body.toString()));
    expect([bodies.size, edge.store.items, edge.store.reservedBytes]).toEqual([40, 0, 0]);
    expect(edge.counters.requests.miss).toBe(40);
  });

  test("a thing that is for everyone again is shared again", async () => {
    const { origin, edge } = await start();
    origin.onRequest = (request) => {
      const isPrivate = origin.requests.length === 1;
      request
        .begin(200, isPrivate ? { "cache-control": "private" } : CACHEABLE)
        .send("x")
        .end();
    };
    for (let count = 0; count < 4; count++) await (await fetch(edge.url + MEDIA)).bytes();
    expect([origin.requests.length, edge.counters.requests.hit]).toEqual([2, 2]);
  });
});

describe("ranges and heads of a fill under way", () => {
  async function begin(): Promise<{ readonly origin: PacedOrigin; readonly edge: TestEdge }> {
    const started = await start();
    const { origin, edge } = started;
    const first = new Download(edge.url + MEDIA);
    await until(() => origin.requests.length === 1);
    origin
      .at(0)
      .begin(200, { ...CACHEABLE, etag: '"m"', "content-length": String(WHOLE.length) })
      .send(WHOLE.subarray(0, 5 * CHUNK));
    await until(() => first.bytes === 5 * CHUNK);
    return started;
  }

  test.each([
    ["bytes=0-", 0, WHOLE.length],
    [`bytes=${CHUNK}-`, CHUNK, WHOLE.length],
    [`bytes=${6 * CHUNK}-${7 * CHUNK - 1}`, 6 * CHUNK, 7 * CHUNK],
  ])("E9: %s joins it and waits for the rest", async (range, from, to) => {
    const { origin, edge } = await begin();
    const part = new Download(edge.url + MEDIA, { range });
    const there = Math.max(0, 5 * CHUNK - from);
    await until(() => part.status === 206 || there === 0);
    await until(() => part.bytes === there);
    origin
      .at(0)
      .send(WHOLE.subarray(5 * CHUNK))
      .end();
    await until(() => part.outcome === "whole");
    expect([part.status, part.headers.get("content-range")]).toEqual([
      206,
      `bytes ${from}-${to - 1}/${WHOLE.length}`,
    ]);
    expect(part.body.equals(WHOLE.subarray(from, to))).toBe(true);
    expect(origin.requests.length).toBe(1);
  });

  test("E9: bytes that were sent already are given without waiting for the end", async () => {
    const { edge } = await begin();
    const response = await fetch(edge.url + MEDIA, { headers: { range: "bytes=10-19" } });
    expect([response.status, await response.bytes()]).toEqual([206, WHOLE.slice(10, 20)]);
  });

  test("E9: HEAD and If-None-Match are answered from the head alone", async () => {
    const { origin, edge } = await begin();
    const head = await fetch(edge.url + MEDIA, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(WHOLE.length)]);
    const known = await fetch(edge.url + MEDIA, { headers: { "if-none-match": '"m"' } });
    const beyond = await fetch(edge.url + MEDIA, { headers: { range: "bytes=99999999-" } });
    expect([known.status, beyond.status, origin.requests.length]).toEqual([304, 416, 1]);
  });
});
