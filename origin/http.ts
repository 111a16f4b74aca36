/**
 * The URLs of an origin. What is served is decided in `track.ts`, `relay.ts` and `edges.ts`; here requests are read
 * and answers get their status and their headers.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5 (delivery directives), B.1 (caching), RFC 8586 (CDN-Loop)
import type { Context } from "hono";
import type { Registry } from "prom-client";
import type { HeldOutcome } from "#common/held-requests.ts";
import { EVENTS_CONTENT_TYPE } from "#common/formats/events.ts";
import { createNodeApp, type NodeApp, type NodeBindings, type Readiness } from "#common/node-http.ts";
import { EVENT_READERS_MAX, TS_VIEWERS_MAX } from "./config.ts";
import { type EdgeRegistry, hostnameOf } from "./edges.ts";
import type { EventFeed } from "./events.ts";
import type { Format, LiveStream } from "./live-stream.ts";
import { renderText } from "./rendered-playlist.ts";
import type { RenditionStream } from "./rendition.ts";
import { mediaResponse, playlistResponse } from "./responses.ts";
import type { Reload, ReloadDirectives, Track } from "./track.ts";

/** Kinds of requests, as `spillway_origin_requests_total` counts them. */
export const REQUEST_KINDS = ["playlist", "part", "segment", "init", "ts", "api", "other"] as const;
export type RequestKind = (typeof REQUEST_KINDS)[number];
export type RequestCounts = Record<RequestKind, number>;

export interface OriginAppOptions {
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly stream: LiveStream;
  /** Name of the stream in URLs. */
  readonly streamName: string;
  readonly edges: EdgeRegistry;
  readonly events: EventFeed;
  readonly requests: RequestCounts;
  /** False with `--spread off`. */
  readonly spreads: boolean;
  /** From 0 to 1, below 1. */
  readonly random: () => number;
}

type Bindings = { Bindings: NodeBindings };

const NO_STORE = { "cache-control": "no-store" };
const UNAVAILABLE = { ...NO_STORE, "retry-after": "1" };
const TS_CONTENT_TYPE = "video/mp2t";
const PLAYLIST_FILES: Readonly<Record<string, Format>> = { "index.m3u8": "cmaf", "ts.m3u8": "ts" };
/** `_HLS_msn` and `_HLS_part`: decimal integers, as long as a safe one. */
const DIRECTIVE_PATTERN = /^\d{1,15}$/;

/** The application with all routes of an origin. */
export function createOriginApp(options: OriginAppOptions): NodeApp {
  const { registry, readiness, requests, streamName, events, edges } = options;
  const app = createNodeApp({ registry, readiness });
  app.use(async (context, next) => {
    requests[kindOf(context.req.path)]++;
    await next();
  });
  app.get("/api/v1/edges", (context) => {
    const hostname = hostnameOf(context.req.raw.headers.get("host"));
    return context.json(edges.list(hostname), 200, NO_STORE);
  });
  const live = `/live/${streamName}`;
  app.get(`${live}/events`, (context) => {
    if (events.readers >= EVENT_READERS_MAX) return unavailable(context, "Too many readers");
    const headers = { ...NO_STORE, "content-type": EVENTS_CONTENT_TYPE, "x-accel-buffering": "no" };
    return new Response(isHead(context) ? null : events.open(), { headers });
  });
  app.get(`${live}/index.m3u8`, (context) => multivariant(context, options, "cmaf"));
  app.get(`${live}/ts.m3u8`, (context) => multivariant(context, options, "ts"));
  app.get(`${live}/stream.ts`, (context) => {
    const edge = edgeFor(context, options);
    if (edge !== undefined) {
      const headers = { ...NO_STORE, location: `${edge}${live}/stream.ts` };
      return new Response(null, { status: 307, headers });
    }
    return endless(context, options, options.stream.firstRendition);
  });
  app.get(`${live}/:rendition/:file`, (context) => {
    const rendition = options.stream.rendition(context.req.param("rendition"));
    const file = context.req.param("file");
    if (rendition === undefined) return unknown(context, options);
    const format = Object.hasOwn(PLAYLIST_FILES, file) ? PLAYLIST_FILES[file] : undefined;
    if (format !== undefined) return mediaPlaylist(context, rendition[format]);
    if (file === "stream.ts") return endless(context, options, rendition);
    return media(context, rendition, file);
  });
  return app;
}

function kindOf(path: string): RequestKind {
  if (path.startsWith("/api/")) return "api";
  if (!path.startsWith("/live/")) return "other";
  if (path.endsWith(".m3u8")) return "playlist";
  if (path.endsWith("/stream.ts")) return "ts";
  if (path.endsWith("-init.mp4")) return "init";
  if (/\.\d+\.m4s$/.test(path)) return "part";
  return path.endsWith(".m4s") || path.endsWith(".ts") ? "segment" : "other";
}

