/**
 * Checks a live stream over HTTP by the rules of LL-HLS and HLS, knowing nothing of who serves it: every answer, every
 * listed file, and each version of the playlists for a while. `bench check` and a test of a whole tree run it.
 */
// draft-pantos-hls-rfc8216bis-22, Apple HLS Authoring Specification
import { secondsToMs } from "#common/units.ts";
import { checkDirectives, checkPlaylistHeaders, nextDirectives } from "./hls-check-answers.ts";
import { checkMedia } from "./hls-check-media.ts";
import { checkVariant } from "./hls-check-video.ts";
import { type Finding, type HlsDocument, readHlsDocument, tagOf } from "./hls-document.ts";
import { type Answer, HlsProbe, type ProbeOptions, textOf } from "./hls-probe.ts";
import { checkMediaText, checkMultivariantText, readMedia } from "./hls-rules.ts";
import { checkUpdate, partsAdded } from "./hls-updates.ts";

/** A reload that brings nothing new, or fails, is not repeated at once. */
const PAUSE_MS = 200;
/** Gaps that are kept of one playlist. */
const GAPS_MAX = 1_000;

export interface HlsCheckOptions extends ProbeOptions {
  /** Multivariant playlist, or a media playlist alone. */
  readonly url: string;
  /** How long each media playlist is followed after all else is checked. */
  readonly seconds: number;
}

/** What was found. Times are those of this client: a machine that has other things to do makes them longer. */
export interface HlsCheckResult {
  readonly findings: readonly Finding[];
  readonly playlists: number;
  readonly requests: number;
  readonly versions: number;
  /** Longest time between two versions with a new segment, and how long it may be at most. */
  readonly segmentGapMs: number;
  readonly segmentGapMsMax: number;
  /** All that were longer, on the clock of the options; the first {@link GAPS_MAX} of a playlist. */
  readonly gaps: readonly SegmentGap[];
  /** Versions with more than one new part. */
  readonly bursts: number;
}

/** From one version with a new segment to the next. */
export interface SegmentGap {
  readonly startMs: number;
  readonly endMs: number;
}

/** Checks everything below `url`. Rejects where it cannot be reached at all. */
export async function checkHls(options: HlsCheckOptions): Promise<HlsCheckResult> {
  const probe = new HlsProbe(options);
  const variants = await readVariants(probe, options.url);
  const urls = variants ?? [options.url];
  for (const url of urls) {
    await checkPlaylistHeaders(probe, url);
    await checkDirectives(probe, url);
    await checkMedia(probe, url);
  }
  if (variants !== undefined) await checkInStep(probe, variants);
  const untilMs = probe.nowMs() + secondsToMs(options.seconds);
  const watches = await Promise.all(urls.map((url) => watch(probe, url, untilMs)));
  return {
    findings: probe.findings,
    playlists: urls.length,
    requests: probe.requests,
    versions: watches.reduce((sum, { versions }) => sum + versions, 0),
    segmentGapMs: Math.max(0, ...watches.map(({ segmentGapMs }) => segmentGapMs)),
    segmentGapMsMax: Math.min(...watches.map(({ segmentGapMsMax }) => segmentGapMsMax)),
    gaps: watches.flatMap(({ gaps }) => gaps),
    bursts: watches.reduce((sum, { bursts }) => sum + bursts, 0),
  };
}

/** The media playlists below a multivariant one; `undefined` where `url` is a media playlist itself. */
async function readVariants(probe: HlsProbe, url: string): Promise<readonly string[] | undefined> {
  const answer = await probe.ask(url);
  probe.expect(46, answer.status === 200, `${url} is ${answer.status}`);
  const document = readHlsDocument(textOf(answer));
  if (tagOf(document.header, "TARGETDURATION") !== undefined) return undefined;
  probe.add(checkMultivariantText(document), url);
  const type = answer.headers.get("content-type");
  probe.expect(2, type === "application/vnd.apple.mpegurl", `${url} is ${type}`);
  for (const variant of document.segments) await checkVariant(probe, url, variant);
  return document.segments.flatMap(({ uri }) => (uri === undefined ? [] : [new URL(uri, url).href]));
}

