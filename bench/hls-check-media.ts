/** Checks what a media playlist lists: that all of it is there, how it is answered, and that times and parts agree with the text. */
// draft-pantos-hls-rfc8216bis-22 3.1, 6.2.1, 6.2.6; ISO/IEC 14496-12 8.8.12 (tfdt)
import { boxIn, holdsKeyFrame, isOneTrack, videoOf } from "./hls-check-video.ts";
import { type HlsDocument, readHlsDocument, type SegmentBlock, tagOf } from "./hls-document.ts";
import { type Answer, type HlsProbe, maxAgeOf, textOf } from "./hls-probe.ts";
import { partsOf, secondsOf } from "./hls-rules.ts";
import { hintedPart } from "./hls-updates.ts";

/** Media may be kept at least this long: as long as they are listed. */
const MEDIA_MAX_AGE_MIN = 60;
/** How far times of media and of text may differ, in seconds: a frame. */
const FRAME_SECONDS = 0.05;

/** All that `url` lists now. */
export async function checkMedia(probe: HlsProbe, url: string): Promise<void> {
  const document = readHlsDocument(textOf(await probe.ask(url)));
  const times: Times = { endSeconds: undefined, timescale: undefined, isVideo: false };
  for (const block of document.segments) {
    if (probe.isStopped) return;
    if (block.uri === undefined || tagOf(block.tags, "GAP") !== undefined) continue;
    await checkMap(probe, { url, block, times });
    const segment = await checkFile(probe, new URL(block.uri, url).href);
    checkTimes(probe, { block, segment, times });
    await checkSegmentParts(probe, { url, block, segment, times });
  }
  const last = document.segments.findLast(({ uri }) => uri !== undefined)?.uri ?? "";
  const missing = new URL(
    last.replace(/-(\d+)(?=[.-])/, (_, number: string) => `-${Number(number) + 1000}`),
    url,
  ).href;
  const { status, tookMs } = await probe.ask(missing);
  probe.expect(47, status === 404, `${missing}, which is neither listed nor hinted at, is ${status}`);
  probe.expect(47, tookMs < 1000, `${missing}, which is neither listed nor hinted at, took ${tookMs} ms`);
  await checkHint(probe, url, document);
}

interface Times {
  /** End of the segment before, on the media's own time line. */
  endSeconds: number | undefined;
  /** Absent in MPEG-TS. */
  timescale: number | undefined;
  /** True where H.264 is all there is, in MP4. */
  isVideo: boolean;
}

interface Place {
  readonly url: string;
  readonly block: SegmentBlock;
}

/** The initialization segment where a new one begins. */
async function checkMap(
  probe: HlsProbe,
  { url, block, times }: Place & { readonly times: Times },
): Promise<void> {
  const uri = tagOf(block.tags, "MAP")?.attributes.get("URI");
  if (tagOf(block.tags, "DISCONTINUITY") !== undefined) times.endSeconds = undefined;
  if (uri === undefined) return;
  const init = await checkFile(probe, new URL(uri, url).href);
  if (init.status !== 200) return;
  const header = boxIn(init, ["moov", "trak", "mdia", "mdhd"]);
  if (header === undefined) {
    probe.expect(41, false, `${uri} has no mdhd`);
    return;
  }
  times.isVideo = videoOf(init) !== undefined && isOneTrack(init);
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  times.timescale = view.getUint32(view.getUint8(0) === 1 ? 20 : 12);
}

