/** Choice among several upstreams, and waiting for one, against real servers and a clock moved by hand. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock, systemClock, type Clock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { advanceUntil, FakeOrigin, until } from "./fake-origin.ts";
import { PacedOrigin } from "./paced-origin.ts";
import { Store } from "./store.ts";
import { fetchWithRetry } from "./upstream-retry.ts";
import { Upstream, UpstreamError } from "./upstream.ts";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function startOrigin(name: string, port = 0): FakeOrigin {
  const origin = new FakeOrigin(() => new Response(name), port);
  closers.push(() => origin.close());
  return origin;
}

function startUpstream(urls: readonly string[], clock: Clock = new FakeClock()): Upstream {
  const upstream = new Upstream({
    urls,
    clock,
    log: silentLog,
    budget: new Store({ bytesMax: 1_000_000, clock }),
  });
  closers.push(() => upstream.close());
  return upstream;
}

async function ask(upstream: Upstream, holdMsMax = 5_000): Promise<string> {
  const { body } = await upstream.fetch("/x", { holdMsMax });
  return new TextDecoder().decode(body);
}

const states = (upstream: Upstream): string[] => upstream.peers.map(({ state }) => state);

describe("several upstreams", () => {
  test("the first is asked while it is well, and none of the others but whether it is", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    const upstream = startUpstream([first.url, second.url]);
    await until(() => second.count("/readyz") === 1);
    for (let count = 0; count < 5; count++) expect(await ask(upstream)).toBe("first");
    expect([second.count("/x"), upstream.requests, upstream.failures]).toEqual([0, 5, 0]);
    expect(upstream.receivedBytes).toBe(5 * "first".length);
  });

  test("one that cannot be reached is left at once, and asked again only after a probe has found it well", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    const clock = new FakeClock();
    const upstream = startUpstream([first.url, second.url], clock);
    await until(() => first.count("/readyz") === 1 && second.count("/readyz") === 1);
    const { port } = first;
    await first.close();
    expect([await ask(upstream), await ask(upstream)]).toEqual(["second", "second"]);
    expect([upstream.requests, upstream.failures, states(upstream)]).toEqual([3, 1, ["down", "up"]]);
    const again = startOrigin("first", port);
    expect([await ask(upstream), again.count()]).toEqual(["second", 0]);
    await advanceUntil(clock, () => states(upstream)[0] === "up");
    expect([await ask(upstream), again.count("/readyz")]).toEqual(["first", 1]);
  });

  test("one that answers nothing any more is left within a second, and what waits there moves on", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    const clock = new FakeClock();
    const upstream = startUpstream([first.url, second.url], clock);
    await until(() => first.count("/readyz") === 1 && second.count("/readyz") === 1);
    first.handler = () => new Promise<Response>(() => {});
    const startMs = clock.monotonicMs();
    const held = [ask(upstream), ask(upstream)];
    await until(() => first.count("/x") === 2);
    await advanceUntil(clock, () => states(upstream)[0] !== "up");
    expect(clock.monotonicMs() - startMs).toBeLessThanOrEqual(1_000);
    expect(await Promise.all(held)).toEqual(["second", "second"]);
    expect([await ask(upstream), first.count("/x")]).toEqual(["second", 2]);
  });

  test("one that answers nothing any more loses its endless answers that are silent, and no other", async () => {
    const second = startOrigin("second");
    const first = await PacedOrigin.listen();
    closers.push(() => first.close());
    let isHanging = false;
    first.onRequest = (request) => {
      if (!request.path.endsWith("/readyz")) request.begin(200, {}).send(new Uint8Array(1));
      else if (!isHanging) request.begin(200, {}).end();
    };
    const clock = new FakeClock();
    const upstream = startUpstream([first.url, second.url], clock);
    await until(() => first.requests.length === 1 && second.count("/readyz") === 1);
    const { signal } = new AbortController();
    const read = async (path: string, onChunk: () => void): Promise<void> => {
      const { chunks } = await upstream.open(path, { signal, silenceMsMax: 60_000 });
      for await (const _ of chunks) onChunk();
    };
    let [silent, live] = [0, 0];
    const ended = read("/silent", () => silent++).catch(() => "broken off");
    const goesOn = read("/live", () => live++).catch(() => "broken off");
    await until(() => silent === 1 && live === 1);
    isHanging = true;
    const stream = first.requests.find(({ path }) => path === "/live");
    const startMs = clock.monotonicMs();
    while (states(upstream)[0] !== "down") {
      const heard = live;
      stream?.send(new Uint8Array(1));
      await until(() => live > heard);
      clock.advance(10);
      await Bun.sleep(2);
    }
    expect(clock.monotonicMs() - startMs).toBeLessThanOrEqual(1_000);
    expect(await ended).toBe("broken off");
    const heard = live;
    stream?.send(new Uint8Array(1));
    await until(() => live > heard);
    await advanceUntil(clock, () => clock.monotonicMs() - startMs > 3_000);
    expect(await goesOn).toBe("broken off");
  });

  test("one that says it is not ready is passed over, and asked if no other is there", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    first.handler = (_request, path) => new Response("first", { status: path === "/readyz" ? 503 : 200 });
    const upstream = startUpstream([first.url, second.url]);
    await until(() => states(upstream)[0] === "unready");
    expect(await ask(upstream)).toBe("second");
    await second.close();
    const failure: unknown = await ask(upstream).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UpstreamError);
    expect([await ask(upstream), states(upstream)]).toEqual(["first", ["unready", "down"]]);
  });

  test("an answer of 5xx has its upstream probed at once, so that the second try goes elsewhere", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    const upstream = startUpstream([first.url, second.url], systemClock);
    await until(() => first.count("/readyz") > 0 && second.count("/readyz") > 0);
    first.handler = () => new Response("no source", { status: 503 });
    const answer = await fetchWithRetry({ upstream, clock: systemClock, path: "/x", holdMsMax: 1_000 });
    expect([answer.status, new TextDecoder().decode(answer.body)]).toEqual([200, "second"]);
  });

  test("are a line in the log when a probe has found that they went or came, not for a request that failed", async () => {
    const [first, second] = [await PacedOrigin.listen(), startOrigin("second")];
    closers.push(() => first.close());
    let isWell = true;
    first.onRequest = (request) =>
      isWell && request.path === "/readyz" ? request.begin(200).end() : request.die();
    const clock = new FakeClock();
    const lines: string[] = [];
    const note = (line: string): void => void lines.push(line);
    const log = { debug() {}, info: note, warn: note, error: note };
    const urls = [first.url, second.url];
    const upstream = new Upstream({ urls, clock, log, budget: new Store({ bytesMax: 1_000_000, clock }) });
    closers.push(() => upstream.close());
    await until(() => first.requests.length === 1 && second.count("/readyz") === 1);
    expect(await ask(upstream)).toBe("second");
    await advanceUntil(clock, () => states(upstream)[0] === "up");
    expect(lines).toEqual([]);
    isWell = false;
    await advanceUntil(clock, () => lines.length === 1);
    isWell = true;
    await advanceUntil(clock, () => lines.length === 2);
    const { host } = new URL(first.url);
    expect(lines[0]).toStartWith(`Upstream ${host} is down: `);
    expect(lines[1]).toBe(`Upstream ${host} is well`);
  });

  test("one thing that takes too long is no reason to leave its upstream for anything in other folders", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    const held = Promise.withResolvers<void>();
    first.handler = async (_request, path) => {
      if (path !== "/readyz") await held.promise;
      return new Response("first");
    };
    const upstream = startUpstream([first.url, second.url]);
    await until(() => first.count("/readyz") === 1 && second.count("/readyz") === 1);
    const other = upstream.fetch("/other/x", { holdMsMax: 5_000 });
    const failure: unknown = await ask(upstream, 100).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "UpstreamError", status: 504 });
    held.resolve();
    const { body } = await other;
    expect([new TextDecoder().decode(body), states(upstream)]).toEqual(["first", ["up", "up"]]);
    expect(second.count("/other/x")).toBe(0);
  });

  test("what has begun is not asked for elsewhere when it breaks off", async () => {
    const first = await PacedOrigin.listen();
    closers.push(() => first.close());
    const second = startOrigin("second");
    first.onRequest = (request) => {
      if (request.path === "/readyz") request.begin(200).end();
      else request.begin(200, { "content-length": "100" }).send("some").die();
    };
    const upstream = startUpstream([first.url, second.url]);
    const failure: unknown = await ask(upstream).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "UpstreamError", isReached: true, status: 502 });
    expect(second.count("/x")).toBe(0);
  });

  test("are named by host and port, and timed", async () => {
    const origin = startOrigin("first");
    const upstream = startUpstream([`${origin.url}/base`, `${origin.url}/other`, "http://[::1]:9/"]);
    const host = `127.0.0.1:${origin.port}`;
    expect(upstream.peers.map(({ label }) => label)).toEqual([host, `${host}#2`, "[::1]:9"]);
    await ask(upstream);
    // What an upstream holds says nothing of its speed.
    await upstream.fetch("/x?_HLS_msn=1", { holdMsMax: 1_000 });
    const { discard } = await upstream.request("/x", { holdMsMax: 1_000, isHeld: true });
    discard();
    expect(origin.count("/base/x")).toBe(3);
    expect(upstream.peers[0]?.firstBytes.counts.reduce((sum, count) => sum + count)).toBe(1);
  });
});

describe("one upstream", () => {
  test("may be a Unix socket", async () => {
    const folder = await mkdtemp(join(tmpdir(), "spillway-upstream-"));
    const path = join(folder, "a socket");
    const server = Bun.serve({ unix: path, fetch: (request) => new Response(new URL(request.url).pathname) });
    closers.push(() => server.stop(true));
    closers.push(() => rm(folder, { recursive: true }));
    const upstream = startUpstream([`unix:${encodeURI(path)}`]);
    expect([await ask(upstream), upstream.peers[0]?.label]).toEqual(["/x", "local"]);
  });

  test("is asked whatever happened before, and its state is what it is told: one lost request is no outage", async () => {
    const origin = startOrigin("first");
    const { port } = origin;
    const upstream = startUpstream([origin.url]);
    await origin.close();
    await ask(upstream).catch(() => {});
    expect(states(upstream)).toEqual(["up"]);
    upstream.tellState("down");
    expect(states(upstream)).toEqual(["down"]);
    startOrigin("again", port);
    expect([await ask(upstream), states(upstream)]).toEqual(["again", ["down"]]);
    upstream.tellState("up");
    expect(states(upstream)).toEqual(["up"]);
  });

  test("that holds a request too long is 504", async () => {
    const origin = startOrigin("first");
    origin.handler = () => new Promise<Response>(() => {});
    const failure: unknown = await ask(startUpstream([origin.url]), 50).catch((error: unknown) => error);
    expect(failure).toMatchObject({ status: 504, isReached: true });
  });

  test("is polled once for all who wait for it, and that is counted", async () => {
    const gone = startOrigin("gone");
    await gone.close();
    const upstream = startUpstream([gone.url], systemClock);
    await Promise.all(Array.from({ length: 100 }, () => upstream.untilReachable(250)));
    expect(upstream.requests).toBeGreaterThan(0);
    expect(upstream.requests).toBeLessThan(5);
  });
});