/** Hands the viewer to an edge where there is one: variants absolute there, else relative. */
function multivariant(context: Context<Bindings>, options: OriginAppOptions, format: Format): Response {
  const edge = edgeFor(context, options);
  const base = edge === undefined ? "" : `${edge}/live/${options.streamName}/`;
  const text = options.stream.multivariant(format, base);
  if (text === undefined) return unavailable(context, "The stream has not begun");
  return playlistResponse(context.req.raw, renderText(text), {
    // With relative URIs only edges may keep it: they alone send CDN-Loop.
    "cache-control": edge === undefined && isFromEdge(context) ? "max-age=1" : "no-store",
    vary: "Accept-Encoding, CDN-Loop",
  });
}

function edgeFor(context: Context<Bindings>, options: OriginAppOptions): string | undefined {
  if (!options.spreads || isFromEdge(context)) return undefined;
  return options.edges.choose(hostnameOf(context.req.raw.headers.get("host")), options.random);
}

/** True for a request of one of our edges. */
function isFromEdge(context: Context<Bindings>): boolean {
  const header = context.req.raw.headers.get("cdn-loop") ?? "";
  return header.split(",").some((cdn) => cdn.split(";")[0]?.trim().toLowerCase() === "spillway");
}

async function mediaPlaylist(context: Context<Bindings>, track: Track): Promise<Response> {
  const directives = readDirectives(new URL(context.req.url).searchParams);
  if (directives === "malformed") {
    return context.text("_HLS_msn and _HLS_part are decimal integers, each given once\n", 400, NO_STORE);
  }
  const isBlocking = directives !== undefined && !isHead(context);
  const reload: Reload = isBlocking
    ? await track.reload(directives, context.req.raw.signal)
    : track.current();
  if (reload.outcome === "bad")
    return context.text("_HLS_msn or _HLS_part is too far ahead\n", 400, NO_STORE);
  if (reload.outcome !== "ready") return unavailable(context, reasonOf(reload.outcome));
  const { targetDurationSeconds } = track;
  const seconds = isBlocking ? 6 * targetDurationSeconds : Math.max(1, Math.floor(targetDurationSeconds / 2));
  return playlistResponse(context.req.raw, reload.text, { "cache-control": `max-age=${seconds}` });
}

/** Delivery directives of a reload; `undefined` without any. Unknown ones are ignored. */
export function readDirectives(query: URLSearchParams): ReloadDirectives | "malformed" | undefined {
  const segmentNumbers = query.getAll("_HLS_msn");
  const parts = query.getAll("_HLS_part");
  if (segmentNumbers.length === 0 && parts.length === 0) return undefined;
  const [segmentNumber] = segmentNumbers;
  const [part] = parts;
  if (segmentNumber === undefined || segmentNumbers.length > 1 || parts.length > 1) return "malformed";
  if (!DIRECTIVE_PATTERN.test(segmentNumber)) return "malformed";
  if (part !== undefined && !DIRECTIVE_PATTERN.test(part)) return "malformed";
  return { segmentNumber: Number(segmentNumber), part: part === undefined ? undefined : Number(part) };
}

async function media(
  context: Context<Bindings>,
  rendition: RenditionStream,
  file: string,
): Promise<Response> {
  const found = isHead(context)
    ? (rendition.mediaNow(file) ?? "gone")
    : await rendition.media(file, context.req.raw.signal);
  if (found === "gone" || found === "ready") return context.text("Not found\n", 404, NO_STORE);
  if (typeof found === "string") return unavailable(context, reasonOf(found));
  return mediaResponse(context.req.raw, file, found);
}

function endless(
  context: Context<Bindings>,
  { stream }: OriginAppOptions,
  rendition: RenditionStream | undefined,
): Response {
  if (rendition === undefined) return unavailable(context, "The stream has not begun");
  if (stream.relayTotals.viewers >= TS_VIEWERS_MAX) return unavailable(context, "Too many viewers");
  const headers = { ...NO_STORE, "content-type": TS_CONTENT_TYPE };
  return new Response(isHead(context) ? null : rendition.relay.open(), { headers });
}

function reasonOf(outcome: "unavailable" | Exclude<HeldOutcome, "ready">): string {
  if (outcome === "unavailable") return "The stream has not begun";
  if (outcome === "full") return "Too many requests are waiting";
  return outcome === "overdue" ? "Nothing new has come for three target durations" : "The stream begins anew";
}

function isHead(context: Context<Bindings>): boolean {
  return context.req.raw.method === "HEAD";
}

function unavailable(context: Context<Bindings>, reason: string): Response {
  return context.text(`${reason}\n`, 503, UNAVAILABLE);
}

/** Before the first run no rendition is known: then it may come. */
function unknown(context: Context<Bindings>, { stream }: OriginAppOptions): Response {
  if (stream.run === undefined) return unavailable(context, "The stream has not begun");
  return context.text("Not found\n", 404, { "cache-control": "max-age=2" });
}
