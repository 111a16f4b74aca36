/** The small size of `bench held`: against the origin of these tests, and what it refuses. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock, systemClock } from "#common/clock.ts";
import { encodeFeedFrame, encodeFeedHeader } from "#common/formats/feed.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { FakeHlsOrigin } from "./fake-hls-origin.ts";
import { HeldFeed } from "./held-feed.ts";
import { runHeld } from "./held.ts";

const closers: (() => void | Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function held(url: string, waiters: number, parts = false) {
  const { measurements } = await runHeld({
    config: { url, waiters, rounds: 5, parts, feed: "", pid: process.pid, json: "" },
    signal: new AbortController().signal,
    clock: systemClock,
    output: { progress() {}, table() {} },
  });
  return Object.fromEntries(measurements.map(({ name, value }) => [name, value]));
}

describe.if(process.platform === "linux")("bench held", () => {
  test("tells when each player had each part", async () => {
    const origin = new FakeHlsOrigin(100);
    closers.push(() => origin.close());
    const figures = await held(`${origin.url}/index.m3u8`, 20);
    expect(figures).toMatchObject({ waiters: 20, errors: "none" });
    // A busy machine loses parts, whose number is told; it does not invent any.
    expect(Number(figures["parts"])).toBeGreaterThanOrEqual(5);
    expect(Number(figures["seenMedian"])).toBeGreaterThan(0);
    expect(Number(figures["seenMedian"])).toBeLessThanOrEqual(5);
    expect(Number(figures["waitMax"])).toBeGreaterThanOrEqual(Number(figures["waitP50"]));
    expect(Number(figures["behindCadence"])).toBeGreaterThan(0);
    expect(Number(figures["answerMicroseconds"])).toBeGreaterThanOrEqual(0);
  });

  test("fetches each part with --parts, and tells when it was there", async () => {
    const origin = new FakeHlsOrigin(100);
    closers.push(() => origin.close());
    const figures = await held(`${origin.url}/index.m3u8`, 20, true);
    expect(figures).toMatchObject({ waiters: 20, errors: "none" });
    expect(Number(figures["partMax"])).toBeGreaterThanOrEqual(Number(figures["waitP50"]));
    expect(Number(figures["lateParts"])).toBeGreaterThanOrEqual(0);
    // A playlist and a part for each player and round, and a little more.
    expect(origin.requests).toBeGreaterThan(20 * 2 * Number(figures["seenMedian"]));
  });

  test("says that a part is missing", async () => {
    const origin = new FakeHlsOrigin(100, { losesMedia: true });
    closers.push(() => origin.close());
    await expect(held(`${origin.url}/index.m3u8`, 1, true)).rejects.toThrow("status 404 of a part");
  });

  test.each([
    ["https://127.0.0.1:1/index.m3u8", "not plain HTTP"],
    ["http://127.0.0.1:1/index.m3u8", "no answer"],
  ])("says why it cannot wait at %s", async (url, reason) => {
    await expect(held(url, 1)).rejects.toThrow(reason);
  });
});

test("HeldFeed tells when the last frame of a part came", async () => {
  const run = testsrcRun();
  const clock = new FakeClock();
  const opened = Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(new ReadableStream({ start: opened.resolve })),
  });
  closers.push(() => server.stop(true));
  const opening = HeldFeed.open({
    url: server.url.href,
    playlistPath: "/live/canvas/64p/index.m3u8",
    partTargetMs: 200,
    clock,
  });
  const controller = await opened.promise;
  controller.enqueue(encodeFeedHeader(run));
  for (let index = 0; index < 5; index++) controller.enqueue(encodeFeedFrame(run, testsrcFrame(run, index)));
  const feed = await opening;
  closers.push(() => feed.close());
  const at = { msn: run.startFrame / 60, part: 0 };
  expect(feed.arrivedMs(at)).toBeUndefined();
  clock.advance(1_000);
  controller.enqueue(encodeFeedFrame(run, testsrcFrame(run, 5)));
  while (feed.arrivedMs(at) === undefined) await Bun.sleep(1);
  expect(feed.arrivedMs(at)).toBe(clock.monotonicMs());
  expect(feed.arrivedMs({ ...at, part: 1 })).toBeUndefined();
  controller.close();
  while (feed.isOpen) await Bun.sleep(1);
});
