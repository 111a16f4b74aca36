/** For the tests of the caching proxy: an origin whose answers a test scripts, and an edge that passes on every path. */
import { FakeOrigin, startTestEdge, type TestEdge, type TestEdgeLimits } from "./fake-origin.ts";
import { UNWATCHED } from "./viewer-connection.ts";

/** To be called, and emptied, after each test. */
export const closers: (() => unknown)[] = [];

type Answer = (request: Request, path: string) => Response | Promise<Response>;

/** Starts both. */
export function start(
  answer: Answer,
  limits: TestEdgeLimits = {},
): {
  readonly origin: FakeOrigin;
  readonly edge: TestEdge;
  readonly url: string;
} {
  const origin = new FakeOrigin(answer);
  const edge = startTestEdge(origin.url, { proxyAll: true, ...limits });
  closers.push(
    () => edge.close(),
    () => origin.close(),
  );
  return { origin, edge, url: edge.url };
}

/** An answer of the origin. */
export function answerOf(text: string, headers: Record<string, string>, status = 200): Response {
  return new Response(text, { status, headers });
}

/** Asks the edge over a socket. Redirects are not followed. */
export const get = (url: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  fetch(url, { headers, method, redirect: "manual" });

/** Asks without a socket: what is under way has been joined when this returns. */
export async function join(
  edge: TestEdge,
  path: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const answer = edge.proxy?.answer(
    { request: new Request(edge.url + path, { headers }), connection: UNWATCHED, key: path },
    path,
  );
  if (answer === undefined) throw new Error("The edge is no caching proxy");
  return answer;
}

/** A gate that requests wait at until it is opened. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}

/** For an answer with a lifetime. */
export const FRESH = { "cache-control": "max-age=60" };
