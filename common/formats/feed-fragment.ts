/**
 * One frame in the feed: `[prft][moof][mdat]`. The decode time is the frame's number, `prft` says when the canvas was
 * copied. Written and read through mp4box, a fresh file for each fragment: one that lives on keeps every box.
 */
// ISO/IEC 14496-12 8.8 (fragments), 8.16.5 (ProducerReferenceTimeBox), RFC 5905 6 (NTP timestamp format)
import { BoxParser, createFile, FullBox, MP4BoxBuffer } from "mp4box";
import type { EncodedFrame, FrameTimes, Run } from "#common/formats/frame.ts";
import {
  FeedFormatError,
  findBoxContent,
  readChildren,
  refuseUnreadable,
  wrapBox,
  writeBoxes,
} from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";

/** Sample flags (8.8.3.1): does not depend on others; depends on others and is no sync sample. */
const SAMPLE_IS_KEY = 0x02000000;
const SAMPLE_IS_NOT_KEY = 0x01010000;
const TFHD_DEFAULT_BASE_IS_MOOF = 0x020000;
const TRUN_DATA_OFFSET = 0x1;
const TRUN_SIZE_AND_FLAGS = 0x600;
const MDAT_HEADER_BYTES = 8;
const MOOF_BOXES = "mfhd traf";
const TRAF_BOXES = "tfhd tfdt trun";
const EMPTY = new Uint8Array(0);

/** Seconds between 1900 (NTP) and 1970. */
const NTP_EPOCH_SECONDS = 2_208_988_800;
const NTP_ERA_SECONDS = 2 ** 32;
const NTP_FRACTION = 2 ** 32;

/** What `prft` and `moof` say of a frame; its bytes follow in `mdat`. */
export type FragmentHead = Omit<EncodedFrame, "data" | keyof FrameTimes> & { readonly dataBytes: number };

/** The whole fragment of one frame. */
export function writeFragment(run: Run, frame: EncodedFrame): Uint8Array {
  return joinBytes([writeReferenceTime(frame), writeMovieFragment(run, frame), wrapBox("mdat", frame.data)]);
}

/** mp4box reads `prft` but has no writer for it, hence the content by hand. */
function writeReferenceTime(frame: EncodedFrame): Uint8Array {
  const ntpSeconds = msToSeconds(frame.captureTimeMs) + NTP_EPOCH_SECONDS;
  const content = new DataView(new ArrayBuffer(20));
  content.setUint32(0, frame.trackId);
  // setUint32 takes the value modulo 2^32, which is what the next NTP era (from 2036) asks for.
  content.setUint32(4, Math.floor(ntpSeconds));
  content.setUint32(8, Math.floor((ntpSeconds % 1) * NTP_FRACTION));
  content.setBigUint64(12, BigInt(frame.number));
  const box = new FullBox();
  box.type = "prft";
  box.version = 1;
  // 0: the time at which the frame went into the encoder.
  box.flags = 0;
  box.data = new Uint8Array(content.buffer);
  return writeBoxes(box);
}

function writeMovieFragment(run: Run, frame: EncodedFrame): Uint8Array {
  const { box } = BoxParser;
  const moof = new box.moof();
  const mfhd = moof.addBox(new box.mfhd());
  mfhd.sequence_number = ((frame.number - run.startFrame) * run.renditions.length + frame.trackId) % 2 ** 32;
  const traf = moof.addBox(new box.traf());
  const tfhd = traf.addBox(new box.tfhd());
  tfhd.flags = TFHD_DEFAULT_BASE_IS_MOOF;
  tfhd.track_id = frame.trackId;
  const tfdt = traf.addBox(new box.tfdt());
  tfdt.version = 1;
  tfdt.baseMediaDecodeTime = frame.number;
  const trun = traf.addBox(new box.trun());
  trun.flags = TRUN_DATA_OFFSET | TRUN_SIZE_AND_FLAGS;
  trun.sample_count = 1;
  trun.sample_size = [frame.data.length];
  trun.sample_flags = [frame.isKey ? SAMPLE_IS_KEY : SAMPLE_IS_NOT_KEY];
  trun.data_offset = 0;
  const bytes = writeBoxes(moof);
  new DataView(bytes.buffer).setInt32(trun.data_offset_position, bytes.length + MDAT_HEADER_BYTES);
  return bytes;
}

/** Reads `prft` and `moof`, each a whole box, or throws {@link FeedFormatError}. */
export function readFragmentHead(referenceTime: Uint8Array, movieFragment: Uint8Array): FragmentHead {
  checkSampleCount(movieFragment);
  return refuseUnreadable("A fragment", () => readBoxes(joinBytes([referenceTime, movieFragment])));
}

function readBoxes(bytes: Uint8Array<ArrayBuffer>): FragmentHead {
  const file = createFile();
  file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(bytes.buffer, 0));
  const times = file.boxes[0];
  const fragment = file.moofs[0]?.trafs?.[0];
  if (!(times instanceof BoxParser.box.prft) || fragment?.tfhd === undefined || fragment.tfdt === undefined) {
    throw new FeedFormatError("A fragment lacks prft, tfhd or tfdt");
  }
  const [dataBytes] = fragment.truns?.[0]?.sample_size ?? [];
  const [flags] = fragment.truns?.[0]?.sample_flags ?? [];
  const trackId = fragment.tfhd.track_id;
  const number = fragment.tfdt.baseMediaDecodeTime;
  if (dataBytes === undefined || flags === undefined || !Number.isSafeInteger(number)) {
    throw new FeedFormatError("A fragment does not tell its number, size and flags");
  }
  if (times.ref_track_id !== trackId || times.media_time !== number) {
    throw new FeedFormatError("The capture time before a fragment belongs to another");
  }
  const captureTimeMs = ntpToMs(times.ntp_timestamp);
  return { trackId, number, captureTimeMs, isKey: flags === SAMPLE_IS_KEY, dataBytes };
}

/**
 * mp4box loops over the counts of samples that stand anywhere, up to 2^32 turns, whatever the size of the box: only what is
 * written here may stand there.
 */
function checkSampleCount(movieFragment: Uint8Array): void {
  const moof = findBoxContent(movieFragment, ["moof"]) ?? EMPTY;
  const traf = findBoxContent(moof, ["traf"]) ?? EMPTY;
  const run = findBoxContent(traf, ["trun"]) ?? EMPTY;
  const isKnown = typesIn(moof) === MOOF_BOXES && typesIn(traf) === TRAF_BOXES;
  if (!isKnown || run.subarray(4, 8).toHex() !== "00000001") {
    throw new FeedFormatError("A fragment does not hold exactly one frame");
  }
}

function typesIn(bytes: Uint8Array): string {
  return readChildren(bytes)
    .map(({ type }) => type)
    .join(" ");
}

/** A time of the past century is one of the next NTP era. */
function ntpToMs(timestamp: number): number {
  const seconds = timestamp / NTP_FRACTION;
  const era = seconds < NTP_EPOCH_SECONDS ? NTP_ERA_SECONDS : 0;
  return secondsToMs(seconds + era - NTP_EPOCH_SECONDS);
}
