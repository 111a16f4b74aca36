/**
 * The slate of one run: pictures that go on where those of the source end, under the same parameter sets and numbers.
 * First the last picture again, from the next second on words that say what is missing. Every byte is a function of the
 * run, the frame's number and the last frame of the source: origins that lose it at the same frame write the same ones.
 */
import assert from "node:assert";
import { writeAvcConfig } from "#common/formats/annex-b.ts";
import {
  type EncodedFrame,
  evenTimes,
  evenTimescale,
  type FramePlace,
  framesPerSegment,
  type Rendition,
  type Run,
  SEGMENT_SECONDS,
} from "#common/formats/frame.ts";
import { addPictureParameters, prefixLength, readAvcConfig, splitNalUnits } from "#common/formats/h264.ts";
import {
  nalType,
  NAL_IDR_SLICE,
  NAL_SLICE,
  readPictureParameters,
  readSequenceParameters,
  readSliceHeader,
  type SequenceParameters,
} from "#common/formats/h264-parameters.ts";
import {
  type PictureContext,
  writeFlatPicture,
  writePictureParameters,
  writeRepeat,
  writeSequenceParameters,
} from "#common/formats/h264-writer.ts";
import { drawSlate } from "#common/formats/slate-picture.ts";
import { framesToMs } from "#common/units.ts";

const TITLE = "NO SIGNAL";
/** What the frames of the feed are of, and of another source. */
const CANVAS = "THE CANVAS";
const SOURCE = "THE SOURCE";
const PICTURE_IDS = 256;
const CHROMA_420 = 1;
const SAMPLE_BITS = 8;
/** Half-frames to the next picture, where their order is sent. */
const ORDER_STEP = 2;

/** The last frame that a rendition has, whoever made it. */
export interface LastFrame {
  readonly number: number;
  readonly captureTimeMs: number;
  readonly data: Uint8Array;
}

/** Writes the slate of one rendition. */
export class SlateWriter {
  readonly rendition: Rendition;
  readonly #context: PictureContext & { readonly format: SequenceParameters };
  /** By what it says: the picture, for groups of even and of odd number. */
  readonly #pictures = new Map<string, Uint8Array>();

  private constructor(
    rendition: Rendition,
    context: PictureContext & { readonly format: SequenceParameters },
  ) {
    const parameters = writePictureParameters(context.pictureId, context.format.id);
    this.rendition = { ...rendition, avcC: addPictureParameters(rendition.avcC, parameters) };
    this.#context = context;
  }

  /**
   * `undefined` where its video is of another kind than whole frames of 8 bits 4:2:0; or, where the slate
   * `continues` it, in another order than that of decoding.
   */
  static open(rendition: Rendition, { continues }: { readonly continues: boolean }): SlateWriter | undefined {
    const config = readAvcConfig(rendition.avcC);
    const [sequence] = config?.sequenceParameterSets ?? [];
    const format = sequence === undefined ? undefined : readSequenceParameters(sequence);
    if (config === undefined || format === undefined || !isPlain(format)) return undefined;
    if (continues && !isInOrder(format)) return undefined;
    const used = new Set(config.pictureParameterSets.map((unit) => readPictureParameters(unit)?.id));
    const pictureId = Array.from({ length: PICTURE_IDS }, (_, id) => id).find((id) => !used.has(id));
    if (pictureId === undefined || used.has(undefined)) return undefined;
    return new SlateWriter(rendition, { format, pictureId });
  }

  /** With parameter sets of its own, for between the runs of a source of any other kind. */
  static openApart(rendition: Rendition): SlateWriter | undefined {
    const size = { width: roundUpToEven(rendition.width), height: roundUpToEven(rendition.height) };
    const avcC = writeAvcConfig(writeSequenceParameters(size), [writePictureParameters(0, 0)]);
    return avcC && SlateWriter.open({ ...rendition, ...size, avcC }, { continues: false });
  }

