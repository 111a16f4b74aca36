/**
 * The head of the feed: which run this is and what its tracks are. A `uuid` box carries what MP4 has no place for
 * (the run) as JSON; `moov`, made and read by mp4box, carries a track for each rendition.
 */
// ISO/IEC 14496-12 8.2 to 8.8, ISO/IEC 14496-15 5.4.2.1 (AVC sample entry)
import { Box, createFile, type ISOFile, MP4BoxBuffer } from "mp4box";
import {
  evenTimescale,
  framesPerSegment,
  RENDITIONS_MAX,
  type Rendition,
  type Run,
} from "#common/formats/frame.ts";
import { readAvcConfig } from "#common/formats/h264.ts";
import {
  boxContent,
  FeedFormatError,
  findBoxContents,
  refuseUnreadable,
  writeBoxes,
  type WholeBox,
} from "#common/formats/mp4-boxes.ts";

/** Raised when the box of the run changes its meaning. A reader refuses another version. */
const RUN_BOX_VERSION = 1;
/** Extended type of the box of the run. */
const RUN_BOX_UUID = "9c1f2f5e6a0b4d0f8b6d7370696c6c77";
const UUID_BYTES = 16;
/** `iso6` for `tfdt` and default-base-is-moof, `iso5` for readers that look for it, `mp41` for old ones. */
const BRANDS = ["iso6", "iso5", "mp41"];

/** Runs begin before it, so that the dates of playlists have years of four digits. */
const START_TIME_MS_END = Date.UTC(9000, 0);
/** Highest frame rate that a reader accepts. */
const FPS_MAX = 240;

/** What the box of the run says of a rendition; the rest stands in `moov`. */
export type RenditionRecord = Pick<Rendition, "trackId" | "name" | "bitsPerSecondMax">;
/** What the box of the run says. */
export type RunRecord = Omit<Run, "renditions" | "timescale"> & {
  readonly renditions: readonly RenditionRecord[];
};

/** `ftyp` and `moov` of a run, as bytes. The timescale of every track is `run.fps`. */
export function writeMovie(run: Run): { readonly fileType: Uint8Array; readonly movie: Uint8Array } {
  const file = createFile();
  file.init({ brands: BRANDS, timescale: run.fps });
  for (const rendition of run.renditions) {
    const config = new Box();
    config.type = "avcC";
    // Passed whole: mp4box's own avcC box loses the chroma extension of High profile.
    config.data = rendition.avcC;
    file.addTrack({
      id: rendition.trackId,
      type: "avc1",
      width: rendition.width,
      height: rendition.height,
      timescale: run.fps,
      language: "und",
      name: rendition.name,
      default_sample_duration: 1,
      description: config,
    });
  }
  const [fileType, movie] = file.boxes;
  if (fileType === undefined || movie === undefined) throw new TypeError("mp4box made no ftyp or no moov");
  return { fileType: writeBoxes(fileType), movie: writeBoxes(movie) };
}

/** The `uuid` box that says which run this is. */
export function writeRunBox(run: Run): Uint8Array {
  const record: RunRecord & { readonly version: number } = {
    version: RUN_BOX_VERSION,
    id: run.id,
    ordinal: run.ordinal,
    startFrame: run.startFrame,
    startTimeMs: run.startTimeMs,
    fps: run.fps,
    renditions: run.renditions.map(({ trackId, name, bitsPerSecondMax }) => ({
      trackId,
      name,
      bitsPerSecondMax,
    })),
  };
  const box = new Box();
  box.type = "uuid";
  box.uuid = RUN_BOX_UUID;
  box.data = new TextEncoder().encode(JSON.stringify(record));
  return writeBoxes(box);
}

/** Reads the box of the run, or returns `undefined` for a `uuid` box of somebody else. */
export function readRunBox(box: WholeBox): RunRecord | undefined {
  const content = boxContent(box);
  if (content.subarray(0, UUID_BYTES).toHex() !== RUN_BOX_UUID) return undefined;
  return refuseUnreadable("The box of the run", () =>
    readRunRecord(JSON.parse(new TextDecoder().decode(content.subarray(UUID_BYTES)))),
  );
}

