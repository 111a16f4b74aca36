/**
 * One rendition: scales the picture to its size in 4:2:0 and encodes it with x264. Owns a scaler, a frame, a packet
 * and an encoder in native memory. A packet comes out for each frame that goes in: nothing is held back.
 */
// ITU-T H.264 Annex A (levels), Annex E (colour signalled in the VUI), ITU-R BT.709
import assert from "node:assert/strict";
import type { CodecContext, Frame, Packet, SoftwareScaleContext } from "node-av/lib";
import { BITS_PER_BYTE } from "#common/units.ts";
import { type Av, EncoderError, expectSuccess, expectThere } from "./encoder-av.ts";
import { FRAME_ALIGN_BYTES } from "./encoder-picture.ts";
import { GroupBudget, QUANTIZER_FIRST } from "./group-budget.ts";
import { macroblocksOf, type RenditionPlan, type X264Preset } from "./renditions.ts";

/**
 * Lengths before NAL units instead of start codes; key frames only where they are asked for, and closed: nothing
 * refers across them; the same parameter sets from each encoder of these settings.
 */
const X264_FORMAT = "annexb=0:scenecut=0:keyint=infinite:open-gop=0:force-cfr=1:stitchable=1";
/**
 * The quantizer of each frame is `crf` as {@link GroupBudget} sets it, nothing else: the same for key frames and others,
 * whatever the complexity of the picture. Edges are smoothed at coarse quantizers only: text and single pixels are sharp.
 */
const X264_RATE = "qcomp=1:ipratio=1:mbtree=0:qpmin=0:deblock=-2,-2";
/** An enlarged canvas is shown to the pixel: colours as fine as light, no difference too small to be sent. */
const X264_ENLARGED =
  "aq-mode=0:chroma-qp-offset=-3:no-dct-decimate=1:no-fast-pskip=1:deadzone-inter=0:deadzone-intra=0";
/** More than an eye sees; and what keeps single colours of an enlarged canvas. */
const QUANTIZER_MIN = 12;
const QUANTIZER_MIN_ENLARGED = 1;
/** A key frame may be so many quantizers off; x264 weighs each frame by so much less than the one behind it. */
const USUAL_DISTANCE_MAX = 1;
const USUAL_DECAY = 0.95;
const QUANTIZER_LEAST = 0.1;
/** What x264 has in its buffer when it begins. */
const BUFFER_FILLED_FIRST = 0.9;
/** Quantizers are told in the unit of Lagrange's multiplier, FF_QP2LAMBDA. */
const LAMBDA_PER_QUANTIZER = 118;
/** x264 counts bits per second in 32 bits. */
const BITS_PER_SECOND_MAX = 2_000_000_000;
/**
 * Lower levels bound a frame by what a smaller canvas would take (A.3.3, MinCR): a key frame that carries the whole
 * second needs more. Level 4 is what every decoder of the last decade takes; larger pictures get theirs from x264.
 */
const LEVEL_MIN = {
  level: 40,
  macroblocks: 8_192,
  macroblocksPerSecond: 245_760,
  bitsPerSecond: 20_000_000,
} as const;

export interface RenditionEncoderOptions {
  readonly av: Av;
  readonly plan: RenditionPlan;
  /** Size of the picture to scale from. */
  readonly source: { readonly width: number; readonly height: number };
  readonly fps: number;
  readonly preset: X264Preset;
}

/** What goes in for one frame. */
export interface EncodeRequest {
  readonly picture: Frame;
  /** True where it is not that of the frame before. */
  readonly isChanged: boolean;
  /** Counted from the start of the run. */
  readonly index: number;
  readonly isKey: boolean;
}

/** What comes out for one frame. */
export interface Packed {
  readonly isKey: boolean;
  /** NAL units behind their lengths; memory of its own. */
  readonly data: Uint8Array<ArrayBuffer>;
}

export class RenditionEncoder {
  /** AVCDecoderConfigurationRecord. */
  readonly config: Uint8Array;
  readonly #options: RenditionEncoderOptions;
  readonly #av: Av;
  readonly #scaler: SoftwareScaleContext;
  readonly #frame: Frame;
  readonly #packet: Packet;
  #codec: CodecContext;
  readonly #fps: number;
  readonly #budget: GroupBudget;
  #usual = new UsualQuantizer(QUANTIZER_FIRST);
  /** True while the frame is not scaled from the present picture. */
  #isStale = true;