/** What must be the same in all playlists of one multivariant, and their reports of each other. */
async function checkInStep(probe: HlsProbe, urls: readonly string[]): Promise<void> {
  const documents = await Promise.all(urls.map(async (url) => readHlsDocument(textOf(await probe.ask(url)))));
  const [first] = documents;
  if (first === undefined) return;
  const dates = datesOf(first);
  for (const [index, document] of documents.entries()) {
    const url = urls[index] ?? "";
    for (const name of ["TARGETDURATION", "SERVER-CONTROL", "PART-INF"]) {
      const [one, other] = [first, document].map(({ header }) => tagOf(header, name)?.value);
      probe.expect(17, one === other, `${name} of ${url} is ${other}, of another rendition ${one}`);
    }
    for (const [msn, date] of datesOf(document)) {
      const other = dates.get(msn) ?? date;
      probe.expect(
        17,
        other === date,
        `segment ${msn} of ${url} is dated ${date}, of another rendition ${other}`,
      );
    }
    if (readMedia(document).partTargetSeconds === undefined) continue;
    const reported = document.footer
      .filter(({ name }) => name === "RENDITION-REPORT")
      .map(({ attributes }) => new URL(attributes.get("URI") ?? "", url).href);
    const others = urls.filter((other) => other !== url);
    const isAll = reported.toSorted().join() === others.toSorted().join();
    probe.expect(27, isAll, `${url} reports ${reported.join(" ")}, not ${others.join(" ")}`);
  }
}

function datesOf(document: HlsDocument): Map<number, string> {
  const { firstMsn } = readMedia(document);
  return new Map(
    document.segments.map(({ tags }, index) => [
      firstMsn + index,
      tagOf(tags, "PROGRAM-DATE-TIME")?.value ?? "",
    ]),
  );
}

interface Watch {
  versions: number;
  segmentGapMs: number;
  segmentGapMsMax: number;
  readonly gaps: SegmentGap[];
  bursts: number;
}

/** Follows one playlist by blocking reloads. */
async function watch(probe: HlsProbe, url: string, untilMs: number): Promise<Watch> {
  let text = textOf(await probe.ask(url));
  let document = readHlsDocument(text);
  const { targetSeconds } = readMedia(document);
  const seen: Watch = {
    versions: 0,
    segmentGapMs: 0,
    segmentGapMsMax: secondsToMs(1.5 * targetSeconds),
    gaps: [],
    bursts: 0,
  };
  let segmentMs: number | undefined;
  while (probe.nowMs() < untilMs && !probe.isStopped) {
    const answer = await askStill(probe, `${url}?${nextDirectives(document)}`);
    if (answer === undefined) {
      await Bun.sleep(PAUSE_MS);
      continue;
    }
    probe.expect(29, answer.status === 200, `${answer.url} is ${answer.status}`);
    if (answer.status !== 200) {
      await Bun.sleep(PAUSE_MS);
      continue;
    }
    const nextText = textOf(answer);
    const next = readHlsDocument(nextText);
    probe.add([...checkMediaText(next), ...checkUpdate(document, next)], url);
    if (nextText === text) {
      // A stream that has ended, or a server that holds no requests.
      await Bun.sleep(PAUSE_MS);
      continue;
    }
    text = nextText;
    seen.versions++;
    if (partsAdded(document, next).length > 1) seen.bursts++;
    if (lastUri(next) !== lastUri(document)) {
      if (segmentMs !== undefined) noteGap(seen, { startMs: segmentMs, endMs: answer.endMs });
      segmentMs = answer.endMs;
    }
    document = next;
  }
  return seen;
}

/** Asks a server that has answered before: that it cannot be reached now is one more thing that is wrong. */
async function askStill(probe: HlsProbe, url: string): Promise<Answer | undefined> {
  try {
    return await probe.ask(url);
  } catch {
    probe.expect(46, probe.isStopped, `${new URL(url).host} could not be reached for a while`);
    return undefined;
  }
}

function noteGap(seen: Watch, gap: SegmentGap): void {
  const gapMs = gap.endMs - gap.startMs;
  seen.segmentGapMs = Math.max(seen.segmentGapMs, gapMs);
  if (gapMs > seen.segmentGapMsMax && seen.gaps.length < GAPS_MAX) seen.gaps.push(gap);
}

function lastUri({ segments }: HlsDocument): string | undefined {
  return segments.findLast(({ uri }) => uri !== undefined)?.uri;
}
