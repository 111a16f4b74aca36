/** What of a stored answer a request gets: all of it, a range, or the news that it has not changed. */
// RFC 9110 13.1 and 13.2.2 (preconditions and their order), 14 (ranges); RFC 9111 4.3.2 (at a cache)
import { type ByteRange, matchesEtag, readRange } from "#common/http-conditions.ts";
import { dateMsOf } from "./policy-freshness.ts";
import { readHttpDate } from "./policy-dates.ts";
import type { ResponseHead } from "./response-head.ts";

/** Seconds by which `Date` has to be past `Last-Modified` for that to be a strong validator (RFC 9110 8.8.2.2). */
const STRONG_DATE_MS = 1_000;

/** Conditions that only the upstream can judge. */
const UPSTREAM_CONDITIONS = ["if-match", "if-unmodified-since"];

const CONDITIONS = [...UPSTREAM_CONDITIONS, "if-none-match", "if-modified-since"];

/** What to send of a stored answer. */
export type Selection = "whole" | "not-modified" | "unsatisfiable" | ByteRange;

/** True where a request asks for what no cache may decide. */
export function isForUpstreamOnly(request: Headers): boolean {
  return UPSTREAM_CONDITIONS.some((name) => request.has(name));
}

/** True where the answer may be about what the client has, and not the thing itself. */
export function hasOwnConditions(request: Headers): boolean {
  return CONDITIONS.some((name) => request.has(name));
}

/**
 * Selects by the request's own conditions and range.
 *
 * @param size of the body, in bytes; `undefined` where nobody knows yet how long it gets: then a range means nothing
 */
export function select(
  request: { readonly method: string; readonly headers: Headers },
  { head, size }: { readonly head: ResponseHead; readonly size: number | undefined },
): Selection {
  if (head.status === 200 || head.status === 203) {
    if (isNotModified(request.headers, head)) return "not-modified";
  }
  const range = request.headers.get("range");
  if (range === null || request.method !== "GET" || head.status !== 200) return "whole";
  if (size === undefined || !mayRange(request.headers.get("if-range"), head)) return "whole";
  return readRange(range, size) ?? "whole";
}

/** `If-None-Match` first; `If-Modified-Since` only without it. */
function isNotModified(request: Headers, head: ResponseHead): boolean {
  const tags = request.get("if-none-match");
  if (tags !== null) return tags.trim() === "*" || matchesEtag(tags, head.headers.get("etag") ?? "");
  const sinceMs = readHttpDate(request.get("if-modified-since"), head.receivedWallMs);
  if (sinceMs === undefined) return false;
  const modifiedMs = readHttpDate(head.headers.get("last-modified"), head.receivedWallMs) ?? dateMsOf(head);
  return modifiedMs <= sinceMs;
}

/** `If-Range` has to name this very representation, by a strong tag or a date that is strong. */
function mayRange(condition: string | null, head: ResponseHead): boolean {
  if (condition === null) return true;
  const text = condition.trim();
  if (text.startsWith('"')) return text === head.headers.get("etag");
  const modified = head.headers.get("last-modified");
  const modifiedMs = readHttpDate(modified, head.receivedWallMs);
  const conditionMs = readHttpDate(text, head.receivedWallMs);
  if (modifiedMs === undefined || modifiedMs !== conditionMs) return false;
  return dateMsOf(head) - modifiedMs >= STRONG_DATE_MS;
}
