/** An origin with a certificate: HTTP/2 and HTTP/1.1 on one port, held requests and endless answers on either. */
// RFC 9113 5.1.2 (concurrent streams), 5.4.2 (a stream's reset), 6.9 (flow control)
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import http2 from "node:http2";
import { HOLD_TARGET_DURATIONS } from "#common/held-playlist.ts";
import { systemClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { HttpServer, IDLE_TIMEOUT_SECONDS } from "#common/listen.ts";
import type { TlsSource } from "#common/tls.ts";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { CMAF_SEGMENT_SECONDS, TS_SEGMENT_SECONDS } from "../origin/config.ts";
import { waitFor } from "./harness.ts";
import { OriginOnFeed } from "./origin-on-feed.ts";

const PLAYLIST = "/live/canvas/64p/index.m3u8";
const CONNECTIONS = 10;
const HOLDS_EACH = 50;
/** Bun closes a connection that has been silent for 12 s unless it is told otherwise. */
const HOLD_MS = 13_000;

let origin: OriginOnFeed;

beforeAll(async () => {
  origin = await OriginOnFeed.open({ tls: new FakeTlsSource() });
});

afterAll(() => origin[Symbol.asyncDispose]());

/** One connection with HTTP/2, once the origin has said what it allows. */
async function connect(): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(origin.url, { rejectUnauthorized: false });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  session.once("remoteSettings", () => resolve());
  session.on("error", reject);
  await promise;
  return session;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends GET on a stream of its own. `stream.close()` resets it. */
function request(
  session: http2.ClientHttp2Session,
  path: string,
): { readonly stream: http2.ClientHttp2Stream; readonly answer: Promise<Answer> } {
  const stream = session.request({ ":path": path });
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  let status = 0;
  let text = "";
  stream.setEncoding("utf8");
  stream.on("response", (headers) => void (status = Number(headers[":status"])));
  stream.on("data", (chunk: string) => void (text += chunk));
  stream.on("end", () => resolve({ status, text }));
  stream.on("error", reject);
  return { stream, answer: promise };
}

function heldRequests(): Promise<number> {
  return origin.metric("spillway_origin_held_requests");
}

describe("with a certificate", () => {
  test.each(["http2", "http1.1"] as const)(
    "53: %s serves playlists, media and their ranges",
    async (protocol) => {
      const playlist = await origin.get(PLAYLIST, { protocol });
      const text = await playlist.text();
      expect([playlist.status, playlist.headers.get("content-encoding")]).toEqual([200, "gzip"]);
      expect(text).toStartWith("#EXTM3U\n");
      const plainText = await origin.get(PLAYLIST, { protocol, headers: { "accept-encoding": "identity" } });
      expect([plainText.headers.get("content-encoding"), await plainText.text()]).toEqual([null, text]);

      const part = `/live/canvas/64p/${/PART:DURATION=\S*URI="([^"]+)/.exec(text)?.[1]}`;
      const whole = await origin.get(part, { protocol });
      const bytes = await whole.bytes();
      const ranged = await origin.get(part, { protocol, headers: { range: "bytes=8-15" } });
      expect([ranged.status, ranged.headers.get("content-range")]).toEqual([
        206,
        `bytes 8-15/${bytes.length}`,
      ]);
      expect(await ranged.bytes()).toEqual(bytes.subarray(8, 16));

      const head = await origin.get(PLAYLIST, { protocol, method: "HEAD" });
      expect([head.status, Date.parse(head.headers.get("date") ?? "") > 0]).toEqual([200, true]);
      const refused = await origin.get(PLAYLIST, { protocol, method: "DELETE" });
      expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
      expect((await origin.get(`${PLAYLIST}?_HLS_part=1`, { protocol })).status).toBe(400);
    },
  );

  test("53: hundreds of held reloads on few connections all get the part they wait for", async () => {
    const sessions = await Promise.all(Array.from({ length: CONNECTIONS }, connect));
    const path = origin.nextReload;
    const held = sessions.flatMap((session) =>
      Array.from({ length: HOLDS_EACH }, () => request(session, path)),
    );
    await waitFor("all to be held", async () => (await heldRequests()) === held.length);
    origin.play(6);
    const answers = await Promise.all(held.map(({ answer }) => answer));
    const [first] = answers;
    expect(first?.text).toStartWith("#EXTM3U\n");
    expect(answers.filter(({ status, text }) => status === 200 && text === first?.text)).toHaveLength(
      held.length,
    );
    for (const session of sessions) session.destroy();
  });

  test("53: a reset stream and a lost connection free their places", async () => {
    const [session, lost] = await Promise.all([connect(), connect()]);
    const path = origin.nextReload;
    const reset = request(session, path);
    const stays = request(session, path);
    const gone = request(lost, path);
    await waitFor("all three to be held", async () => (await heldRequests()) === 3);
    reset.stream.close(http2.constants.NGHTTP2_CANCEL);
    gone.answer.catch(() => undefined);
    lost.destroy();
    await waitFor("one to stay", async () => (await heldRequests()) === 1);
    origin.play(6);
    expect((await stays.answer).status).toBe(200);
    session.destroy();
  });

  test("53: the endless .ts flows beside other streams of its connection, and ends with its reset", async () => {
    const session = await connect();
    const inspector = new TsInspector();
    const stream = session.request({ ":path": "/live/canvas/64p/stream.ts" });
    stream.on("data", (chunk: Uint8Array) => inspector.push(chunk));
    await waitFor("the group of pictures so far", () => inspector.counts.accessUnits > 0);
    const before = inspector.counts.accessUnits;
    origin.play(30);
    await waitFor("what is new", () => inspector.counts.accessUnits >= before + 30);
    expect(inspector.counts).toMatchObject({ continuityErrors: 0, syncLosses: 0 });
    expect((await request(session, PLAYLIST).answer).status).toBe(200);
    expect(await origin.metric("spillway_origin_ts_viewers")).toBe(1);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await waitFor(
      "the viewer to be gone",
      async () => (await origin.metric("spillway_origin_ts_viewers")) === 0,
    );
    session.destroy();
  });
});

describe("the longest hold", () => {
  test("37: is shorter than the silence after which a connection is closed", () => {
    const holdSeconds = HOLD_TARGET_DURATIONS * Math.max(CMAF_SEGMENT_SECONDS, TS_SEGMENT_SECONDS);
    expect(IDLE_TIMEOUT_SECONDS).toBeGreaterThan(2 * holdSeconds);
  });

  test("37: outlasts the silence that Bun allows by itself, on HTTP/1.1, TLS and HTTP/2", async () => {
    const open = (tls?: TlsSource): HttpServer =>
      new HttpServer({
        option: "origin-port",
        port: 0,
        hostname: "127.0.0.1",
        tls,
        clock: systemClock,
        log: silentLog,
        fetch: async () => {
          await Bun.sleep(HOLD_MS);
          return new Response("held\n");
        },
        error: () => new Response("failed\n", { status: 500 }),
      });
    const plain = open();
    const secure = open(new FakeTlsSource());
    const get = async (server: HttpServer, protocol: "http1.1" | "http2"): Promise<string> => {
      const tls = { rejectUnauthorized: false };
      return (await fetch(`${server.scheme}://127.0.0.1:${server.port}/`, { protocol, tls })).text();
    };
    const answers = [get(plain, "http1.1"), get(secure, "http1.1"), get(secure, "http2")];
    expect(await Promise.all(answers)).toEqual(["held\n", "held\n", "held\n"]);
    await Promise.all([plain.stop(), secure.stop()]);
  });
});
