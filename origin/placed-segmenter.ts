/**
 * Cuts a run whose frames say where they belong: segments are groups of pictures of another encoder, parts are cut by time.
 * The counterpart of `segmenter.ts`, which cuts on the grid.
 */
// draft-pantos-hls-rfc8216bis-22 4.4.4.9 (durations of parts)
import assert from "node:assert";
import type { EncodedFrame, FrameTimes } from "#common/formats/frame.ts";
import type { CutFrame, SegmenterOptions } from "./segmenter.ts";

/** A frame of a run off the grid: with its place. */
export interface PlacedFrame extends CutFrame, FrameTimes, Pick<EncodedFrame, "place" | "isSlate"> {}

export interface PlacedSegmenterOptions<Frame extends PlacedFrame> extends Pick<
  SegmenterOptions<Frame>,
  "onPart" | "onEnd"
> {
  /** No part is longer; infinite where a segment is one part. */
  readonly partUnits: number;
  /** How long the next frame is taken to be, while it has not come. */
  readonly frameUnits: number;
}

/** Keeps at most the frames of one part. Frames come without holes: what lacks one is another run. */
export class PlacedSegmenter<Frame extends PlacedFrame> {
  readonly #options: PlacedSegmenterOptions<Frame>;
  #frames: Frame[] = [];
  #units = 0;
  #parts = 0;

  constructor(options: PlacedSegmenterOptions<Frame>) {
    this.#options = options;
  }

  /** Takes the next frame. A part ends before the frame that would make it too long. */
  push(frame: Frame): void {
    const { partUnits, frameUnits } = this.#options;
    assert(frame.place !== undefined, "frames off the grid have a place");
    if (this.#units + frame.durationUnits > partUnits) this.#cut(false);
    this.#frames.push(frame);
    this.#units += frame.durationUnits;
    const { isSegmentEnd } = frame.place;
    if (isSegmentEnd || this.#units + frameUnits > partUnits) this.#cut(isSegmentEnd);
  }

  /** Ends the run: frames that were kept become a last, shorter part. */
  finish(): void {
    this.#cut(true);
    this.#options.onEnd();
  }

  #cut(isLast: boolean): void {
    const frames = this.#frames;
    const place = frames[0]?.place;
    if (place === undefined) return;
    this.#frames = [];
    this.#units = 0;
    this.#options.onPart({ segmentNumber: place.segmentNumber, part: this.#parts, frames, isLast });
    this.#parts = isLast ? 0 : this.#parts + 1;
  }
}
