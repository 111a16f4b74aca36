/**
 * How many bits each frame of a rendition may have, so that every group of pictures (one second, from its key frame on)
 * stays below the rendition's highest bit rate, and how coarsely it is to be quantized. x264 keeps a frame below its
 * limit (rate control with a buffer, VBV, that holds just that frame); what frames take is told back and decides over
 * the next. No native code: pure arithmetic, a few operations a frame.
 *
 * A picture that stands still is paid by its key frame: the frames after it add nothing, the next key frame is quantized
 * alike, and so nothing pulses. One that has come to rest in the middle of a group is refined in steps. A picture that
 * moves is quantized evenly through the group.
 */
// ITU-T H.264 8.6.1 (a quantizer of 6 more doubles the step, which about halves the bits)

/** Of the budget, at most this much goes into the key frame, */
const KEY_SHARE_MAX = 0.9;
/** this much into the key frame of a picture that stands still, */
const STILL_KEY_SHARE = 0.75;
/** this much even if a finer quantizer costs more than it mostly does, */
const STILL_KEY_SHARE_SURE = 0.85;
/** and this much into all frames, as planned: the rest is for what nobody could foresee. */
const PLANNED_SHARE = 0.95;
/** A frame that is no key frame may take this part of what is left: the others have to live from the rest. */
const SPREAD_FRAMES = 8;
/** Still is a picture whose frames take no more than this share of what is left. */
const STILL_SHARE = 0.2;
/**
 * A still picture is quantized more finely by so much every few frames; those between the steps tell whether it moves. One
 * that moves approaches what it can afford more slowly.
 */
const STILL_STEP = 6;
const STILL_STEP_FRAMES = 3;
const MOVING_STEP = 1;
const LAST_STEP = 0.1;
/**
 * What frames take is followed by this much of the difference (of logarithms): whole where it is so many times as much, or
 * for so many frames so many times less.
 */
const FOLLOWED_SHARE = 0.25;
const JUMP_FACTOR = 4;
const QUIET_FRAMES = 6;
/** A picture that is refined frame by frame takes more than a key frame of it: that takes this share. */
const REFINED_SHARE = 0.7;
/** Frames that have taken this share of a key frame since have made another picture of it. */
const STALE_SHARE = 0.5;
/** The next key frame of a picture that moves is given this share, or so much more than is expected of it. */
const NEXT_KEY_SHARE_MIN = 0.45;
const NEXT_KEY_MARGIN = 2.5;
/** Of what flows into its buffer during a frame, x264 leaves so much alone. */
const UNUSED_INFLOW_SHARE = 0.05;

/** Of the first frame of a run. */
export const QUANTIZER_FIRST = 13;
const QUANTIZER_MAX = 51;
/** So many quantizers coarser a frame takes half the bits: a key frame, and any other. */
const KEY_HALVING = 6;
const FRAME_HALVING = 4;
/** What x264 takes for a frame in which every macroblock is as before: its headers, and a run of skipped ones. */
const SKIPPED_FRAME_BITS = 160;
const SKIPPED_BITS_PER_MACROBLOCK = 1 / 16;
const FRAME_BITS_MIN = 1_000;
/** White noise at the coarsest quantizer takes 12 in a key frame. */
const NOISE_BITS_PER_MACROBLOCK = 24;

export interface GroupBudgetOptions {
  /** Of one group. */
  readonly bitsMax: number;
  /** Frames of a group. */
  readonly frames: number;
  readonly macroblocks: number;
  /** The finest quantizer worth its bits. */
  readonly quantizerMin: number;
}

/** What {@link GroupBudget.plan} decides about one frame. */
export interface FramePlan {
  readonly quantizer: number;
  /** x264's buffer, and what flows into it until the next frame, up to its size. */
  readonly bufferBits: number;
  readonly inflowBits: number;
  /** True where the bits are used up: the picture of the frame before is to be shown again. */
  readonly isHeld: boolean;
}

/** What a frame took, and how it was quantized. */
interface Sample {
  readonly bits: number;
  readonly quantizer: number;
}

