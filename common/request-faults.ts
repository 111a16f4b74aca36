/**
 * What no node answers, whatever was asked for: looked at before everything else, on every request. Most of what a
 * hostile client can get wrong never comes this far: Bun refuses it by itself, and says so with a bare status.
 */
// RFC 9110 9.3.6 (CONNECT), 9.3.8 (TRACE), 15.5.15 (414); RFC 9112 3.2 (Host)
import { CORS_HEADERS, METHODS } from "#common/node-http.ts";

/** Why a request is refused. `method`: one that no node has any use for. */
export type RequestFault = "host" | "url" | "method";

/** RFC 9110 4.1 asks for 8,000 at least. Bun refuses what is longer than 16 KiB with all headers, with 431. */
export const URL_CHARACTERS_MAX = 8_192;

/** A name, an IPv4 address or an IPv6 address in brackets, with or without a port. No comma: Bun joins several fields by it. */
const HOST = /^(?:[\w.~%!$&'()*+;=-]{0,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{0,5})?$/;

const ANSWERS: Readonly<Record<RequestFault, { readonly status: number; readonly reason: string }>> = {
  host: { status: 400, reason: "One Host is expected" },
  url: { status: 414, reason: "The URL is too long" },
  method: { status: 405, reason: "Method not allowed" },
};

/** The newest host that is one: nearly everybody asks for the same. */
let latestHost = "";

function isHost(host: string): boolean {
  if (host === latestHost) return true;
  if (!HOST.test(host)) return false;
  latestHost = host;
  return true;
}

/** What is wrong with a request, if anything is. */
export function faultOf({ headers, method, url }: Request): RequestFault | undefined {
  // None at all is that of HTTP/1.0. Two of them: whoever is between may have taken the other one for the host.
  const host = headers.get("host");
  if (host !== null && !isHost(host)) return "host";
  if (url.length > URL_CHARACTERS_MAX) return "url";
  return method === "TRACE" || method === "CONNECT" ? "method" : undefined;
}

/** The answer to a request with that fault. */
export function answerFault(fault: RequestFault): Response {
  const { status, reason } = ANSWERS[fault];
  return new Response(`${reason}\n`, {
    status,
    headers: {
      ...CORS_HEADERS,
      date: new Date().toUTCString(),
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      // Behind CONNECT Bun reads no further request, and who is wrong about its host is no good company for others.
      connection: "close",
      ...(fault === "method" && { allow: METHODS }),
    },
  });
}