  /** The words, as the key frame of group `group`: what is missing since when, milliseconds since 1970. */
  picture(group: number, { what, sinceMs }: { readonly what: string; readonly sinceMs: number }): Uint8Array {
    const message = `WAITING FOR ${what}`;
    const whole = `${message} SINCE ${new Date(sinceMs).toISOString().slice(11, 16)} UTC`;
    // Neighbouring pictures of this kind must differ in their number.
    const idrId = group % 2;
    const known = this.#pictures.get(`${idrId} ${whole}`);
    if (known !== undefined) return known;
    const { widthMacroblocks, heightMacroblocks } = this.#context.format;
    const size = { ...this.rendition, widthMacroblocks, heightMacroblocks };
    const picture = drawSlate(size, { title: TITLE, messages: [whole, message] });
    const data = prefixLength(writeFlatPicture(this.#context, picture, idrId));
    // Of an earlier outage.
    if (this.#pictures.size > 1) this.#pictures.clear();
    this.#pictures.set(`${idrId} ${whole}`, data);
    return data;
  }

  /** The picture of `data` again: it follows in the count of reference pictures, and in order. */
  repeat(data: Uint8Array): Uint8Array | undefined {
    const { format } = this.#context;
    const slice = splitNalUnits(data)?.find((unit) => [NAL_SLICE, NAL_IDR_SLICE].includes(nalType(unit)));
    const header = slice === undefined ? undefined : readSliceHeader(slice, format);
    if (header === undefined) return undefined;
    // A picture that nothing refers to has the number of the next one that something does.
    const frameNumber = header.frameNumber + (header.referenceIdc > 0 ? 1 : 0);
    const order = { frameNumber, orderLsb: header.orderLsb + ORDER_STEP };
    return prefixLength(writeRepeat(this.#context, order));
  }
}

/** 4:2:0 halves both sides. */
function roundUpToEven(side: number): number {
  return side + (side % 2);
}

function isPlain({
  chromaFormat,
  lumaBits,
  chromaBits,
  isFrameOnly,
  pictureOrder,
}: SequenceParameters): boolean {
  const isEightBits = lumaBits === SAMPLE_BITS && chromaBits === SAMPLE_BITS;
  return chromaFormat === CHROMA_420 && isEightBits && isFrameOnly && pictureOrder.type !== 1;
}

function isInOrder({ pictureOrder, reorderFramesMax }: SequenceParameters): boolean {
  return pictureOrder.type === 2 || reorderFramesMax === 0;
}

/** The slate of one run of the feed. */
export class RunSlate {
  /** The run with the picture parameter sets of the slate from its start: that is what viewers get. */
  readonly run: Run;
  readonly #writers: ReadonlyMap<number, SlateWriter>;

  private constructor(run: Run, writers: readonly SlateWriter[]) {
    this.run = { ...run, renditions: writers.map(({ rendition }) => rendition) };
    this.#writers = new Map(writers.map((writer) => [writer.rendition.trackId, writer]));
  }

  /** `undefined` where a rendition is of a kind that the slate cannot continue, or frames stand on no grid. */
  static open(run: Run): RunSlate | undefined {
    if (run.offGrid !== undefined || run.timescale !== evenTimescale(run.fps)) return undefined;
    const writers = run.renditions.flatMap((one) => SlateWriter.open(one, { continues: true }) ?? []);
    return writers.length === run.renditions.length ? new RunSlate(run, writers) : undefined;
  }

  /**
   * The picture after `last` of the same rendition. `lostNumber` is that of the first frame that the source did not
   * bring. `undefined` where `last` cannot be read.
   */
  next(trackId: number, last: LastFrame, lostNumber: number): EncodedFrame | undefined {
    const writer = this.#writers.get(trackId);
    assert(writer !== undefined, "a slate has a writer for each track of its run");
    const { startFrame, startTimeMs, fps } = this.run;
    const number = last.number + 1;
    const index = number - startFrame;
    const isKey = index % fps === 0;
    const sinceMs = startTimeMs + framesToMs(lostNumber - startFrame, fps);
    const words = { what: CANVAS, sinceMs };
    const data = isKey ? writer.picture(Math.floor(index / fps), words) : writer.repeat(last.data);
    if (data === undefined) return undefined;
    const captureTimeMs = Math.max(last.captureTimeMs, startTimeMs + framesToMs(index, fps));
    return { trackId, number, captureTimeMs, isKey, data, ...evenTimes(index), isSlate: true };
  }
}

/** A run of nothing but the slate, for where it cannot continue the source's: both formats have the same segments. */
export class SlateRun {
  readonly run: Run;
  readonly #writer: SlateWriter;
  readonly #sinceMs: number;
  #last: Uint8Array = new Uint8Array(0);
  #index = 0;

  /** `run` is its own, with the rendition of `writer`; `sinceMs` is when the source was lost, since 1970. */
  constructor(run: Run, writer: SlateWriter, sinceMs: number) {
    this.run = { ...run, renditions: [writer.rendition] };
    this.#writer = writer;
    this.#sinceMs = sinceMs;
  }

  /** When the next frame is due after the start of the run. */
  get dueMs(): number {
    return framesToMs(this.#index, this.run.fps);
  }

  /** The next frame. */
  next(): EncodedFrame & { readonly place: FramePlace } {
    const { startFrame, startTimeMs, fps, timescale, offGrid, renditions } = this.run;
    const index = this.#index++;
    const isKey = index % fps === 0;
    const group = Math.floor(index / fps);
    const words = { what: SOURCE, sinceMs: this.#sinceMs };
    const data = isKey ? this.#writer.picture(group, words) : this.#writer.repeat(this.#last);
    assert(data !== undefined, "the slate can repeat its own picture");
    this.#last = data;
    const segmentSeconds = offGrid?.targetDurationSeconds ?? SEGMENT_SECONDS;
    const decodeUnits = Math.round((index * timescale) / fps);
    return {
      trackId: renditions[0]?.trackId ?? 1,
      number: startFrame + index,
      captureTimeMs: startTimeMs + framesToMs(index, fps),
      isKey,
      data,
      decodeUnits,
      durationUnits: Math.round(((index + 1) * timescale) / fps) - decodeUnits,
      place: {
        segmentNumber: Math.floor(startFrame / framesPerSegment(fps)) + Math.floor(group / segmentSeconds),
        isSegmentEnd: (index + 1) % (fps * segmentSeconds) === 0,
        isGroupEnd: (index + 1) % fps === 0,
      },
      isSlate: true,
    };
  }
}
