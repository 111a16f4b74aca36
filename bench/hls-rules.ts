/**
 * What the text of one media or multivariant playlist must be like: the rules of the draft and of Apple's authoring
 * specification, by the numbers under which the tests of the origin show them too. Knows no node, only the text.
 */
// draft-pantos-hls-rfc8216bis-22 4.4, 6.2, B.1; Apple HLS Authoring Specification 7 to 9, 14
import {
  type Finding,
  type HlsDocument,
  numberOf,
  type SegmentBlock,
  type Tag,
  tagOf,
} from "./hls-document.ts";

/** What times in texts lose by rounding, in seconds: dates have milliseconds. */
const ROUNDING_SECONDS = 0.0011;
/** Share of the part target that a part has at least (4.4.4.9). */
const PART_SHARE_MIN = 0.85;
/** Version of playlists with parts, constant whether or not they skip. */
const VERSION_PARTS = 9;
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d\d:?\d\d)$/;

/** Numbers of a media playlist that several rules need. */
export interface Reading {
  readonly document: HlsDocument;
  readonly targetSeconds: number;
  /** `undefined` without parts. */
  readonly partTargetSeconds: number | undefined;
  readonly control: ReadonlyMap<string, string>;
  /** Number of the first segment that is written out: those that are skipped come before it. */
  readonly firstMsn: number;
  readonly isEnded: boolean;
}

/** Reads the numbers of a media playlist; those that are missing are 0, and some rule finds that. */
export function readMedia(document: HlsDocument): Reading {
  const { header, footer } = document;
  const partTarget = tagOf(header, "PART-INF")?.attributes.get("PART-TARGET");
  const skipped = tagOf(header, "SKIP")?.attributes.get("SKIPPED-SEGMENTS");
  return {
    document,
    targetSeconds: numberOf(header, "TARGETDURATION") ?? 0,
    partTargetSeconds: partTarget === undefined ? undefined : Number(partTarget),
    control: tagOf(header, "SERVER-CONTROL")?.attributes ?? new Map(),
    firstMsn: (numberOf(header, "MEDIA-SEQUENCE") ?? 0) + Number(skipped ?? 0),
    isEnded: tagOf(footer, "ENDLIST") !== undefined,
  };
}

/** Seconds of a segment as it says them; `undefined` while it is in the making. */
export function secondsOf({ tags }: SegmentBlock): number | undefined {
  const value = tagOf(tags, "INF")?.value;
  return value === undefined ? undefined : Number.parseFloat(value);
}

export function partsOf({ tags }: SegmentBlock): readonly Tag[] {
  return tags.filter(({ name }) => name === "PART");
}

/** Seconds of all listed parts of a segment. */
export function partSecondsOf(block: SegmentBlock): number {
  return partsOf(block).reduce((sum, part) => sum + durationOf(part), 0);
}

function durationOf(part: Tag): number {
  return Number(part.attributes.get("DURATION"));
}

/** All rules that one media playlist alone can break. */
export function checkMediaText(document: HlsDocument): readonly Finding[] {
  const reading = readMedia(document);
  return [
    ...document.problems,
    ...checkHeader(reading),
    ...checkSegments(reading),
    ...checkDates(reading),
    ...(reading.partTargetSeconds === undefined ? [] : checkParts(reading, reading.partTargetSeconds)),
    ...checkFooter(reading),
  ];
}

/** Collects findings: `expect(5, isTrue, "what is wrong")`. */
function collector(): {
  readonly findings: Finding[];
  readonly expect: (item: number, holds: boolean, text: string) => void;
} {
  const findings: Finding[] = [];
  return {
    findings,
    expect(item, holds, text) {
      if (!holds) findings.push({ item, text });
    },
  };
}

