/** What the main thread and the encoder's thread say to each other. */
import type { EncodedFrame } from "#common/formats/frame.ts";
import type { RenditionPlan, X264Preset } from "./renditions.ts";

/** RGBA pixels in shared memory, row by row without gaps; the fourth byte is not shown. */
export interface CanvasMemory {
  readonly memory: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly width: number;
  readonly height: number;
}

/** All that one run of the encoder needs. */
export interface EncoderJob {
  readonly canvas: CanvasMemory;
  readonly fps: number;
  /** Of renditions that have none of their own. */
  readonly preset: X264Preset;
  readonly renditions: readonly RenditionPlan[];
  /** Number of the first frame. */
  readonly startFrame: number;
  /** It is not dated before this, milliseconds since 1970, and waited for where that is soon. */
  readonly startTimeMsMin: number;
  /** One 32-bit integer, shared: how many `frame` reports of this run the main thread has taken. */
  readonly takenReports: SharedArrayBuffer;
}

/** To the encoder's thread. `end` frees everything; a `begin` after it or instead of it starts another run. */
export type EncoderOrder = { readonly type: "begin"; readonly job: EncoderJob } | { readonly type: "end" };

/** From the encoder's thread. */
export type EncoderReport =
  | {
      readonly type: "begun";
      /** When the first frame was due, milliseconds since 1970. */
      readonly startTimeMs: number;
      /** Decoder configurations, in the order of the job's renditions. */
      readonly configs: readonly Uint8Array[];
    }
  | {
      readonly type: "frame";
      /** As soon as it is encoded; one number comes in the order of the job's renditions. */
      readonly frame: EncodedFrame;
      readonly isRepeat: boolean;
      /** Spent on it: scaling and encoding, and on the first of a number copying the canvas too. */
      readonly encodeMs: number;
      /** How late the frame clock woke. */
      readonly lagMs: number;
    }
  /** Too far behind to fill the `missed` frames; the run has ended. */
  | { readonly type: "behind"; readonly missed: number }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "ended" };
