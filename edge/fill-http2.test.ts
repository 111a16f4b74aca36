/** Fills read along over HTTP/2: streams of one connection that end, break off and stall on their own. */
// RFC 9113 5.4.2 (a stream's reset), 6.9 (flow control)
import { afterEach, describe, expect, test } from "bun:test";
import http2 from "node:http2";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import { MEBIBYTE } from "#common/units.ts";
import { startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { PacedOrigin } from "./paced-origin.ts";

const CACHEABLE = { "content-type": "video/mp4", "cache-control": "public, max-age=3600" };
const HALF = new Uint8Array(100_000).fill(3);
const mediaPath = (msn: number): string => `/live/canvas/720p/aabbccdd-${msn}.m4s`;

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(): Promise<{
  readonly origin: PacedOrigin;
  readonly edge: TestEdge;
  readonly session: http2.ClientHttp2Session;
}> {
  const origin = await PacedOrigin.listen();
  const edge = startTestEdge(origin.url, { cacheMib: 256, tls: new FakeTlsSource() });
  const session = http2.connect(edge.url, { rejectUnauthorized: false });
  closers.push(
    () => session.destroy(),
    () => edge.close(),
    () => origin.close(),
  );
  return { origin, edge, session };
}

/** One stream of a connection. */
class Http2Download {
  bytes = 0;
  outcome: "open" | "whole" | "reset" = "open";
  readonly stream: http2.ClientHttp2Stream;

  constructor(session: http2.ClientHttp2Session, path: string, isStalled = false) {
    this.stream = session.request({ ":path": path });
    this.stream.on("error", () => {});
    this.stream.on("close", () => {
      this.outcome = this.stream.rstCode === http2.constants.NGHTTP2_NO_ERROR ? "whole" : "reset";
    });
    if (isStalled) this.stream.pause();
    else this.stream.on("data", (chunk: Buffer) => (this.bytes += chunk.length));
    this.stream.end();
  }
}

describe("over HTTP/2", () => {
  test("a body that breaks off resets its streams and leaves the others of the connection alone", async () => {
    const { origin, edge, session } = await start();
    const broken = [1, 2].map(() => new Http2Download(session, mediaPath(1)));
    const whole = new Http2Download(session, mediaPath(2));
    await until(() => origin.requests.length === 2);
    for (const request of origin.requests) request.begin(200, CACHEABLE).send(HALF);
    await until(() => [...broken, whole].every(({ bytes }) => bytes === HALF.length));
    const isFirst = origin.at(0).path === mediaPath(1);
    origin.at(isFirst ? 0 : 1).die();
    await until(() => broken.every(({ outcome }) => outcome !== "open"));
    expect([broken.map(({ outcome }) => outcome), session.closed]).toEqual([["reset", "reset"], false]);
    origin
      .at(isFirst ? 1 : 0)
      .send(HALF)
      .end();
    await until(() => whole.outcome !== "open");
    expect([whole.outcome, whole.bytes]).toEqual(["whole", 2 * HALF.length]);
    expect([edge.store.items, edge.store.reservedBytes]).toEqual([1, 0]);
  });

  test("a stream that takes nothing of 32 MB does not hold up another on the same connection", async () => {
    const { origin, edge, session } = await start();
    const size = 32 * MEBIBYTE;
    const stalled = new Http2Download(session, mediaPath(1), true);
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, CACHEABLE).send(HALF);
    await until(() => edge.counters.sentBytes > 0);
    const second = new Http2Download(session, mediaPath(1));
    origin
      .at(0)
      .send(new Uint8Array(size - HALF.length))
      .end();
    await until(() => second.outcome !== "open");
    expect([second.outcome, second.bytes, origin.requests.length]).toEqual(["whole", size, 1]);
    expect(stalled.outcome).toBe("open");
    stalled.stream.close();
    await until(() => edge.store.reservedBytes === 0);
  });
});