function checkHeader({ document, targetSeconds, partTargetSeconds, control }: Reading): Finding[] {
  const { findings, expect } = collector();
  const { header, segments } = document;
  const count = (name: string): number => header.filter((tag) => tag.name === name).length;
  for (const name of ["VERSION", "TARGETDURATION", "MEDIA-SEQUENCE"]) {
    expect(3, count(name) === 1, `${name} stands ${count(name)} times`);
  }
  const controls = partTargetSeconds === undefined ? 0 : 1;
  expect(3, count("SERVER-CONTROL") <= 1 && count("SERVER-CONTROL") >= controls, "no single SERVER-CONTROL");
  expect(3, count("SKIP") === 0 || header.at(-1)?.name === "SKIP", "SKIP is not the last tag of the header");
  expect(3, count("SKIP") <= 1, "several SKIP");
  const version = numberOf(header, "VERSION") ?? 0;
  const hasMap = segments.some(({ tags }) => tagOf(tags, "MAP") !== undefined);
  expect(4, version >= (hasMap ? 6 : 3), `version ${version} is too low`);
  expect(4, count("SKIP") === 0 || version >= 9, `version ${version} has no SKIP`);
  expect(4, partTargetSeconds === undefined || version === VERSION_PARTS, `version ${version} with parts`);
  expect(5, Number.isInteger(targetSeconds) && targetSeconds >= 1, "TARGETDURATION is no whole number");
  for (const name of ["PLAYLIST-TYPE", "ALLOW-CACHE"]) expect(7, count(name) === 0, `has ${name}`);
  expect(13, count("DISCONTINUITY-SEQUENCE") === 1, "no single DISCONTINUITY-SEQUENCE");
  const hasParts = segments.some((block) => partsOf(block).length > 0);
  expect(19, !hasParts || partTargetSeconds !== undefined, "PART without PART-INF");
  const holdBack = control.get("HOLD-BACK");
  expect(21, holdBack === undefined || Number(holdBack) >= 3 * targetSeconds, "HOLD-BACK is too short");
  if (partTargetSeconds !== undefined) {
    expect(21, control.get("CAN-BLOCK-RELOAD") === "YES", "parts without CAN-BLOCK-RELOAD");
    const parts = Number(control.get("PART-HOLD-BACK") ?? 0);
    expect(21, parts >= 3 * partTargetSeconds - 1e-9, `PART-HOLD-BACK is ${parts}`);
  }
  const skipUntil = control.get("CAN-SKIP-UNTIL");
  expect(
    21,
    skipUntil === undefined || Number(skipUntil) >= 6 * targetSeconds,
    "CAN-SKIP-UNTIL is too short",
  );
  expect(39, count("SKIP") === 0 || skipUntil !== undefined, "SKIP without CAN-SKIP-UNTIL");
  return findings;
}

function checkSegments({ document, targetSeconds, firstMsn, partTargetSeconds }: Reading): Finding[] {
  const { findings, expect } = collector();
  for (const [index, block] of document.segments.entries()) {
    const { tags, uri } = block;
    const name = `segment ${firstMsn + index}`;
    const seconds = secondsOf(block);
    if (uri !== undefined) {
      expect(
        6,
        /^\d+\.\d{5,},/.test(tagOf(tags, "INF")?.value ?? ""),
        `${name} has no EXTINF of five decimals`,
      );
      expect(5, Math.round(seconds ?? 0) <= targetSeconds, `${name} lasts ${seconds} s`);
      expect(2, /\.(?:ts|m4s|mp4)$/.test(uri.replace(/\?.*/, "")), `${name} has no extension: ${uri}`);
    }
    const isNew = tagOf(tags, "DISCONTINUITY") !== undefined;
    const needsMap = partTargetSeconds !== undefined && (isNew || index === 0);
    const isSkipped = index === 0 && tagOf(document.header, "SKIP") !== undefined;
    expect(13, !needsMap || isSkipped || tagOf(tags, "MAP") !== undefined, `${name} has no MAP`);
    const firstPart = tags.findIndex((tag) => tag.name === "PART");
    const late = tags
      .slice(firstPart + 1)
      .filter((tag) => /^(?:MAP|KEY|PROGRAM|DISCONTINUITY)/.test(tag.name));
    expect(23, firstPart < 0 || late.length === 0, `${name} has tags of the segment behind a part`);
  }
  return findings;
}

function checkDates({ document, firstMsn }: Reading): Finding[] {
  const { findings, expect } = collector();
  let endMs: number | undefined;
  for (const [index, block] of document.segments.entries()) {
    const name = `segment ${firstMsn + index}`;
    const date = tagOf(block.tags, "PROGRAM-DATE-TIME")?.value ?? "";
    expect(12, DATE.test(date), `${name} has the date "${date}"`);
    const startMs = Date.parse(date);
    const driftSeconds = endMs === undefined ? 0 : (startMs - endMs) / 1000;
    const isNew = tagOf(block.tags, "DISCONTINUITY") !== undefined;
    expect(
      12,
      driftSeconds >= -ROUNDING_SECONDS,
      `${name} is dated ${-driftSeconds} s before the end of the one before`,
    );
    expect(12, isNew || driftSeconds <= ROUNDING_SECONDS, `${name} is dated ${driftSeconds} s late`);
    endMs = startMs + (secondsOf(block) ?? 0) * 1000;
  }
  return findings;
}

