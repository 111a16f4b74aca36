/** Choice among several upstreams, and waiting for one, against real servers and a clock moved by hand. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock, systemClock, type Clock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { FakeOrigin, until } from "./fake-origin.ts";
import { Store } from "./store.ts";
import { Upstream, UpstreamError } from "./upstream.ts";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function startOrigin(name: string): FakeOrigin {
  const origin = new FakeOrigin(() => new Response(name));
  closers.push(() => origin.close());
  return origin;
}

function startUpstream(urls: readonly string[], clock: Clock = new FakeClock()): Upstream {
  const upstream = new Upstream({ urls, clock, log: silentLog, budget: new Store(1_000_000) });
  closers.push(() => upstream.close());
  return upstream;
}

async function ask(upstream: Upstream, holdMsMax = 2_000): Promise<string> {
  const { body } = await upstream.fetch("/x", { holdMsMax });
  return new TextDecoder().decode(body);
}

describe("Upstream", () => {
  test("asks the first, passes it over once it hung, and goes back only after a probe", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    const clock = new FakeClock();
    const upstream = startUpstream([first.url, second.url], clock);
    expect(await ask(upstream)).toBe("first");
    const gate = Promise.withResolvers<void>();
    first.handler = async () => {
      await gate.promise;
      return new Response("first");
    };
    const failure: unknown = await ask(upstream, 50).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UpstreamError);
    const asked = first.count("/x");
    expect(await ask(upstream)).toBe("second");
    gate.resolve();
    first.handler = (_request, path) => new Response("first", { status: path === "/readyz" ? 503 : 200 });
    clock.advance(10_000);
    await until(() => first.count("/readyz") === 1);
    await Bun.sleep(20);
    expect([await ask(upstream), first.count("/x")]).toEqual(["second", asked]);
    first.handler = () => new Response("first");
    clock.advance(19_000);
    expect([await ask(upstream), first.count("/readyz")]).toEqual(["second", 1]);
    clock.advance(1_000);
    await until(() => first.count("/readyz") === 2);
    let answer = "";
    while (answer !== "first") answer = await ask(upstream);
    expect(second.count("/readyz")).toBe(0);
  });

  test("uses the second while the first cannot be reached", async () => {
    const [first, second] = [startOrigin("first"), startOrigin("second")];
    await first.close();
    const upstream = startUpstream([first.url, second.url]);
    expect([await ask(upstream), await ask(upstream)]).toEqual(["second", "second"]);
    expect([upstream.requests, upstream.failures]).toEqual([3, 1]);
  });

  test("polls once for all who wait for it, and counts that", async () => {
    const gone = startOrigin("gone");
    await gone.close();
    const upstream = startUpstream([gone.url], systemClock);
    await Promise.all(Array.from({ length: 100 }, () => upstream.untilReachable(250)));
    expect(upstream.requests).toBeGreaterThan(0);
    expect(upstream.requests).toBeLessThan(5);
  });
});
