/**
 * The canvas to encoded frames: one copy of it, from which every rendition is scaled and encoded. Lives in the
 * encoder's thread, which owns it and closes it.
 */
import assert from "node:assert/strict";
import { type EncodedFrame, evenTimes } from "#common/formats/frame.ts";
import type { Av } from "./encoder-av.ts";
import type { EncoderJob } from "./encoder-messages.ts";
import { Picture } from "./encoder-picture.ts";
import { RenditionEncoder } from "./encoder-rendition.ts";

/** Which frame to make. */
export interface FrameRequest {
  /** Counted from the start of the run. */
  readonly index: number;
  /** True: the picture of the frame before, again. */
  readonly isRepeat: boolean;
  /** Of that picture, milliseconds since 1970. */
  readonly captureTimeMs: number;
}

export class Encoder {
  readonly #job: EncoderJob;
  readonly #picture: Picture;
  readonly #renditions: RenditionEncoder[] = [];

  constructor(av: Av, job: EncoderJob) {
    this.#job = job;
    this.#picture = new Picture(av, job.canvas);
    try {
      const { fps, preset } = job;
      const source = this.#picture.frame;
      for (const plan of job.renditions) {
        this.#renditions.push(new RenditionEncoder({ av, plan, source, fps, preset: plan.preset ?? preset }));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Decoder configurations, in the order of the job's renditions. */
  get configs(): readonly Uint8Array[] {
    return this.#renditions.map((rendition) => rendition.config);
  }

  /**
   * Encodes one number in every rendition, and gives each frame as soon as it is there: none waits for those behind it.
   * The first number must not be a repeat. Key frames stand a second apart.
   */
  encode({ index, isRepeat, captureTimeMs }: FrameRequest, onFrame: (frame: EncodedFrame) => void): void {
    const isChanged = !isRepeat && this.#picture.capture();
    assert(!this.#picture.isBlank, "something was captured before it is encoded");
    const isKey = index % this.#job.fps === 0;
    for (const [position, rendition] of this.#renditions.entries()) {
      onFrame({
        trackId: this.#job.renditions[position]?.trackId ?? 0,
        number: this.#job.startFrame + index,
        captureTimeMs,
        ...evenTimes(index),
        ...rendition.encode({ picture: this.#picture.frame, isChanged, index, isKey }),
      });
    }
  }

  /** Frees the native memory. */
  close(): void {
    for (const rendition of this.#renditions) rendition.close();
    this.#picture.close();
  }
}