function checkParts({ document, targetSeconds, firstMsn }: Reading, partTarget: number): Finding[] {
  const { findings, expect } = collector();
  const { segments } = document;
  let behindSeconds = 0;
  for (const [back, block] of segments.toReversed().entries()) {
    const name = `segment ${firstMsn + segments.length - 1 - back}`;
    const parts = partsOf(block);
    const isWhole = block.uri !== undefined;
    for (const [index, part] of parts.entries()) {
      const seconds = durationOf(part);
      const isLast = isWhole && index === parts.length - 1;
      expect(19, seconds <= partTarget, `part ${index} of ${name} lasts ${seconds} s`);
      const mayBeShort = isLast || part.attributes.has("INDEPENDENT") || part.attributes.has("GAP");
      expect(
        20,
        mayBeShort || seconds >= PART_SHARE_MIN * partTarget,
        `part ${index} of ${name} lasts ${seconds} s`,
      );
    }
    if (parts.length > 0) {
      expect(
        22,
        parts.some((part) => part.attributes.get("INDEPENDENT") === "YES"),
        `${name} has no independent part`,
      );
      expect(24, behindSeconds <= 3 * targetSeconds, `${name} still lists parts`);
    }
    const seconds = secondsOf(block);
    if (seconds !== undefined && parts.length > 0) {
      expect(25, Math.abs(partSecondsOf(block) - seconds) < 0.0005, `${name} is not as long as its parts`);
    }
    expect(
      28,
      isWhole || partSecondsOf(block) < targetSeconds - ROUNDING_SECONDS,
      `${name} is not said to be whole`,
    );
    behindSeconds += seconds ?? partSecondsOf(block);
  }
  return findings;
}

function checkFooter({ document, partTargetSeconds, isEnded }: Reading): Finding[] {
  const { findings, expect } = collector();
  const hints = document.footer.filter(
    ({ name, attributes }) => name === "PRELOAD-HINT" && attributes.get("TYPE") === "PART",
  );
  const isWanted = partTargetSeconds !== undefined && !isEnded;
  expect(isEnded ? 18 : 26, hints.length === (isWanted ? 1 : 0), `${hints.length} hints at a part`);
  for (const { name, attributes } of document.footer) {
    if (name !== "RENDITION-REPORT") continue;
    const uri = attributes.get("URI") ?? "";
    expect(27, uri !== "" && !/^(?:[a-z]+:|\/)/i.test(uri), `the report's URI "${uri}" is not relative`);
    expect(27, /^\d+$/.test(attributes.get("LAST-MSN") ?? ""), `no LAST-MSN of ${uri}`);
    const needsPart = partTargetSeconds !== undefined;
    expect(27, !needsPart || /^\d+$/.test(attributes.get("LAST-PART") ?? ""), `no LAST-PART of ${uri}`);
  }
  return findings;
}

/** All rules that a multivariant playlist alone can break. */
export function checkMultivariantText(document: HlsDocument): readonly Finding[] {
  const { findings, expect } = collector();
  const { header, segments } = document;
  expect(15, tagOf(header, "INDEPENDENT-SEGMENTS") !== undefined, "no INDEPENDENT-SEGMENTS");
  expect(16, segments.length > 0, "no variant");
  for (const { tags, uri = "" } of segments) {
    const attributes = tagOf(tags, "STREAM-INF")?.attributes ?? new Map<string, string>();
    const number = (name: string): number => Number(attributes.get(name) ?? 0);
    expect(16, Number.isInteger(number("BANDWIDTH")) && number("BANDWIDTH") > 0, `no BANDWIDTH of ${uri}`);
    const average = number("AVERAGE-BANDWIDTH");
    expect(16, average > 0 && average <= number("BANDWIDTH"), `AVERAGE-BANDWIDTH of ${uri} is ${average}`);
    expect(16, /^[a-z0-9.]+(?:,[a-z0-9.]+)*$/i.test(attributes.get("CODECS") ?? ""), `no CODECS of ${uri}`);
    expect(16, /^\d+x\d+$/.test(attributes.get("RESOLUTION") ?? ""), `no RESOLUTION of ${uri}`);
    expect(16, number("FRAME-RATE") > 0, `no FRAME-RATE of ${uri}`);
  }
  return [...document.problems, ...findings];
}
