/**
 * The URLs of an origin. What is served is decided in `track.ts`, `relay.ts` and `edges.ts`; playlists and media
 * are answered in `live-answers.ts`.
 */
// RFC 8586 (CDN-Loop)
import type { Context } from "hono";
import { EVENTS_CONTENT_TYPE } from "#common/formats/events.ts";
import { createNodeApp, type NodeApp, type NodeAppOptions, type NodeBindings } from "#common/node-http.ts";
import { EVENT_READERS_MAX, TS_VIEWERS_MAX } from "./config.ts";
import { type EdgeRegistry, hostnameOf } from "./edges.ts";
import type { EventFeed } from "./events.ts";
import {
  answerFile,
  kindOf,
  NO_STORE,
  plainResponse,
  readLiveRequest,
  type RequestCounts,
  unknownResponse,
} from "./live-answers.ts";
import type { LiveStream } from "./live-stream.ts";
import type { Format } from "./multivariant.ts";
import type { RenditionStream } from "./rendition.ts";
import { playlistResponse } from "./responses.ts";

/** Requests refused for lack of room, since start. */
export interface RefusalCounts {
  viewers: number;
  readers: number;
}

export interface OriginAppOptions extends NodeAppOptions {
  readonly stream: LiveStream;
  /** Name of the stream in URLs. */
  readonly streamName: string;
  readonly edges: EdgeRegistry;
  readonly events: EventFeed;
  readonly requests: RequestCounts;
  /** Bytes of bodies; what is endless is counted where it flows. */
  readonly sent: RequestCounts;
  readonly refusals: RefusalCounts;
  /** False with `--spread off`. */
  readonly spreads: boolean;
  /** From 0 to 1, below 1. */
  readonly random: () => number;
}

type Bindings = { Bindings: NodeBindings };

/** Edges that a multivariant playlist names: the viewer's own, and one to fall back on. */
const EDGES_NAMED = 2;
const TS_CONTENT_TYPE = "video/mp2t";
/** Of a multivariant playlist for an edge: it hardly ever changes, so nobody need wait while the edge looks for a newer. */
const EDGE_CACHE_CONTROL = "max-age=1, stale-while-revalidate=9";

/** The application with all routes of an origin. */
export function createOriginApp(options: OriginAppOptions): NodeApp {
  const { requests, refusals, streamName, events, edges } = options;
  const app = createNodeApp(options);
  app.use(async (context, next) => {
    requests[kindOf(context.req.path)]++;
    await next();
  });
  app.get("/api/v1/edges", (context) => {
    const hostname = hostnameOf(context.req.raw.headers.get("host"));
    const text = JSON.stringify(edges.list(hostname));
    if (!isHead(context)) options.sent.api += Buffer.byteLength(text);
    return context.body(text, 200, { ...NO_STORE, "content-type": "application/json" });
  });
  const live = `/live/${streamName}`;
  app.notFound(unknownResponse);
  app.get(`${live}/events`, (context) => {
    if (events.readers >= EVENT_READERS_MAX) {
      refusals.readers++;
      return plainResponse(503, "Too many readers");
    }
    const headers = { ...NO_STORE, "content-type": EVENTS_CONTENT_TYPE, "x-accel-buffering": "no" };
    return new Response(isHead(context) ? null : events.open(context.req.raw.signal), { headers });
  });
  app.get(`${live}/index.m3u8`, (context) => multivariant(context, options, "cmaf"));
  app.get(`${live}/ts.m3u8`, (context) => multivariant(context, options, "ts"));
  app.get(`${live}/stream.ts`, (context) => {
    const [edge] = edgesFor(context, options, 1);
    if (edge !== undefined) {
      const headers = { ...NO_STORE, location: `${edge}${live}/stream.ts` };
      return new Response(null, { status: 307, headers });
    }
    return endless(context, options, options.stream.firstRendition);
  });
  app.get(`${live}/:rendition/:file`, (context) => {
    const rendition = options.stream.rendition(context.req.param("rendition"));
    const file = context.req.param("file");
    if (rendition === undefined) return unknown(options);
    if (file === "stream.ts") return endless(context, options, rendition);
    const { query } = readLiveRequest(context.req.raw);
    return answerFile(rendition, { request: context.req.raw, file, query, sent: options.sent });
  });
  return app;
}

/** Hands the viewer to an edge where there is one: variants absolute there, and on another if that one fails; else relative. */
function multivariant(context: Context<Bindings>, options: OriginAppOptions, format: Format): Response {
  const edges = edgesFor(context, options, EDGES_NAMED);
  const bases = edges.map((edge) => `${edge}/live/${options.streamName}/`);
  const text = options.stream.multivariant(format, bases.length === 0 ? [""] : bases);
  if (text === undefined) return plainResponse(503, whyNothing(options.stream));
  return playlistResponse(context.req.raw, text, {
    sent: options.sent,
    // With relative URIs only edges may keep it: they alone send CDN-Loop.
    cacheControl: edges.length === 0 && isFromEdge(context) ? EDGE_CACHE_CONTROL : "no-store",
    vary: "Accept-Encoding, CDN-Loop",
  });
}

/** Up to `count` edges for this viewer, the one that it is handed to first. */
function edgesFor(context: Context<Bindings>, options: OriginAppOptions, count: number): string[] {
  if (!options.spreads || isFromEdge(context)) return [];
  const { edges, random } = options;
  return edges.choose(hostnameOf(context.req.raw.headers.get("host")), { random, count });
}

/** True for a request of one of our edges. */
function isFromEdge(context: Context<Bindings>): boolean {
  const header = context.req.raw.headers.get("cdn-loop") ?? "";
  return header.split(",").some((cdn) => cdn.split(";")[0]?.trim().toLowerCase() === "spillway");
}

function endless(
  context: Context<Bindings>,
  { stream, refusals }: OriginAppOptions,
  rendition: RenditionStream | undefined,
): Response {
  if (rendition === undefined || stream.isCatchingUp) return plainResponse(503, whyNothing(stream));
  if (stream.isEnded) return plainResponse(404, "The stream has ended");
  if (stream.relayTotals.viewers >= TS_VIEWERS_MAX) {
    refusals.viewers++;
    return plainResponse(503, "Too many viewers");
  }
  const headers = { ...NO_STORE, "content-type": TS_CONTENT_TYPE };
  const body = isHead(context) ? null : rendition.relay.open(context.req.raw.signal);
  return new Response(body, { headers });
}

/** Takes the idle timeout off a connection whose answer is endless, and only then: it may be quiet while the source is. */
export async function answerEndless(
  answer: Response | Promise<Response>,
  { request, noTimeout }: { readonly request: Request; readonly noTimeout: () => void },
): Promise<Response> {
  const response = await answer;
  if (request.method !== "GET" || response.status !== 200) return response;
  noTimeout();
  // It has no timeout any more, so it is not kept for another request.
  response.headers.set("connection", "close");
  return response;
}

function isHead(context: Context<Bindings>): boolean {
  return context.req.raw.method === "HEAD";
}

/** Before the first run no rendition is known: then it may come. */
function unknown({ stream }: OriginAppOptions): Response {
  if (stream.run === undefined) return plainResponse(503, whyNothing(stream));
  return unknownResponse();
}

function whyNothing(stream: LiveStream): string {
  return stream.isCatchingUp ? "The origin is catching up" : "The stream has not begun";
}
