/**
 * Replaces URIs in the text of a playlist and nothing else: whatever is no URI passes byte for byte, tags and attributes
 * that nobody here knows as well. One pass over the text, whatever stands in it; a text without a change is returned as
 * it came.
 */
// draft-pantos-hls-rfc8216bis-22 4.1 (lines), 4.2 (attribute lists)

/** The tags whose `URI` attribute is a URI (4.4). */
const URI_TAGS: ReadonlySet<string> = new Set([
  "#EXT-X-I-FRAME-STREAM-INF",
  "#EXT-X-KEY",
  "#EXT-X-MAP",
  "#EXT-X-MEDIA",
  "#EXT-X-PART",
  "#EXT-X-PRELOAD-HINT",
  "#EXT-X-RENDITION-REPORT",
  "#EXT-X-SESSION-DATA",
  "#EXT-X-SESSION-KEY",
]);
const NAME = "URI";

const BYTE_ORDER_MARK = 0xfeff;
const NUMBER_SIGN = 0x23;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const EQUALS = 0x3d;

/**
 * What to write instead of a URI: itself where it stays. Contains no quote and no line break.
 *
 * @param tag where it stands, such as `#EXT-X-PART`; empty for a line that is a URI: a segment or a variant
 */
export type UriMap = (uri: string, tag: string) => string;

/** Where a URI stands in the text: from `start` to before `end`. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** The text with each of its URIs replaced by what `map` makes of it. */
export function mapPlaylistUris(text: string, map: UriMap): string {
  let written = "";
  let copiedTo = 0;
  let lineStart = text.charCodeAt(0) === BYTE_ORDER_MARK ? 1 : 0;
  while (lineStart < text.length) {
    const lineFeed = text.indexOf("\n", lineStart);
    const nextLine = lineFeed < 0 ? text.length : lineFeed + 1;
    let end = lineFeed < 0 ? text.length : lineFeed;
    if (end > lineStart && text.charCodeAt(end - 1) === CARRIAGE_RETURN) end--;
    const line = { start: lineStart, end };
    const isTag = text.charCodeAt(lineStart) === NUMBER_SIGN;
    const tag = isTag ? uriTagOf(text, line) : "";
    const span = isTag ? uriAttribute(text, line, tag) : line;
    if (span !== undefined && span.end > span.start) {
      const uri = text.slice(span.start, span.end);
      const mapped = map(uri, tag);
      if (mapped !== uri) {
        written += text.slice(copiedTo, span.start) + mapped;
        copiedTo = span.end;
      }
    }
    lineStart = nextLine;
  }
  return copiedTo === 0 ? text : written + text.slice(copiedTo);
}

/** The tag of a line where it is one of {@link URI_TAGS}, or empty. */
function uriTagOf(text: string, { start, end }: Span): string {
  // Cut to a length that any of them has: a line without a colon would be searched to the end of the text.
  const head = text.slice(start, Math.min(end, start + 32));
  const colon = head.indexOf(":");
  const tag = colon < 0 ? "" : head.slice(0, colon);
  return URI_TAGS.has(tag) ? tag : "";
}

/** What stands between the quotes of the first attribute `URI`; `undefined` where there is none. */
function uriAttribute(text: string, { start, end }: Span, tag: string): Span | undefined {
  if (tag === "") return undefined;
  let at = start + tag.length + 1;
  while (at < end) {
    // Players forgive a space behind a comma, and a name without a value.
    let nameStart = at;
    for (; at < end && text.charCodeAt(at) !== EQUALS; at++) {
      const code = text.charCodeAt(at);
      if (code === COMMA || code === SPACE) nameStart = at + 1;
    }
    const isUri = at - nameStart === NAME.length && text.startsWith(NAME, nameStart);
    const valueStart = at + 1;
    const isQuoted = valueStart < end && text.charCodeAt(valueStart) === QUOTE;
    if (isQuoted) {
      const close = indexBefore(text, QUOTE, { start: valueStart + 1, end });
      // Without its second quote the rest of the line is no string.
      if (close === end) return undefined;
      if (isUri) return { start: valueStart + 1, end: close };
      at = close;
    } else if (isUri) return undefined;
    at = indexBefore(text, COMMA, { start: at, end }) + 1;
  }
  return undefined;
}

/** The first `code` before `end`, or `end`. */
function indexBefore(text: string, code: number, { start, end }: Span): number {
  let at = start;
  while (at < end && text.charCodeAt(at) !== code) at++;
  return at;
}
