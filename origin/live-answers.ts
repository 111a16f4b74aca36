/**
 * Answers to requests for media playlists, segments and parts: most of what an origin is asked. Plain GETs come here
 * straight from the socket, past the router; one request costs one look at its URL and headers made before.
 */
// draft-pantos-hls-rfc8216bis-22 6.2.5 (delivery directives), B.1 (caching)
import { asksForDelta, readDirectives } from "#common/delivery-directives.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import { splitUrl } from "#common/split-url.ts";
import { CMAF_SEGMENT_SECONDS } from "./config.ts";
import type { LiveStream } from "./live-stream.ts";
import type { RenditionStream } from "./rendition.ts";
import { mediaResponse, playlistResponse } from "./responses.ts";
import type { MediaOutcome, Reload, Track } from "./track.ts";

/** Kinds of requests, as `spillway_origin_requests_total` counts them. */
export type RequestKind = "playlist" | "part" | "segment" | "init" | "ts" | "api" | "other";
/** Requests, or bytes of their answers' bodies, by kind. */
export type RequestCounts = Record<RequestKind, number>;

/** Nothing of any kind yet. */
export function emptyCounts(): RequestCounts {
  return { playlist: 0, part: 0, segment: 0, init: 0, ts: 0, api: 0, other: 0 };
}

/** Headers of what no cache may keep. */
export const NO_STORE = { "cache-control": "no-store" };
/** Headers of 503: ask again in a second. */
const UNAVAILABLE = { ...NO_STORE, "retry-after": "1" };
/** A rendition's file: two names below the stream's path. */
const FILE_PATTERN = /^([a-z0-9-]+)\/([\w.-]+)$/;
/** Names of media: one that is missing now may be there in the next instant. */
const MEDIA_PATTERN = /^[0-9a-f]{8}-[\w.]+$/;

/** A request with its path and query, the latter without `?`. */
export interface LiveRequest {
  readonly request: Request;
  readonly path: string;
  readonly query: string;
}

/** Those who wait for the same part ask by the same URL. */
let latestUrl = { url: "", path: "", query: "" };

/** Splits the URL of a request, which Bun gives whole. */
export function readLiveRequest(request: Request): LiveRequest {
  const { url } = request;
  if (latestUrl.url !== url) latestUrl = { url, ...splitUrl(url) };
  const { path, query } = latestUrl;
  return { request, path, query };
}

export interface LiveAnswersOptions {
  readonly stream: LiveStream;
  /** Name of the stream in URLs. */
  readonly streamName: string;
  readonly requests: RequestCounts;
  /** Bytes of bodies. */
  readonly sent: RequestCounts;
}

/** Answers plain GETs of a known rendition's playlists and media; `undefined` for all others. */
export function createLiveAnswers({
  stream,
  streamName,
  requests,
  sent,
}: LiveAnswersOptions): (live: LiveRequest) => Response | Promise<Response> | undefined {
  const base = `/live/${streamName}/`;
  let latest = readFile("", base);
  return ({ request, path, query }) => {
    if (request.method !== "GET") return undefined;
    if (latest.path !== path) latest = readFile(path, base);
    const { name, file, kind } = latest;
    const rendition = name === "" || file === "stream.ts" ? undefined : stream.rendition(name);
    if (rendition === undefined) return undefined;
    requests[kind]++;
    return answerFile(rendition, { request, file, query, sent });
  };
}

/** What a path names: a file of a rendition, or nothing of that kind (`name` is empty). */
interface NamedFile {
  readonly path: string;
  readonly name: string;
  readonly file: string;
  readonly kind: RequestKind;
}

function readFile(path: string, base: string): NamedFile {
  const match = path.startsWith(base) ? FILE_PATTERN.exec(path.slice(base.length)) : null;
  const [, name = "", file = ""] = match ?? [];
  return { path, name, file, kind: kindOf(path) };
}

/** What kind of request `path` is. */
export function kindOf(path: string): RequestKind {
  if (path.startsWith("/api/")) return "api";
  if (!path.startsWith("/live/")) return "other";
  if (path.endsWith(".m3u8")) return "playlist";
  return path.endsWith("/stream.ts") ? "ts" : kindOfMedia(path);
}

