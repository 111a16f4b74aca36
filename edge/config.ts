/** Options of an edge. */
import { edgePortOption, type commonOptions } from "#common/config.ts";
import { OptionError } from "#common/errors.ts";
import {
  addressRanges,
  bindAddress,
  choice,
  flag,
  httpUrl,
  httpUrls,
  integer,
  integers,
  secret,
  text,
  type ConfigOf,
  type OptionSet,
} from "#common/options.ts";
import { FORWARDED_HEADERS } from "./viewer-address.ts";

/** Least memory that a cache is of use with, in MiB. */
export const CACHE_MIB_MIN = 16;
const UPSTREAM_WEIGHT_MAX = 1_000;

/** What an edge can be told. */
export const edgeOptions = {
  "edge-port": edgePortOption,
  "edge-bind": bindAddress({
    table: "edge",
    description: "Address that viewers connect to.",
    default: "::",
  }),
  upstream: httpUrls({
    table: "edge",
    description:
      "Where the stream comes from: an origin, or another edge. Repeatable; requests go to the first that answers.",
    default: ["http://127.0.0.1:8080"],
  }),
  "upstream-weight": integers({
    table: "edge",
    description:
      "Share of one --upstream, repeated in their order: renditions are spread by it. 0: only if no other is well.",
    min: 0,
    max: UPSTREAM_WEIGHT_MAX,
    defaultText: "none",
  }),
  "public-url": httpUrl({
    table: "edge",
    description:
      "How viewers reach this edge. Without it the origin joins this edge's port to the host name that the viewer used, which is right where both are one machine. Under `start` only with --edges 1.",
    default: "",
    defaultText: "none",
  }),
  region: text({
    table: "edge",
    description: "Name of the place where this edge stands, listed in /api/v1/edges.",
    valueName: "<name>",
    default: "",
    defaultText: "none",
    pattern: /^[\w.-]{1,64}$/,
    allowed: "1 to 64 letters, digits, dots, dashes or underscores",
  }),
  "capacity-mbit": integer({
    table: "edge",
    description: "What this edge can send, in Mbit/s, as told to the origin. 0: unknown.",
    default: 0,
    min: 0,
    max: 1_000_000,
  }),
  "cache-mib": integer({
    table: "edge",
    description:
      "Memory for what is cached, on its way or being sent, in MiB. An object over a quarter of it is not kept. Playlists that are watched take up to half of it, a dozen times their length.",
    default: 256,
    min: CACHE_MIB_MIN,
    max: 1_048_576,
  }),
  "edge-workers": integer({
    table: "edge",
    description:
      "Processes that answer viewers on the same port, for as many cores. From 2 on one more asks upstream for all of them and has the lease; `--cache-mib` is divided among them all, and each takes up to 120 MB beside it; there is no HTTP/3. Linux.",
    default: 1,
    min: 1,
    max: 64,
  }),
  "proxy-all": flag({
    table: "edge",
    description:
      "Be a caching proxy for every path of the upstream, by the rules of HTTP caching, instead of for the stream's alone. Only /metrics, /healthz, /readyz, /health and /api/ stay the edge's own.",
  }),
  "viewer-limit": integer({
    table: "edge",
    description:
      "Viewers from which this edge calls itself full: it is handed no new ones, but refuses nobody. 0: no limit.",
    default: 0,
    min: 0,
    max: 10_000_000,
  }),
  "viewer-max": integer({
    table: "edge",
    description:
      "Viewers from which new ones are refused with status 503; those of HLS at one address (IPv4) or /64 (IPv6) already where they are three times as many as places are left, three quarters of all at most: one host, which can claim to be many, does not fill the edge. 0: no limit.",
    default: 0,
    min: 0,
    max: 10_000_000,
  }),
  "drain-seconds": integer({
    table: "edge",
    description:
      "How long an edge that gets SIGTERM or Ctrl-C goes on answering everybody, while nobody new is sent to it and pages move to other edges. A second signal, a second later or more, ends it at once.",
    default: 30,
    defaultText: "30, under `start` 3",
    min: 0,
    max: 3_600,
  }),
  "stream-viewer-limit": integer({
    table: "edge",
    description:
      "As --viewer-limit, for those who watch one stream as stream.ts, all its renditions together.",
    default: 0,
    min: 0,
    max: 10_000_000,
  }),
  "stream-viewer-max": integer({
    table: "edge",
    description: "As --viewer-max, for those who watch one stream as stream.ts, all its renditions together.",
    default: 0,
    min: 0,
    max: 10_000_000,
  }),
  "refuse-status": choice({
    table: "edge",
    description:
      "What viewers of stream.ts are told while the edge or the stream is full, off or not live. 404 is for old set-top boxes, which take no other answer.",
    choices: ["503", "404"],
    default: "503",
  }),
  "admin-token": secret({
    table: "top",
    description:
      "Who sends it may switch streams of an edge off and on: POST /api/v1/streams/<name>/control?offline, ?online.",
  }),
  "viewer-connections-per-prefix": integer({
    table: "edge",
    description:
      "Connections at once from one viewer's address (IPv4) or /64 (IPv6), each from its first request on. A request on a further one is answered 503, and over HTTP/1.1 the connection closed. Several workers hear of each other each second. Not for those of `--trusted-proxies`. 0: no limit.",
    default: 0,
    min: 0,
    max: 100_000,
  }),
  "viewer-requests-per-prefix": integer({
    table: "edge",
    description:
      "Requests a second from one viewer's address (IPv4) or /64 (IPv6), those of two seconds at once; further ones are answered 503. Several workers hear of each other each second. A viewer of low-latency HLS sends about 10, a hall behind one address as many for each. 0: no limit.",
    default: 0,
    min: 0,
    max: 1_000_000,
  }),
  "trusted-proxies": addressRanges({
    table: "edge",
    description:
      "Proxies in front of this edge: what they say of the viewer in `--forwarded-header`, and of the host name in X-Forwarded-Host, counts for limits, for the number of viewers and for lists of edges. Nobody else's does.",
    defaultText: "none",
  }),
  "forwarded-header": choice({
    table: "edge",
    description: "The header in which trusted proxies name the viewer. They have to set it themselves.",
    choices: FORWARDED_HEADERS,
    default: "x-forwarded-for",
  }),
} satisfies OptionSet;

