/** A playlist with players on real sockets, and a memory that is too small for its media. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { HeldWaiters } from "../bench/held-waiters.ts";
import { parsePlaylist } from "../bench/hls-playlist.ts";
import { RawSockets } from "../bench/raw-sockets.ts";
import { Tally } from "../bench/statistics.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, until } from "./fake-origin.ts";

const FOLDER = "/live/canvas/720p/";
const PATH = `${FOLDER}index.m3u8`;
const WAITERS = 100;
const ROUNDS = 10;
/** From the upstream's answer to the last waiter's bytes. */
const WAKE_MS_MAX = 20;

describe.if(process.platform === "linux")("players that wait", () => {
  test("E25: have the next version within 20 ms of its publication, in the best of ten rounds", async () => {
    const live = new FakeLivePlaylist();
    const origin = new FakeOrigin((request) => live.answer(request));
    const edge = startTestEdge(origin.url);
    const url = new URL(edge.url + PATH);
    const playlist = parsePlaylist(await (await fetch(url)).text(), url.href);
    if (playlist?.type !== "media") throw new Error("no media playlist");
    using sockets = RawSockets.open() ?? unavailable();
    const errors = new Tally();
    let receipts = 0;
    let receivedMs = 0;
    using waiters = new HeldWaiters({
      sockets,
      clock: systemClock,
      count: WAITERS,
      address: "127.0.0.1",
      url,
      playlist,
      takesParts: false,
      errors,
      handlers: {
        onVersion() {},
        onPart() {},
        onReceipt(_waiter, _version, nowMs) {
          receipts++;
          receivedMs = nowMs;
        },
      },
    });
    const turnUntil = async (condition: () => boolean): Promise<void> => {
      while (!condition()) {
        waiters.turn();
        await Bun.sleep(0);
      }
    };
    const lastMs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await turnUntil(() => edge.budget.count === WAITERS && live.held === 1);
      receipts = 0;
      const publishedMs = systemClock.monotonicMs();
      live.publish();
      await turnUntil(() => receipts === WAITERS);
      lastMs.push(receivedMs - publishedMs);
    }
    await edge.close();
    await origin.close();
    expect(errors.toString()).toBe("none");
    expect(Math.min(...lastMs)).toBeLessThan(WAKE_MS_MAX);
  });
});

function unavailable(): never {
  throw new Error("no sockets");
}

test("E11: a full memory lets the oldest media go, and never the newest playlist", async () => {
  const live = new FakeLivePlaylist(40);
  const media = new Uint8Array(3 * 1024 * 1024);
  const headers = { "content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable" };
  const origin = new FakeOrigin((request, path) =>
    path.endsWith("2.m4s") ? new Response(media, { headers }) : live.answer(request),
  );
  const edge = startTestEdge(origin.url, { cacheMib: 16 });
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