function kindOfMedia(name: string): "init" | "part" | "segment" | "other" {
  if (name.endsWith("-init.mp4")) return "init";
  if (/\.\d+\.m4s$/.test(name)) return "part";
  return name.endsWith(".m4s") || name.endsWith(".ts") ? "segment" : "other";
}

/** A request for a file of a rendition. */
interface FileRequest {
  readonly request: Request;
  readonly file: string;
  readonly query: string;
  /** Where bytes of the answer are counted. */
  readonly sent: RequestCounts;
}

/** Answers GET and HEAD of a rendition's playlist, segment or part. HEAD is never held. */
export function answerFile(rendition: RenditionStream, asked: FileRequest): Response | Promise<Response> {
  const { request, file } = asked;
  if (file === "index.m3u8") return answerPlaylist(rendition.cmaf, asked);
  if (file === "ts.m3u8") return answerPlaylist(rendition.ts, asked);
  if (request.method === "HEAD") return answerMedia(asked, rendition.mediaNow(file), false);
  let isLate = false;
  const answer = (found: MediaOutcome): Response => answerMedia(asked, found, isLate);
  const answering = rendition.media(file, { client: request, answer });
  isLate = true;
  return answering;
}

function answerPlaylist(track: Track, { request, query, sent }: FileRequest): Response | Promise<Response> {
  // Nothing follows an ended stream, so there is nothing to ask for (6.2.5).
  const directives = track.isEnded ? undefined : readDirectives(query);
  if (directives === "malformed") {
    return plainResponse(400, "_HLS_msn and _HLS_part are decimal integers, each given once");
  }
  const { targetDurationSeconds } = track;
  const isDelta = !track.isEnded && asksForDelta(query);
  if (directives === undefined) {
    const seconds = Math.max(1, Math.floor(targetDurationSeconds / 2));
    return answerReload(track.current(), { request, seconds, isDelta, sent });
  }
  const asked = { request, seconds: 6 * targetDurationSeconds, isDelta, sent };
  if (request.method === "HEAD") return answerReload(track.reloadNow(directives), asked);
  const answer = (reload: Reload): Response => answerReload(reload, asked);
  return track.reload(directives, { client: request, answer });
}

/** How a playlist was asked for. */
interface Asked {
  readonly request: Request;
  /** How long the answer may be kept. */
  readonly seconds: number;
  readonly isDelta: boolean;
  readonly sent: RequestCounts;
}

function answerReload(reload: Reload, { request, seconds, isDelta, sent }: Asked): Response {
  if (reload.outcome === "ready") {
    const text = isDelta ? reload.delta : reload.text;
    return playlistResponse(request, text, { cacheControl: `max-age=${seconds}`, sent });
  }
  if (reload.outcome === "bad") return plainResponse(400, "_HLS_msn or _HLS_part is too far ahead");
  return plainResponse(503, reasonOf(reload.outcome));
}

function answerMedia({ request, file, sent }: FileRequest, found: MediaOutcome, isLate: boolean): Response {
  if (found === "gone" || found === "ready") {
    return MEDIA_PATTERN.test(file) ? plainResponse(404, "Not found") : unknownResponse();
  }
  return typeof found === "string"
    ? plainResponse(503, reasonOf(found))
    : mediaResponse(request, { name: file, bytes: found, sent, kind: kindOfMedia(file), isLate });
}

function reasonOf(outcome: Exclude<Reload["outcome"], "ready" | "bad">): string {
  if (outcome === "unavailable") return "The stream has not begun, or the origin is catching up";
  if (outcome === "full") return "Too many requests are waiting";
  return outcome === "overdue" ? "Nothing new has come for three target durations" : "The stream begins anew";
}

/** 404 for what never was part of the stream: a name that is not there now is not there in a target duration either. */
export function unknownResponse(): Response {
  const response = plainResponse(404, "Not found");
  response.headers.set("cache-control", `max-age=${CMAF_SEGMENT_SECONDS}`);
  return response;
}

/** A refusal in words, not to be stored, since what it refuses may be right in the next instant; 503 with Retry-After. */
export function plainResponse(status: 400 | 404 | 503, reason: string): Response {
  return new Response(`${reason}\n`, {
    status,
    headers: {
      ...CORS_HEADERS,
      ...(status === 503 ? UNAVAILABLE : NO_STORE),
      "content-type": "text/plain; charset=utf-8",
    },
  });
}