/** One file: there at once, kept long, in ranges as asked for. */
async function checkFile(probe: HlsProbe, url: string): Promise<Answer> {
  const answer = await probe.ask(url);
  const { status, headers, bytes } = answer;
  probe.expect(46, status === 200, `${url} is listed and is ${status}`);
  if (status !== 200) return answer;
  const type = new URL(url).pathname.endsWith(".ts") ? "video/mp2t" : "video/mp4";
  probe.expect(2, headers.get("content-type") === type, `${url} is ${headers.get("content-type")}`);
  probe.expect(
    48,
    (maxAgeOf(answer) ?? 0) >= MEDIA_MAX_AGE_MIN,
    `${url} may be kept for ${maxAgeOf(answer)} s`,
  );
  probe.expect(49, headers.get("content-encoding") === null, `${url} is compressed`);
  const { length } = bytes;
  for (const [range, expected] of [
    ["bytes=0-", `bytes 0-${length - 1}/${length}`],
    ["bytes=1-2", `bytes 1-2/${length}`],
    ["bytes=-3", `bytes ${length - 3}-${length - 1}/${length}`],
  ] as const) {
    const part = await probe.ask(url, { headers: { range } });
    const said = part.headers.get("content-range");
    probe.expect(
      52,
      part.status === 206 && said === expected,
      `${range} of ${url} is ${part.status} ${said}`,
    );
  }
  const beyond = await probe.ask(url, { headers: { range: `bytes=${length}-` } });
  probe.expect(52, beyond.status === 416, `a range beyond the end of ${url} is ${beyond.status}`);
  return answer;
}

/** EXTINF and the times in the media say the same. */
function checkTimes(
  probe: HlsProbe,
  {
    block,
    segment,
    times,
  }: { readonly block: SegmentBlock; readonly segment: Answer; readonly times: Times },
): void {
  const { endSeconds } = times;
  times.endSeconds = undefined;
  // MPEG-TS has no initialization segment.
  if (times.timescale === undefined || segment.status !== 200) return;
  const tfdt = boxIn(segment, ["moof", "traf", "tfdt"]);
  if (tfdt === undefined) {
    probe.expect(42, false, `${block.uri} has no tfdt`);
    return;
  }
  const view = new DataView(tfdt.buffer, tfdt.byteOffset, tfdt.length);
  const units = view.getUint8(0) === 1 ? Number(view.getBigUint64(4)) : view.getUint32(4);
  const startSeconds = units / times.timescale;
  const drift = Math.abs(startSeconds - (endSeconds ?? startSeconds));
  probe.expect(6, drift < FRAME_SECONDS, `${block.uri} begins ${drift} s from the end of the one before`);
  times.endSeconds = startSeconds + (secondsOf(block) ?? 0);
}

/** A segment is its parts. */
async function checkSegmentParts(
  probe: HlsProbe,
  { url, block, segment, times }: Place & { readonly segment: Answer; readonly times: Times },
): Promise<void> {
  const parts: Uint8Array[] = [];
  for (const { attributes } of partsOf(block)) {
    const uri = attributes.get("URI") ?? "";
    const part = await checkFile(probe, new URL(uri, url).href);
    parts.push(part.bytes);
    const isIndependent = attributes.get("INDEPENDENT") === "YES";
    const hasKey = times.isVideo && part.status === 200 ? holdsKeyFrame(part) : undefined;
    const isRight = hasKey === undefined || hasKey === isIndependent;
    probe.expect(
      22,
      isRight,
      `${uri} has ${hasKey ? "a" : "no"} key frame and ${isIndependent ? "says" : "does not say"} so`,
    );
  }
  if (parts.length === 0) return;
  const isSame = Buffer.concat(parts).equals(segment.bytes);
  probe.expect(25, isSame, `${block.uri} is not its parts one after the other`);
}

/** The part that is hinted at is waited for, and is the one that is listed afterwards; 404 where another one came. */
async function checkHint(probe: HlsProbe, url: string, before: HlsDocument): Promise<void> {
  if (hintedPart(before) === undefined) return;
  const hint = hintedPart(readHlsDocument(textOf(await probe.ask(url)))) ?? "";
  const hinted = await probe.ask(new URL(hint, url).href);
  const isListed = textOf(await probe.ask(url)).includes(`URI="${hint}"`);
  const hasPlanChanged = hinted.status === 404 && !isListed;
  if (hasPlanChanged) return;
  probe.expect(47, hinted.status === 200, `${hint}, which was hinted at, is ${hinted.status}`);
  probe.expect(26, isListed, `${hint}, which was hinted at and is there, is not listed`);
  const again = await probe.ask(new URL(hint, url).href);
  probe.expect(55, Buffer.from(again.bytes).equals(hinted.bytes), `${hint} has other bytes the second time`);
}
