/** Part of what the caching proxy has not stored: cut from a whole that is fetched for all, or asked for by itself. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { MEBIBYTE } from "#common/units.ts";
import { startTestEdge, until, type TestEdge, type TestEdgeLimits } from "./fake-origin.ts";
import { Download, PacedOrigin, type PacedRequest } from "./paced-origin.ts";
import { closers, FRESH, join } from "./proxy-fixture.ts";

const LARGE_BYTES = 4 * MEBIBYTE;
/** A range of it that begins too far to be waited for. */
const FAR = { range: "bytes=3000000-3000009" };
const NEAR = { range: "bytes=10-19" };
/** How long a thing is remembered not to be cut from its whole. */
const UNCUT_MS = 120_000;

/** Bytes of which each range is another. */
const LARGE = Buffer.alloc(
  LARGE_BYTES,
  Uint8Array.from({ length: 251 }, (_, index) => index),
);

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(
  limits: TestEdgeLimits = {},
): Promise<{ readonly origin: PacedOrigin; readonly edge: TestEdge; readonly url: string }> {
  const origin = await PacedOrigin.listen();
  const edge = startTestEdge(origin.url, { proxyAll: true, ...limits });
  closers.push(
    () => edge.close(),
    () => origin.close(),
  );
  return { origin, edge, url: `${edge.url}/a` };
}

/** Answers as a file server does: all of it, or the range of {@link LARGE} that is asked for. */
function serve(request: PacedRequest, headers: Record<string, string> = FRESH): void {
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (match === null) {
    request
      .begin(200, { ...headers, "content-length": String(LARGE_BYTES) })
      .send(LARGE)
      .end();
    return;
  }
  const [from, to] = [Number(match[1]), Number(match[2]) + 1];
  const range = {
    "content-range": `bytes ${from}-${to - 1}/${LARGE_BYTES}`,
    "content-length": `${to - from}`,
  };
  request
    .begin(206, { ...headers, ...range })
    .send(LARGE.subarray(from, to))
    .end();
}

const rangesOf = ({ requests }: PacedOrigin): (string | undefined)[] =>
  requests.map(({ headers }) => headers.range);

const isOver = ({ outcome }: Download): boolean => outcome !== "open";

async function load(url: string, headers: Record<string, string>): Promise<Download> {
  const download = new Download(url, headers);
  await until(() => isOver(download));
  return download;
}

