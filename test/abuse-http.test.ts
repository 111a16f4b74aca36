/**
 * What no viewer sends, over sockets to an origin: endless headers, requests that never end, crowds that say nothing,
 * streams that are never read. Others are answered meanwhile, memory is bounded, and the log stays silent.
 */
// RFC 9112 3 (request line), 3.2 (Host), 9.3.2 (pipelining); RFC 9113 6.9 (flow control)
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import http2 from "node:http2";
import { FakeTlsSource } from "#common/formats/fixtures/self-signed.ts";
import type { Log } from "#common/log.ts";
import { rawAnswer, statusOf, waitFor } from "./harness.ts";
import { OriginOnFeed } from "./origin-on-feed.ts";

const PLAYLIST = "/live/canvas/64p/index.m3u8";
const MEBIBYTE = 1024 * 1024;
/** Each is two open files of this process, of which there may be 4,096. */
const CROWD = 1_500;
/** What a crowd may cost at either end, in bytes a connection. */
const CROWD_BYTES_EACH = 48 * 1024;
/** The longest that somebody else waits for an answer meanwhile. Generous: shared machines pause. */
const ANSWER_MS_MAX = 2_000;

const lines: string[] = [];
const log: Log = {
  debug() {},
  info() {},
  warn: (message) => void lines.push(message),
  error: (message) => void lines.push(message),
};

let origin: OriginOnFeed;
let secure: OriginOnFeed;

beforeAll(async () => {
  [origin, secure] = await Promise.all([
    OriginOnFeed.open({ log }),
    OriginOnFeed.open({ log, tls: new FakeTlsSource() }),
  ]);
  // What an origin says at its start, such as that the system allows few open files, is nobody's fault.
  lines.length = 0;
});

afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await secure[Symbol.asyncDispose]();
  expect(lines).toEqual([]);
});