function readRunRecord(value: unknown): RunRecord {
  const { version, id, ordinal, startFrame, startTimeMs, fps, renditions } = fieldsOf(value, "run");
  check(version === RUN_BOX_VERSION, `version ${String(version)} of the run's box is unknown`);
  check(typeof id === "string" && /^[0-9a-f]{8}$/.test(id), "id is not eight hexadecimal digits");
  check(isWhole(ordinal), "ordinal is not a whole number");
  check(isWhole(fps) && fps > 0 && fps <= FPS_MAX, `fps is not from 1 to ${FPS_MAX}`);
  check(
    isWhole(startFrame) && startFrame % framesPerSegment(fps) === 0,
    "startFrame is not the start of a segment",
  );
  check(
    typeof startTimeMs === "number" && startTimeMs >= 0 && startTimeMs < START_TIME_MS_END,
    "startTimeMs is no time",
  );
  check(Array.isArray(renditions) && renditions.length > 0, "there is no rendition");
  check(renditions.length <= RENDITIONS_MAX, `there are more than ${RENDITIONS_MAX} renditions`);
  return { id, ordinal, startFrame, startTimeMs, fps, renditions: renditions.map(readRenditionRecord) };
}

function readRenditionRecord(value: unknown): RenditionRecord {
  const { trackId, name, bitsPerSecondMax } = fieldsOf(value, "rendition");
  check(isWhole(trackId) && trackId > 0, "trackId is not a whole number above 0");
  check(
    typeof name === "string" && /^[a-z0-9-]{1,32}$/.test(name),
    "name is not lower-case letters, digits and -",
  );
  check(isWhole(bitsPerSecondMax) && bitsPerSecondMax > 0, "bitsPerSecondMax is not a whole number above 0");
  return { trackId, name, bitsPerSecondMax };
}

/** Joins the record of the run with the tracks of `moov`. */
export function readMovie(record: RunRecord, movie: WholeBox): Run {
  return refuseUnreadable("moov", () => readTracks(record, movie));
}

function readTracks(record: RunRecord, movie: WholeBox): Run {
  // mp4box loops over the count of samples, up to 2^32 turns; those of a feed are all in fragments.
  const sizes = findBoxContents(movie.bytes, ["moov", "trak", "mdia", "minf", "stbl", "stsz"]);
  check(
    sizes.every((content) => content.every((byte) => byte === 0)),
    "a track has samples of its own",
  );
  const file = createFile();
  file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(movie.bytes.buffer, 0));
  const traks = file.moov?.traks ?? [];
  check(traks.length === record.renditions.length, "the tracks are not those of the run");
  const renditions = record.renditions.map((rendition): Rendition => {
    const trak = traks.find((candidate) => candidate.tkhd.track_id === rendition.trackId);
    check(trak !== undefined, `track ${rendition.trackId} is missing`);
    check(
      trak.mdia.mdhd.timescale === record.fps,
      `the timescale of track ${rendition.trackId} is not the frame rate`,
    );
    return { ...rendition, ...readSampleEntry(trak, movie) };
  });
  return { ...record, timescale: evenTimescale(record.fps), renditions };
}

function readSampleEntry(
  trak: ISOFile["moov"]["traks"][number],
  movie: WholeBox,
): Pick<Rendition, "width" | "height" | "avcC"> {
  const entry = trak.mdia.minf.stbl.stsd.entries[0];
  check(entry !== undefined && entry.type === "avc1", "a track is not H.264");
  const { width, height } = fieldsOf(entry, "sample entry");
  check(isWhole(width) && width > 0 && isWhole(height) && height > 0, "a track has no size");
  const config = entry.boxes?.find((box) => box.type === "avcC");
  check(config?.start !== undefined && config.hdr_size !== undefined, "a track has no avcC");
  // As it stood in the file: what mp4box read of it is not all of it.
  const avcC = movie.bytes.slice(config.start + config.hdr_size, config.start + config.size);
  check(readAvcConfig(avcC)?.lengthBytes === 4, "avcC is not readable, or lengths are not four bytes");
  return { width, height, avcC };
}

function fieldsOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  check(typeof value === "object" && value !== null, `${what} is not an object`);
  return { ...value };
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new FeedFormatError(`Feed header: ${message}`);
}