export class GroupBudget {
  readonly #options: GroupBudgetOptions;
  readonly #skippedBits: number;
  #left: number;
  /** Frames of this group that are still to come. */
  #toCome = 0;
  #quantizer = QUANTIZER_FIRST;
  #isKey = true;
  #isHeld = false;
  /** True while the picture stands still, as far as the budget goes. */
  #isStill = true;
  #sinceStep = 0;
  /** Of the latest key frame, and what others take as they come. */
  #key: Sample | undefined;
  #frame: Sample = { bits: FRAME_BITS_MIN, quantizer: QUANTIZER_FIRST };
  /** Frames in a row that took much less than those before. */
  #quietFrames = 0;
  /** Spent since the key frame, and on the picture as it stands: a key frame of it would take about as much. */
  #changedBits = 0;
  #pictureBits = 0;

  constructor(options: GroupBudgetOptions) {
    this.#options = options;
    this.#left = options.bitsMax;
    this.#skippedBits = SKIPPED_FRAME_BITS + options.macroblocks * SKIPPED_BITS_PER_MACROBLOCK;
  }

  /** Of x264's buffer as a key frame finds it. */
  get keyBitsMax(): number {
    return Math.floor(KEY_SHARE_MAX * this.#options.bitsMax);
  }

  /** To be called for every frame before it is encoded; a key frame begins a group. */
  plan(isKey: boolean): FramePlan {
    this.#isKey = isKey;
    return isKey ? this.#planKey() : this.#planOther();
  }

  /** To be called after it with what the frame has taken and the mean of its quantizers. */
  take(bits: number, quantizer: number): void {
    this.#left -= bits;
    this.#toCome--;
    if (this.#isKey) {
      this.#key = { bits, quantizer };
      this.#pictureBits = bits;
      this.#changedBits = 0;
      return;
    }
    if (this.#isHeld) return;
    this.#pictureBits += REFINED_SHARE * bits;
    // The first frame behind a key frame makes up for what that one lacks.
    if (this.#toCome === this.#options.frames - 2) return;
    if (this.#isStill && this.#sinceStep < STILL_STEP_FRAMES - 1) return;
    this.#follow({ bits: Math.max(bits, 1), quantizer });
    if (this.#isStill) return;
    this.#changedBits += bits;
    if (this.#changedBits > STALE_SHARE * (this.#key?.bits ?? 0)) this.#pictureBits = 0;
  }

  #planKey(): FramePlan {
    const { bitsMax, frames } = this.#options;
    this.#left = bitsMax;
    this.#toCome = frames;
    this.#isHeld = false;
    if (this.#key !== undefined) {
      const others = this.#isStill ? 0 : frames - 1;
      this.#setQuantizer(Math.max(this.#even(PLANNED_SHARE * bitsMax, others), this.#finest()));
    }
    const bufferBits = this.keyBitsMax;
    // Of two frames the second is also the last, whose buffer does not hold it back: it finds what the key frame has left.
    const inflowBits = frames === 2 ? bitsMax - bufferBits : bufferBits;
    return { quantizer: this.#quantizer, bufferBits, inflowBits, isHeld: false };
  }

  #planOther(): FramePlan {
    const toCome = Math.max(1, this.#toCome);
    this.#sinceStep++;
    const share = predict(this.#frame, this.#quantizer, FRAME_HALVING) * toCome;
    this.#isStill = share < STILL_SHARE * this.#left;
    if (this.#isStill) this.#refine();
    else {
      const usable = this.#left - UNUSED_INFLOW_SHARE * this.#nextKeyBits();
      const affordable = afford(this.#frame, (PLANNED_SHARE * usable) / toCome, FRAME_HALVING);
      // What is left at the end would make the last frames better than the others.
      const step = toCome > SPREAD_FRAMES ? MOVING_STEP : LAST_STEP;
      this.#setQuantizer(Math.max(affordable, this.#finest(), this.#quantizer - step));
    }
    const free = this.#left - (toCome - 1) * this.#skippedBits;
    this.#isHeld = free < this.#skippedBits + FRAME_BITS_MIN;
    const frameBits = Math.max(Math.floor(free / Math.min(toCome, SPREAD_FRAMES)), FRAME_BITS_MIN);
    // The next key frame finds what the buffer holds at the end of the frame before it.
    const bufferBits = toCome > 1 ? frameBits : this.#nextKeyBits();
    return { quantizer: this.#quantizer, bufferBits, inflowBits: bufferBits, isHeld: this.#isHeld };
  }

  /** A step at a time: what a step takes says nothing of how much moves, nor do the frame or two behind it. */
  #refine(): void {
    if (this.#sinceStep < STILL_STEP_FRAMES) return;
    const finer = Math.max(this.#finest(), this.#quantizer - STILL_STEP);
    if (Math.abs(finer - this.#quantizer) < 0.5) return;
    this.#sinceStep = 0;
    this.#setQuantizer(finer);
  }

  /** Learns from a frame what the next ones will take. */
  #follow(sample: Sample): void {
    const expected = predict(this.#frame, sample.quantizer, FRAME_HALVING);
    const ratio = sample.bits / Math.max(expected, 1);
    this.#quietFrames = ratio < 1 / JUMP_FACTOR ? this.#quietFrames + 1 : 0;
    if (this.#quietFrames >= QUIET_FRAMES) this.#frame = sample;
    else if (this.#quietFrames === 0) {
      const share = ratio > JUMP_FACTOR ? 1 : FOLLOWED_SHARE;
      this.#frame = { bits: expected * ratio ** share, quantizer: sample.quantizer };
    }
  }

  #nextKeyBits(): number {
    if (this.#isStill) return this.keyBitsMax;
    const expected = predict(this.#nextKey(), this.#quantizer, KEY_HALVING);
    const least = NEXT_KEY_SHARE_MIN * this.#options.bitsMax;
    return Math.floor(Math.min(this.keyBitsMax, Math.max(least, NEXT_KEY_MARGIN * expected)));
  }

  /** For the key frame of a picture that stands still. */
  #finest(): number {
    const { bitsMax, quantizerMin } = this.#options;
    const key = this.#nextKey();
    const likely = afford(key, STILL_KEY_SHARE * bitsMax, KEY_HALVING);
    return Math.max(quantizerMin, likely, afford(key, STILL_KEY_SHARE_SURE * bitsMax, FRAME_HALVING));
  }

  /** What is known of the next key frame. */
  #nextKey(): Sample {
    if (this.#isStill || this.#key === undefined)
      return { bits: this.#pictureBits, quantizer: this.#quantizer };
    return this.#key;
  }

  /** With which a key frame and so many others take `bits` together. */
  #even(bits: number, others: number): number {
    const key = this.#nextKey();
    for (let quantizer = 0; quantizer < QUANTIZER_MAX; quantizer += 0.5) {
      const rest = others * predict(this.#frame, quantizer, FRAME_HALVING);
      if (predict(key, quantizer, KEY_HALVING) + rest <= bits) return quantizer;
    }
    return QUANTIZER_MAX;
  }

  #setQuantizer(quantizer: number): void {
    this.#quantizer = Math.min(QUANTIZER_MAX, Math.max(0, quantizer));
  }
}

/** The least that a group may be given: a key frame of the worst picture, white noise, and skipped frames after it. */
export function groupBitsMin(macroblocks: number, frames: number): number {
  const skipped = SKIPPED_FRAME_BITS + FRAME_BITS_MIN + macroblocks * SKIPPED_BITS_PER_MACROBLOCK;
  return macroblocks * NOISE_BITS_PER_MACROBLOCK + frames * skipped;
}

/** What a frame like `sample` takes with another quantizer. */
function predict({ bits, quantizer }: Sample, other: number, halving: number): number {
  return bits * 2 ** ((quantizer - other) / halving);
}

/** With which a frame like `sample` takes so many bits. */
function afford(sample: Sample, bits: number, halving: number): number {
  if (bits <= 0) return QUANTIZER_MAX;
  return sample.quantizer + halving * Math.log2(Math.max(sample.bits, 1) / bits);
}