/** Somebody else's request, answered in time. */
async function expectServed(by: OriginOnFeed = origin): Promise<void> {
  const response = await by.get(PLAYLIST, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  expect([response.status, (await response.text()).startsWith("#EXTM3U\n")]).toEqual([200, true]);
}

function get(path: string, headers = "Host: a\r\n"): string {
  return `GET ${path} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;
}

describe("one request", () => {
  test.each([
    ["a query of 1 MB", get(`${PLAYLIST}?x=${"a".repeat(MEBIBYTE)}`), 431],
    ["a header of 1 MB", get(PLAYLIST, `Host: a\r\nX: ${"a".repeat(MEBIBYTE)}\r\n`), 431],
    ["a hundred thousand headers", get(PLAYLIST, `Host: a\r\n${"X: y\r\n".repeat(100_000)}`), 431],
    ["two Host headers", get(PLAYLIST, "Host: a\r\nHost: b\r\n"), 400],
    ["no Host header", get(PLAYLIST, ""), 400],
    ["a method that nobody knows", get(PLAYLIST).replace("GET", "BREW"), 0],
    ["a method of another protocol", get(PLAYLIST).replace("GET", "PROPFIND"), 405],
    [
      "a body of 1 MB",
      get(PLAYLIST, `Host: a\r\nContent-Length: ${MEBIBYTE}\r\n`).replace("GET", "POST"),
      413,
    ],
    ["two lengths", get(PLAYLIST, "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400],
    ["no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400],
    ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["a sequence number of 5,000 digits", get(`${PLAYLIST}?_HLS_msn=${"9".repeat(5_000)}`), 400],
    ["a sequence number a hundred times", get(`${PLAYLIST}?${"_HLS_msn=1000&".repeat(100)}`), 400],
    ["a sequence number a thousand times", get(`${PLAYLIST}?${"_HLS_msn=1000&".repeat(1_000)}`), 414],
    ["a part with an exponent", get(`${PLAYLIST}?_HLS_msn=1000&_HLS_part=1e9`), 400],
    ["a sequence number beyond all", get(`${PLAYLIST}?_HLS_msn=18446744073709551616`), 400],
    ["a path with bytes that are no text", get("/live/canvas/%00%ff/../\x80/index.m3u8"), 404],
  ])("%s", async (_, request, status) => {
    expect(statusOf(await rawAnswer(origin.port, request))).toBe(status);
    await expectServed();
  });

  test("many at once on one connection are answered in their order", async () => {
    const paths = [PLAYLIST, "/healthz", `${PLAYLIST}?_HLS_part=1`, "/absent"];
    const requests = Array.from({ length: 25 }, () => paths).flat();
    const text = requests.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join("");
    const statusesIn = (answer: string): number[] =>
      [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    const answer = await rawAnswer(origin.port, text, (so) => statusesIn(so).length === requests.length);
    expect(statusesIn(answer)).toEqual(Array.from({ length: 25 }, () => [200, 200, 400, 404]).flat());
  });
});

describe("a crowd", () => {
  /** Opens connections that each send `words` and no more. */
  async function crowd(words: string): Promise<Bun.Socket[]> {
    const sockets: Bun.Socket[] = [];
    for (let index = 0; index < CROWD; index++) {
      sockets.push(
        await Bun.connect({
          hostname: "127.0.0.1",
          port: origin.port,
          socket: { open: (socket) => void socket.write(words), data() {}, error() {} },
        }),
      );
    }
    return sockets;
  }

  test.each([
    ["that says nothing", ""],
    ["that never ends its header", `GET ${PLAYLIST} HTTP/1.1\r\nHost: a\r\nX-`],
    ["that has its answer and stays", `GET ${PLAYLIST} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ["that leaves in the midst of a hold", "HELD"],
  ])("%s", async (_, words) => {
    await expectServed();
    const before = process.memoryUsage().rss;
    const held = `GET ${origin.nextReload} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const sockets = await crowd(words === "HELD" ? held : words);
    try {
      for (const socket of sockets) if (words.endsWith("X-")) socket.write("a");
      await expectServed();
      expect(process.memoryUsage().rss - before).toBeLessThan(CROWD * CROWD_BYTES_EACH);
    } finally {
      for (const socket of sockets) socket.terminate();
    }
    await waitFor("their places to be free", async () => {
      return (await origin.metric("spillway_origin_held_requests")) === 0;
    });
    await expectServed();
  });
});

describe("over HTTP/2", () => {
  const STREAMS = 250;
  const FRAME_BYTES = 20_000;

  /** Opens streams on one connection that takes not one byte of any body. */
  async function openDeaf(path: string): Promise<http2.ClientHttp2Session> {
    const session = http2.connect(secure.url, {
      rejectUnauthorized: false,
      settings: { initialWindowSize: 0 },
    });
    session.on("error", () => undefined);
    let answered = 0;
    for (let index = 0; index < STREAMS; index++) {
      const stream = session.request({ ":path": path });
      stream.on("response", () => void answered++);
      stream.on("error", () => undefined);
    }
    await waitFor("all answers to begin", () => answered === STREAMS);
    return session;
  }

  test("streams that are never read share one body", async () => {
    secure.play(165, FRAME_BYTES);
    const { path, length } = await waitFor("a long segment", async () => {
      const text = await (await secure.get(PLAYLIST)).text();
      const newest = `/live/canvas/64p/${text.match(/^[0-9a-f]{8}-\d+\.m4s$/gm)?.at(-1)}`;
      const { headers } = await secure.get(newest, { method: "HEAD" });
      const bytes = Number(headers.get("content-length"));
      return bytes > 60 * FRAME_BYTES && { path: newest, length: bytes };
    });
    const before = process.memoryUsage().rss;
    const session = await openDeaf(path);
    // Of 250 copies this is a tenth.
    expect(process.memoryUsage().rss - before).toBeLessThan((STREAMS * length) / 10);
    await expectServed(secure);
    session.destroy();
  });

  test("more streams than are allowed are refused, and others are served", async () => {
    const session = await openDeaf("/live/canvas/64p/stream.ts");
    const refused = Promise.withResolvers<unknown>();
    for (let index = 0; index < 300; index++) {
      session.request({ ":path": "/live/canvas/64p/stream.ts" }).on("error", refused.resolve);
    }
    await expectServed(secure);
    session.destroy();
    await refused.promise;
    await waitFor("all viewers to be gone", async () => {
      return (await secure.metric("spillway_origin_ts_viewers")) === 0;
    });
  });
});
