/** What slow readers and large objects cost an edge, over real sockets: nobody else's time, and bounded memory. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { FakeClock, systemClock } from "#common/clock.ts";
import { MEBIBYTE, secondsToMs } from "#common/units.ts";
import { advanceUntil, startTestEdge, until, type TestEdge, type TestEdgeLimits } from "./fake-origin.ts";
import { WRITE_BYTES_MAX } from "./fill-reader.ts";
import { wantedOf } from "./live-wanted.ts";
import { Download, PacedOrigin, startStalled } from "./paced-origin.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-100.m4s";
const BODY = new Uint8Array(640 * 1024).fill(7);
const CACHEABLE = { "content-type": "video/mp4", "cache-control": "public, max-age=3600" };

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(
  limits: TestEdgeLimits = {},
): Promise<{ readonly origin: PacedOrigin; readonly edge: TestEdge }> {
  const origin = await PacedOrigin.listen();
  const edge = startTestEdge(origin.url, limits);
  closers.push(
    () => edge.close(),
    () => origin.close(),
  );
  return { origin, edge };
}

function stall(url: string): Socket {
  const socket = startStalled(url);
  closers.push(() => socket.destroy());
  return socket;
}

/** Takes what has come so far, which is less than makes room for another write. */
async function bite(socket: Socket): Promise<void> {
  const taken = new Promise<void>((resolve) => socket.once("data", () => resolve()));
  socket.resume();
  await taken;
  socket.pause();
}

/** Lets time pass, with room for what happens on sockets. */
async function passSeconds(clock: FakeClock, seconds: number): Promise<void> {
  const untilMs = clock.monotonicMs() + secondsToMs(seconds);
  await until(() => {
    clock.advance(250);
    return clock.monotonicMs() >= untilMs;
  });
}

describe("slow readers", () => {
  const LARGE = 32 * MEBIBYTE;

  test("one that stalls on 32 MB does not hold up the next", async () => {
    const { origin, edge } = await start({ cacheMib: 256 });
    origin.onRequest = (request) =>
      request
        .begin(200, { ...CACHEABLE, "content-length": String(LARGE) })
        .send(new Uint8Array(LARGE))
        .end();
    stall(edge.url + MEDIA);
    await until(() => edge.store.items === 1 || edge.fills.running === 1);
    const second = new Download(edge.url + MEDIA);
    await until(() => second.outcome === "whole");
    expect([second.bytes, origin.requests.length]).toEqual([LARGE, 1]);
  });

  test("one that takes nothing is let go after a while, and its memory is free again", async () => {
    const clock = new FakeClock(systemClock.wallMs());
    const { origin, edge } = await start({ cacheMib: 256, clock });
    const socket = stall(edge.url + MEDIA);
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, CACHEABLE).send(new Uint8Array(MEBIBYTE));
    // The head has been there for a while: from now on it is streamed.
    while (edge.counters.sentBytes === 0) {
      clock.advance(1);
      await Bun.sleep(1);
    }
    origin.at(0).send(new Uint8Array(LARGE)).end();
    await until(() => edge.store.items === 1);
    expect(edge.store.reservedBytes).toBeGreaterThan(LARGE);
    clock.advance(29_000);
    expect(edge.fills.counters.laggards).toBe(0);
    // At 30 s, or later where the system still moves something into its own buffers.
    await until(() => {
      clock.advance(1_000);
      return edge.fills.counters.laggards === 1;
    });
    expect(edge.store.reservedBytes).toBe(0);
    socket.resume();
    await closed;
  });

  test.skipIf(process.platform !== "linux")(
    "one that takes little is not let go, though its socket stays full",
    async () => {
      const clock = new FakeClock(systemClock.wallMs());
      const { origin, edge } = await start({ cacheMib: 256, clock });
      origin.onRequest = (request) => request.begin(200, CACHEABLE).send(new Uint8Array(MEBIBYTE));
      const socket = stall(edge.url + MEDIA);
      await advanceUntil(clock, () => edge.counters.sentBytes > 0);
      origin.at(0).send(new Uint8Array(LARGE)).end();
      await until(() => edge.store.items === 1);
      await bite(socket);
      for (let times = 0; times < 4; times++) {
        await passSeconds(clock, 18);
        await bite(socket);
      }
      expect(edge.fills.counters.laggards).toBe(0);
    },
  );

  test("readers of what is long finished go before anything new is refused", async () => {
    const { origin, edge } = await start({ cacheMib: 64 });
    stall(edge.url + MEDIA);
    await until(() => origin.requests.length === 1);
    const size = 15 * MEBIBYTE;
    origin.at(0).begin(200, CACHEABLE).send(new Uint8Array(MEBIBYTE));
    await until(() => edge.counters.sentBytes > 0);
    origin
      .at(0)
      .send(new Uint8Array(size - MEBIBYTE))
      .end();
    await until(() => edge.store.items === 1);
    const before = edge.store.reservedBytes;
    expect(before).toBeGreaterThanOrEqual(size);
    origin.onRequest = (request) =>
      request.begin(200, { ...CACHEABLE, "content-length": String(size) }).send(new Uint8Array(MEBIBYTE));
    const others = [1, 2, 3, 4].map(
      (msn) => new Download(`${edge.url}/live/canvas/720p/aabbccdd-${msn}.m4s`),
    );
    await until(() => others.every(({ bytes }) => bytes > 0));
    expect(edge.fills.counters.laggards).toBe(1);
    expect(edge.store.reservedBytes + edge.store.bytes).toBeLessThanOrEqual(64 * MEBIBYTE);
  });
});

