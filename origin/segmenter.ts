/**
 * Decides where parts and segments begin and end: a pure function of frame numbers. Segment n is the frames from
 * n x segmentFrames on; part k of it the frames from k x partFrames on, the last one maybe shorter.
 */

/** What the cut needs to know of a frame. */
export interface CutFrame {
  readonly number: number;
  readonly isKey: boolean;
}

/** Frames that are published together. */
export interface CutPart<Frame extends CutFrame> {
  /** Media sequence number of its segment. */
  readonly segmentNumber: number;
  /** Index within the segment. */
  readonly part: number;
  /** At least one, without holes. */
  readonly frames: readonly Frame[];
  /** True if the segment ends with it. */
  readonly isLast: boolean;
}

export interface SegmenterOptions<Frame extends CutFrame> {
  readonly segmentFrames: number;
  readonly partFrames: number;
  readonly onPart: (part: CutPart<Frame>) => void;
  /** The segment of the latest part, if still open, ends here: shorter than the others. */
  readonly onEnd: () => void;
  /** Frames of the segment of the latest part, if still open, are missing: it will not become whole. */
  readonly onHole: () => void;
}

/** Cuts the frames of one run. Keeps at most the frames of one part. */
export class Segmenter<Frame extends CutFrame> {
  readonly #options: SegmenterOptions<Frame>;
  /** The next frame's number; `undefined` until a segment has begun: frames before that belong to none. */
  #nextNumber: number | undefined;
  #frames: Frame[] = [];

  constructor(options: SegmenterOptions<Frame>) {
    this.#options = options;
  }

  /** Takes the next frame. After a hole, or a segment without a key frame at its start, it waits for the next segment. */
  push(frame: Frame): void {
    const { segmentFrames, partFrames, onPart } = this.#options;
    if (this.#nextNumber !== undefined && frame.number !== this.#nextNumber) this.#breakOff();
    const within = frame.number % segmentFrames;
    if (within === 0 && !frame.isKey) this.#nextNumber = undefined;
    if (this.#nextNumber === undefined && !(within === 0 && frame.isKey)) return;
    this.#frames.push(frame);
    this.#nextNumber = frame.number + 1;
    const isLast = within === segmentFrames - 1;
    if (!isLast && (within + 1) % partFrames !== 0) return;
    const frames = this.#frames;
    this.#frames = [];
    onPart({ ...placeOf(frame.number, this.#options), frames, isLast });
  }

  /** What was kept has no whole part to be in: nothing may carry a name under which others find more frames. */
  #breakOff(): void {
    this.#frames = [];
    this.#nextNumber = undefined;
    this.#options.onHole();
  }

  /** Ends the run: frames that were kept become a last, shorter part. */
  finish(): void {
    const frames = this.#frames;
    const last = frames.at(-1);
    this.#frames = [];
    this.#nextNumber = undefined;
    if (last !== undefined) {
      this.#options.onPart({ ...placeOf(last.number, this.#options), frames, isLast: true });
    }
    this.#options.onEnd();
  }
}

function placeOf(
  number: number,
  options: { readonly segmentFrames: number; readonly partFrames: number },
): { readonly segmentNumber: number; readonly part: number } {
  const { segmentFrames, partFrames } = options;
  return {
    segmentNumber: Math.floor(number / segmentFrames),
    part: Math.floor((number % segmentFrames) / partFrames),
  };
}
