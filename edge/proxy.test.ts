/** The edge as a caching proxy for any path, over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { startTestEdge, until } from "./fake-origin.ts";
import { isForwardable } from "./proxy-headers.ts";
import { answerOf, closers, FRESH, gate, get, join, start } from "./proxy-fixture.ts";

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

describe("what goes upstream", () => {
  test("every path and query but the node's own, as GET and HEAD alone", async () => {
    const { origin, url } = start((_request, path) => answerOf(path, FRESH));
    for (const path of ["/", "/a/b.txt?x=1&y=%20", "/live/canvas/stream.ts", "/admin"]) {
      expect(await (await get(url + path)).text()).toBe(path);
    }
    const before = origin.count();
    for (const path of ["/metrics", "/healthz", "/readyz", "/health"])
      expect((await get(url + path)).status).toBe(200);
    expect((await get(`${url}/api/anything`)).status).toBe(404);
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const response = await get(`${url}/a`, {}, method);
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    }
    expect(origin.count()).toBe(before);
  });

  test("redirects within the upstream stay at this edge, others do not", async () => {
    const { origin, url } = start((_request, path) => {
      const location = path === "/a" ? `${origin.url}/b/?x=1` : "https://other.example/b";
      return answerOf("", { location }, 302);
    });
    const locations = ["/a", "/c"].map(async (path) => (await get(url + path)).headers.get("location"));
    expect(await Promise.all(locations)).toEqual(["/b/?x=1", "https://other.example/b"]);
  });

  test("a redirect within the upstream names no other host by what its path begins with", async () => {
    const { origin, url } = start((_request, path) => {
      const rest = path === "/a" ? "//evil.example/" : "/\\evil.example/";
      return answerOf("", { location: origin.url + rest }, 302);
    });
    for (const path of ["/a", "/b"]) {
      const location = (await get(url + path)).headers.get("location") ?? "";
      expect(new URL(location, url).origin).toBe(new URL(url).origin);
    }
  });

  test("headers of the client, but none that are the connection's, a claim or one client's own", async () => {
    const { origin, url } = start(() => answerOf("x", FRESH));
    await get(`${url}/a`, {
      "x-own": "1",
      "x-listed": "2",
      connection: "x-listed",
      "x-forwarded-for": "192.0.2.1",
      "x-forwarded-host": "evil.example",
      "x-forwarded-ssl": "on",
      "true-client-ip": "192.0.2.1",
      "x-original-url": "/admin",
      x_forwarded_host: "evil.example",
      "if-none-match": '"a"',
      "accept-encoding": "br;q=0.1, GZIP, foo",
      "cdn-loop": "other",
      via: "1.0 old",
    });
    const sent = Object.fromEntries(origin.lastHeaders);
    expect(sent).toMatchObject({ "x-own": "1", "accept-encoding": "br, gzip", via: "1.0 old, 1.1 spillway" });
    expect(sent["cdn-loop"]).toMatch(/^other, spillway;node=[\w-]+$/);
    const names = [
      "x-listed",
      "x-forwarded-for",
      "x-forwarded-host",
      "x-forwarded-ssl",
      "true-client-ip",
      "x-original-url",
      "x_forwarded_host",
      "if-none-match",
    ];
    expect(names.filter((name) => name in sent)).toEqual([]);
  });

  test("a status that is none is the upstream's failure", async () => {
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end("HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n") },
    });
    const edge = startTestEdge(`http://127.0.0.1:${listener.port}`, { proxyAll: true });
    closers.push(
      () => edge.close(),
      () => listener.stop(true),
    );
    expect((await get(`${edge.url}/a`)).status).toBe(502);
    expect((await get(`${edge.url}/a`, {}, "HEAD")).status).toBe(502);
  });

  test("a request that has been here before is refused", async () => {
    let own = "";
    const { origin, url } = start(async ({ headers }) => {
      const loop = headers.get("cdn-loop") ?? "";
      return answerOf(await (await get(own, { "cdn-loop": loop })).text(), {});
    });
    own = `${url}/round`;
    expect(await (await get(own)).text()).toBe("This request goes round in circles\n");
    expect(origin.count()).toBe(1);
    const many = Array.from({ length: 16 }, (_, index) => `cache${index}`).join(", ");
    expect((await get(own, { "cdn-loop": many })).status).toBe(508);
  });
});

test.each([
  ["/", true],
  ["/a?b=%20&c={}", true],
  ["/a b", false],
  ["/a#b", false],
  ["/\u00e9", false],
  ["*", false],
])("isForwardable() of %p: %p", (url, isIt) => {
  expect(isForwardable(url)).toBe(isIt);
});

describe("E1: who asks at once", () => {
  test("gets one answer, which is then in memory", async () => {
    const { passed, open } = gate();
    const { origin, edge, url } = start(async () => {
      await passed;
      return answerOf("body", { ...FRESH, "x-own": "1", date: "Thu, 01 Jan 2026 00:00:00 GMT" });
    });
    const crowd = Array.from({ length: 100 }, () => get(`${url}/a`));
    await until(() => origin.count() > 0);
    open();
    const answers = await Promise.all(crowd);
    expect(new Set(await Promise.all(answers.map((answer) => answer.text())))).toEqual(new Set(["body"]));
    expect(origin.count()).toBe(1);
    const { miss, collapsed, hit } = edge.counters.requests;
    expect([miss, collapsed + hit]).toEqual([1, 99]);
    const { headers } = await get(`${url}/a`);
    expect(headers.get("cache-status")).toMatch(/^spillway; hit; ttl=(?:59|60); key="[^"]+"$/);
    expect([headers.get("age"), headers.get("x-own"), headers.get("date")]).toEqual([
      "0",
      "1",
      "Thu, 01 Jan 2026 00:00:00 GMT",
    ]);
    expect(origin.count()).toBe(1);
  });

  test("E8: gets its own answer where nothing may be shared, all at the same time, and so does the next wave", async () => {
    const { passed, open } = gate();
    let count = 0;
    const { url } = start(async () => {
      const own = ++count;
      if (count > 1) await passed;
      return answerOf(String(own), { "cache-control": "no-store" });
    });
    const wave = (): Promise<string>[] =>
      Array.from({ length: 20 }, async () => (await get(`${url}/a`)).text());
    const first = wave();
    await until(() => count === 20);
    const second = wave();
    await until(() => count === 40);
    open();
    const texts = await Promise.all([...first, ...second]);
    expect(new Set(texts).size).toBe(40);
  });

  test("gets the answer for its own headers, though it waited for another's", async () => {
    const { passed, open } = gate();
    const { origin, url } = start(async ({ headers }) => {
      if (origin.count() === 1) await passed;
      return answerOf(headers.get("foo") ?? "", { ...FRESH, vary: "Foo" });
    });
    const wanted = ["1", "2", "1", "2", "3"];
    const crowd = wanted.map(async (foo) => (await get(`${url}/a`, { foo })).text());
    await until(() => origin.count() > 0);
    open();
    expect(await Promise.all(crowd)).toEqual(wanted);
    expect(origin.count()).toBe(3);
    const again = await get(`${url}/a`, { foo: " 2 " });
    expect([await again.text(), origin.count()]).toEqual(["2", 3]);
  });

  test("does not get the fields that are for the first one", async () => {
    const { passed, open } = gate();
    const { origin, edge, url } = start(async () => {
      await passed;
      return answerOf("x", { "cache-control": 'max-age=60, private="x-secret"', "x-secret": "1" });
    });
    const crowd = [get(`${url}/a`), get(`${url}/a`)];
    await until(() => origin.count() > 0 && edge.fills.running > 0);
    open();
    const secrets = (await Promise.all(crowd)).map(({ headers }) => headers.get("x-secret"));
    expect(secrets.filter((secret) => secret !== null).length).toBeLessThanOrEqual(1);
    expect((await get(`${url}/a`)).headers.get("x-secret")).toBeNull();
  });

  test("gets a failure once for all, and the next request asks again", async () => {
    const { passed, open } = gate();
    const { origin, edge, url } = start(async () => {
      await passed;
      return answerOf("down", {}, 503);
    });
    const crowd = Array.from({ length: 10 }, async () => (await get(`${url}/a`)).status);
    await until(() => edge.fills.running > 0 && origin.count() > 0);
    open();
    expect(new Set(await Promise.all(crowd))).toEqual(new Set([503]));
    // One more try is made where others wait.
    expect(origin.count()).toBeLessThanOrEqual(2);
    const before = origin.count();
    await get(`${url}/a`);
    expect(origin.count()).toBe(before + 1);
  });
});

describe("what is stored and old", () => {
  test("is confirmed by a 304, whose headers it takes over", async () => {
    const { origin, url } = start(({ headers }) =>
      headers.get("if-none-match") === '"a"'
        ? new Response(null, {
            status: 304,
            headers: { etag: '"a"', "cache-control": "max-age=60", "x-own": "2" },
          })
        : answerOf("body", { etag: '"a"', "cache-control": "max-age=0", "x-own": "1" }),
    );
    expect((await get(`${url}/a`)).headers.get("x-own")).toBe("1");
    const renewed = await get(`${url}/a`);
    expect([renewed.status, await renewed.text(), renewed.headers.get("x-own")]).toEqual([200, "body", "2"]);
    expect(renewed.headers.get("cache-status")).toBe('spillway; fwd=stale; fwd-status=304; stored; key="/a"');
    const hit = await get(`${url}/a`, { "if-none-match": 'W/"a"' });
    expect([hit.status, hit.headers.get("etag"), hit.headers.get("content-type")]).toEqual([
      304,
      '"a"',
      null,
    ]);
    expect(origin.count()).toBe(2);
  });

  test("is given out once more while it is asked for anew (stale-while-revalidate)", async () => {
    let version = 0;
    const headers = { "cache-control": "max-age=0, stale-while-revalidate=60" };
    const { origin, url } = start(() => answerOf(String(++version), headers));
    expect(await (await get(`${url}/a`)).text()).toBe("1");
    const stale = await get(`${url}/a`);
    expect([await stale.text(), stale.headers.get("cache-status")]).toEqual([
      "1",
      expect.stringMatching(/^spillway; hit; ttl=-1; detail=stale; key="[^"]+"$/),
    ]);
    await until(() => origin.count() === 2);
    await until(() => version === 2);
    let text = "1";
    while (text === "1") text = await (await get(`${url}/a`)).text();
    expect(Number(text)).toBeGreaterThan(1);
  });

  test("stands in for an upstream that is away, unless that is forbidden", async () => {
    const { origin, edge, url } = start((_request, path) =>
      answerOf("old", { "cache-control": path.slice(1), etag: '"a"' }),
    );
    const paths = [
      "/max-age=0",
      "/max-age=0,must-revalidate",
      "/max-age=0,proxy-revalidate",
      "/s-maxage=0",
      "/no-cache",
    ];
    for (const path of paths) await get(url + path);
    await origin.close();
    const statuses = await Promise.all(paths.map(async (path) => (await get(url + path)).status));
    expect(statuses).toEqual([200, 502, 502, 502, 502]);
    expect(edge.counters.requests).toMatchObject({ stale: 1, error: 4 });
    const stale = await get(url + paths[0]);
    expect(stale.headers.get("cache-status")).toMatch(
      /^spillway; fwd=stale; ttl=-\d+; detail=stale; key="[^"]+"$/,
    );
  });

  test("stands in for a 503 only where it says so (stale-if-error)", async () => {
    let isDown = false;
    const { url } = start((_request, path) =>
      isDown ? answerOf("down", {}, 503) : answerOf("old", { "cache-control": path.slice(1), etag: '"a"' }),
    );
    const paths = ["/max-age=0", "/max-age=0,stale-if-error=60"];
    for (const path of paths) await get(url + path);
    isDown = true;
    const answers = await Promise.all(paths.map((path) => get(url + path)));
    expect(answers.map(({ status }) => status)).toEqual([503, 200]);
    expect(answers[1]?.headers.get("cache-status")).toMatch(
      /^spillway; fwd=stale; fwd-status=503; ttl=-\d+; detail=stale; key="[^"]+"$/,
    );
  });
});

test("where else the upstream listens is not where this edge does", async () => {
  const { url } = start(() => answerOf("body", { ...FRESH, "alt-svc": 'h3=":443"', "x-other": "1" }));
  for (const result of ["fwd=uri-miss", "hit"]) {
    const { headers } = await get(`${url}/a`);
    expect([headers.get("alt-svc"), headers.get("x-other")]).toEqual([null, "1"]);
    expect(headers.get("cache-status")).toContain(result);
  }
});

test("what is stale stands in where too many requests are under way to ask", async () => {
  const { passed, open } = gate();
  const { edge, url } = start(async (_request, path) => {
    if (path.startsWith("/held")) await passed;
    return answerOf("old", { "cache-control": "max-age=0", etag: '"a"' });
  });
  await get(`${url}/a`);
  const held: Promise<Response>[] = [];
  const { counters } = edge;
  while (counters.refused.busy === 0) {
    held.push(join(edge, `/held${held.length}`));
    await Bun.sleep(0);
  }
  const [stale, refused] = [await get(`${url}/a`), await get(`${url}/b`)];
  expect([stale.status, refused.status, counters.requests.stale]).toEqual([200, 503, 1]);
  // Nobody was asked.
  expect(stale.headers.get("cache-status")).toMatch(/^spillway; hit; ttl=-\d+; detail=stale; key="[^"]+"$/);
  open();
  await Promise.all(held);
});

test("an upstream has 20 s to begin an answer, however short playlists are held", async () => {
  const { edge, url } = start(() => answerOf("slow", FRESH));
  const { upstream } = edge;
  const waits: number[] = [];
  const request = upstream.request.bind(upstream);
  upstream.request = (path, options) => {
    waits.push(options.holdMsMax);
    return request(path, options);
  };
  await get(`${url}/a`);
  await get(`${url}/b`, { authorization: "me" });
  expect(waits).toEqual([20_000, 20_000]);
});

describe("ranges and HEAD", () => {
  test("E9: bytes=0- and HEAD share the entry of GET; ranges are cut from it", async () => {
    const { origin, url } = start(() => answerOf("0123456789", FRESH));
    const first = await get(`${url}/a`, { range: "bytes=0-" });
    expect([first.status, await first.text()]).toEqual([206, "0123456789"]);
    expect(origin.lastHeaders.has("range")).toBe(false);
    const part = await get(`${url}/a`, { range: "bytes=-3" });
    expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([
      206,
      "789",
      "bytes 7-9/10",
    ]);
    const beyond = await get(`${url}/a`, { range: "bytes=10-" });
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, "bytes */10"]);
    expect(beyond.headers.get("cache-control")).toBe("no-store");
    const head = await get(`${url}/a`, {}, "HEAD");
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "10", ""]);
    expect(origin.count()).toBe(1);
  });

  test("what is large and still coming is streamed, and has its length once it is stored", async () => {
    const large = "x".repeat(20_000);
    const { url } = start(() => answerOf(large, FRESH));
    const answers = [await get(`${url}/a`), await get(`${url}/a`)];
    expect(answers.map(({ headers }) => headers.get("content-length"))).toEqual([null, "20000"]);
    for (const answer of answers) expect(await answer.text()).toBe(large);
  });

  test("HEAD tells when what is stored no longer holds", async () => {
    let etag = '"a"';
    const { origin, url } = start(() => answerOf("body", { "cache-control": "max-age=0", etag }));
    await get(`${url}/a`);
    etag = '"b"';
    await get(`${url}/a`, {}, "HEAD");
    await get(`${url}/a`);
    expect(origin.lastHeaders.has("if-none-match")).toBe(false);
    expect(origin.count()).toBe(3);
  });
});
