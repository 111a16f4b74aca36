/** What a caching proxy keeps apart: answers that are one client's own, and what one client can do to what others get. */
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { until } from "./fake-origin.ts";
import { ProxyJudge } from "./proxy-judge.ts";
import { Store } from "./store.ts";
import { UNWATCHED } from "./viewer-connection.ts";
import { answerOf, closers, FRESH, gate, get, join, start } from "./proxy-fixture.ts";

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

describe("what is one client's own", () => {
  test("its answer to HEAD changes nothing of what others get", async () => {
    const { origin, url } = start(({ method }) =>
      method === "HEAD"
        ? answerOf("", { etag: '"a"', "cache-control": "private, max-age=60", "set-cookie": "session=1" })
        : answerOf("", { etag: '"a"', "cache-control": "max-age=0" }),
    );
    await get(`${url}/a`);
    expect((await get(`${url}/a`, {}, "HEAD")).headers.get("set-cookie")).toBe("session=1");
    const next = await get(`${url}/a`);
    expect([next.headers.get("set-cookie"), origin.count()]).toEqual([null, 3]);
  });

  test.each([
    ["if-match", '"b"'],
    ["if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"],
    ["authorization", "me"],
  ])("HEAD with %s does not make what is stored for everyone go away", async (name, value) => {
    const { origin, url } = start(({ method }) =>
      method === "HEAD" ? answerOf("", {}, 412) : answerOf("body", FRESH),
    );
    await get(`${url}/a`);
    expect((await get(`${url}/a`, { [name]: value }, "HEAD")).status).toBe(412);
    await get(`${url}/a`);
    expect(origin.count()).toBe(2);
  });

  test("HEAD with a date of its own does not make what is stale fresh", async () => {
    const { origin, url } = start(({ headers, method }) =>
      method === "HEAD" && headers.has("if-modified-since")
        ? new Response(null, { status: 304, headers: FRESH })
        : answerOf("body", { etag: '"a"', "cache-control": "max-age=0" }),
    );
    await get(`${url}/a`);
    await get(`${url}/a`, { "if-modified-since": "Fri, 01 Jan 2027 00:00:00 GMT" }, "HEAD");
    await get(`${url}/a`);
    expect(origin.count()).toBe(3);
  });

  test("credentials go alone, and their answers stay theirs", async () => {
    const { origin, url } = start(({ headers }) => answerOf(headers.get("authorization") ?? "nobody", FRESH));
    expect(await (await get(`${url}/a`, { authorization: "me" })).text()).toBe("me");
    expect(await (await get(`${url}/a`)).text()).toBe("nobody");
    expect(await (await get(`${url}/a`, { authorization: "you" })).text()).toBe("you");
    expect(origin.count()).toBe(3);
  });

  test("is not the host name: two names of one edge share one cache, and neither is passed on", async () => {
    const { origin, url } = start(({ headers }) => answerOf(headers.get("host") ?? "", FRESH));
    const names = [{ host: "one.example" }, { host: "two.example" }];
    const texts = [];
    for (const headers of names) texts.push(await (await get(`${url}/a`, headers)).text());
    expect(texts).toEqual([new URL(origin.url).host, new URL(origin.url).host]);
    expect(origin.count()).toBe(1);
  });

  test("credentials do not make what is stored for everyone go away", async () => {
    const { origin, url } = start(({ headers }) =>
      headers.has("authorization")
        ? answerOf("mine", { "cache-control": "private" })
        : answerOf("all", FRESH),
    );
    await get(`${url}/a`);
    expect(await (await get(`${url}/a`, { authorization: "me" })).text()).toBe("mine");
    expect(await (await get(`${url}/a`)).text()).toBe("all");
    expect(origin.count()).toBe(2);
  });

  test("is the coding of a body, even where the upstream does not say that it varies", async () => {
    const { origin, url } = start(({ headers }) =>
      headers.get("accept-encoding") === "gzip"
        ? new Response(Bun.gzipSync("body"), { headers: { ...FRESH, "content-encoding": "gzip" } })
        : answerOf("body", FRESH),
    );
    const codingOf = async (accepted: string): Promise<string | null> =>
      (await get(`${url}/a`, { "accept-encoding": accepted })).headers.get("content-encoding");
    expect([await codingOf("gzip"), await codingOf("gzip"), origin.count()]).toEqual(["gzip", "gzip", 1]);
    expect(await codingOf("identity")).toBeNull();
  });

  test("a header that is its connection's chooses no answer for others", async () => {
    const { origin, url } = start(({ headers }) =>
      answerOf(headers.get("foo") ?? "none", { ...FRESH, vary: "Foo" }),
    );
    expect(await (await get(`${url}/a`, { foo: "1", connection: "foo" })).text()).toBe("none");
    expect(await (await get(`${url}/a`, { foo: "1" })).text()).toBe("1");
    expect(await (await get(`${url}/a`, { foo: "1", connection: "close, foo" })).text()).toBe("none");
    expect(origin.count()).toBe(2);
  });

  test("a condition for the upstream is not met by what is stored while that is away", async () => {
    const { origin, url } = start(() => answerOf("body", { ...FRESH, etag: '"a"' }));
    await get(`${url}/a`);
    await origin.close();
    expect((await get(`${url}/a`, { "if-match": '"b"' })).status).toBe(502);
    expect((await get(`${url}/a`)).status).toBe(200);
  });

  test.each([
    ["private", 10, true],
    ["private", 20_000, false],
    ["max-age=60", 20_000, true],
  ])("%s, %d bytes: made into something to keep: %p", (cacheControl, length, isMade) => {
    const judge = new ProxyJudge({
      store: new Store({ bytesMax: 1_000_000, clock: systemClock }),
      offer: () => {},
    });
    const headers = new Headers({ "cache-control": cacheControl, "content-length": String(length) });
    const head = { status: 200, headers, requestedMs: 0, receivedMs: 0, receivedWallMs: 0 };
    const request = new Request("http://edge.invalid/a");
    const asked = {
      request,
      connection: UNWATCHED,
      key: "/a",
      url: "/a",
      policy: { method: "GET", headers: request.headers, isHeld: false },
    };
    expect(judge.shared(asked, { head, stored: undefined }).toStored !== undefined).toBe(isMade);
  });

  test("is sent whole, however large, and each time anew", async () => {
    const large = "x".repeat(2_000_000);
    const { origin, edge, url } = start(() => answerOf(large, { "cache-control": "private" }));
    const texts = await Promise.all([1, 2, 3].map(async () => (await get(`${url}/a`)).text()));
    expect(texts.every((text) => text === large)).toBe(true);
    await until(() => edge.store.reservedBytes === 0);
    expect([origin.count(), edge.store.items]).toEqual([3, 0]);
  });

  test("cookies of one answer stay apart from each other", async () => {
    const { url } = start(() => {
      const headers = new Headers({ ...FRESH, "cache-control": "public, max-age=60" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response("x", { headers });
    });
    for (let turn = 0; turn < 2; turn++) {
      expect((await get(`${url}/a`)).headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    }
  });

  test("a cookie with a lifetime is one client's", async () => {
    const { origin, url } = start(() =>
      answerOf("x", { "cache-control": "max-age=60", "set-cookie": "session=1" }),
    );
    for (let turn = 0; turn < 2; turn++) await (await get(`${url}/a`)).text();
    expect(origin.count()).toBe(2);
  });

  test.each([
    [{ cookie: "session=1" }, {}],
    [{}, { "cache-control": "private" }],
    [{}, { "set-cookie": "session=1" }],
  ] as const)("is a failure that may tell of who asked first (%j, %j)", async (first, headers) => {
    const { passed, open } = gate();
    const { origin, edge, url } = start(async (request) => {
      const isFirst = request.headers.has("x-first");
      await passed;
      return answerOf(isFirst ? "secret" : "down", headers, 503);
    });
    const leader = get(`${url}/a`, { ...first, "x-first": "1" });
    await until(() => origin.count() === 1);
    const follower = join(edge, "/a");
    open();
    expect(await Promise.all([leader, follower].map(async (answer) => (await answer).text()))).toEqual([
      "secret",
      "down",
    ]);
  });

  test("credentials get the answer to another only where that is marked as the same for all", async () => {
    const { passed, open } = gate();
    let cacheControl = "public";
    const { origin, edge, url } = start(async ({ headers }) => {
      if (origin.count() > 1) await passed;
      return answerOf(headers.get("authorization") ?? "nobody", {
        "cache-control": cacheControl,
        etag: `"${origin.count()}"`,
      });
    });
    await get(`${url}/a`);
    cacheControl = "max-age=60";
    const leader = get(`${url}/a`);
    await until(() => origin.count() === 2);
    const follower = join(edge, "/a", { authorization: "me" });
    open();
    expect(await Promise.all([leader, follower].map(async (answer) => (await answer).text()))).toEqual([
      "nobody",
      "me",
    ]);
  });
});
