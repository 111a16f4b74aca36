/** The same edge over HTTP/1.1, HTTP/2 and HTTP/3: what is short, what is held, and what never ends. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import http2 from "node:http2";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import { FakeLivePlaylist, FakeOrigin, startTestEdge, until, type TestEdge } from "./fake-origin.ts";
import { FakeTransportStream } from "./fake-transport-stream.ts";

const RENDITION = "/live/canvas/720p";
const MEDIA = `${RENDITION}/aabbccdd-1.m4s`;
const BODY = new Uint8Array(300_000).map((_, index) => index % 251);
const PART_MS = 50;
/** A stream whose origin falls silent, and three of its target durations: longer than Bun lets a connection be silent by itself. */
const SILENT = "/live/silent/720p/index.m3u8";
const SILENT_TARGET_SECONDS = 5;
const HOLD_MS = 15_000;

let origin: FakeOrigin;
let edge: TestEdge;
const live = new FakeLivePlaylist();
const stream = new FakeTransportStream();
const timers: Timer[] = [];

function endless(request: Request, next: () => Uint8Array, contentType: string): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const timer = setInterval(() => controller.enqueue(next()), PART_MS);
      timers.push(timer);
      request.signal.addEventListener("abort", () => clearInterval(timer));
    },
  });
  return new Response(body, { headers: { "content-type": contentType } });
}

beforeAll(() => {
  origin = new FakeOrigin((request, path) => {
    if (path.endsWith("stream.ts")) return endless(request, () => stream.gop(6), "video/mp2t");
    const event = new TextEncoder().encode('event: figures\ndata: {"n":1}\n\n');
    if (path.endsWith("events")) return endless(request, () => event, "text/event-stream");
    if (!path.includes("index.m3u8")) {
      const headers = { "content-type": "video/mp4", "cache-control": "max-age=3600", etag: '"1"' };
      return new Response(BODY, { headers });
    }
    if (!path.startsWith(SILENT)) return live.answer(request);
    if (path.includes("_HLS_msn")) return new Promise<Response>(() => undefined);
    const text = live.text().replace("TARGETDURATION:2", `TARGETDURATION:${SILENT_TARGET_SECONDS}`);
    return new Response(text, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
  });
  edge = startTestEdge(origin.url, { tls: new FakeTlsSource() });
});

afterAll(async () => {
  for (const timer of timers) clearInterval(timer);
  await edge.close();
  await origin.close();
});

function ask(
  protocol: "http1.1" | "http2" | "http3",
  path: string,
  init: BunFetchRequestInit = {},
): Promise<Response> {
  return fetch(edge.url + path, { protocol, tls: { rejectUnauthorized: false }, ...init });
}

/** Reads until so many bytes have come, then leaves. */
async function read(response: Response, bytes: number, leave: () => void): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= bytes) break;
  }
  leave();
  return Buffer.concat(chunks);
}

describe.each(["http1.1", "http2", "http3"] as const)("over %s", (protocol) => {
  test("media come whole, in parts, not at all where they are known, and as headers", async () => {
    const whole = await ask(protocol, MEDIA);
    expect([whole.status, Buffer.from(await whole.arrayBuffer()).equals(BODY)]).toEqual([200, true]);
    const part = await ask(protocol, MEDIA, { headers: { range: "bytes=1000-1999" } });
    expect([part.status, await part.bytes()]).toEqual([206, BODY.slice(1_000, 2_000)]);
    const known = await ask(protocol, MEDIA, { headers: { "if-none-match": '"1"' } });
    expect([known.status, await known.text()]).toEqual([304, ""]);
    const head = await ask(protocol, MEDIA, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(BODY.length)]);
    const post = await ask(protocol, MEDIA, { method: "POST", body: "x" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    const long = await ask(protocol, `/${"a".repeat(9_000)}`);
    expect([long.status, long.headers.get("access-control-allow-origin")]).toEqual([414, "*"]);
  });

  test("a held playlist is answered with the next part", async () => {
    expect((await ask(protocol, `${RENDITION}/index.m3u8`)).status).toBe(200);
    const held = ask(
      protocol,
      `${RENDITION}/index.m3u8?_HLS_msn=${live.lastMsn + 1}&_HLS_part=${live.openParts}`,
    );
    await until(() => live.held > 0);
    live.publish();
    expect(await (await held).text()).toBe(live.text());
  });

  test("endless answers flow, and end at the edge when the viewer leaves", async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const video = await ask(protocol, "/live/canvas/stream.ts", { signal });
    const packets = await read(video, 188 * 200, () => undefined);
    expect([packets[0], packets[188]]).toEqual([0x47, 0x47]);
    const events = await ask(protocol, "/live/canvas/events", { signal });
    const text = await read(events, 60, () => leaving.abort());
    expect(Buffer.from(text).toString()).toContain("event: figures");
    await until(() => edge.viewers.ts === 0 && edge.viewers.events === 0);
  });
});

describe("over HTTP/2, word for word", () => {
  /** Status of a request; 0 where its stream was reset. */
  function statusOf(headers: http2.OutgoingHttpHeaders, body?: string): Promise<number> {
    const session = http2.connect(edge.url, { rejectUnauthorized: false });
    session.on("error", () => undefined);
    const { promise, resolve } = Promise.withResolvers<number>();
    let status = 0;
    const request = session.request(headers, { endStream: body === undefined });
    request.on("response", (head) => void (status = Number(head[":status"])));
    request.on("error", () => undefined);
    request.on("close", () => {
      resolve(status);
      session.destroy();
    });
    request.resume();
    if (body !== undefined) request.end(body);
    return promise;
  }

  test.each([
    ["a method that nodes have no use for", { ":method": "TRACE" }, undefined, 405],
    ["a method that would change something", { ":method": "PUT" }, "abc", 405],
    ["a method that is a word", { ":method": "BREW" }, undefined, 501],
    ["an authority that is none", { ":authority": "a b" }, undefined, 400],
    ["an authority and another Host", { ":authority": "a", host: "b" }, undefined, 0],
    ["a path of 9,000 characters", { ":path": `/${"a".repeat(9_000)}` }, undefined, 414],
    ["a path that is none", { ":path": "x" }, undefined, 0],
    ["a body that nobody asked for", {}, "x".repeat(50_000), 200],
  ])("%s", async (_, headers, body, status) => {
    expect(await statusOf({ ":path": MEDIA, ...headers }, body)).toBe(status);
  });
});

test("E22: held requests outlast three target durations of silence on every protocol, and are answered", async () => {
  expect((await ask("http2", SILENT)).status).toBe(200);
  const path = `${SILENT}?_HLS_msn=${live.lastMsn + 1}&_HLS_part=${live.openParts}`;
  const beganMs = performance.now();
  const answers = await Promise.all(
    (["http1.1", "http2", "http3"] as const).map((protocol) => ask(protocol, path)),
  );
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
  expect(performance.now() - beganMs).toBeGreaterThan(HOLD_MS - 100);
}, 30_000);
