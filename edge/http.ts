/**
 * The edge's routes: what is in memory is answered before the router, everything else goes through hono: the
 * stream, the page, the API and the node's own paths. Only the paths of the URL contract lead upstream.
 */
import { withAbsoluteUrl } from "#common/absolute-request.ts";
import type { Clock } from "#common/clock.ts";
import { acceptsGzip, matchesEtag } from "#common/http-conditions.ts";
import type { MetricsPage, NodeApp, Readiness } from "#common/node-http.ts";
import { createNodeApp } from "#common/node-http.ts";
import { splitUrl } from "#common/split-url.ts";
import type { Context } from "hono";
import { streamOf } from "./admission.ts";
import { answerRefusal } from "./answer.ts";
import { cacheStatusOf } from "./cache-status.ts";
import type { Counters, EgressRate, RefusalCause } from "./counters.ts";
import type { Guard } from "./guard.ts";
import type { LiveCache } from "./live.ts";
import { playlistKey } from "./playlist-key.ts";
import type { Playlists } from "./playlists.ts";
import type { ProxyCache } from "./proxy.ts";
import { SendQueues } from "./send-queues.ts";
import type { Streams } from "./streams.ts";
import { addStreamRoutes, CONTROL_PATHS, type StreamApiOptions } from "./stream-api.ts";
import { readTarget } from "./targets.ts";
import type { ViewerAddresses } from "./viewer-address.ts";
import { RequestConnection, UNWATCHED } from "./viewer-connection.ts";
import type { Viewers } from "./viewers.ts";

/** One file of the viewer page. */
export interface PageFile {
  readonly body: Uint8Array;
  /** The body compressed, where that is smaller. */
  readonly gzip?: Uint8Array;
  readonly contentType: string;
  readonly cacheControl: string;
  readonly etag: string;
}

/** The viewer page: its files by URL path, and the headers that confine it. */
export interface Page {
  readonly files: ReadonlyMap<string, PageFile>;
  readonly securityHeaders: Readonly<Record<string, string>>;
}

export interface EdgeHttpOptions extends StreamApiOptions {
  readonly clock: Clock;
  readonly registry: MetricsPage;
  readonly readiness: Readiness;
  readonly live: LiveCache;
  readonly streams: Streams;
  readonly playlists: Playlists;
  /** For every path that is not this node's own. Without it only the paths of the URL contract lead upstream. */
  readonly proxy: ProxyCache | undefined;
  readonly viewers: Viewers;
  readonly counters: Counters;
  readonly egress: Pick<EgressRate, "bitsPerSecond">;
  readonly page: Page;
  readonly addresses: ViewerAddresses;
  /** Bounds each viewer. Default: nothing does. */
  readonly guard?: Guard | undefined;
  /** Told what a route threw, which is answered with 500. */
  readonly onError: (error: unknown) => void;
}

/** What `Bun.serve` is given. */
export type EdgeFetch = (request: Request, server: Bun.Server<undefined>) => Response | Promise<Response>;

const LIVE_PREFIX = "/live/";
const API_PREFIX = "/api/";
const OWN_PATHS = new Set(["/metrics", "/healthz", "/readyz", "/health"]);
const EDGES_PATH = "/api/v1/edges";
const BITS_PER_KILOBIT = 1_000;
const UNKNOWN_ADDRESS = "";
/**
 * What monitors and load balancers ask for, whose address may be that of viewers: never refused for asking too much. Over
 * one connection too many it is answered and the connection closed, or asking for it would keep any number of them open.
 */
const HEALTH_PATHS = new Set(["/healthz", "/readyz", "/health"]);
const RETRY_AFTER_SECONDS = 1;
const OWN_STATUS = cacheStatusOf({ detail: "own" });