describe("a range near the begin", () => {
  test("of forty clients is asked for once, as the whole, which is there for the next", async () => {
    const { origin, edge, url } = await start();
    const crowd = Array.from({ length: 40 }, () => new Download(url, NEAR));
    await until(() => origin.requests.length > 0);
    const whole = origin.at(0).begin(200, { ...FRESH, "content-length": String(LARGE_BYTES) });
    whole.send(LARGE.subarray(0, 1_000));
    // Before the rest has come.
    await until(() => crowd.every(isOver));
    for (const { status, body, headers } of crowd) {
      expect([status, headers.get("content-range")]).toEqual([206, `bytes 10-19/${LARGE_BYTES}`]);
      expect(body).toEqual(LARGE.subarray(10, 20));
    }
    whole.send(LARGE.subarray(1_000)).end();
    await until(() => edge.store.items === 1);
    const next = await load(url, FAR);
    expect(next.body).toEqual(LARGE.subarray(3_000_000, 3_000_010));
    expect(next.headers.get("cache-status")).toStartWith("spillway; hit");
    expect(rangesOf(origin)).toEqual([undefined]);
    const { miss, collapsed, hit } = edge.counters.requests;
    expect([miss, collapsed + hit]).toEqual([1, 40]);
  });

  test("goes on for the others when the first leaves", async () => {
    const { origin, edge, url } = await start();
    const { requests } = edge.counters;
    const leader = new Download(url, NEAR);
    await until(() => origin.requests.length === 1);
    const other = new Download(url, { range: "bytes=20-29" });
    const whole = origin.at(0).begin(200, { ...FRESH, "content-length": String(LARGE_BYTES) });
    await until(() => requests.miss + requests.collapsed === 2);
    leader.leave();
    await until(() => isOver(leader));
    whole.send(LARGE.subarray(0, 100));
    await until(() => isOver(other));
    expect(other.body).toEqual(LARGE.subarray(20, 30));
    expect(origin.requests).toHaveLength(1);
  });

  test("of an answer that breaks off is broken off, and nothing is stored", async () => {
    const { origin, edge, url } = await start();
    const cut = new Download(url, NEAR);
    await until(() => origin.requests.length === 1);
    const whole = origin.at(0).begin(200, { ...FRESH, "content-length": String(LARGE_BYTES) });
    whole.send(LARGE.subarray(0, 15));
    await until(() => cut.bytes === 5);
    whole.die();
    await until(() => isOver(cut));
    expect(cut.outcome).toBe("broken off");
    await until(() => edge.fills.running === 0);
    expect([edge.store.items, edge.store.reservedBytes]).toEqual([0, 0]);
  });

  test("beyond the end is told from the head of the whole", async () => {
    const { origin, url } = await start();
    origin.onRequest = (request) =>
      request
        .begin(200, { ...FRESH, "content-length": "5" })
        .send("01234")
        .end();
    const beyond = await load(url, { range: "bytes=5-9" });
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, "bytes */5"]);
    expect(origin.requests).toHaveLength(1);
  });

  test("of what fails is tried anew at the next request, as the whole", async () => {
    const { origin, edge, url } = await start();
    origin.onRequest = (request) => {
      if (origin.requests.length === 1) request.begin(503).send("down").end();
      else serve(request);
    };
    expect((await load(url, NEAR)).status).toBe(503);
    expect((await load(url, NEAR)).body).toEqual(LARGE.subarray(10, 20));
    await until(() => edge.store.items === 1);
    expect(rangesOf(origin)).toEqual([undefined, undefined]);
  });

  test("of what there is not is the answer to the whole", async () => {
    const { origin, url } = await start();
    origin.onRequest = (request) => request.begin(404, FRESH).send("none").end();
    const missing = [await load(url, NEAR), await load(url, NEAR)];
    for (const { status, body } of missing) expect([status, body.toString()]).toEqual([404, "none"]);
    expect(rangesOf(origin)).toEqual([undefined]);
  });
});

describe("a range far from the begin", () => {
  test("is asked for by itself, and the whole beside it for the next", async () => {
    const { origin, edge, url } = await start();
    origin.onRequest = (request) => serve(request);
    const far = await load(url, FAR);
    expect([far.status, far.body]).toEqual([206, LARGE.subarray(3_000_000, 3_000_010)]);
    expect(far.headers.get("cache-status")).toStartWith("spillway; fwd=partial; key=");
    await until(() => edge.store.items === 1);
    expect(rangesOf(origin).toSorted()).toEqual([FAR.range, undefined]);
    expect((await load(url, { range: "bytes=-5" })).body).toEqual(LARGE.subarray(-5));
    expect(origin.requests).toHaveLength(2);
  });

  test("that is counted from the end is far", async () => {
    const { origin, url } = await start();
    void load(url, { range: "bytes=-5" });
    await until(() => origin.requests.length === 2);
    expect(rangesOf(origin).toSorted()).toEqual(["bytes=-5", undefined]);
  });

  test("joins a whole that has come nearly so far", async () => {
    const { origin, edge, url } = await start();
    const whole = new Download(url);
    await until(() => origin.requests.length === 1);
    const request = origin.at(0).begin(200, { ...FRESH, "content-length": String(LARGE_BYTES) });
    request.send(LARGE.subarray(0, 2_500_000));
    await until(() => edge.fills.reachedBytes("/a") === 2_500_000);
    const far = new Download(url, FAR);
    await until(() => edge.counters.requests.collapsed === 1);
    request.send(LARGE.subarray(2_500_000)).end();
    await until(() => isOver(far) && isOver(whole));
    expect(far.body).toEqual(LARGE.subarray(3_000_000, 3_000_010));
    expect(origin.requests).toHaveLength(1);
  });

  test.each([
    ["may not be stored", { "cache-control": "no-store", "content-length": String(LARGE_BYTES) }],
    ["has no length", FRESH],
  ])("of what %s: the whole is given up at its head", async (_what, headers: Record<string, string>) => {
    const { origin, edge, url } = await start();
    origin.onRequest = (request) => {
      if (request.headers.range === undefined) request.begin(200, headers);
      else serve(request);
    };
    expect((await load(url, FAR)).status).toBe(206);
    await until(() => edge.fills.running === 0);
    const whole = origin.requests.find((request) => request.headers.range === undefined);
    // The origin hears of it when its socket does.
    await until(() => whole?.isClosed === true);
    await load(url, FAR);
    expect(rangesOf(origin).toSorted()).toEqual([FAR.range, FAR.range, undefined]);
  });

  test("fetches no more than 16 wholes beside such parts at once", async () => {
    const { origin, edge, url } = await start();
    origin.onRequest = (request) => {
      if (request.headers.range !== undefined) serve(request);
    };
    for (let index = 0; index < 20; index++) await load(url + index, FAR);
    expect(edge.fills.running).toBe(16);
  });
});

