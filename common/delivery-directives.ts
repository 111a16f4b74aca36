/** What a player asks of a media playlist in its query: the delivery directives, read alike by origin and edge. */
// draft-pantos-hls-rfc8216bis-22 6.2.5 (delivery directives)

/** `_HLS_msn` and `_HLS_part` of a reload. */
export interface Directives {
  /** Media sequence number that the answer must contain. */
  readonly segmentNumber: number;
  /** Part of that segment, or `undefined` when the request names none. */
  readonly part: number | undefined;
}

type ReadDirectives = Directives | "malformed" | undefined;

/** Those who wait for the same part ask in the same words. */
let latest: { readonly query: string; readonly directives: ReadDirectives } = {
  query: "",
  directives: undefined,
};

/** Longer numbers are none of ours: they would lose digits. */
const DECIMAL_PATTERN = /^\d{1,15}$/;

/**
 * Reads the delivery directives out of a query. Everything else in it is ignored, so that any order and any foreign
 * parameter meets the same playlist; `_HLS_skip` is read by {@link asksForDelta}.
 *
 * @param query without `?`
 * @returns `undefined` without directives, `"malformed"` for those that deserve 400 (6.2.5.2)
 */
export function readDirectives(query: string): ReadDirectives {
  // Most queries without them are empty, or a token.
  if (!query.includes("_HLS_")) return undefined;
  if (latest.query !== query) latest = { query, directives: parseDirectives(query) };
  return latest.directives;
}

function parseDirectives(query: string): ReadDirectives {
  const parameters = new URLSearchParams(query);
  const segmentNumbers = parameters.getAll("_HLS_msn");
  const parts = parameters.getAll("_HLS_part");
  if (segmentNumbers.length === 0 && parts.length === 0) return undefined;
  const [segmentNumber] = segmentNumbers;
  const [part] = parts;
  if (segmentNumber === undefined || segmentNumbers.length > 1 || parts.length > 1) return "malformed";
  if (!DECIMAL_PATTERN.test(segmentNumber)) return "malformed";
  if (part !== undefined && !DECIMAL_PATTERN.test(part)) return "malformed";
  return { segmentNumber: Number(segmentNumber), part: part === undefined ? undefined : Number(part) };
}

/**
 * True for a query that asks for a delta update, with or without other directives. `v2` allows to leave out date ranges
 * too, of which there are none here. Any other value, or several, ask for nothing.
 */
export function asksForDelta(query: string): boolean {
  if (!query.includes("_HLS_skip")) return false;
  const [skip, second] = new URLSearchParams(query).getAll("_HLS_skip");
  return second === undefined && (skip === "YES" || skip === "v2");
}