/** An edge's configuration as read. */
export type EdgeConfig = ConfigOf<typeof commonOptions & typeof edgeOptions>;

/** The weights of the upstreams, none or one for each. Throws {@link OptionError} where they do not fit together. */
export function readUpstreamWeights({
  upstream,
  upstreamWeight = [],
}: Pick<EdgeConfig, "upstream"> & Partial<Pick<EdgeConfig, "upstreamWeight">>): readonly number[] {
  const given = upstreamWeight.length;
  if (given > 0 && given !== upstream.length) {
    throw new OptionError(
      `Bad value for --upstream-weight: ${given} given, expected ${upstream.length}, one for each --upstream`,
    );
  }
  if (given > 0 && upstreamWeight.every((weight) => weight === 0)) {
    throw new OptionError("Bad value for --upstream-weight: all are 0, expected one above it");
  }
  return upstreamWeight;
}

/** Throws {@link OptionError} where a soft limit of viewers lies above the hard one, and so would never be reached. */
export function expectLimitsInOrder({
  viewerLimit,
  viewerMax,
  streamViewerLimit,
  streamViewerMax,
}: Pick<EdgeConfig, "viewerLimit" | "viewerMax" | "streamViewerLimit" | "streamViewerMax">): void {
  const pairs = [
    ["viewer", viewerLimit, viewerMax],
    ["stream-viewer", streamViewerLimit, streamViewerMax],
  ] as const;
  for (const [name, limit, max] of pairs) {
    if (max === 0 || limit <= max) continue;
    throw new OptionError(
      `Option --${name}-limit ${limit} is above --${name}-max ${max}: expected at most ${max}, 0 for no limit`,
    );
  }
}

/** Playlist reloads held at once, all playlists together; past it 503 with Retry-After. Fewer where open files do not allow it. */
export const HELD_REQUESTS_MAX = 20_000;
