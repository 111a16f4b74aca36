/**
 * A playlist read line by line as the standard spells it, for checks: every tag with its place, and what is wrong with
 * the spelling. Nothing is forgiven and nothing guessed, other than by `hls-playlist.ts`, which reads as players do.
 */
// draft-pantos-hls-rfc8216bis-22 4.1, 4.2

/** Something that breaks a rule: `item` is its number in the list of rules that `hls-rules.ts` names. */
export interface Finding {
  readonly item: number;
  readonly text: string;
}

export interface Tag {
  /** Without `#EXT-X-` or `#EXT`: `MEDIA-SEQUENCE`, `INF`. */
  readonly name: string;
  /** All behind the colon; empty without one. */
  readonly value: string;
  /** Of tags with an attribute list; texts without their quotes. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** A segment with the tags that stand before its URI. */
export interface SegmentBlock {
  readonly tags: readonly Tag[];
  /** Absent in the last one where the segment is in the making. */
  readonly uri: string | undefined;
}

export interface HlsDocument {
  /** Tags before the first that belongs to a segment. */
  readonly header: readonly Tag[];
  readonly segments: readonly SegmentBlock[];
  /** Tags of the end: hints, reports, ENDLIST. */
  readonly footer: readonly Tag[];
  readonly problems: readonly Finding[];
}

/** Tags that open or describe one segment (4.4.4); a segment of the multivariant playlist is a variant. */
const SEGMENT_TAGS: ReadonlySet<string> = new Set([
  "INF",
  "BYTERANGE",
  "DISCONTINUITY",
  "KEY",
  "MAP",
  "PROGRAM-DATE-TIME",
  "GAP",
  "BITRATE",
  "PART",
  "STREAM-INF",
]);
const FOOTER_TAGS: ReadonlySet<string> = new Set(["PRELOAD-HINT", "RENDITION-REPORT", "ENDLIST"]);
/** Tags whose value is an attribute list. */
const ATTRIBUTE_TAGS: ReadonlySet<string> = new Set([
  "SERVER-CONTROL",
  "PART-INF",
  "MAP",
  "PART",
  "PRELOAD-HINT",
  "RENDITION-REPORT",
  "SKIP",
  "STREAM-INF",
  "START",
]);
const ATTRIBUTE = /^([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)/;
// Everything below the space but tab and line feed, and the byte order mark.
// oxlint-disable-next-line no-control-regex -- what it looks for
const FORBIDDEN = /[\0-\x08\x0b-\x1f\x7f\ufeff]/;

/** Reads a playlist. Never throws. */
export function readHlsDocument(text: string): HlsDocument {
  const problems: Finding[] = [];
  const complain = (problem: string): void => void problems.push({ item: 1, text: problem });
  if (!text.startsWith("#EXTM3U\n") && !text.startsWith("#EXTM3U\r\n"))
    complain("does not begin with #EXTM3U");
  const isCarriage = text.includes("\r\n");
  const plain = isCarriage ? text.replaceAll("\r\n", "\n") : text;
  if (isCarriage && /[^\r]\n/.test(text)) complain("mixes line ends");
  if (FORBIDDEN.test(plain)) complain("holds a control character or a byte order mark");
  if (!plain.endsWith("\n")) complain("does not end with a line end");
  const header: Tag[] = [];
  const footer: Tag[] = [];
  const segments: SegmentBlock[] = [];
  let open: Tag[] = [];
  for (const line of plain.split("\n").slice(1)) {
    if (line === "") continue;
    if (!line.startsWith("#")) {
      segments.push({ tags: open, uri: line });
      open = [];
      continue;
    }
    if (!line.startsWith("#EXT")) continue;
    const tag = readTag(line, complain);
    if (SEGMENT_TAGS.has(tag.name)) open.push(tag);
    else if (FOOTER_TAGS.has(tag.name)) footer.push(tag);
    else {
      header.push(tag);
      if (segments.length > 0 || open.length > 0) complain(`${tag.name} stands behind a segment`);
    }
  }
  if (open.length > 0) segments.push({ tags: open, uri: undefined });
  return { header, segments, footer, problems };
}

function readTag(line: string, complain: (problem: string) => void): Tag {
  const colon = line.indexOf(":");
  const full = colon < 0 ? line : line.slice(0, colon);
  const name = full.replace(/^#EXT(?:-X-)?/, "");
  const value = colon < 0 ? "" : line.slice(colon + 1);
  const attributes = new Map<string, string>();
  let rest = ATTRIBUTE_TAGS.has(name) ? value : "";
  while (rest !== "") {
    const match = ATTRIBUTE.exec(rest);
    if (match === null) {
      complain(`bad attributes in ${line}`);
      break;
    }
    const [whole, key = "", quoted = ""] = match;
    if (attributes.has(key)) complain(`${key} stands twice in ${line}`);
    attributes.set(key, quoted.replace(/^"|"$/g, ""));
    rest = rest.slice(whole.length);
  }
  if (/[=:]-?[\d.]+e[+-]?\d/i.test(line) && !line.includes('"'))
    complain(`a number with exponent in ${line}`);
  return { name, value, attributes };
}

/** The only tag of a name, or the first of several. */
export function tagOf(tags: readonly Tag[], name: string): Tag | undefined {
  return tags.find((tag) => tag.name === name);
}

/** The number that a tag says; `undefined` without the tag or a number. */
export function numberOf(tags: readonly Tag[], name: string): number | undefined {
  const value = tagOf(tags, name)?.value ?? "";
  return /^\d+(\.\d+)?$/.test(value) ? Number(value) : undefined;
}
