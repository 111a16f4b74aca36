/** What a request's headers allow an answer to be: compressed, not modified, a range. Read alike by origin and edge. */
// RFC 9110 (12.5.3 Accept-Encoding, 13.1.2 If-None-Match, 14.2 Range)

let latestAccepted: { readonly header: string | null; readonly isGzip: boolean } | undefined;

/** True if the header allows gzip: by name or `*`, and not with a quality of 0. Most requests have the one before's. */
export function acceptsGzip(header: string | null): boolean {
  if (latestAccepted?.header !== header) latestAccepted = { header, isGzip: readAcceptEncoding(header) };
  return latestAccepted.isGzip;
}

function readAcceptEncoding(header: string | null): boolean {
  let wildcard = false;
  for (const item of (header ?? "").toLowerCase().split(",")) {
    const [coding = "", ...parameters] = item.split(";").map((part) => part.trim());
    const isAllowed = parameters.every(isNoRefusal);
    if (coding === "gzip" || coding === "x-gzip") return isAllowed;
    if (coding === "*") wildcard = isAllowed;
  }
  return wildcard;
}

/** A quality of 0 refuses, and so does one that cannot be read: plain bytes are never wrong. */
function isNoRefusal(parameter: string): boolean {
  const quality = /^q\s*=(.*)$/.exec(parameter)?.[1];
  return quality === undefined || Number(quality) > 0;
}

/** Tags in their quotes, which may hold commas; `*`; and what is none. */
const TAG_PATTERN = /"[^"]*"|[^\s,"]+/g;

/**
 * True if one of the tags in `If-None-Match` is `etag`; weak ones compare by their text.
 *
 * @param etag empty where the answer has none, which matches nothing
 */
export function matchesEtag(header: string | null, etag: string): boolean {
  if (header === null || etag === "") return false;
  const text = etag.replace(/^W\//, "");
  return (header.match(TAG_PATTERN) ?? []).some((tag) => tag === "*" || tag === text);
}

/** Bytes from `start` up to and without `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The bytes that a `Range` header asks for. One range only: a header with several, of another unit, or one that is
 * malformed, is ignored, as 14.2 allows.
 */
export function readRange(header: string | null, length: number): ByteRange | "unsatisfiable" | undefined {
  const match = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  if (first === "") {
    if (Number(last) === 0 || length === 0) return "unsatisfiable";
    return { start: Math.max(0, length - Number(last)), end: length };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= length) return "unsatisfiable";
  return { start, end: last === "" ? length : Math.min(length, Number(last) + 1) };
}