test("of slow readers no more are let go than room is needed for", async () => {
  const { origin, edge } = await start({ cacheMib: 64 });
  const size = 12 * MEBIBYTE;
  origin.onRequest = (request) =>
    request
      .begin(200, { ...CACHEABLE, "content-length": String(size) })
      .send(new Uint8Array(size))
      .end();
  for (let msn = 1; msn <= 5; msn++) {
    stall(`${edge.url}/live/canvas/720p/aabbccdd-${msn}.m4s`);
    await until(() => edge.fills.counters.ends.done === msn);
  }
  expect([edge.store.reservedBytes >= 5 * size, edge.fills.counters.laggards]).toEqual([true, 0]);
  const next = new Download(`${edge.url}/live/canvas/720p/aabbccdd-6.m4s`);
  await until(() => next.outcome === "whole");
  expect(edge.fills.counters.laggards).toBe(1);
});

describe("what one client alone gets", () => {
  test.each([true, false])(
    "is drawn at its speed: nothing stored goes for it (length known: %p)",
    async (isLengthKnown) => {
      const { origin, edge } = await start({ cacheMib: 64 });
      // More than the system's own buffers take.
      const size = 15 * MEBIBYTE;
      origin.onRequest = (request) => request.begin(200, CACHEABLE).send(new Uint8Array(MEBIBYTE)).end();
      await (await fetch(edge.url + MEDIA)).bytes();
      const head = isLengthKnown ? { "content-length": String(size) } : {};
      origin.onRequest = (request) =>
        request
          .begin(200, { "cache-control": "private", ...head })
          .send(new Uint8Array(size))
          .end();
      const sockets = [0, 1, 2, 3, 4, 5].map((msn) =>
        stall(`${edge.url}/live/canvas/720p/aabbccdd-${msn}.m4s`),
      );
      // Nothing more comes: the origin has sent all, or waits for the readers.
      let [receivedBytes, times] = [0, 0];
      await until(() => {
        const isSame =
          edge.upstream.receivedBytes === receivedBytes && origin.requests.length > sockets.length;
        times = isSame ? times + 1 : 0;
        receivedBytes = edge.upstream.receivedBytes;
        return times > 100;
      });
      expect(edge.store.reservedBytes).toBeLessThanOrEqual(sockets.length * (MEBIBYTE + WRITE_BYTES_MAX));
      const received = sockets.map((socket) => {
        const counts = { bytes: 0 };
        socket.on("data", (bytes: Buffer) => (counts.bytes += bytes.length));
        socket.resume();
        return counts;
      });
      await until(() => received.every(({ bytes }) => bytes > size));
      expect([edge.store.items, edge.store.evictions, edge.fills.counters.laggards]).toEqual([1, 0, 0]);
    },
  );
});

