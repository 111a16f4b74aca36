/**
 * What the encoder makes and the feed carries: the run that frames belong to, its renditions, and the frames.
 * Server, origin and their formats share these shapes.
 */

/** One start of the encoder. Everything an origin names or numbers is a function of this and of frame numbers. */
export interface Run {
  /** Eight lower-case hexadecimal digits, random for each run; part of every URL of media. */
  readonly id: string;
  /** Goes up by one with each run; the discontinuity sequence number of its segments. */
  readonly ordinal: number;
  /** Number of the run's first frame: a multiple of `2 * fps`, greater than any frame of an earlier run. */
  readonly startFrame: number;
  /** Capture time of the first frame, milliseconds since 1970. Frame n was due at `startTimeMs + (n - startFrame) * 1000 / fps`. */
  readonly startTimeMs: number;
  /** Frames per second, a whole number; the rate is constant. */
  readonly fps: number;
  /** At least one; the first is the full size of the canvas. */
  readonly renditions: readonly Rendition[];
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
  /** Peak of the encoder's rate control (VBV), bits per second. */
  readonly bitsPerSecondMax: number;
  /** AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1): profile, level, SPS and PPS. */
  readonly avcC: Uint8Array;
}

/** One encoded picture of one rendition. */
export interface EncodedFrame {
  readonly trackId: number;
  /** Counts on by one from the run's `startFrame`, without holes. */
  readonly number: number;
  /** When the canvas was copied, milliseconds since 1970, with a fraction. A repeated picture keeps its number's due time. */
  readonly captureTimeMs: number;
  /** True for an IDR picture; decoding can start here. */
  readonly isKey: boolean;
  /** NAL units, each behind its length in four bytes (ISO/IEC 14496-15 5.3.4.2). */
  readonly data: Uint8Array;
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
  /** Over the last second. */
  readonly pixelsPerSecond: number;
  readonly bitsPerSecond: number;
  /** Port that players connect to. */
  readonly pixelflutPort: number;
}
