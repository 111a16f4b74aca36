/**
 * What the encoder makes and the feed carries: the run that frames belong to, its renditions, and the frames.
 * Server, origin and their formats share these shapes.
 */
import { MEDIA_UNITS_PER_FRAME } from "#common/units.ts";

/**
 * Seconds between the moments at which a run may begin; segments of CMAF have the same length and stand on the same
 * grid. Whole, as hls.js and AVPlayer want target durations.
 */
export const SEGMENT_SECONDS = 2;

/** Frames in one segment of the grid. */
export function framesPerSegment(fps: number): number {
  return SEGMENT_SECONDS * fps;
}

/** Most renditions of a run. */
export const RENDITIONS_MAX = 16;

/** One start of the encoder. Everything an origin names or numbers is a function of this and of frame numbers. */
export interface Run {
  /** Eight lower-case hexadecimal digits, random for each run; part of every URL of media. */
  readonly id: string;
  /**
   * Goes up by one with each run that shows a frame; the discontinuity sequence number of its segments. The first is
   * what a server without a record begins with: small, but hardly lower than any before (`common/run-store.ts`).
   */
  readonly ordinal: number;
  /**
   * Number of the run's first frame: a multiple of {@link framesPerSegment}. Counted in segments it is past every frame
   * of earlier runs; with another `fps` the frame's number itself may be lower than theirs.
   */
  readonly startFrame: number;
  /**
   * When the first frame was due, milliseconds since 1970 by the server's clock as it stood then. Frame n was due at
   * `startTimeMs + (n - startFrame) * 1000 / fps`, whatever that clock has been set to meanwhile.
   */
  readonly startTimeMs: number;
  /** Frames per second, a whole number; the rate is constant, except {@link OffGrid}. */
  readonly fps: number;
  /** Units a second in which the times of its frames are given. */
  readonly timescale: number;
  /** At least one, {@link RENDITIONS_MAX} at most; the first is the full size of the canvas, or a whole multiple of it. */
  readonly renditions: readonly Rendition[];
  /** Given where frames and key frames come as another encoder chose; `fps` is the whole number nearest to their rate. */
  readonly offGrid?: OffGrid;
}

/** What is known of a run whose frames stand on no grid: each says where it belongs ({@link FramePlace}). */
export interface OffGrid {
  /** Of both playlists, whole seconds: no segment is longer. */
  readonly targetDurationSeconds: number;
  /** Frames a second as the stream says, such as 29.97; they may come less often. */
  readonly frameRate: number;
}

/** Where a frame stands in segments that are made of another encoder's groups of pictures. */
export interface FramePlace {
  /** Media sequence number of its segment, in both formats. */
  readonly segmentNumber: number;
  readonly isSegmentEnd: boolean;
  /** True where the next frame is a key frame. */
  readonly isGroupEnd: boolean;
}

/** One encoding of the canvas. All renditions have the same frames with key frames at the same numbers. */
export interface Rendition {
  /** Track number in the feed, from 1. */
  readonly trackId: number;
  /** Part of URLs, such as `720p`: lower-case letters, digits and `-`. */
  readonly name: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** What the frames of a second take at most, bits, where the second begins with a key frame. */
  readonly bitsPerSecondMax: number;
  /** AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1): profile, level, SPS and PPS. */
  readonly avcC: Uint8Array;
}

/** When a frame is decoded, and for how long it is shown: in units of the run's `timescale`. */
export interface FrameTimes {
  /** From the start of the run, whose first frame has 0. */
  readonly decodeUnits: number;
  readonly durationUnits: number;
  /** From its decoding to its showing; absent is 0. */
  readonly compositionUnits?: number;
}

/** One encoded picture of one rendition. */
export interface EncodedFrame extends FrameTimes {
  readonly trackId: number;
  /** Counts on by one from the run's `startFrame`, without holes. */
  readonly number: number;
  /**
   * When the picture was copied from the canvas, milliseconds since 1970, with a fraction: the run's `startTimeMs` and
   * what has passed since on a steady clock. Never goes back within a run; a repeated picture has that of the one before.
   */
  readonly captureTimeMs: number;
  /** True for an IDR picture; decoding can start here. */
  readonly isKey: boolean;
  /** NAL units, each behind its length in four bytes (ISO/IEC 14496-15 5.3.4.2). */
  readonly data: Uint8Array;
  /** An origin put it in while its source brought nothing; absent from all that a source brings. */
  readonly isSlate?: true;
  /** In a run that is {@link OffGrid}. */
  readonly place?: FramePlace;
}

/** The timescale of a run whose frames all last equally long. */
export function evenTimescale(fps: number): number {
  return fps * MEDIA_UNITS_PER_FRAME;
}

/** The times of frame `index` of such a run, counted from its start. */
export function evenTimes(index: number): FrameTimes {
  return { decodeUnits: index * MEDIA_UNITS_PER_FRAME, durationUnits: MEDIA_UNITS_PER_FRAME };
}

/** Figures of the canvas, carried in the feed once a second. Totals count from the start of the server. */
export interface CanvasFigures {
  /** When they were read, milliseconds since 1970. */
  readonly timeMs: number;
  /** Pixels set inside the canvas. */
  readonly pixels: number;
  /** Bytes received from players. */
  readonly bytes: number;
  /** Player connections open now. */
  readonly connections: number;
  /** Since the figures before, about a second ago. */
  readonly pixelsPerSecond: number;
  readonly bitsPerSecond: number;
  /** Port that players connect to. */
  readonly pixelflutPort: number;
}
