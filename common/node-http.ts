/**
 * What the HTTP side of all three nodes shares: the hono application with `/metrics`, `/healthz` and `/readyz`,
 * CORS and `Date` on every answer, 405 for other methods, and JSON for the API.
 */
// RFC 9110 (HTTP semantics), Fetch standard (CORS)
import { Hono } from "hono";
import type { Registry } from "prom-client";

/** What `Bun.serve` hands to a hono application beside the request: the peer's address. */
export interface NodeBindings {
  readonly address: string;
}

export type NodeApp = Hono<{ Bindings: NodeBindings }>;

/** Why a node cannot serve now, in words, or `undefined` when it can. */
export type Readiness = () => string | undefined;

/** What `/metrics` shows: a registry, or what several say together. */
export type MetricsPage = Pick<Registry, "metrics" | "contentType">;

export interface NodeAppOptions {
  readonly registry: MetricsPage;
  readonly readiness: Readiness;
  /** What operators should know of a node that is ready, in words, or `undefined`. Default: nothing. */
  readonly readyNote?: () => string | undefined;
  /** Paths that take POST as well: their routes decide. Default: none. */
  readonly postPaths?: RegExp;
  /** Told of a request that was refused for its method. Default: nobody is told. */
  readonly onRefusedMethod?: () => void;
  /** Told what a route threw; the client gets a plain 500. Default: nobody is told. */
  readonly onError?: (error: unknown) => void;
}

/** What nodes answer; `Allow` of all others. */
export const METHODS = "GET, HEAD, OPTIONS";
const EXPOSED_HEADERS = "Age, Date, ETag, Content-Length, Content-Range, Retry-After, Cache-Status";
/** `Access-Control-Max-Age`, in seconds: browsers ask before a ranged request once a day. */
const PREFLIGHT_SECONDS = 86_400;

/** Headers that every answer to a browser carries, whatever its status. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": EXPOSED_HEADERS,
  "timing-allow-origin": "*",
};

/** An application with the routes that every node has. Others are added by the node's `http.ts`. */
export function createNodeApp(options: NodeAppOptions): NodeApp {
  const { registry, readiness, readyNote, postPaths, onError, onRefusedMethod } = options;
  const app: NodeApp = new Hono();
  app.use(async (context, next) => {
    await next();
    const { headers } = context.res;
    for (const [name, value] of Object.entries(CORS_HEADERS)) headers.set(name, value);
    // Bun adds the header to GET but not to HEAD.
    if (!headers.has("date")) headers.set("date", new Date().toUTCString());
  });
  app.use(async (context, next) => {
    const { method } = context.req;
    if (method === "OPTIONS") return new Response(null, { status: 204, headers: preflightHeaders() });
    const isTaken = method === "POST" && postPaths?.test(context.req.path) === true;
    if (method !== "GET" && method !== "HEAD" && !isTaken) {
      onRefusedMethod?.();
      return context.text("Method not allowed\n", 405, { allow: METHODS });
    }
    return next();
  });
  app.get("/healthz", (context) => context.text("ok\n", 200, { "cache-control": "no-store" }));
  app.get("/readyz", (context) => {
    const reason = readiness();
    const headers = { "cache-control": "no-store" };
    if (reason !== undefined) return context.text(`${reason}\n`, 503, headers);
    const note = readyNote?.();
    return context.text(note === undefined ? "ready\n" : `ready, ${note}\n`, 200, headers);
  });
  app.get("/metrics", async (context) =>
    context.body(await registry.metrics(), 200, {
      "content-type": registry.contentType,
      "cache-control": "no-store",
    }),
  );
  app.onError((error) => {
    onError?.(error);
    return failureResponse();
  });
  app.notFound((context) => context.text("Not found\n", 404, { "cache-control": "no-store" }));
  return app;
}

/** The answer where a node has failed: without a word on how. Also for the `error` of `Bun.serve`. */
export function failureResponse(): Response {
  return new Response("Internal error\n", {
    status: 500,
    headers: {
      ...CORS_HEADERS,
      // Bun adds the header to GET but not to HEAD.
      date: new Date().toUTCString(),
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
    },
  });
}

function preflightHeaders(): Record<string, string> {
  return {
    allow: METHODS,
    "access-control-allow-methods": METHODS,
    "access-control-allow-headers": "Range, If-None-Match, If-Modified-Since",
    "access-control-max-age": String(PREFLIGHT_SECONDS),
  };
}
