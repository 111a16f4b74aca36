/**
 * How many bits each frame of a rendition may have, so that every group of pictures (one second, from its key frame on)
 * stays below the rendition's highest bit rate, and how coarsely it is to be quantized. x264 keeps a frame below its
 * limit (rate control with a buffer, VBV, that holds just that frame); what frames take is told back and decides over
 * the next. No native code: pure arithmetic, a few operations a frame.
 *
 * A picture that stands still is paid by its key frame: the frames after it add nothing, the next key frame is quantized
 * alike, and so nothing pulses. A picture that moves is quantized evenly through the group.
 */
// ITU-T H.264 8.6.1 (a quantizer of 6 more doubles the step, which about halves the bits)

/** Of the budget, at most this much goes into the key frame, */
const KEY_SHARE_MAX = 0.9;
/** this much into the key frame of a picture that stands still, */
const STILL_KEY_SHARE = 0.75;
/** and this much into all frames, as planned: the rest is for what nobody could foresee. */
const PLANNED_SHARE = 0.85;
/** A frame that is no key frame may take this part of what is left: the others have to live from the rest. */
const SPREAD_FRAMES = 3;
/** Still is what needs no more than this share of what is left. */
const STILL_SHARE = 0.1;
/** How much more finely each frame is quantized than the one before, where there are bits to spare. */
const REFINING_STEP = 3;
/** Between frames the estimate of what one needs follows up and down by this much of the difference. */
const RISE = 0.3;
const FALL = 0.2;
/** A key frame above this share was cut down by x264: it was quantized this much more coarsely than asked for. */
const CUT_SHARE = 0.85;
const CUT_QUANTIZER = 2;
/** A key frame says less of a picture with each frame that has changed it since. */
const STALE_FACTOR = 0.75;
const STALE_SHARE = 0.5;

const QUANTIZER_FIRST = 13;
const QUANTIZER_MAX = 51;
/** Estimates are kept as bits at this quantizer. */
const QUANTIZER_REFERENCE = 26;
const QUANTIZER_HALVING = 6;
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
  /** x264's buffer, and what flows into it each frame. */
  readonly bufferBits: number;
  /** True where the bits are used up: the picture of the frame before is to be shown again. */
  readonly isHeld: boolean;
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
  #isStill = false;
  #keyQuantizer = QUANTIZER_FIRST;
  #keyBits = 0;
  /** Bits at {@link QUANTIZER_REFERENCE}: of a key frame, and of any other. */
  #keyNeed: number | undefined;
  #frameNeed = 0;
  /** Spent since the key frame. */
  #changedBits = 0;

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

  /** To be called after it with what the frame has taken. */
  take(bits: number): void {
    const { bitsMax } = this.#options;
    this.#left -= bits;
    this.#toCome--;
    if (this.#isKey) {
      const isCut = bits > CUT_SHARE * bitsMax;
      this.#keyBits = bits;
      this.#keyNeed = needOf(bits, this.#quantizer + (isCut ? CUT_QUANTIZER : 0));
      return;
    }
    this.#changedBits += bits;
    const difference = needOf(bits, this.#quantizer) - this.#frameNeed;
    // The last frame of a group is limited in another way, and one that repeats a picture says nothing of it.
    if (this.#toCome > 0 && !this.#isHeld) this.#frameNeed += difference * (difference > 0 ? RISE : FALL);
  }

  #planKey(): FramePlan {
    const { bitsMax, frames } = this.#options;
    this.#left = bitsMax;
    this.#toCome = frames;
    this.#changedBits = 0;
    if (this.#keyNeed !== undefined) {
      const need = this.#keyNeed + (this.#isStill ? 0 : this.#frameNeed * (frames - 1));
      const even = quantizerFor(need, PLANNED_SHARE * bitsMax);
      this.#setQuantizer(Math.max(even, this.#finest()));
    }
    this.#keyQuantizer = this.#quantizer;
    return { quantizer: this.#quantizer, bufferBits: this.keyBitsMax, isHeld: false };
  }

  #planOther(): FramePlan {
    const toCome = Math.max(1, this.#toCome);
    this.#isStill = needAt(this.#frameNeed * toCome, this.#finest()) < STILL_SHARE * this.#left;
    if (this.#isStill && this.#keyNeed !== undefined && this.#changedBits > STALE_SHARE * this.#keyBits) {
      this.#keyNeed *= STALE_FACTOR;
    }
    const least = this.#isStill
      ? Math.max(this.#finest(), this.#quantizer - REFINING_STEP)
      : this.#keyQuantizer;
    this.#setQuantizer(Math.max(quantizerFor(this.#frameNeed * toCome, PLANNED_SHARE * this.#left), least));
    const free = this.#left - (toCome - 1) * this.#skippedBits;
    // The next key frame finds what the buffer holds at the end of the frame before it.
    const bufferBits = toCome === 1 ? this.keyBitsMax : Math.floor(free / Math.min(toCome, SPREAD_FRAMES));
    this.#isHeld = free < this.#skippedBits + FRAME_BITS_MIN;
    return {
      quantizer: this.#quantizer,
      bufferBits: Math.max(bufferBits, FRAME_BITS_MIN),
      isHeld: this.#isHeld,
    };
  }

  /** For the key frame of a picture that stands still. */
  #finest(): number {
    const { bitsMax, quantizerMin } = this.#options;
    if (this.#keyNeed === undefined) return quantizerMin;
    return Math.max(quantizerMin, quantizerFor(this.#keyNeed, STILL_KEY_SHARE * bitsMax));
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

function needOf(bits: number, quantizer: number): number {
  return bits * 2 ** ((quantizer - QUANTIZER_REFERENCE) / QUANTIZER_HALVING);
}

function needAt(need: number, quantizer: number): number {
  return need * 2 ** ((QUANTIZER_REFERENCE - quantizer) / QUANTIZER_HALVING);
}

/** With which `need` takes so many bits. */
function quantizerFor(need: number, bits: number): number {
  if (bits <= 0) return QUANTIZER_MAX;
  return QUANTIZER_REFERENCE + QUANTIZER_HALVING * Math.log2(Math.max(need, 1) / bits);
}
