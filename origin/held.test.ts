/** Held requests over real sockets: clients that vanish, and more of them than may wait. */
import { afterEach, expect, test } from "bun:test";
import { testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { HOLD_TARGET_DURATIONS } from "#common/held-playlist.ts";
import { IDLE_TIMEOUT_SECONDS } from "#common/listen.ts";
import { CMAF_SEGMENT_SECONDS, TS_SEGMENT_SECONDS } from "./config.ts";
import { createLiveAnswers, emptyCounts, readLiveRequest } from "./live-answers.ts";
import { open, type Origin } from "./origin-fixture.ts";

const FRAMES_PER_PART = 6;

interface Served extends Origin {
  readonly server: Bun.Server<undefined>;
  /** Path and query of the reload that waits for the next part. */
  readonly next: string;
  /** Publishes that part. */
  readonly publish: () => void;
}

const closers: (() => void | Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An origin with one whole segment and a half, at which `heldMax` requests may wait. */
function serve(heldMax: number): Served {
  const origin = open({ heldMax });
  const run = testsrcRun();
  origin.play(run, 0, 90);
  const requests = emptyCounts();
  const sent = emptyCounts();
  const answer = createLiveAnswers({ stream: origin.stream, streamName: "canvas", requests, sent });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: IDLE_TIMEOUT_SECONDS,
    fetch: (request) => answer(readLiveRequest(request)) ?? new Response(null, { status: 404 }),
  });
  closers.push(() => server.stop(true));
  return {
    ...origin,
    server,
    next: `/live/canvas/64p/index.m3u8?_HLS_msn=${run.startFrame / 60 + 1}&_HLS_part=5`,
    publish: () => origin.play(run, 90, 90 + FRAMES_PER_PART),
  };
}

/** A connection that asks for `path` and is silent from then on. */
async function ask({ server }: Served, path: string): Promise<Bun.Socket> {
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port ?? 0,
    socket: { data() {}, error() {} },
  });
  socket.write(`GET ${path} HTTP/1.1\r\nhost: origin\r\n\r\n`);
  return socket;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

test("38: no place stays taken when all who wait vanish, whatever they wait for", async () => {
  const origin = serve(1_000);
  const playlist = await (await fetch(`${origin.server.url.origin}/live/canvas/64p/index.m3u8`)).text();
  const [, hinted = ""] = /PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/.exec(playlist) ?? [];
  const paths = [origin.next, `/live/canvas/64p/${hinted}`];
  const sockets = await Promise.all(
    Array.from({ length: 300 }, (_, index) => ask(origin, paths[index % paths.length] ?? "")),
  );
  await until(() => origin.budget.count === 300);
  for (const socket of sockets) socket.terminate();
  await until(() => origin.budget.count === 0 && origin.server.pendingRequests === 0);
  // Those who come after them are answered as if nobody had been there.
  const held = fetch(origin.server.url.origin + origin.next);
  await until(() => origin.budget.count === 1);
  origin.publish();
  expect((await held).status).toBe(200);
  expect(origin.budget).toMatchObject({ count: 0, refused: 0, overdue: 0 });
});

test("38: past the bound 503 with Retry-After at once, and room again as soon as others are answered", async () => {
  const origin = serve(20);
  const url = origin.server.url.origin + origin.next;
  const held = Array.from({ length: 20 }, () => fetch(url));
  await until(() => origin.budget.count === 20);
  for (let time = 0; time < 5; time++) {
    const refused = await fetch(url);
    expect([
      refused.status,
      refused.headers.get("retry-after"),
      refused.headers.get("cache-control"),
    ]).toEqual([503, "1", "no-store"]);
  }
  expect(origin.budget).toMatchObject({ count: 20, refused: 5 });
  origin.publish();
  const answers = await Promise.all(held);
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
  expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
  const next = fetch(url.replace("part=5", "part=6"));
  await until(() => origin.budget.count === 1);
  origin.clock.advance(6_000);
  expect((await next).status).toBe(503);
});

test("37: connections may be silent for longer than any request is held", () => {
  const targetSeconds = Math.max(CMAF_SEGMENT_SECONDS, TS_SEGMENT_SECONDS);
  expect(IDLE_TIMEOUT_SECONDS).toBeGreaterThan(2 * HOLD_TARGET_DURATIONS * targetSeconds);
});
