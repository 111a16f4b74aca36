/** The edge from outside: which paths lead upstream, methods, health, API. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FakeOrigin, startTestEdge, type TestEdge } from "./fake-origin.ts";
import type { PageFile } from "./http.ts";

const PAGE: PageFile = {
  body: new TextEncoder().encode("the page, the page, the page"),
  gzip: Bun.gzipSync("the page, the page, the page"),
  contentType: "text/html",
  cacheControl: "no-cache",
  etag: '"p1"',
};

let origin: FakeOrigin;
let edge: TestEdge;

beforeAll(() => {
  origin = new FakeOrigin((_request, path) => new Response(`origin ${path}`));
  edge = startTestEdge(origin.url, { pageFiles: new Map([["/", PAGE]]) });
});

afterAll(async () => {
  await edge.close();
  await origin.close();
});

/** Sends a request line as it stands: `fetch` would tidy the path. */
async function raw(line: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  let text = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(edge.url).port),
    socket: {
      data(_socket, bytes) {
        text += bytes.toString();
      },
      close: () => done.resolve(text),
    },
  });
  socket.write(`${line}\r\nHost: edge\r\nConnection: close\r\n\r\n`);
  return done.promise;
}

describe("only the paths of the contract lead upstream", () => {
  const paths = [
    "/live/../admin",
    "/live/canvas/../../admin",
    "/live/%2e%2e/admin",
    "/live/canvas/%2e%2e%2fadmin",
    "/live/canvas/720p/..%5c..%5cadmin",
    "/live/canvas//index.m3u8",
    "//admin/live/canvas/index.m3u8",
    "/live/canvas/720p/aabbccdd-1.m4s;x=1",
    "/api/v1/lease",
    "/api/v1/edges/x",
    "/stats.json",
    "/feed.mp4",
    "/live/canvas/index.m3u8%00",
  ];
  test.each(paths)("GET %s", async (path) => {
    const before = origin.count();
    const text = await raw(`GET ${path} HTTP/1.1`);
    expect(text).toMatch(/^HTTP\/1\.1 (?:404|400)/);
    expect(text).not.toContain("origin /");
    expect(origin.count()).toBe(before);
  });
});

test("other methods get 405 and a preflight gets its headers", async () => {
  const path = `${edge.url}/live/canvas/720p/index.m3u8`;
  const post = await fetch(path, { method: "POST", body: "x" });
  expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
  expect(post.headers.get("access-control-allow-origin")).toBe("*");
  const preflight = await fetch(path, { method: "OPTIONS" });
  expect([preflight.status, preflight.headers.get("access-control-max-age")]).toEqual([204, "86400"]);
});

test("/health speaks as restreamer does", async () => {
  const response = await fetch(`${edge.url}/health`);
  expect(await response.json()).toEqual({ status: "ok", viewer: 0, limit: 0, max: 0, bandwidth: 0 });
});

test("/api/v1/edges is the origin's, asked once for a crowd", async () => {
  const before = origin.count("/api/v1/edges");
  const answers = await Promise.all(Array.from({ length: 30 }, () => fetch(`${edge.url}/api/v1/edges`)));
  expect(await answers[0]?.text()).toBe("origin /api/v1/edges");
  expect(origin.count("/api/v1/edges")).toBe(before + 1);
  expect(origin.lastHeaders.get("host")).toBe("127.0.0.1");
  await raw("GET /api/v1/edges HTTP/1.1");
  expect([origin.lastHeaders.get("host"), origin.count("/api/v1/edges")]).toEqual(["edge", before + 2]);
});

test("a request of HTTP/1.0 without Host is answered like any other", async () => {
  const done = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(edge.url).port),
    socket: { data: (_socket, bytes) => done.resolve(bytes.toString()) },
  });
  socket.write("GET /healthz HTTP/1.0\r\n\r\n");
  expect(await done.promise).toMatch(/^HTTP\/1\.1 200 OK/);
  socket.terminate();
});

test.each([
  ["identity", '"p1"', 304],
  ["identity", 'W/"p1"', 304],
  ["identity", '"other", "p1"', 304],
  ["identity", '"p1-gzip"', 200],
  ["gzip", '"p1-gzip"', 304],
  ["gzip", '"p1"', 200],
])("the page is asked for in %s with If-None-Match %s: %d", async (coding, tag, status) => {
  const response = await fetch(edge.url, { headers: { "accept-encoding": coding, "if-none-match": tag } });
  expect([response.status, await response.text()]).toEqual([
    status,
    status === 200 ? "the page, the page, the page" : "",
  ]);
});

test("HEAD has a Date whatever it is answered", async () => {
  for (const path of ["/live/canvas/720p/aabbccdd-1.m4s", "/live/x/720p/index.m3u8?_HLS_msn=x", "/nothing"]) {
    const { headers } = await fetch(edge.url + path, { method: "HEAD" });
    expect([path, Date.parse(headers.get("date") ?? "") > 0]).toEqual([path, true]);
  }
});
