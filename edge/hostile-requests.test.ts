/**
 * Requests as they come over a socket, word for word, to a whole edge: what is refused and how, and what a body, or
 * requests behind one another, do to the connection. Nothing may hang, and nothing may be taken for another's request.
 */
// RFC 9112 3.2 (Host), 6.3 (length of a body), 9.3.2 (pipelining); RFC 9110 9.3.8 (TRACE)
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { failureResponse } from "#common/node-http.ts";
import { FakeOrigin, startTestEdge, type TestEdge } from "./fake-origin.ts";
import type { RefusalCause } from "./counters.ts";

const MEDIA = "/live/canvas/720p/aabbccdd-1.m4s";
const BODY = "x".repeat(500);

function media(): Response {
  const headers = { "content-type": "video/mp4", "cache-control": "max-age=3600", etag: '"1"' };
  return new Response("media", { headers });
}

let origin: FakeOrigin;
let edge: TestEdge;

beforeAll(() => {
  origin = new FakeOrigin(media);
  edge = startTestEdge(origin.url);
});

beforeEach(async () => {
  // In memory, whatever came before.
  await (await fetch(edge.url + MEDIA)).text();
});

afterAll(async () => {
  await edge.close();
  await origin.close();
});

/** What comes back until the edge ends the connection, or answers the last request, which asks for `/healthz`. */
async function converse(
  text: string,
): Promise<{ readonly text: string; readonly statuses: readonly number[] }> {
  const done = Promise.withResolvers<void>();
  let answer = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(edge.url).port),
    socket: {
      data(_socket, bytes) {
        answer += bytes.toString();
        if (answer.endsWith("ok\n")) done.resolve();
      },
      close: () => done.resolve(),
    },
  });
  socket.write(text);
  await done.promise;
  socket.terminate();
  return {
    text: answer,
    statuses: [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code)),
  };
}

const LAST = "GET /healthz HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n";

function request(method: string, headers: string, { path = MEDIA, body = "" } = {}): string {
  return `${method} ${path} HTTP/1.1\r\nHost: edge\r\n${headers}\r\n${body}`;
}

describe("refused by the edge, readable for pages, and counted", () => {
  const cases: readonly (readonly [string, string, number, RefusalCause])[] = [
    ["two Hosts", request("GET", "Host: other\r\n"), 400, "host"],
    ["a Host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host"],
    ["a URL of 9,000 characters", request("GET", "", { path: `/${"a".repeat(9_000)}` }), 414, "url"],
    ["TRACE", request("TRACE", ""), 405, "method"],
    ["TRACE of HTTP/1.0 without Host", `TRACE ${MEDIA} HTTP/1.0\r\n\r\n`, 405, "method"],
    ["CONNECT", "CONNECT edge:80 HTTP/1.1\r\nHost: edge\r\n\r\n", 405, "method"],
    ["PUT", request("PUT", "Content-Length: 3\r\n", { body: "abc" }), 405, "method"],
    ["PROPFIND", request("PROPFIND", ""), 405, "method"],
    ["a path that no origin has", request("GET", "", { path: "/live/canvas/720p/secret" }), 404, "path"],
    [
      "directives twice",
      request("GET", "", { path: `/live/c/r/index.m3u8?_HLS_msn=1&_HLS_msn=2` }),
      400,
      "directives",
    ],
  ];
  test.each(cases)("%s", async (_, text, status, cause) => {
    const before = edge.counters.refused[cause];
    const asked = origin.count();
    const answer = await converse(text + LAST);
    expect(answer.statuses[0]).toBe(status);
    expect(answer.text).toMatch(/^access-control-allow-origin: \*\r$/im);
    if (status === 405) expect(answer.text).toMatch(/^allow: GET, HEAD, OPTIONS\r$/im);
    expect([edge.counters.refused[cause] - before, origin.count() - asked]).toEqual([1, 0]);
  });
});

