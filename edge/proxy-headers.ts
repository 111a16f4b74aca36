/**
 * What of a client's request goes upstream when the edge is a plain caching proxy, and who is asked in a circle. A
 * request that is sent for many carries nothing of what one client alone wants: no condition, no range.
 */
// RFC 9110 7.6 (forwarding, Via), RFC 8586 (CDN-Loop), RFC 7239 (Forwarded)
import { normaliseAcceptEncoding } from "./policy-vary.ts";
import { splitList } from "./policy-directives.ts";
import { removeHopByHop } from "./response-head.ts";

const NODE_NAME = "spillway";
/** A request that has passed so many caches goes round, whatever they call themselves. */
const HOPS_MAX = 16;

/** About one client's copy: read here, and sent on only where the request is for that client alone. */
const OWN_FIELDS = [
  "if-none-match",
  "if-modified-since",
  "if-match",
  "if-unmodified-since",
  "if-range",
  "range",
];
/** About the connection to this node and the body that is not passed on. */
const CONNECTION_FIELDS = [
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "expect",
  "accept-encoding",
];
/**
 * Claims of the client that upstreams believe and no cache key knows: where the request comes from, and which URL, host or
 * method it is really for. Those that begin with `x-forwarded` are meant as well.
 */
const CLAIMS = [
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "fastly-client-ip",
  "x-host",
  "x-original-host",
  "x-original-url",
  "x-rewrite-url",
  "x-original-uri",
  "x-http-host-override",
  "x-http-destinationurl",
  "x-scheme",
  "front-end-https",
  "client-ip",
  "proxy",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
];
const CLAIM_PREFIX = "x-forwarded";
const DROPPED_FIELDS = new Set([...CONNECTION_FIELDS, ...CLAIMS]);
/** What `Connection` says of the connection itself, and thus of no header. */
const PLAIN_CONNECTIONS: ReadonlySet<string | null> = new Set([null, "keep-alive", "Keep-Alive", "close"]);

/** What undici takes for a header's value; everything else would fail the whole request. */
const VALUE_PATTERN = /^[\t\x20-\x7e\x80-\xff]*$/;

/** No fragment either, which is none of a request's (RFC 9112 3.2.1). */
const URL_PATTERN = /^\/[\x21\x22\x24-\x7e]*$/;

/** True for a path and query that can stand in a request line. */
export function isForwardable(url: string): boolean {
  return URL_PATTERN.test(url);
}

/** Headers by lower-case name. */
export type HeaderRecord = Record<string, string>;

export interface ForwardOptions {
  /** How this process calls itself in `CDN-Loop`, besides its kind. */
  readonly nodeId: string;
  /** True where the request is sent for this client alone: its conditions and its range go with it. */
  readonly isAlone: boolean;
}

/** The headers to send upstream for a request. */
export function forwardedHeaders(request: Headers, { nodeId, isAlone }: ForwardOptions): HeaderRecord {
  const headers = new Headers(request);
  removeHopByHop(headers);
  if (!isAlone) for (const name of OWN_FIELDS) headers.delete(name);
  const forwarded: HeaderRecord = {};
  for (const [name, value] of headers) {
    if (!isDropped(name) && VALUE_PATTERN.test(value)) forwarded[name] = value;
  }
  forwarded["accept-encoding"] = normaliseAcceptEncoding(request.get("accept-encoding") ?? "");
  forwarded["via"] = append(request.get("via"), `1.1 ${NODE_NAME}`);
  forwarded["cdn-loop"] = append(request.get("cdn-loop"), loopToken(nodeId));
  return forwarded;
}

/** Many servers take `X_Forwarded_Host` for `X-Forwarded-Host`. */
function isDropped(name: string): boolean {
  const read = name.replaceAll("_", "-");
  return read.startsWith(CLAIM_PREFIX) || DROPPED_FIELDS.has(read);
}

/**
 * The request without what is about its connection: a header that `Connection` names never reaches the upstream, so that no
 * answer can have been chosen by it. The request itself where there is nothing of that.
 */
export function endToEndRequest(request: Request): Request {
  if (PLAIN_CONNECTIONS.has(request.headers.get("connection"))) return request;
  const { url, method, signal } = request;
  const headers = new Headers(request.headers);
  removeHopByHop(headers);
  return new Request(url, { method, headers, signal });
}

/** True where a request has been here before, or nearly everywhere. */
export function isLooping(request: Headers, nodeId: string): boolean {
  const field = request.get("cdn-loop");
  if (field === null) return false;
  const hops = splitList(field);
  return hops.length >= HOPS_MAX || hops.includes(loopToken(nodeId));
}

function loopToken(nodeId: string): string {
  return `${NODE_NAME};node=${nodeId}`;
}

function append(list: string | null, item: string): string {
  return list === null || !VALUE_PATTERN.test(list) ? item : `${list}, ${item}`;
}
