/**
 * Writes CMAF for the origin: the initialization segment of a run and the chunks that parts and segments are made of.
 * Decode times count from the start of the run, so every byte is a function of what the source says.
 *
 * Times are in microseconds, because browsers' are. They round what comes in other units down, times and durations
 * apart, so that of 1000/30000 a buffer ends a microsecond before its segment does. hls.js then loads nothing for two
 * segments, once it has changed its rendition in the middle of one.
 */
// ISO/IEC 23000-19 (CMAF), ISO/IEC 14496-12 8.8 (fragments), 8.16.5 (prft), ISO/IEC 14496-15 5.4.2.1 (avc1)
import assert from "node:assert";
import { Box, BoxParser, createFile, FullBox } from "mp4box";
import type { EncodedFrame, Rendition, Run } from "#common/formats/frame.ts";
import { writeBoxes } from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { MICROSECONDS_PER_SECOND, MILLISECONDS_PER_SECOND, unitsToMicroseconds } from "#common/units.ts";

/** Structural brands: CMAF, and `iso6` for `tfdt` and default-base-is-moof. */
const BRANDS = ["cmfc", "iso6", "mp41"];
/** Tracks are served apart, each as track 1. */
const TRACK_ID = 1;
const TRACK_ENABLED_IN_MOVIE = 3;
/** "und" packed as ISO 639-2/T asks (8.4.2.3). */
const LANGUAGE_UNDETERMINED = 0x55c4;

/** Sample flags (8.8.3.1): depends on no other; depends on others and is no sync sample. */
const SAMPLE_IS_KEY = 0x02000000;
const SAMPLE_IS_NOT_KEY = 0x01010000;
const TFHD_DEFAULT_BASE_IS_MOOF = 0x020000;
const TFHD_DEFAULT_DURATION = 0x8;
const TRUN_DATA_OFFSET = 0x1;
const TRUN_DURATION = 0x100;
const TRUN_SIZE_AND_FLAGS = 0x600;
const TRUN_COMPOSITION = 0x800;
const MDAT_HEADER_BYTES = 8;
const MDAT_TYPE = new TextEncoder().encode("mdat");
const FRAGMENT_NUMBER_WRAP = 2 ** 32;

/** `prft`: the time is that of the capture (8.16.5.3). */
const PRFT_IS_CAPTURE_TIME = 24;
/** Seconds between 1900 (NTP) and 1970, and the fractions of a second that NTP counts. */
const NTP_EPOCH_SECONDS = 2_208_988_800;
const NTP_FRACTION = 2 ** 32;

/** `ftyp` and `moov` of one rendition: no samples, durations 0. */
export function writeInitSegment(
  rendition: Pick<Rendition, "width" | "height" | "avcC">,
  { fps }: Pick<Run, "fps">,
): Uint8Array<ArrayBuffer> {
  const config = new Box();
  config.type = "avcC";
  // Passed whole: mp4box's own avcC box loses the chroma extension of High profile.
  config.data = rendition.avcC;
  const file = createFile();
  file.init({ brands: BRANDS, timescale: MICROSECONDS_PER_SECOND });
  file.addTrack({
    id: TRACK_ID,
    type: "avc1",
    width: rendition.width,
    height: rendition.height,
    timescale: MICROSECONDS_PER_SECOND,
    name: "canvas",
    default_sample_duration: Math.round(MICROSECONDS_PER_SECOND / fps),
    default_sample_flags: SAMPLE_IS_NOT_KEY,
    description: config,
  });
  const trak = file.moov.traks[0];
  assert(trak !== undefined && file.ftyp !== undefined, "mp4box made the track that it was asked for");
  file.moov.mvhd.volume = 0;
  trak.tkhd.volume = 0;
  trak.tkhd.flags = TRACK_ENABLED_IN_MOVIE;
  trak.mdia.mdhd.language = LANGUAGE_UNDETERMINED;
  // "fr-FR" unless told, and superfluous with "und".
  trak.mdia.boxes = trak.mdia.boxes?.filter((box) => box.type !== "elng") ?? [];
  // mvex belongs behind the tracks that it extends.
  file.moov.boxes = file.moov.boxes?.toSorted((a, b) => movieOrder(a) - movieOrder(b)) ?? [];
  return writeBoxes(file.ftyp, file.moov);
}

function movieOrder(box: Box): number {
  return ["mvhd", "trak", "mvex"].indexOf(box.type);
}

/** What a chunk has around its media at most, for each of its frames: those of a chunk of one frame. */
export const CHUNK_OVERHEAD_BYTES_MAX = 160;

