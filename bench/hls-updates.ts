/** What one version of a media playlist may differ in from the one before: the rules of numbers that never go back. */
// draft-pantos-hls-rfc8216bis-22 4.4.3, 6.2.1, 6.2.2
import { type Finding, type HlsDocument, numberOf, type SegmentBlock, tagOf } from "./hls-document.ts";
import { partsOf, readMedia } from "./hls-rules.ts";

/** All rules that a new version can break. Both are whole playlists, not delta updates. */
export function checkUpdate(before: HlsDocument, after: HlsDocument): readonly Finding[] {
  const findings: Finding[] = [];
  const expect = (item: number, holds: boolean, text: string): void => {
    if (!holds) findings.push({ item, text });
  };
  for (const [item, name] of [
    [5, "TARGETDURATION"],
    [19, "PART-INF"],
    [21, "SERVER-CONTROL"],
  ] as const) {
    const [old, now] = [before, after].map(({ header }) => tagOf(header, name)?.value ?? "absent");
    expect(item, old === now, `${name} was ${old} and is ${now}`);
  }
  const old = readMedia(before);
  const now = readMedia(after);
  expect(8, now.firstMsn >= old.firstMsn, `MEDIA-SEQUENCE went from ${old.firstMsn} to ${now.firstMsn}`);
  const removed = before.segments.slice(0, Math.max(0, now.firstMsn - old.firstMsn));
  const kept = before.segments.slice(removed.length);
  const counted = removed.filter(({ tags }) => tagOf(tags, "DISCONTINUITY") !== undefined).length;
  const step = sequenceOf(after) - sequenceOf(before);
  // Where a list begins anew nothing of the old one is left to count by.
  expect(
    13,
    kept.length === 0 ? step >= 0 : step === counted,
    `DISCONTINUITY-SEQUENCE went on by ${step}, not ${counted}`,
  );
  expect(10, after.segments.length >= kept.length, "segments left at the end of the playlist");
  for (const [index, block] of kept.entries()) {
    const present = after.segments[index];
    if (present !== undefined)
      checkSegment(block, present, { expect, name: `segment ${now.firstMsn + index}` });
  }
  return findings;
}

function checkSegment(
  old: SegmentBlock,
  now: SegmentBlock,
  {
    expect,
    name,
  }: { readonly expect: (item: number, holds: boolean, text: string) => void; readonly name: string },
): void {
  expect(8, old.uri === undefined || old.uri === now.uri, `${name} was ${old.uri} and is ${now.uri}`);
  expect(10, ownTags(old) === ownTags(now), `tags of ${name} changed`);
  const oldParts = partsOf(old).map(({ value }) => value);
  const nowParts = partsOf(now).map(({ value }) => value);
  if (nowParts.length === 0 && now.uri !== undefined) return;
  const isPrefix = oldParts.every((value, index) => value === nowParts[index]);
  expect(10, isPrefix, `parts of ${name} changed`);
  expect(
    10,
    old.uri === undefined || oldParts.length === nowParts.length,
    `${name} was whole and has more parts`,
  );
}

function sequenceOf({ header }: HlsDocument): number {
  return numberOf(header, "DISCONTINUITY-SEQUENCE") ?? 0;
}

/** Tags that a segment has as soon as it is listed. The map in force is written once, at the first that is listed. */
function ownTags({ tags }: SegmentBlock): string {
  const own = tags.filter((tag) => !["PART", "MAP", "INF"].includes(tag.name));
  return own.map(({ name, value }) => `${name}:${value}`).join();
}

/** Parts that `after` lists and `before` did not, oldest first. */
export function partsAdded(before: HlsDocument, after: HlsDocument): readonly string[] {
  const known = new Set(urisOfParts(before));
  return urisOfParts(after).filter((uri) => !known.has(uri));
}

function urisOfParts({ segments }: HlsDocument): string[] {
  return segments.flatMap((block) => partsOf(block).map(({ attributes }) => attributes.get("URI") ?? ""));
}

/** Name of the part that a playlist hints at. */
export function hintedPart({ footer }: HlsDocument): string | undefined {
  const hint = footer.find(
    ({ name, attributes }) => name === "PRELOAD-HINT" && attributes.get("TYPE") === "PART",
  );
  return hint?.attributes.get("URI");
}