/** The whole HTTP side of an edge. */
export function createEdgeFetch(options: EdgeHttpOptions): EdgeFetch {
  const onRefusedMethod = (): void => options.counters.refuse("method");
  // A caching proxy knows paths, and no streams that could be switched off.
  const hasStreams = options.proxy === undefined;
  const app = createNodeApp({ ...options, ...(hasStreams && { postPaths: CONTROL_PATHS }), onRefusedMethod });
  addRoutes(app, options);
  if (hasStreams) addStreamRoutes(app, options);
  const { live, streams, counters, admission, addresses, guard, playlists, proxy } = options;
  const queues = new SendQueues(options.clock);
  return (original, server) => {
    const request = withAbsoluteUrl(original);
    const peerAddress = (): string => server.requestIP(original)?.address ?? UNKNOWN_ADDRESS;
    const addressOf = (): string => addresses.of(original.headers, peerAddress());
    const { path, query } = splitUrl(request.url);
    const visit = { request, connection: new RequestConnection(original, server, queues), key: path };
    if (HEALTH_PATHS.has(path)) {
      const isTooMany = guard?.isConnectionTooMany(original, server) === true;
      const answer = answerOwn(app, request, peerAddress());
      return isTooMany ? answer.then(closing) : answer;
    }
    const refusal = guard?.refusal(original, server);
    if (refusal !== undefined) return refuse(refusal, counters);
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (proxy !== undefined && isRead && !isOwnPath(path)) {
      const key = playlistKey(path, query);
      if (!playlists.has(key)) return proxy.answer(visit, query === "" ? path : `${path}?${query}`);
      return live.answer({ ...visit, key }, { target: { kind: "playlist", path: key }, query, addressOf });
    }
    if (!isRead || !path.startsWith(LIVE_PREFIX)) return answerOwn(app, request, peerAddress());
    const isOff = admission.hasOff && admission.isOff(streamOf(path));
    const stored = isOff ? undefined : live.hit(visit, path);
    if (stored !== undefined) return stored;
    const target = readTarget(path);
    if (target === undefined) {
      counters.refuse("path");
      return answerOwn(app, request, peerAddress());
    }
    if (isOff) return streams.refuseOff(request, target.kind);
    if (target.kind !== "relay" && target.kind !== "events") {
      return live.answer(visit, { target, query, addressOf });
    }
    // Endless, and silent while the upstream is away: Bun's idle timeout is not for them.
    const onEndless = (): void => server.timeout(original, 0);
    const asked = { request, path: target.path, onEndless };
    return target.kind === "relay" ? streams.relay(asked) : streams.events(asked);
  };
}

/** Too much from one viewer. A connection of HTTP/1.1 is closed: in place of one too many another may come in. */
function refuse(cause: RefusalCause, counters: Counters): Response {
  const reason = cause === "rate" ? "Too many requests" : "Too many connections";
  // Not 429: hls.js gives up for good there.
  const answer = answerRefusal({
    cause,
    status: 503,
    reason,
    counters,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
  return cause === "connections" ? closing(answer) : answer;
}

/** The same answer; over HTTP/1.1 the connection ends with it. */
function closing(answer: Response): Response {
  answer.headers.set("connection", "close");
  return answer;
}

/** What the edge answers of its own: no cache had a part in it, which is told as well. */
async function answerOwn(app: NodeApp, request: Request, address: string): Promise<Response> {
  const answer = await app.fetch(request, { address });
  if (!answer.headers.has("cache-status")) answer.headers.set("cache-status", OWN_STATUS);
  return answer;
}

/** True for what a caching proxy answers itself. */
function isOwnPath(path: string): boolean {
  return OWN_PATHS.has(path) || path.startsWith(API_PREFIX);
}

/** What is asked for seldom. Paths below `/live/` that the contract does not know end in the router's 404. */
function addRoutes(app: NodeApp, options: EdgeHttpOptions): void {
  const { live, addresses } = options;
  app.get(EDGES_PATH, (context) => {
    const { raw } = context.req;
    return live.answerApi(
      { request: raw, connection: UNWATCHED, key: EDGES_PATH },
      EDGES_PATH,
      addresses.hostOf(raw.headers, context.env.address),
    );
  });
  app.get("/health", (context) => context.json(readHealth(options), 200, { "cache-control": "no-store" }));
  // A caching proxy's paths are all its upstream's.
  const pageFiles = options.proxy === undefined ? options.page.files : [];
  for (const [path, file] of pageFiles) {
    app.get(path, (context) => sendFile(context, { file, options }));
  }
}

/** The JSON that restreamer's load balancers read. Bandwidth in kbit/s. */
function readHealth({ viewers, egress, admission }: EdgeHttpOptions): Record<string, unknown> {
  return {
    status: admission.isFull ? "full" : "ok",
    viewer: viewers.total,
    ...admission.limits,
    bandwidth: Math.round(egress.bitsPerSecond / BITS_PER_KILOBIT),
  };
}

function sendFile(
  context: Context,
  { file, options }: { readonly file: PageFile; readonly options: EdgeHttpOptions },
): Response {
  const { gzip } = file;
  const isGzip = gzip !== undefined && acceptsGzip(context.req.header("accept-encoding") ?? null);
  const body = isGzip ? gzip : file.body;
  const etag = isGzip ? file.etag.replace(/"$/, '-gzip"') : file.etag;
  const headers: Record<string, string> = {
    ...options.page.securityHeaders,
    "cache-control": file.cacheControl,
    etag,
  };
  if (gzip !== undefined) headers["vary"] = "Accept-Encoding";
  if (matchesEtag(context.req.header("if-none-match") ?? null, etag)) {
    return new Response(null, { status: 304, headers });
  }
  headers["content-type"] = file.contentType;
  headers["content-length"] = String(body.length);
  if (isGzip) headers["content-encoding"] = "gzip";
  if (context.req.method === "HEAD") return new Response(null, { headers });
  options.counters.sentBytes += body.length;
  // Built once from files on disk, never shared memory.
  return new Response(body as Uint8Array<ArrayBuffer>, { headers });
}