describe("objects too large to be kept", () => {
  test("stream through: each reader has its own, drawn at its own speed, and memory stays small", async () => {
    const { origin, edge } = await start({ cacheMib: 16 });
    const size = 24 * MEBIBYTE;
    origin.onRequest = (request) =>
      request
        .begin(200, { ...CACHEABLE, "content-length": String(size) })
        .send(new Uint8Array(size))
        .end();
    const socket = stall(edge.url + MEDIA);
    await until(() => edge.counters.sentBytes > 0);
    const second = new Download(edge.url + MEDIA);
    await until(() => second.outcome === "whole");
    expect([second.bytes, origin.requests.length]).toEqual([size, 2]);
    // The origin waits for the reader that stalls.
    expect([origin.at(0).isClosed, edge.fills.running]).toEqual([false, 1]);
    expect(edge.store.reservedBytes).toBeLessThanOrEqual(MEBIBYTE + WRITE_BYTES_MAX);
    let received = 0;
    socket.on("data", (bytes: Buffer) => (received += bytes.length));
    socket.resume();
    await until(() => received > size);
    await until(() => edge.fills.running === 0);
    expect([edge.store.items, edge.store.reservedBytes]).toEqual([0, 0]);
  });

  test("that do not say so become a window: who is near its front reads on, who is far behind is cut off", async () => {
    const { origin, edge } = await start({ cacheMib: 16 });
    const slow = stall(edge.url + MEDIA);
    const closed = new Promise<void>((resolve) => slow.once("close", () => resolve()));
    await until(() => origin.requests.length === 1);
    const fast = new Download(edge.url + MEDIA);
    const { requests } = origin;
    origin.at(0).begin(200, CACHEABLE);
    const size = 24 * MEBIBYTE;
    for (let sent = 0; sent < size; sent += MEBIBYTE) {
      origin.at(0).send(new Uint8Array(MEBIBYTE));
      await until(() => fast.bytes === sent + MEBIBYTE);
    }
    origin.at(0).end();
    await until(() => fast.outcome === "whole");
    slow.resume();
    await closed;
    expect([fast.bytes, edge.fills.counters.laggards, requests.length]).toEqual([size, 1, 1]);
    await until(() => edge.store.reservedBytes === 0);
    expect([edge.store.items, edge.fills.counters.ends.given_up]).toEqual([0, 1]);
  });

  test("count what a stalled reader makes them hold, which goes before anything new is refused", async () => {
    const { origin, edge } = await start({ cacheMib: 64 });
    const chunk = new Uint8Array(MEBIBYTE);
    origin.onRequest = (request) => {
      request.begin(200, CACHEABLE);
      for (let sent = 0; sent < 24; sent++) request.send(chunk);
      request.end();
    };
    const readers = Array.from({ length: 8 }, (_, msn) => `/live/canvas/720p/aabbccdd-${msn}.m4s`);
    for (const [index, path] of readers.entries()) {
      stall(edge.url + path);
      await until(() => origin.requests.length === index + 1);
    }
    await until(() => edge.fills.counters.laggards > 0);
    const next = new Download(edge.url + MEDIA);
    await until(() => next.outcome === "whole");
    expect(edge.store.reservedBytes + edge.store.bytes).toBeLessThanOrEqual(64 * MEBIBYTE);
  });

  test("are given up when their last reader leaves, even where they were fetched ahead for the store", async () => {
    const { origin, edge } = await start({ cacheMib: 16 });
    const fill = edge.fills.refresh(wantedOf({ path: MEDIA, kind: "media" }));
    await until(() => origin.requests.length === 1);
    const request = origin.at(0).begin(200, CACHEABLE).send(new Uint8Array(MEBIBYTE));
    const reader = stall(edge.url + MEDIA);
    await until(() => edge.counters.sentBytes > 0);
    request.send(new Uint8Array(24 * MEBIBYTE));
    // The origin waits for the reader: nothing more is taken, and it is not all.
    let [receivedBytes, times] = [0, 0];
    await until(() => {
      times = edge.upstream.receivedBytes === receivedBytes ? times + 1 : 0;
      ({ receivedBytes } = edge.upstream);
      return fill?.isShared === false && times > 100;
    });
    expect(receivedBytes).toBeLessThan(24 * MEBIBYTE);
    expect(edge.fills.running).toBe(1);
    reader.destroy();
    await until(() => edge.fills.running === 0);
    expect(edge.store.reservedBytes).toBe(0);
  });

  test("held up by slow clients all over the memory give way to who comes next, playlists too", async () => {
    const clock = new FakeClock(systemClock.wallMs());
    const { origin, edge } = await start({ cacheMib: 16, clock, proxyAll: true });
    const large = new Uint8Array(24 * MEBIBYTE);
    const small = large.subarray(0, 3 * MEBIBYTE);
    origin.onRequest = (request) => {
      const body = request.path.startsWith("/large") ? large : small;
      request
        .begin(200, { "content-length": String(body.length) })
        .send(body)
        .end();
    };
    // Each has a window and what is on its way into a socket that is full.
    for (let index = 0; index < 14; index++) {
      stall(`${edge.url}/large/${index}`);
      await until(() => origin.requests.length > index && (clock.advance(1), edge.fills.running > index));
    }
    expect(edge.store.reservedBytes).toBeGreaterThanOrEqual(14 * MEBIBYTE);
    // Until the origin waits for all of them.
    let [receivedBytes, times] = [0, 0];
    await until(() => {
      times = edge.upstream.receivedBytes === receivedBytes ? times + 1 : 0;
      ({ receivedBytes } = edge.upstream);
      return times > 100;
    });
    clock.advance(2_000);
    const next = new Download(`${edge.url}/small`);
    await until(() => (clock.advance(1), next.outcome !== "open"));
    expect([next.status, next.bytes]).toEqual([200, small.length]);
    expect(edge.fills.counters.laggards).toBeWithin(1, 4);
    const text = await edge.upstream.fetch("/playlist", { holdMsMax: 1_000 });
    expect(text.body.length).toBe(small.length);
    expect(edge.store.reservedBytes).toBeLessThanOrEqual(16 * MEBIBYTE);
  });

  test("are refused with 503 where not even a window has room", async () => {
    const { origin, edge } = await start({ cacheMib: 16 });
    expect(edge.store.reserve(edge.store.bytesMax)).toBe(true);
    origin.onRequest = (request) => request.begin(200, CACHEABLE).send(BODY).end();
    const answer = await fetch(edge.url + MEDIA);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    edge.store.release(edge.store.bytesMax);
  });
});
