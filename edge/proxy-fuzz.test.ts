/** The caching proxy between an upstream that answers at random and clients that ask at random: it never fails by itself. */
import { expect, test } from "bun:test";
import { startTestEdge } from "./fake-origin.ts";

const CLIENTS = 10;
const REQUESTS = 60;
const STATUSES = [200, 200, 200, 304, 206, 404, 500, 503, 204, 301, 199, 999, 416];
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  "cache-control": [
    "max-age=1",
    "no-cache",
    'private="x a"',
    "max-age=0, stale-while-revalidate=5",
    ',,=,"',
    "s-maxage=9",
  ],
  vary: ["*", "Foo", "b a r", "x-\u00e9", ", ,", "Accept-Encoding"],
  etag: ['"a"', 'W/"a"', "a", '"'],
  "last-modified": ["0", "Thu, 15 Jan 2026 11:43:20 GMT"],
  expires: ["-1", "Thu, 18 Aug 2050 02:01:18 GMT"],
  age: ["-1", "9999999999", "1, x"],
  "content-type": ["application/vnd.apple.mpegurl", "video/mp4"],
  "content-encoding": ["gzip", "br"],
  connection: ["etag", "close", "\u00e9"],
  location: ["/", "http://\u00e9"],
  "set-cookie": ["a=b", "\u00e9"],
};
const ASKED: Readonly<Record<string, readonly string[]>> = {
  range: ["bytes=0-", "bytes=1-2", "bytes=99-", "x"],
  "if-none-match": ['"a"', "*", "a"],
  "if-modified-since": ["0", "Thu, 15 Jan 2026 11:43:20 GMT"],
  "if-range": ['"a"', "0"],
  authorization: ["x"],
  foo: ["1", "2"],
};
const BODIES = [
  "hello",
  "",
  "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXTINF:x,\na.ts\n",
  "x".repeat(20_000),
];

/** The same numbers in each run: those of Park and Miller, from 0 to 1. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

test("ProxyCache answers whatever the upstream says, and takes nothing of that for its own mistake", async () => {
  const random = randomNumbers(7);
  const pick = <T>(choices: readonly T[], fallback: T): T =>
    choices[Math.floor(random() * choices.length)] ?? fallback;
  const some = (fields: Readonly<Record<string, readonly string[]>>, share: number): [string, string][] =>
    Object.entries(fields).flatMap(([name, values]) => (random() < share ? [[name, pick(values, "")]] : []));
  const upstream = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        const body = pick(BODIES, "");
        const lines = some(FIELDS, 0.3).map(([name, value]) => `${name}: ${value}`);
        const head = [`HTTP/1.1 ${pick(STATUSES, 200)} X`, `content-length: ${body.length}`, ...lines];
        if (random() < 0.95) socket.write(Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`, "latin1"));
        if (random() < 0.3) socket.end();
      },
      error() {},
    },
  });
  const edge = startTestEdge(`http://127.0.0.1:${upstream.port}`, { proxyAll: true });
  let ownMistakes = 0;
  const client = async (): Promise<void> => {
    for (let count = 0; count < REQUESTS; count++) {
      const path = pick(["/a", "/b", "/c.m3u8", "/c.m3u8?_HLS_msn=1", "/d?x=%zz"], "/");
      const method = pick(["GET", "GET", "HEAD"], "GET");
      const options = { method, headers: some(ASKED, 0.15), redirect: "manual", decompress: false } as const;
      try {
        const response = await fetch(edge.url + path, { ...options, signal: AbortSignal.timeout(200) });
        if ((await response.text()) === "Internal error\n") ownMistakes++;
      } catch {
        // Broken off by the upstream, or held for too long: both are answers that a client may get.
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  expect(ownMistakes).toBe(0);
  expect((await fetch(`${edge.url}/healthz`)).status).toBe(200);
  await edge.close();
  upstream.stop(true);
}, 60_000);
