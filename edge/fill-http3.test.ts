/** Fills over HTTP/3, where Bun cannot reset a stream: nothing that broke off looks like a whole answer. */
// RFC 9114 4.1.1 (a stream that is cut off is reset)
import { afterEach, describe, expect, test } from "bun:test";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import { MEBIBYTE } from "#common/units.ts";
import { startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { PacedOrigin } from "./paced-origin.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-1.m4s";
const CACHEABLE = { "content-type": "video/mp4", "cache-control": "public, max-age=3600" };
const HALF = new Uint8Array(100_000).fill(3);

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(proxyAll: boolean): Promise<{ readonly origin: PacedOrigin; readonly edge: TestEdge }> {
  const origin = await PacedOrigin.listen();
  const edge = startTestEdge(origin.url, { cacheMib: 16, proxyAll, tls: new FakeTlsSource() });
  closers.push(
    () => edge.close(),
    () => origin.close(),
  );
  return { origin, edge };
}

function ask(edge: TestEdge, path: string, signal?: AbortSignal): Promise<Response> {
  const init = { protocol: "http3", tls: { rejectUnauthorized: false } } as const;
  return fetch(edge.url + path, signal === undefined ? init : { ...init, signal });
}

describe.each([false, true])("over HTTP/3 (proxy: %p)", (proxyAll) => {
  test("what is asked for while it comes is sent when it is there, with its length", async () => {
    const { origin, edge } = await start(proxyAll);
    const answers = [1, 2].map(() => ask(edge, MEDIA));
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, CACHEABLE).send(HALF);
    await until(() => edge.upstream.receivedBytes === HALF.length);
    origin.at(0).send(HALF).end();
    for (const answer of await Promise.all(answers)) {
      expect(answer.headers.get("content-length")).toBe(String(2 * HALF.length));
      expect((await answer.bytes()).length).toBe(2 * HALF.length);
    }
    expect(origin.requests.length).toBe(1);
  });

  test("what breaks off is a failure", async () => {
    const { origin, edge } = await start(proxyAll);
    origin.onRequest = (request) => {
      request.begin(200, CACHEABLE).send(HALF);
      const knownBytes = edge.upstream.receivedBytes;
      void until(() => edge.upstream.receivedBytes > knownBytes).then(() => request.die());
    };
    expect((await ask(edge, MEDIA)).status).toBe(502);
  });

  test("what breaks off and is too large to be waited for does not end", async () => {
    const { origin, edge } = await start(proxyAll);
    const abort = new AbortController();
    const answer = ask(edge, MEDIA, abort.signal);
    await until(() => origin.requests.length === 1);
    origin.at(0).begin(200, { ...CACHEABLE, "content-length": String(8 * MEBIBYTE) });
    origin.at(0).send(HALF);
    const response = await answer;
    let outcome = "open";
    const end = (how: string) => (): void => void (outcome = how);
    response.bytes().then(end("whole"), end("broken off"));
    await until(() => edge.counters.sentBytes >= HALF.length);
    origin.at(0).die();
    await until(() => edge.fills.running === 0);
    // Whatever was sent before this has come.
    expect((await ask(edge, "/healthz")).status).toBe(200);
    expect(outcome).toBe("open");
    abort.abort();
    await until(() => outcome === "broken off");
  });
});
