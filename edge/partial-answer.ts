/**
 * The heads of answers that are less than the whole: not modified, a range, a range that there is not. Made from the head of
 * the whole, by the contract's paths and by the caching proxy alike.
 */
// RFC 9110 15.3.7 (206), 15.4.5 (304), 15.5.17 (416)
import type { ByteRange } from "#common/http-conditions.ts";

/** Fields that describe the body, which a 304 has none of. */
const BODY_FIELDS = ["content-encoding", "content-length", "content-range", "content-type", "accept-ranges"];

/** @param headers the whole answer's; they are changed */
export function notModified(headers: Headers): Response {
  for (const name of BODY_FIELDS) headers.delete(name);
  return new Response(null, { status: 304, headers });
}

/**
 * Says `no-store`: a cache in front that took the whole's lifetime for this one's would give it out in place of the whole.
 *
 * @param headers the whole answer's; they are changed
 * @param length of the whole body, in bytes
 */
export function unsatisfiable(headers: Headers, length: number): Response {
  headers.set("content-range", `bytes */${length}`);
  headers.set("cache-control", "no-store");
  headers.delete("expires");
  headers.delete("content-length");
  return new Response(null, { status: 416, headers });
}

/**
 * Makes the head of a 206 of it.
 *
 * @param length of the whole body, in bytes
 */
export function describeRange(headers: Headers, { start, end }: ByteRange, length: number): void {
  headers.set("content-range", `bytes ${start}-${end - 1}/${length}`);
  headers.set("content-length", String(end - start));
}
