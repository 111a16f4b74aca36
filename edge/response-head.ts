/**
 * The head of an upstream's answer, as everything that decides about it reads it: status, headers, and the clock
 * readings that ages are computed from. Made by `upstream.ts`.
 */
// RFC 9110 7.6.1 (hop-by-hop fields), RFC 7838 (Alt-Svc), RFC 9111 4.2.3 (age)

/** What came before the body. */
export interface ResponseHead {
  readonly status: number;
  /** End-to-end headers as received; hop-by-hop ones and those that Connection lists are left out. */
  readonly headers: Headers;
  /** When the request was sent, monotonic clock, ms. */
  readonly requestedMs: number;
  /** When the header arrived, monotonic clock, ms. */
  readonly receivedMs: number;
  /** The same on the wall clock, ms since the epoch. */
  readonly receivedWallMs: number;
}

/** Fields that are about one connection, or about where else its server listens, and never stored or passed on. */
const HOP_BY_HOP = [
  "alt-svc",
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Total of the body in bytes where the head says it. */
export function lengthOf({ headers }: ResponseHead): number | undefined {
  const text = headers.get("content-length") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Reads headers as undici has them: a text, or several for a field that was repeated. Hop-by-hop ones are left out. */
export function readHeaders(fields: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    for (const line of Array.isArray(value) ? value : [value]) appendField(headers, name, line);
  }
  removeHopByHop(headers);
  return headers;
}

/** Takes out what is about the connection alone: the fields known to be, and those that `Connection` names. */
export function removeHopByHop(headers: Headers): void {
  const listed = (headers.get("connection") ?? "").split(",");
  for (const name of [...HOP_BY_HOP, ...listed.map((name) => name.trim())]) {
    if (isFieldName(name)) headers.delete(name);
  }
}

/** True for what can be the name of a field (RFC 9110 5.1). */
export function isFieldName(name: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name);
}

/** A field that is none by RFC 9110 5.5 is left out. */
function appendField(headers: Headers, name: string, line: string): void {
  try {
    headers.append(name, line);
  } catch {
    // The upstream's bad bytes: nobody could be sent them either.
  }
}
