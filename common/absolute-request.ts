/**
 * HTTP/1.0 clients may leave out `Host`, and Bun then hands out a request whose URL is a bare path, which neither
 * `new URL` nor the router can read. Every node passes what `Bun.serve` gives it through here first; the original
 * request stays the key for `server.requestIP`, `server.timeout` and `server.upgrade`.
 */
// RFC 9112 3.2 (Host), 3.3 (reconstructing the target URI)

/** Stands in for the missing host. Not resolvable, so it cannot be mistaken for somebody's (RFC 6761 6.4). */
const NO_HOST = "host.invalid";

/** The request itself where its URL is absolute, as nearly always; or a copy with a URL that can be read. */
export function withAbsoluteUrl(request: Request): Request {
  const { url } = request;
  if (!url.startsWith("/")) return request;
  const { method, headers, signal } = request;
  // No body is taken along: nodes answer requests without one, and refuse the others by their method.
  return new Request(`http://${NO_HOST}${url}`, { method, headers, signal });
}