describe("refused by Bun, whose bare answer ends the connection", () => {
  test.each([
    ["no Host", `GET ${MEDIA} HTTP/1.1\r\n\r\n`, [400]],
    ["a length with a coding", request("POST", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), [400]],
    ["two lengths", request("GET", "Content-Length: 3\r\nContent-Length: 4\r\n", { body: "abcd" }), [400]],
    ["a length with a sign", request("GET", "Content-Length: +3\r\n", { body: "abc" }), [400]],
    [
      "a coding nobody knows",
      request("GET", "Transfer-Encoding: xchunked\r\n", { body: "0\r\n\r\n" }),
      [400],
    ],
    ["a coding in HTTP/1.0", `GET ${MEDIA} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, [400]],
    ["a folded header", request("GET", "X: a\r\n b\r\n"), [400]],
    ["a space before the colon", request("GET", "X : a\r\n"), [400]],
    ["a NUL", request("GET", "X: a\0b\r\n"), [400]],
    ["a header of 17,000 characters", request("GET", `X: ${"a".repeat(17_000)}\r\n`), [431]],
    ["a URL of 17,000 characters", request("GET", "", { path: `/${"a".repeat(17_000)}` }), [431]],
    ["250 headers", request("GET", "X: a\r\n".repeat(250)), [431]],
    ["a version to come", `GET ${MEDIA} HTTP/2.0\r\nHost: edge\r\n\r\n`, [505]],
    ["a method that is a word", request("BREW", ""), []],
    ["no HTTP", "\x16\x03\x01\x02\x00\x01", [400]],
  ])("%s", async (_, text, statuses) => {
    const asked = origin.count();
    expect((await converse(text + LAST)).statuses).toEqual(statuses);
    expect(origin.count()).toBe(asked);
  });
});

describe("a body on a cache hit", () => {
  const inner = `GET /live/canvas/720p/aabbccdd-2.m4s HTTP/1.1\r\nHost: evil\r\n\r\n`;
  const chunked = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
  test.each([
    ["with a length", request("GET", `Content-Length: ${BODY.length}\r\n`, { body: BODY })],
    ["in chunks", request("GET", "Transfer-Encoding: chunked\r\n", { body: `1f4\r\n${BODY}\r\n0\r\n\r\n` })],
    ["of more than nodes take", request("GET", "Content-Length: 50000\r\n", { body: "x".repeat(50_000) })],
    ["that is a request", request("GET", `Content-Length: ${inner.length}\r\n`, { body: inner })],
    ["that is a request, in chunks", request("GET", "Transfer-Encoding: chunked\r\n", { body: chunked })],
  ])("%s is dropped, and the next request is the next", async (_, text) => {
    const asked = origin.count();
    expect((await converse(text + LAST)).statuses).toEqual([200, 200]);
    expect(origin.count()).toBe(asked);
  });
});

describe("requests behind one another", () => {
  test("for what is in memory are answered in their order", async () => {
    const answer = await converse(request("GET", "").repeat(50) + LAST);
    expect(answer.statuses).toEqual(Array.from({ length: 51 }, () => 200));
  });

  test("behind one that has to wait end with the connection, and nothing hangs", async () => {
    const held = request("GET", "", { path: "/live/canvas/720p/aabbccdd-3.m4s" });
    const gate = Promise.withResolvers<Response>();
    origin.handler = () => gate.promise;
    const answer = converse(held + request("GET", "").repeat(3) + LAST);
    expect((await answer).statuses).toEqual([]);
    gate.resolve(new Response("late"));
    origin.handler = media;
    expect((await fetch(edge.url + MEDIA)).status).toBe(200);
  });
});

test("E21: every status that comes from the edge's own code allows other origins", async () => {
  origin.handler = (_request, path) => {
    if (path.includes("index.m3u8")) return new Response("away", { status: 503 });
    return path.includes("-404") ? new Response("no", { status: 404 }) : media();
  };
  const ask = async (
    path: string,
    init: RequestInit = {},
  ): Promise<[number, string | null, string | null]> => {
    const { status, headers } = await fetch(edge.url + path, init);
    return [status, headers.get("access-control-allow-origin"), headers.get("timing-allow-origin")];
  };
  const answers = [
    await ask(MEDIA),
    await ask(MEDIA, { headers: { range: "bytes=0-1" } }),
    await ask(MEDIA, { headers: { range: "bytes=900-" } }),
    await ask(MEDIA, { headers: { "if-none-match": '"1"' } }),
    await ask(MEDIA, { method: "OPTIONS" }),
    await ask(MEDIA, { method: "DELETE" }),
    await ask("/live/canvas/720p/aabbccdd-404.m4s"),
    await ask("/nothing"),
    await ask("/live/canvas/720p/index.m3u8?_HLS_msn=x"),
    await ask("/live/canvas/720p/index.m3u8"),
    await ask(`/${"a".repeat(9_000)}`),
  ];
  const statuses = [200, 206, 416, 304, 204, 405, 404, 404, 400, 503, 414];
  expect(answers).toEqual(statuses.map((status) => [status, "*", "*"]));
  expect(failureResponse().headers.get("access-control-allow-origin")).toBe("*");
});