/** One CMAF chunk: `prft`, `moof`, `mdat` with at least one frame of a run. Frames come without holes. */
export function writeChunk(
  frames: readonly EncodedFrame[],
  { startFrame, timescale }: Pick<Run, "startFrame" | "timescale">,
): Uint8Array<ArrayBuffer> {
  const first = frames[0];
  assert(first !== undefined, "a chunk has at least one frame");
  const mediaBytes = frames.reduce((sum, frame) => sum + frame.data.length, 0);
  const mdat = new Uint8Array(MDAT_HEADER_BYTES);
  new DataView(mdat.buffer).setUint32(0, MDAT_HEADER_BYTES + mediaBytes);
  mdat.set(MDAT_TYPE, 4);
  const decodeTime = unitsToMicroseconds(first.decodeUnits, timescale);
  // Joined once: the frames are most of it.
  return joinBytes([
    writeReferenceTime(first.captureTimeMs, decodeTime),
    writeMovieFragment({ frames, decodeTime, timescale, index: first.number - startFrame }),
    mdat,
    ...frames.map((frame) => frame.data),
  ]);
}

/** When the first frame was copied from the canvas. mp4box reads `prft` but has no writer for it. */
function writeReferenceTime(captureTimeMs: number, decodeTime: number): Uint8Array {
  const ntpSeconds = captureTimeMs / MILLISECONDS_PER_SECOND + NTP_EPOCH_SECONDS;
  const content = new DataView(new ArrayBuffer(20));
  content.setUint32(0, TRACK_ID);
  // setUint32 takes the value modulo 2^32, which is what the next NTP era (from 2036) asks for.
  content.setUint32(4, Math.floor(ntpSeconds));
  content.setUint32(8, Math.floor((ntpSeconds % 1) * NTP_FRACTION));
  content.setBigUint64(12, BigInt(decodeTime));
  const box = new FullBox();
  box.type = "prft";
  box.version = 1;
  box.flags = PRFT_IS_CAPTURE_TIME;
  box.data = new Uint8Array(content.buffer);
  return writeBoxes(box);
}

interface Fragment {
  readonly frames: readonly EncodedFrame[];
  /** Of the first frame, microseconds from the start of the run. */
  readonly decodeTime: number;
  /** Units a second of the frames' times. */
  readonly timescale: number;
  /** Of the first frame, counted from the start of the run. */
  readonly index: number;
}

function writeMovieFragment({ frames, decodeTime, timescale, index }: Fragment): Uint8Array {
  const durations = frames.map(({ decodeUnits, durationUnits }) =>
    microsecondsBetween({ decodeUnits, timescale, units: durationUnits }),
  );
  const offsets = frames.map(({ decodeUnits, compositionUnits = 0 }) =>
    microsecondsBetween({ decodeUnits, timescale, units: compositionUnits }),
  );
  const [duration = 0] = durations;
  const { box } = BoxParser;
  const moof = new box.moof();
  const mfhd = moof.addBox(new box.mfhd());
  // Ascending within a run, the same from whoever writes it.
  mfhd.sequence_number = (index + 1) % FRAGMENT_NUMBER_WRAP;
  const traf = moof.addBox(new box.traf());
  const tfhd = traf.addBox(new box.tfhd());
  tfhd.flags = TFHD_DEFAULT_BASE_IS_MOOF | TFHD_DEFAULT_DURATION;
  tfhd.track_id = TRACK_ID;
  tfhd.default_sample_duration = duration;
  const tfdt = traf.addBox(new box.tfdt());
  tfdt.version = 1;
  tfdt.baseMediaDecodeTime = decodeTime;
  const trun = traf.addBox(new box.trun());
  trun.flags = TRUN_DATA_OFFSET | TRUN_SIZE_AND_FLAGS;
  trun.sample_count = frames.length;
  if (durations.some((each) => each !== duration)) {
    trun.flags |= TRUN_DURATION;
    trun.sample_duration = durations;
  }
  if (offsets.some((offset) => offset !== 0)) {
    trun.flags |= TRUN_COMPOSITION;
    trun.sample_composition_time_offset = offsets;
  }
  trun.sample_size = frames.map((frame) => frame.data.length);
  trun.sample_flags = frames.map((frame) => (frame.isKey ? SAMPLE_IS_KEY : SAMPLE_IS_NOT_KEY));
  trun.data_offset = 0;
  const bytes = writeBoxes(moof);
  new DataView(bytes.buffer).setInt32(trun.data_offset_position, bytes.length + MDAT_HEADER_BYTES);
  return bytes;
}

/** From a moment until `units` later, as the difference of the two in microseconds: so they add up. */
function microsecondsBetween(span: {
  readonly decodeUnits: number;
  readonly units: number;
  readonly timescale: number;
}): number {
  const { decodeUnits, units, timescale } = span;
  return unitsToMicroseconds(decodeUnits + units, timescale) - unitsToMicroseconds(decodeUnits, timescale);
}
