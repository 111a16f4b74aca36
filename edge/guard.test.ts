/** Limits of viewers, in front of a whole edge. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseRange } from "#common/address-prefix.ts";
import { FakeClock } from "#common/clock.ts";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import type { TlsSource } from "#common/tls.ts";
import { FakeOrigin, startTestEdge, type TestEdge, type TestEdgeLimits } from "./fake-origin.ts";
import { createGuard, type GuardConfig } from "./guard.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-1.m4s";
const clock = new FakeClock();
let origin: FakeOrigin;

beforeAll(() => {
  origin = new FakeOrigin((_request, path) => new Response(`origin ${path}`));
});

afterAll(() => origin.close());

/** An edge whose limits are as given, with 127.0.0.1 for a trusted proxy where `trusted` is set. */
function start(
  limits: Partial<GuardConfig>,
  { isTrusting = false, tls }: { readonly isTrusting?: boolean; readonly tls?: TlsSource } = {},
): TestEdge {
  const loopback = parseRange("127.0.0.1");
  const trusted = isTrusting && loopback !== undefined ? [loopback] : [];
  const config: GuardConfig = {
    viewerConnectionsPerPrefix: 0,
    viewerRequestsPerPrefix: 0,
    trustedProxies: trusted,
    forwardedHeader: "x-forwarded-for",
    edgeWorkers: 1,
    ...limits,
  };
  const guard: TestEdgeLimits["guard"] = (port) => createGuard(config, { clock, port });
  return startTestEdge(origin.url, { trusted, guard, ...(tls !== undefined && { tls }) });
}

async function statuses(count: number, ask: () => Promise<Response>): Promise<number[]> {
  const found: number[] = [];
  for (let index = 0; index < count; index++) {
    const response = await ask();
    await response.text();
    found.push(response.status);
  }
  return found;
}

/** One connection of HTTP/1.1 that stays open after its answers. */
class RawClient implements Disposable {
  readonly #socket: Promise<Bun.Socket>;
  #onText: (text: string) => void = () => {};
  isClosed = false;

  constructor(edge: TestEdge) {
    this.#socket = Bun.connect({
      hostname: "127.0.0.1",
      port: Number(new URL(edge.url).port),
      socket: {
        data: (_socket, bytes) => this.#onText(bytes.toString()),
        close: () => void (this.isClosed = true),
      },
    });
  }

  /** The head of the next answer. */
  async ask(path = MEDIA): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#onText = resolve;
    (await this.#socket).write(`HEAD ${path} HTTP/1.1\r\nHost: edge\r\n\r\n`);
    return promise;
  }

  [Symbol.dispose](): void {
    void this.#socket.then((socket) => socket.terminate());
  }
}

describe("requests of a prefix", () => {
  test("past the limit are 503 with Retry-After, readable for pages, and counted", async () => {
    const edge = start({ viewerRequestsPerPrefix: 5 });
    const asked = await statuses(12, () => fetch(edge.url + MEDIA));
    expect(asked.filter((status) => status === 200)).toHaveLength(10);
    const refused = await fetch(edge.url + MEDIA);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(refused.headers.get("access-control-allow-origin")).toBe("*");
    expect([edge.counters.refused.rate, edge.counters.requests.refused]).toEqual([3, 3]);
    // A monitor behind the viewers' address is told how the edge is.
    expect(await statuses(2, () => fetch(`${edge.url}/healthz`))).toEqual([200, 200]);
    clock.advance(1_000);
    expect(await statuses(6, () => fetch(edge.url + MEDIA))).toEqual([200, 200, 200, 200, 200, 503]);
    await edge.close();
  });

  test("are each viewer's own behind a trusted proxy, and nobody's by his own claim", async () => {
    const trusting = start({ viewerRequestsPerPrefix: 1 }, { isTrusting: true });
    const doubting = start({ viewerRequestsPerPrefix: 1 });
    const ask = (edge: TestEdge, viewer: string) => (): Promise<Response> =>
      fetch(edge.url + MEDIA, { headers: { "x-forwarded-for": viewer } });
    expect(await statuses(3, ask(trusting, "192.0.2.1"))).toEqual([200, 200, 503]);
    expect(await statuses(1, ask(trusting, "192.0.2.2"))).toEqual([200]);
    // One host of IPv6 has a whole /64.
    expect(await statuses(2, ask(trusting, "2001:db8::1"))).toEqual([200, 200]);
    expect(await statuses(1, ask(trusting, "2001:db8::2"))).toEqual([503]);
    expect(await statuses(2, ask(doubting, "192.0.2.1"))).toEqual([200, 200]);
    expect(await statuses(1, ask(doubting, "192.0.2.2"))).toEqual([503]);
    await Promise.all([trusting.close(), doubting.close()]);
  });
});

test.skipIf(process.platform !== "linux")(
  "connections of a prefix past the limit are 503 and closed, those before it stay, and a closed one makes room",
  async () => {
    const edge = start({ viewerConnectionsPerPrefix: 2 });
    using first = new RawClient(edge);
    using third = new RawClient(edge);
    {
      using second = new RawClient(edge);
      expect(await first.ask()).toStartWith("HTTP/1.1 200");
      expect(await second.ask()).toStartWith("HTTP/1.1 200");
      const refused = await third.ask();
      expect(refused).toStartWith("HTTP/1.1 503");
      expect(refused).toMatch(/^connection: close\r$/im);
      while (!third.isClosed) await Bun.sleep(1);
      expect(await first.ask()).toStartWith("HTTP/1.1 200");
      expect(edge.counters.refused.connections).toBe(1);
      using monitor = new RawClient(edge);
      const health = await monitor.ask("/healthz");
      expect(health).toStartWith("HTTP/1.1 200");
      expect(health).toMatch(/^connection: close\r$/im);
      while (!monitor.isClosed) await Bun.sleep(1);
    }
    for (;;) {
      clock.advance(1_000);
      using next = new RawClient(edge);
      if ((await next.ask()).startsWith("HTTP/1.1 200")) break;
    }
    expect(await first.ask()).toStartWith("HTTP/1.1 200");
    await edge.close();
  },
);

test.skipIf(process.platform !== "linux")(
  "a peer of HTTP/3, which no table of connections lists, counts among them until it is silent",
  async () => {
    const edge = start({ viewerConnectionsPerPrefix: 1 }, { tls: new FakeTlsSource() });
    const ask = async (protocol: "http1.1" | "http3"): Promise<number> => {
      const init = { protocol, keepalive: false, tls: { rejectUnauthorized: false } };
      return (await fetch(edge.url + MEDIA, init)).status;
    };
    expect(await ask("http3")).toBe(200);
    clock.advance(20_000);
    expect(await ask("http1.1")).toBe(503);
    clock.advance(20_000);
    expect(await ask("http1.1")).toBe(200);
    await edge.close();
  },
);

test("the list of edges is asked for by the name that a trusted proxy tells", async () => {
  const edge = start({}, { isTrusting: true });
  await fetch(`${edge.url}/api/v1/edges`, { headers: { "x-forwarded-host": "tv.example:444" } });
  expect(origin.lastHeaders.get("host")).toBe("tv.example");
  await edge.close();
});
