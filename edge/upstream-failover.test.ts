/** An edge with two origins of one stream: viewers who wait while the first of them hangs or dies. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Clock } from "#common/clock.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { ProbeClock } from "./upstream-fixture.ts";

const PLAYLIST = "/live/canvas/720p/index.m3u8";
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Pair {
  readonly edge: TestEdge;
  readonly first: FakeOrigin;
  readonly second: FakeOrigin;
  /** What both serve. */
  readonly live: FakeLivePlaylist;
}

async function start(clock?: Clock): Promise<Pair> {
  const live = new FakeLivePlaylist();
  const answer = (request: Request): Response | Promise<Response> =>
    request.url.endsWith("/readyz") ? new Response("ready\n") : live.answer(request);
  const [first, second] = [new FakeOrigin(answer), new FakeOrigin(answer)];
  const edge = startTestEdge([first.url, second.url], clock && { clock });
  closers.push(
    () => edge.close(),
    () => first.close(),
    () => second.close(),
  );
  await until(() => first.count("/readyz") > 0 && second.count("/readyz") > 0);
  return { edge, first, second, live };
}

/** The newest part that a playlist lists. */
function newestPart(text: string): string | undefined {
  return [...text.matchAll(/#EXT-X-PART:.*URI="([^"]+)"/g)].at(-1)?.[1];
}

describe("two origins", () => {
  test.each(["hangs", "is gone"])(
    "E23: a viewer who waits for a part has it from the second when the first %s",
    async (how) => {
      const { edge, first, second, live } = await start();
      expect((await fetch(edge.url + PLAYLIST)).status).toBe(200);
      const next = `?_HLS_msn=${live.lastMsn + 1}&_HLS_part=${live.openParts}`;
      const reload = fetch(edge.url + PLAYLIST + next);
      const hinted = fetch(`${edge.url}/live/canvas/720p/aabbccdd-${live.lastMsn + 1}.${live.openParts}.m4s`);
      await until(() => first.count(next) === 1);
      if (how === "is gone") await first.close();
      else first.handler = () => new Promise<Response>(() => {});
      await until(() => second.count(next) === 1 && second.count(".m4s") > 0);
      live.publish();
      const [playlist, part] = await Promise.all([reload, hinted]);
      expect([playlist.status, part.status]).toEqual([200, 200]);
      expect(`/${newestPart(await playlist.text())}`).toBe(await part.text());
      expect(edge.counters.requests.error).toBe(0);
      expect(edge.upstream.peers.map(({ state }) => state)).toEqual(["down", "up"]);
    },
  );

  test("a viewer who waits has the part from the second when the first is ready but answers no playlist", async () => {
    const clock = new ProbeClock();
    const { edge, first, second, live } = await start(clock);
    let isHanging = false;
    first.handler = (request) => {
      if (request.url.endsWith("/readyz")) return new Response("ready\n");
      // The edge holds a request as soon as it has the playlist.
      if (isHanging || request.url.includes("_HLS_msn")) return new Promise<Response>(() => {});
      return live.answer(request);
    };
    expect((await fetch(edge.url + PLAYLIST)).status).toBe(200);
    isHanging = true;
    const next = `?_HLS_msn=${live.lastMsn + 1}&_HLS_part=${live.openParts}`;
    const reload = fetch(edge.url + PLAYLIST + next);
    await until(() => first.count(next) === 1);
    live.publish();
    const startMs = clock.monotonicMs();
    await clock.passUntil(() => second.count(next) === 1);
    // Three target durations are the longest wait.
    expect(clock.monotonicMs() - startMs).toBeLessThan(6_000);
    const { status, headers } = await reload;
    expect([status, headers.get("etag") !== null]).toEqual([200, true]);
    expect((await fetch(edge.url + PLAYLIST)).status).toBe(200);
    expect([edge.counters.requests.error, second.count("/readyz") > 0]).toEqual([0, true]);
    expect(edge.upstream.peers.map(({ state, hangingFolders }) => [state, hangingFolders])).toEqual([
      ["up", 1],
      ["up", 0],
    ]);
  });

  test("what the first answers with 503, though it is well, is asked of the second", async () => {
    const { edge, first, second } = await start();
    first.handler = (request) =>
      request.url.endsWith("/readyz") ? new Response("ready\n") : new Response("no\n", { status: 503 });
    const media = "/live/canvas/720p/aabbccdd-100.m4s";
    const answers = await Promise.all([fetch(edge.url + PLAYLIST), fetch(edge.url + media)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect([first.count(media), second.count(media)]).toEqual([1, 1]);
    expect(edge.upstream.peers.map(({ state }) => state)).toEqual(["up", "up"]);
  });

  test("what both answer with 503 is asked of each once", async () => {
    const { edge, first, second } = await start();
    for (const origin of [first, second]) {
      origin.handler = (request) =>
        request.url.endsWith("/readyz") ? new Response("ready\n") : new Response("no\n", { status: 503 });
    }
    expect((await fetch(edge.url + PLAYLIST)).status).toBe(503);
    expect([first.count(PLAYLIST), second.count(PLAYLIST)]).toEqual([1, 1]);
  });
});
