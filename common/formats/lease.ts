/**
 * What an edge and its origin say to each other over the lease: JSON text messages on the WebSocket
 * `/api/v1/lease`. The edge says `hello` once, hears `welcome`, then reports its `load` once a second. Where segments
 * are spread over edges, it hears of each table of their hosts. Closing the socket ends the lease at once; five seconds
 * of silence end it too. A message of a type that the reader does not know is none.
 */

/** Raised when a message changes its meaning. An origin refuses a `hello` of another version. */
export const LEASE_VERSION = 1;
/** How often an edge reports, and how long an origin waits for it. Milliseconds. */
export const LEASE_REPORT_MS = 1_000;
export const LEASE_SILENCE_MS_MAX = 5_000;
/** A longer message of an edge is refused and ends the lease. */
export const LEASE_MESSAGE_BYTES_MAX = 4_096;
/** Edges that segments are spread over at most, and the longest message that tells of them. */
export const SEGMENT_HOSTS_MAX = 64;
const SEGMENT_HOSTS_BYTES_MAX = 65_536;
const PUBLIC_URL_CHARACTERS_MAX = 512;

/** `ready`: takes new viewers. `full`: serves those it has. `waiting`: has no stream, or one that is switched off. `draining`: about to end. */
export const EDGE_STATES = ["ready", "full", "waiting", "draining"] as const;
export type EdgeState = (typeof EDGE_STATES)[number];

/** First message of an edge: who it is. */
export interface LeaseHello {
  readonly type: "hello";
  readonly version: number;
  /** How viewers reach the edge (`https://edge1.example.org`), or empty: then the origin joins `scheme` and `port` to the host name that the viewer used. */
  readonly publicUrl: string;
  readonly scheme: "http" | "https";
  readonly port: number;
  readonly region: string;
  /** What it can send, bits per second; 0 where unknown. */
  readonly capacityBitsPerSecond: number;
}

/** Later messages of an edge: how busy it is. */
export interface LeaseLoad {
  readonly type: "load";
  readonly state: EdgeState;
  readonly viewers: number;
  readonly egressBitsPerSecond: number;
}

/** The origin's answer to `hello`. */
export interface LeaseWelcome {
  readonly type: "welcome";
  readonly version: number;
}

/** An edge that segments are had from, and its share of them relative to the others'. */
export interface SegmentHost {
  /** Base of its URLs, without a slash at its end. */
  readonly url: string;
  /** At least 1. */
  readonly weight: number;
}

/** First numbers of segments, in playlists with parts and in those of MPEG-TS: each has numbers of its own. */
export interface SegmentNumbers {
  readonly cmaf: number;
  readonly ts: number;
}

/**
 * From the origin, once for each table that still counts when the edge says `hello`, oldest first, and for each new one:
 * which edges the segments from a number on are had from. The table that was told last of those that a segment lies in
 * holds for it, and it never changes for one that was published.
 */
export interface LeaseSegmentHosts {
  readonly type: "segment-hosts";
  /** Differs with each start of an origin. */
  readonly origin: string;
  /** Counts up at that origin. */
  readonly version: number;
  readonly from: SegmentNumbers;
  /** Ordered by URL; empty where segments stay with whoever serves the playlist. */
  readonly hosts: readonly SegmentHost[];
}

/** What an origin says that spreads nothing: it may have done so when it ran before. */
export const NO_SEGMENT_HOSTS: LeaseSegmentHosts = {
  type: "segment-hosts",
  origin: "none",
  version: 1,
  from: { cmaf: 0, ts: 0 },
  hosts: [],
};

export type LeaseMessage = LeaseHello | LeaseLoad | LeaseWelcome | LeaseSegmentHosts;

export function encodeLeaseMessage(message: LeaseMessage): string {
  return JSON.stringify(message);
}

/** Reads one message, or `undefined` where it is none of ours or one of its fields is out of range. */
export function decodeLeaseMessage(text: string): LeaseMessage | undefined {
  if (text.length > SEGMENT_HOSTS_BYTES_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const fields = value;
  if (fields["type"] === "segment-hosts") return readSegmentHosts(fields);
  if (text.length > LEASE_MESSAGE_BYTES_MAX) return undefined;
  if (fields["type"] === "hello") return readHello(fields);
  if (fields["type"] === "load") return readLoad(fields);
  if (fields["type"] === "welcome" && isCount(fields["version"])) {
    return { type: "welcome", version: fields["version"] };
  }
  return undefined;
}

function readHello(fields: Readonly<Record<string, unknown>>): LeaseHello | undefined {
  const { version, publicUrl, scheme, port, region, capacityBitsPerSecond } = fields;
  if (!isCount(version) || !isCount(port) || port > 65_535 || !isCount(capacityBitsPerSecond))
    return undefined;
  if (scheme !== "http" && scheme !== "https") return undefined;
  if (typeof region !== "string" || !/^[\w.-]{0,64}$/.test(region)) return undefined;
  if (typeof publicUrl !== "string" || !isPublicUrl(publicUrl)) return undefined;
  return { type: "hello", version, publicUrl, scheme, port, region, capacityBitsPerSecond };
}

function readLoad(fields: Readonly<Record<string, unknown>>): LeaseLoad | undefined {
  const { state, viewers, egressBitsPerSecond } = fields;
  const known = EDGE_STATES.find((candidate) => candidate === state);
  if (known === undefined || !isCount(viewers) || !isCount(egressBitsPerSecond)) return undefined;
  return { type: "load", state: known, viewers, egressBitsPerSecond };
}

function readSegmentHosts(fields: Readonly<Record<string, unknown>>): LeaseSegmentHosts | undefined {
  const { origin, version, from, hosts } = fields;
  if (typeof origin !== "string" || !/^[0-9a-z]{1,32}$/.test(origin) || !isCount(version)) return undefined;
  if (!isObject(from) || !Array.isArray(hosts) || hosts.length > SEGMENT_HOSTS_MAX) return undefined;
  const { cmaf, ts } = from;
  if (!isCount(cmaf) || !isCount(ts)) return undefined;
  const read = hosts.flatMap((host: unknown) => readSegmentHost(host) ?? []);
  if (read.length < hosts.length) return undefined;
  return { type: "segment-hosts", origin, version, from: { cmaf, ts }, hosts: read };
}

function readSegmentHost(host: unknown): SegmentHost | undefined {
  if (!isObject(host)) return undefined;
  const { url, weight } = host;
  const isUrl = typeof url === "string" && url !== "" && isPublicUrl(url) && !url.endsWith("/");
  return isUrl && isCount(weight) && weight > 0 ? { url, weight } : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** Playlists quote this URL and add paths to it: only a plain http(s) URL without user, query or fragment may pass. */
function isPublicUrl(text: string): boolean {
  if (text === "") return true;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    return false;
  // An empty query or fragment is none to the parser, so they are looked for in the text.
  return text.length <= PUBLIC_URL_CHARACTERS_MAX && /^[\x21\x24-\x3e\x40-\x7e]+$/.test(text);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
