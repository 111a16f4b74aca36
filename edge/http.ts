/**
 * The edge's routes: what is in memory is answered before the router, everything else goes through hono: the
 * stream, the page, the API and the node's own paths. Only the paths of the URL contract lead upstream.
 */
import type { NodeApp, Readiness } from "#common/node-http.ts";
import { createNodeApp } from "#common/node-http.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";
import type { Context } from "hono";
import type { Registry } from "prom-client";
import type { Counters, EgressRate } from "./counters.ts";
import type { LiveCache } from "./live.ts";
import type { Streams } from "./streams.ts";
import { readTarget, splitUrl } from "./targets.ts";
import type { Viewers } from "./viewers.ts";

/** One file of the viewer page. */
export interface PageFile {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly cacheControl: string;
  readonly etag: string;
}

/** The viewer page: its files by URL path, and the headers that confine it. */
export interface Page {
  readonly files: ReadonlyMap<string, PageFile>;
  readonly securityHeaders: Readonly<Record<string, string>>;
}

export interface EdgeHttpOptions {
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly live: LiveCache;
  readonly streams: Streams;
  readonly viewers: Viewers;
  readonly counters: Counters;
  readonly egress: EgressRate;
  readonly page: Page;
  /** Soft and hard limit of viewers; 0 for none. */
  readonly viewerLimit: number;
  readonly viewerMax: number;
}

/** What `Bun.serve` is given. */
export type EdgeFetch = (request: Request, server: Bun.Server<undefined>) => Response | Promise<Response>;

const EDGES_PATH = "/api/v1/edges";
const UNKNOWN_ADDRESS = "";

/** The whole HTTP side of an edge. */
export function createEdgeFetch(options: EdgeHttpOptions): EdgeFetch {
  const app = createEdgeApp(options);
  const { live } = options;
  return (request, server) => {
    const addressOf = (): string => server.requestIP(request)?.address ?? UNKNOWN_ADDRESS;
    if (request.method === "GET" || request.method === "HEAD") {
      const stored = live.hit(request, addressOf);
      if (stored !== undefined) return stored;
    }
    return app.fetch(request, { address: addressOf() });
  };
}

function createEdgeApp(options: EdgeHttpOptions): NodeApp {
  const { live, streams, counters } = options;
  const app = createNodeApp(options);
  app.get("/live/*", (context) => {
    const request = context.req.raw;
    // hono decodes percent signs in its own path; the contract's paths have none, so the raw one is matched.
    const target = readTarget(splitUrl(request.url).path);
    if (target === undefined) {
      counters.requests.refused++;
      return context.notFound();
    }
    if (target.kind === "relay") return streams.relay(request, target.path);
    if (target.kind === "events") return streams.events(request, target.path);
    return live.answer(request, target, () => context.env.address);
  });
  app.get(EDGES_PATH, (context) => live.answerApi(context.req.raw, EDGES_PATH));
  app.get("/health", (context) => context.json(readHealth(options), 200, { "cache-control": "no-store" }));
  for (const [path, file] of options.page.files) {
    app.get(path, (context) => sendFile(context, { file, options }));
  }
  return app;
}

/** The JSON that restreamer's load balancers read. Bandwidth in kbit/s. */
function readHealth({ viewers, egress, viewerLimit, viewerMax }: EdgeHttpOptions): Record<string, unknown> {
  const viewer = viewers.total;
  return {
    status: viewerLimit > 0 && viewer >= viewerLimit ? "full" : "ok",
    viewer,
    limit: viewerLimit,
    max: viewerMax,
    bandwidth: Math.round(egress.bitsPerSecond / MILLISECONDS_PER_SECOND),
  };
}

function sendFile(
  context: Context,
  { file, options }: { readonly file: PageFile; readonly options: EdgeHttpOptions },
): Response {
  const headers: Record<string, string> = {
    ...options.page.securityHeaders,
    "cache-control": file.cacheControl,
    etag: file.etag,
  };
  if (context.req.header("if-none-match") === file.etag) return new Response(null, { status: 304, headers });
  headers["content-type"] = file.contentType;
  headers["content-length"] = String(file.body.length);
  if (context.req.method === "HEAD") return new Response(null, { headers });
  options.counters.sentBytes += file.body.length;
  // Built once from files on disk, never shared memory.
  return new Response(file.body as Uint8Array<ArrayBuffer>, { headers });
}