describe("parts of what is not to be fetched whole", () => {
  test.each<[string, Record<string, string>, TestEdgeLimits]>([
    ["may not be stored", { "cache-control": "no-store", "content-length": String(LARGE_BYTES) }, {}],
    ["has no length", FRESH, {}],
    ["is too large", { ...FRESH, "content-length": String(LARGE_BYTES) }, { cacheMib: 8 }],
    ["varies by range", { ...FRESH, vary: "Range", "content-length": String(LARGE_BYTES) }, {}],
  ])("of what %s: each asks by itself, and later ones at once", async (_what, headers, limits) => {
    const clock = new FakeClock();
    const { origin, edge, url } = await start({ clock, ...limits });
    origin.onRequest = (request) => {
      if (request.headers.range === undefined) request.begin(200, headers).send(LARGE.subarray(0, 100));
      else serve(request, { "cache-control": "no-store" });
    };
    const crowd = Array.from({ length: 5 }, () => join(edge, "/a", NEAR));
    const answers = Promise.all(crowd);
    let isAnswered = false;
    void answers.then(() => (isAnswered = true));
    await until(() => {
      clock.advance(1);
      return isAnswered;
    });
    for (const answer of await answers) {
      expect(answer.status).toBe(206);
      expect(answer.headers.get("cache-status")).toStartWith("spillway; fwd=partial; key=");
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(LARGE.subarray(10, 20));
    }
    await until(() => edge.fills.running === 0);
    const wholes = (): number => rangesOf(origin).filter((range) => range === undefined).length;
    expect([origin.requests.length, wholes()]).toEqual([6, 1]);
    await until(() => origin.at(0).isClosed);
    const next = load(url, NEAR);
    await until(() => origin.requests.length === 7);
    clock.advance(10);
    await next;
    expect(wholes()).toBe(1);
    clock.advance(UNCUT_MS);
    void load(url, NEAR);
    await until(() => origin.requests.length === 8);
    expect(wholes()).toBe(2);
  });

  test("with If-Range, of several ranges, and of none are the upstream's to read", async () => {
    const { origin, url } = await start();
    origin.onRequest = (request) =>
      request
        .begin(206, { ...FRESH, "content-length": "1" })
        .send("x")
        .end();
    const asked = [
      { ...NEAR, "if-range": '"a"' },
      { range: "bytes=0-1,4-5" },
      { range: "bytes=5-4" },
      { range: "lines=1-2" },
    ];
    for (const headers of asked) expect((await load(url, headers)).status).toBe(206);
    expect(rangesOf(origin)).toEqual(asked.map(({ range }) => range));
  });
});
