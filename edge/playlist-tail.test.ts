/** Media playlists against a live origin: one held request for all, Age, refusals, failures. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import {
  FakeLivePlaylist,
  FakeOrigin,
  startTestEdge,
  type TestEdge,
  until,
  whileAdvancing,
} from "./fake-origin.ts";

const PATH = "/live/canvas/720p/index.m3u8";
const NEXT = { directives: { segmentNumber: 102, part: 5 }, isDelta: false };

function mediaPath(name: string): string {
  return `/live/canvas/720p/aabbccdd-${name}`;
}

interface Setup {
  readonly live: FakeLivePlaylist;
  readonly origin: FakeOrigin;
  readonly edge: TestEdge;
}

const open: Setup[] = [];

function setup(live = new FakeLivePlaylist(), options: Parameters<typeof startTestEdge>[1] = {}): Setup {
  const origin = new FakeOrigin((request) => live.answer(request));
  const made = { live, origin, edge: startTestEdge(origin.url, options) };
  open.push(made);
  return made;
}

afterEach(async () => {
  for (const { live, origin, edge } of open.splice(0)) {
    live.publish();
    await edge.close();
    await origin.close();
  }
});

function ask({ edge }: Setup, query: string): Promise<Response> {
  return fetch(`${edge.url}${PATH}${query}`);
}

describe("a media playlist", () => {
  test.each([1, 100])("E1, E2: is held on one upstream request for %d viewers", async (count) => {
    const made = setup();
    await ask(made, "");
    const held = Array.from({ length: count }, () => ask(made, "?_HLS_msn=102&_HLS_part=5"));
    await until(() => made.edge.budget.count === count);
    made.live.publish();
    const texts = await Promise.all(held.map(async (response) => (await response).text()));
    expect(new Set(texts)).toEqual(new Set([made.live.text()]));
    // The version that all waited for, and the next one, which is waited for already.
    expect(made.origin.count("_HLS_msn=102&_HLS_part=5")).toBe(1);
    await until(() => made.live.held === 1);
    expect([made.origin.count("_HLS_msn"), made.origin.count("index.m3u8")]).toEqual([2, 3]);
  });

  test("begins with the newest version, which nobody had to ask for", async () => {
    const made = setup();
    await ask(made, "");
    await until(() => made.live.held === 1);
    made.live.publish();
    await until(() => made.live.held === 1);
    const answer = await ask(made, "");
    expect(await answer.text()).toBe(made.live.text());
    expect(answer.headers.get("cache-status")).toStartWith("spillway; hit");
    expect(made.origin.count("index.m3u8")).toBe(3);
  });

  test("18: that ends releases everyone who waits, whatever for", async () => {
    const made = setup();
    await ask(made, "");
    await until(() => made.live.held === 1);
    const held = [6, 7, 8].map((part) => ask(made, `?_HLS_msn=102&_HLS_part=${part}`));
    await until(() => made.edge.budget.count === held.length);
    made.live.publish();
    const ended = `${made.live.text().replace(/#EXT-X-PRELOAD-HINT.*\n/, "")}#EXT-X-ENDLIST\n`;
    made.origin.handler = () =>
      new Response(ended, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
    const answers = await Promise.all(held);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(await Promise.all(answers.map((answer) => answer.text())))).toEqual(new Set([ended]));
  });

  test("E13: has its media in memory before viewers ask, each asked for once", async () => {
    const made = setup(new FakeLivePlaylist(27));
    await ask(made, "");
    for (let published = 0; published < 20; published++) {
      await until(() => made.live.held === 1);
      made.live.publish();
    }
    const names = [
      "init.mp4",
      "100.m4s",
      "101.m4s",
      "102.m4s",
      "103.m4s",
      "102.0.m4s",
      "103.9.m4s",
      "104.6.m4s",
    ];
    await until(() => names.every((name) => made.edge.store.getAny(mediaPath(name)) !== undefined));
    for (const name of names) {
      const answer = await fetch(made.edge.url + mediaPath(name));
      expect(await answer.text()).toEndWith(name);
      expect(answer.headers.get("cache-status")).toStartWith("spillway; hit");
    }
    // The newest part that a joining player begins with is the first of the open segment: no older one is fetched.
    expect(made.origin.count("101.9.m4s")).toBe(0);
    const counts = [...made.origin.hits].filter(([path]) => !path.includes(".m3u8"));
    expect(counts.filter(([, hits]) => hits !== 1)).toEqual([]);
  });

  test("E13: that does not name a part yet: the request for it goes to the origin, which holds it", async () => {
    const made = setup();
    // The next playlist comes late, so that the edge knows of 102.5 alone.
    const late = Promise.withResolvers<void>();
    made.origin.handler = async (request, path) => {
      if (path.includes("_HLS_")) await late.promise;
      return made.live.answer(request);
    };
    await ask(made, "");
    made.live.publish();
    const unseen = fetch(made.edge.url + mediaPath("102.6.m4s"));
    await until(() => made.origin.count("102.6.m4s") === 1);
    made.live.publish();
    expect([(await unseen).status, made.origin.count("102.6.m4s")]).toEqual([200, 1]);
    late.resolve();
  });

  test("is not delayed by a hinted part that never comes", async () => {
    const made = setup();
    const never = Promise.withResolvers<Response>();
    made.origin.handler = (request, path) =>
      path.includes("102.5.m4s") ? never.promise : made.live.answer(request);
    await ask(made, "");
    for (let part = 5; part < 9; part++) {
      const held = ask(made, `?_HLS_msn=102&_HLS_part=${part}`);
      await until(() => made.live.held === 1);
      made.live.publish();
      expect((await held).status).toBe(200);
    }
    never.resolve(new Response("Not found\n", { status: 404 }));
  });

  test("that cannot be had is asked for 4 times a second, whoever asks", async () => {
    const clock = new FakeClock();
    const made = setup(new FakeLivePlaylist(), { clock });
    await ask(made, "");
    await until(() => made.live.held === 1);
    const before = made.origin.count("index.m3u8");
    const startMs = clock.monotonicMs();
    made.live.stall();
    // Two tries for each failure, which is remembered for 250 ms. The one that was held has begun before.
    const failures = 4;
    while (made.origin.count("index.m3u8") < before + 2 * failures - 1) {
      const answer = await whileAdvancing(clock, ask(made, "?_HLS_msn=102&_HLS_part=5"));
      expect(answer.status).toBe(503);
      clock.advance(10);
    }
    expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual((failures - 1) * 250);
  });

  test("E3: that is asked for in other words is the same request", async () => {
    const made = setup(new FakeLivePlaylist(29));
    await ask(made, "");
    const queries = [
      "?_HLS_msn=102&_HLS_part=9",
      "?_HLS_part=9&_HLS_msn=102",
      "?token=x&_HLS_msn=102&_HLS_part=9&_HLS_skip=YES",
    ];
    const held = queries.map((query) => ask(made, query));
    await until(() => made.edge.budget.count === 3);
    made.live.publish();
    await Promise.all(held);
    const beyond = [ask(made, "?_HLS_msn=102&_HLS_part=10"), ask(made, "?_HLS_msn=103&_HLS_part=0")];
    await until(() => made.edge.budget.count === 2);
    made.live.publish();
    await Promise.all(beyond);
    await until(() => made.live.held === 1);
    expect(made.origin.count("index.m3u8")).toBe(4);
  });

  test("E2: that has what is asked for is answered without asking upstream", async () => {
    const made = setup();
    await ask(made, "");
    await until(() => made.live.held === 1);
    for (const query of ["?_HLS_msn=102&_HLS_part=4", "?_HLS_msn=90", "?_HLS_msn=101&_HLS_part=3", ""]) {
      const response = await ask(made, query);
      expect(await response.text()).toBe(made.live.text());
      expect(response.headers.get("cache-status")).toStartWith("spillway; hit");
    }
    expect(made.origin.count("index.m3u8")).toBe(2);
  });

  test("asked for ahead waits through the versions between", async () => {
    const made = setup();
    await ask(made, "");
    const ahead = ask(made, "?_HLS_msn=102&_HLS_part=7");
    const near = ask(made, "?_HLS_msn=102&_HLS_part=5");
    await until(() => made.live.held === 1);
    made.live.publish();
    expect((await near).status).toBe(200);
    for (const parts of [27, 28]) {
      await until(() => made.live.held === 1);
      made.live.publish();
      expect(made.live.parts).toBe(parts);
    }
    expect(await (await ahead).text()).toContain("aabbccdd-102.7.m4s");
    await until(() => made.live.held === 1);
    expect(made.origin.count("_HLS_msn")).toBe(4);
  });

  test("is refused with 400 where directives are wrong or too far, asking upstream at most once more", async () => {
    const made = setup();
    await ask(made, "");
    for (const query of ["?_HLS_part=1", "?_HLS_msn=x", "?_HLS_msn=104", "?_HLS_msn=103&_HLS_part=99"]) {
      const response = await ask(made, query);
      expect([query, response.status]).toEqual([query, 400]);
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(response.headers.get("cache-control")).toBe("no-store");
    }
    expect(made.origin.count("index.m3u8")).toBeLessThanOrEqual(3);
  });

  test("E14: carries an Age without the time that it was held, and a lifetime for each kind of request", async () => {
    const clock = new FakeClock();
    const made = setup(new FakeLivePlaylist(), { clock });
    const plain = await ask(made, "");
    expect([plain.headers.get("age"), plain.headers.get("cache-control")]).toEqual(["0", "max-age=1"]);
    const held = ask(made, "?_HLS_msn=102&_HLS_part=5");
    await until(() => made.live.held === 1);
    clock.advance(1_100);
    made.live.publish();
    const answer = await held;
    expect([answer.headers.get("age"), answer.headers.get("cache-control")]).toEqual(["0", "max-age=12"]);
    const sharing = await ask(made, "");
    expect([sharing.headers.get("age"), sharing.headers.get("cache-control")]).toEqual(["0", "max-age=1"]);
  });

  test("E17, E23: whose held request fails ends all waiters with 503, never with an old version", async () => {
    const made = setup();
    await ask(made, "");
    const held = Array.from({ length: 5 }, () => ask(made, "?_HLS_msn=102&_HLS_part=5"));
    await until(() => made.edge.budget.count === 5);
    made.live.stall();
    const statuses = await Promise.all(held.map(async (response) => (await response).status));
    expect(statuses).toEqual([503, 503, 503, 503, 503]);
    expect(made.origin.count("_HLS_msn")).toBeLessThanOrEqual(2);
  });

  test("E23: that goes back is taken over: the origin began anew, and who waits for the old numbers gets 503", async () => {
    const made = setup(new FakeLivePlaylist(95));
    await ask(made, "");
    const held = ask(made, "?_HLS_msn=109&_HLS_part=5");
    await until(() => made.edge.budget.count === 1 && made.live.held === 1);
    made.live.restart(25);
    const answer = await held;
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    // Told so, and not left to wait as long as may be.
    expect(made.edge.budget.overdue).toBe(0);
    expect(await (await ask(made, "")).text()).toBe(made.live.text());
    expect((await ask(made, "?_HLS_msn=109&_HLS_part=5")).status).toBe(400);
  });

  test("of a stream that does not exist is 404, asked once for a crowd", async () => {
    const made = setup();
    made.origin.handler = () => new Response("Not found\n", { status: 404 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(made, "")));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 404));
    expect((await ask(made, "")).status).toBe(404);
    expect(made.origin.count()).toBe(1);
  });

  test("of a stream that does not exist: what is remembered of it takes no room, however large the error page", async () => {
    const made = setup();
    const pages = ["Not found\n", "x".repeat(4_097)];
    made.origin.handler = () => new Response(pages.shift(), { status: 404 });
    await ask(made, "");
    const other = PATH.replace("720p", "360p");
    expect(await (await fetch(made.edge.url + other)).text()).toHaveLength(4_097);
    const remembered = [PATH, other].map((path) => made.edge.playlists.answerNow(path, NEXT));
    expect(remembered.map((answer) => [answer?.status, answer?.stored?.body.size])).toEqual([
      [404, 10],
      [404, undefined],
    ]);
  });

  test("is compressed for those who accept it, with a tag of its own", async () => {
    const made = setup();
    await ask(made, "");
    const url = `${made.edge.url}${PATH}`;
    const plain = await fetch(url, { headers: { "accept-encoding": "identity" } });
    const packed = await fetch(url, { headers: { "accept-encoding": "br, gzip" }, decompress: false });
    expect([plain.headers.get("content-encoding"), plain.headers.get("etag")]).toEqual([null, '"v25"']);
    expect([packed.headers.get("content-encoding"), packed.headers.get("etag")]).toEqual([
      "gzip",
      '"v25-gzip"',
    ]);
    expect(packed.headers.get("vary")).toBe("Accept-Encoding");
    const bytes = await packed.bytes();
    expect(packed.headers.get("content-length")).toBe(String(bytes.length));
    expect(new TextDecoder().decode(Bun.gunzipSync(bytes))).toBe(made.live.text());
  });

  test("E10: and others, each held with a part: what is there comes meanwhile", async () => {
    const made = setup();
    const folders = Array.from({ length: 12 }, (_, rendition) => `/live/canvas/r${rendition}/`);
    const ready = folders.map(async (folder) => (await fetch(`${made.edge.url}${folder}index.m3u8`)).status);
    expect(await Promise.all(ready)).toEqual(folders.map(() => 200));
    await until(() => made.live.held === folders.length && made.origin.count("102.5.m4s") === folders.length);
    const segments = folders.map(async (folder) => {
      const answer = await fetch(`${made.edge.url}${folder}aabbccdd-100.9.m4s`);
      return [answer.status, made.live.held];
    });
    expect(await Promise.all(segments)).toEqual(folders.map(() => [200, folders.length]));
  });

  test("38: shares one bound with all others; past it 503 with Retry-After, until somebody is answered", async () => {
    const made = setup();
    const other = `${made.edge.url}${PATH.replace("720p", "360p")}`;
    await Promise.all([ask(made, ""), fetch(other)]);
    const { countMax } = made.edge.budget;
    made.edge.budget.count += countMax - 1;
    const held = ask(made, "?_HLS_msn=102&_HLS_part=5");
    await until(() => made.edge.budget.count === countMax);
    const refused = await fetch(`${other}?_HLS_msn=102&_HLS_part=5`);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(made.edge.budget.refused).toBe(1);
    made.live.publish();
    expect((await held).status).toBe(200);
    const next = fetch(`${other}?_HLS_msn=102&_HLS_part=6`);
    await until(() => made.edge.budget.count === countMax);
    made.live.publish();
    expect((await next).status).toBe(200);
  });

  test("38: frees a waiter whose viewer left", async () => {
    const made = setup();
    await ask(made, "");
    const abort = new AbortController();
    const left = fetch(`${made.edge.url}${PATH}?_HLS_msn=102&_HLS_part=5`, { signal: abort.signal });
    const stays = ask(made, "?_HLS_msn=102&_HLS_part=5");
    await until(() => made.edge.budget.count === 2);
    abort.abort();
    await left.catch(() => "aborted");
    await until(() => made.edge.budget.count === 1);
    made.live.publish();
    expect((await stays).status).toBe(200);
    expect(made.origin.count("_HLS_part=5")).toBe(1);
    expect(made.edge.counters.requests.error).toBe(0);
  });
});
