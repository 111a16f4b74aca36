/** Checks that a multivariant playlist and its media playlists tell the truth about the video: rate, codec, size, key frames. */
// draft-pantos-hls-rfc8216bis-22 4.4.4.9, 4.4.6.2; ISO/IEC 14496-15 5.3 (AVC in MP4)
import { FeedFormatError, findBoxContent, findBoxContents } from "#common/formats/mp4-boxes.ts";
import { readHlsDocument, type SegmentBlock, tagOf } from "./hls-document.ts";
import { type Answer, type HlsProbe, textOf } from "./hls-probe.ts";
import { readMedia, secondsOf } from "./hls-rules.ts";

/** Shorter segments, in target durations, say nothing of the peak. */
const PEAK_TARGETS_MIN = 0.5;
/** Of the sample description, behind its version and count: a box of its own with these fields, then others. */
const ENTRY_BYTES = 8;
const ENTRY_FIELDS_BYTES = 86;
const NAL_LENGTH_BYTES = 4;
const NAL_TYPE_MASK = 0x1f;
const NAL_IDR = 5;

/** Content of a box of a file; `undefined` where it has none, or is no MP4 at all. */
export function boxIn({ bytes }: Pick<Answer, "bytes">, path: readonly string[]): Uint8Array | undefined {
  return readBoxes(() => findBoxContent(bytes, path));
}

function readBoxes<Found>(read: () => Found): Found | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FeedFormatError) return undefined;
    throw error;
  }
}

/** True for an initialization segment of one track. */
export function isOneTrack({ bytes }: Pick<Answer, "bytes">): boolean {
  return readBoxes(() => findBoxContents(bytes, ["moov", "trak"]))?.length === 1;
}

/** What an initialization segment says of its video. */
export interface VideoDescription {
  /** RFC 6381, such as `avc1.64001f`. */
  readonly codec: string;
  readonly width: number;
  readonly height: number;
}

/** The H.264 that an initialization segment describes first; `undefined` where it is something else. */
export function videoOf(init: Pick<Answer, "bytes">): VideoDescription | undefined {
  const description = boxIn(init, ["moov", "trak", "mdia", "minf", "stbl", "stsd"]);
  if (description === undefined || description.length < ENTRY_BYTES + ENTRY_FIELDS_BYTES) return undefined;
  const entry = description.subarray(ENTRY_BYTES);
  if (String.fromCharCode(...entry.subarray(4, 8)) !== "avc1") return undefined;
  const bytes = entry.slice(ENTRY_FIELDS_BYTES);
  const profile = boxIn({ bytes }, ["avcC"])?.subarray(1, 4).toHex();
  if (profile === undefined) return undefined;
  const view = new DataView(entry.buffer, entry.byteOffset, entry.length);
  return { codec: `avc1.${profile}`, width: view.getUint16(32), height: view.getUint16(34) };
}

/** True for a part of H.264 alone that has a key frame; `undefined` where it cannot be read. */
export function holdsKeyFrame({ bytes }: Pick<Answer, "bytes">): boolean | undefined {
  const types = readBoxes(() => findBoxContents(bytes, ["mdat"]).flatMap(nalTypes));
  return types === undefined || types.includes(undefined) ? undefined : types.includes(NAL_IDR);
}

/** Types of the NAL units in `content`; the last is `undefined` where they do not end with it. */
function nalTypes(content: Uint8Array): (number | undefined)[] {
  const types: (number | undefined)[] = [];
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  for (let offset = 0; offset < content.length;) {
    const isHere = offset + NAL_LENGTH_BYTES < content.length;
    const next = offset + NAL_LENGTH_BYTES + (isHere ? view.getUint32(offset) : 0);
    const isWhole = isHere && next <= content.length;
    types.push(isWhole ? view.getUint8(offset + NAL_LENGTH_BYTES) & NAL_TYPE_MASK : undefined);
    if (!isWhole) break;
    offset = next;
  }
  return types;
}

/** What a multivariant playlist says of one variant, against what that lists now. */
export async function checkVariant(probe: HlsProbe, base: string, variant: SegmentBlock): Promise<void> {
  const said = tagOf(variant.tags, "STREAM-INF")?.attributes;
  if (said === undefined || variant.uri === undefined) return;
  const url = new URL(variant.uri, base).href;
  const document = readHlsDocument(textOf(await probe.ask(url)));
  const { targetSeconds } = readMedia(document);
  const bandwidth = Number(said.get("BANDWIDTH"));
  for (const { tags, uri } of document.segments) {
    const seconds = secondsOf({ tags, uri }) ?? 0;
    const isMeasured = seconds >= PEAK_TARGETS_MIN * targetSeconds && tagOf(tags, "GAP") === undefined;
    if (uri === undefined || !isMeasured) continue;
    const { status, headers } = await probe.ask(new URL(uri, url).href, { method: "HEAD" });
    const bitsPerSecond = Math.round((8 * Number(headers.get("content-length"))) / seconds);
    const isWithin = status !== 200 || bitsPerSecond <= bandwidth;
    probe.expect(16, isWithin, `${uri} has ${bitsPerSecond} bit/s, more than BANDWIDTH=${bandwidth}`);
  }
  const map = document.segments.map(({ tags }) => tagOf(tags, "MAP")?.attributes.get("URI"));
  const mapUri = map.findLast((uri) => uri !== undefined);
  if (mapUri === undefined) return;
  const video = videoOf(await probe.ask(new URL(mapUri, url).href));
  if (video === undefined) return;
  const codecs = said.get("CODECS") ?? "";
  const isNamed = codecs.toLowerCase().split(",").includes(video.codec);
  probe.expect(16, isNamed, `CODECS of ${variant.uri} is "${codecs}", its video ${video.codec}`);
  const size = `${video.width}x${video.height}`;
  const resolution = said.get("RESOLUTION");
  probe.expect(16, resolution === size, `RESOLUTION of ${variant.uri} is ${resolution}, its video ${size}`);
}