  constructor(options: RenditionEncoderOptions) {
    const { library } = options.av;
    this.#options = options;
    this.#av = options.av;
    this.#fps = options.fps;
    this.#budget = new GroupBudget({
      bitsMax: options.plan.bitsPerSecondMax,
      frames: options.fps,
      macroblocks: macroblocksOf(options.plan),
      quantizerMin: isEnlarged(options) ? QUANTIZER_MIN_ENLARGED : QUANTIZER_MIN,
    });
    this.#scaler = new library.SoftwareScaleContext();
    this.#frame = new library.Frame();
    this.#packet = new library.Packet();
    this.#codec = new library.CodecContext();
    try {
      this.#openScaler(options);
      this.#openFrame(options);
      this.#packet.alloc();
      this.#openCodec(this.#codec, QUANTIZER_FIRST);
      this.config = new Uint8Array(expectThere(this.#codec.extraData, "decoder configuration"));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Encodes `picture` as frame `index` of the run; `isChanged` says whether it is another one than before. */
  encode({ picture, isChanged, index, isKey }: EncodeRequest): Packed {
    const { constants } = this.#av;
    const { quantizer, bufferBits, inflowBits, isHeld } = this.#budget.plan(isKey);
    if (isKey && Math.abs(quantizer - this.#usual.mean) > USUAL_DISTANCE_MAX) this.#reopenCodec(quantizer);
    expectSuccess(this.#codec.setOption("crf", quantizer.toFixed(2)), "setting the quantizer");
    this.#codec.rcBufferSize = bufferBits;
    this.#codec.rcMaxRate = BigInt(Math.min(inflowBits * this.#fps, BITS_PER_SECOND_MAX));
    this.#isStale ||= isChanged;
    if (this.#isStale && !isHeld) {
      expectSuccess(this.#scaler.scaleFrameSync(this.#frame, picture), "scaling");
      this.#isStale = false;
    }
    this.#frame.pts = BigInt(index);
    this.#frame.pictType = isKey ? constants.AV_PICTURE_TYPE_I : constants.AV_PICTURE_TYPE_NONE;
    expectSuccess(this.#codec.sendFrameSync(this.#frame), "taking a frame");
    expectSuccess(this.#codec.receivePacketSync(this.#packet), "giving a packet");
    try {
      const data = new Uint8Array(expectThere(this.#packet.data, "data in the packet"));
      if (this.#packet.isKeyframe !== isKey || this.#packet.pts !== BigInt(index)) {
        throw new EncoderError("encoder-failed", `The encoder failed: frame ${index} came out of order`);
      }
      const meanQuantizer = this.#meanQuantizer(quantizer);
      this.#budget.take(data.length * BITS_PER_BYTE, meanQuantizer);
      this.#usual.add(meanQuantizer);
      return { isKey, data };
    } finally {
      this.#packet.unref();
    }
  }

  /** Of the latest packet, as x264 tells it; `asked` where it does not. */
  #meanQuantizer(asked: number): number {
    const statistics = this.#packet.getSideData(this.#av.constants.AV_PKT_DATA_QUALITY_STATS);
    return statistics === null ? asked : statistics.readUInt32LE(0) / LAMBDA_PER_QUANTIZER;
  }

  /** Frees the native memory. */
  close(): void {
    this.#codec.freeContext();
    this.#packet.free();
    this.#frame.free();
    this.#scaler.freeContext();
  }

  /** The scaler takes sizes, formats and colour spaces from the frames that it is given. */
  #openScaler(options: RenditionEncoderOptions): void {
    this.#scaler.allocContext();
    // Enlarged pixels stay squares; reduced ones are averaged.
    const flags = isEnlarged(options) ? "neighbor" : "bicubic";
    expectSuccess(this.#scaler.setOption("sws_flags", flags), `scaling by ${flags}`);
  }

  #openFrame({ av, plan }: RenditionEncoderOptions): void {
    const { constants } = av;
    this.#frame.alloc();
    this.#frame.format = constants.AV_PIX_FMT_YUV420P;
    this.#frame.width = plan.width;
    this.#frame.height = plan.height;
    this.#frame.colorRange = constants.AVCOL_RANGE_MPEG;
    this.#frame.colorSpace = constants.AVCOL_SPC_BT709;
    this.#frame.colorPrimaries = constants.AVCOL_PRI_BT709;
    this.#frame.colorTrc = constants.AVCOL_TRC_BT709;
    expectSuccess(this.#frame.getBuffer(FRAME_ALIGN_BYTES), "memory for a frame");
  }

  /** Begins anew, as nothing refers across a key frame. It takes as long as a frame or two. */
  #reopenCodec(quantizer: number): void {
    const codec = new this.#av.library.CodecContext();
    try {
      this.#openCodec(codec, quantizer);
      assert.deepEqual(
        new Uint8Array(codec.extraData ?? []),
        this.config,
        "decoders go on with another encoder",
      );
    } catch (error) {
      codec.freeContext();
      throw error;
    }
    this.#codec.freeContext();
    this.#codec = codec;
    this.#usual = new UsualQuantizer(quantizer);
  }

  #openCodec(codec: CodecContext, quantizer: number): void {
    const options = this.#options;
    const { av, plan, fps, preset } = options;
    const { library, constants } = av;
    const x264 = expectThere(library.Codec.findEncoderByName(constants.FF_ENCODER_LIBX264), "libx264");
    codec.allocContext3(x264);
    codec.width = plan.width;
    codec.height = plan.height;
    codec.pixelFormat = constants.AV_PIX_FMT_YUV420P;
    codec.timeBase = new library.Rational(1, fps);
    codec.framerate = new library.Rational(fps, 1);
    codec.maxBFrames = 0;
    codec.threadCount = 1;
    codec.setFlags(constants.AV_CODEC_FLAG_GLOBAL_HEADER);
    codec.colorRange = constants.AVCOL_RANGE_MPEG;
    codec.colorSpace = constants.AVCOL_SPC_BT709;
    codec.colorPrimaries = constants.AVCOL_PRI_BT709;
    codec.colorTrc = constants.AVCOL_TRC_BT709;
    codec.rcMaxRate = BigInt(plan.bitsPerSecondMax);
    codec.rcBufferSize = Math.floor(this.#budget.keyBitsMax / BUFFER_FILLED_FIRST);
    if (fitsLevelMin(plan, fps)) codec.level = LEVEL_MIN.level;
    const settings = {
      preset,
      tune: "zerolatency",
      "forced-idr": "1",
      // Of the first frame; each sets its own. 0 would mean lossless.
      crf: Math.max(quantizer, QUANTIZER_LEAST).toFixed(2),
      "x264-params": [X264_FORMAT, X264_RATE, ...(isEnlarged(options) ? [X264_ENLARGED] : [])].join(":"),
    };
    for (const [name, value] of Object.entries(settings)) {
      expectSuccess(codec.setOption(name, value), `x264 option ${name}=${value}`);
    }
    expectSuccess(codec.open2Sync(x264, null), `opening x264 for ${plan.width}x${plan.height}`);
  }
}

/**
 * What x264 takes for a picture's usual quantizer: it quantizes a key frame like the frames before it, whatever it is told.
 * Where that is far from what is wanted, only another encoder helps.
 */
class UsualQuantizer {
  /** Before the first frame hardly anything. */
  #weight = 0.01;
  #sum: number;

  constructor(first: number) {
    this.#sum = first * this.#weight;
  }

  get mean(): number {
    return this.#sum / this.#weight;
  }

  add(quantizer: number): void {
    this.#weight = this.#weight * USUAL_DECAY + 1;
    this.#sum = this.#sum * USUAL_DECAY + quantizer;
  }
}

function isEnlarged({ plan, source }: RenditionEncoderOptions): boolean {
  return plan.width > source.width;
}

function fitsLevelMin(plan: RenditionPlan, fps: number): boolean {
  const macroblocks = macroblocksOf(plan);
  return (
    macroblocks <= LEVEL_MIN.macroblocks &&
    macroblocks * fps <= LEVEL_MIN.macroblocksPerSecond &&
    plan.bitsPerSecondMax <= LEVEL_MIN.bitsPerSecond
  );
}
