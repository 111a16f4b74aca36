/**
 * The slate of one run: pictures that go on where those of the source end, under the same parameter sets and numbers.
 * First the last picture again, from the next second on words that say what is missing. Every byte is a function of the
 * run, the frame's number and the last frame of the source: origins that lose it at the same frame write the same ones.
 */
import assert from "node:assert";
import type { EncodedFrame, Rendition, Run } from "#common/formats/frame.ts";
import { evenTimes, evenTimescale } from "#common/formats/frame.ts";
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
} from "#common/formats/h264-writer.ts";
import { drawSlate } from "#common/formats/slate-picture.ts";
import { framesToMs } from "#common/units.ts";

const TITLE = "NO SIGNAL";
const MESSAGE = "WAITING FOR THE CANVAS";
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

/** What the pictures of one rendition refer to. */
interface Writer extends PictureContext {
  readonly format: SequenceParameters;
  readonly rendition: Rendition;
  /** By what it says: the picture, for seconds of even and of odd number. */
  readonly pictures: Map<string, Uint8Array>;
}

/** Writes the slate of one run. */
export class RunSlate {
  /** The run with the picture parameter sets of the slate from its start: that is what viewers get. */
  readonly run: Run;
  readonly #writers: ReadonlyMap<number, Writer>;

  private constructor(run: Run, writers: readonly Writer[]) {
    const renditions = writers.map(({ rendition, format, pictureId }) => {
      const avcC = addPictureParameters(rendition.avcC, writePictureParameters(pictureId, format.id));
      return { ...rendition, avcC };
    });
    this.run = { ...run, renditions };
    this.#writers = new Map(writers.map((writer) => [writer.rendition.trackId, writer]));
  }

  /** `undefined` where a rendition is of a kind that the slate cannot continue. */
  static open(run: Run): RunSlate | undefined {
    const writers = run.renditions.flatMap((rendition) => createWriter(rendition) ?? []);
    const isEven = run.timescale === evenTimescale(run.fps);
    return isEven && writers.length === run.renditions.length ? new RunSlate(run, writers) : undefined;
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
    const data = isKey ? this.#picture(writer, index, lostNumber) : repeat(writer, last.data);
    if (data === undefined) return undefined;
    const captureTimeMs = Math.max(last.captureTimeMs, startTimeMs + framesToMs(index, fps));
    return { trackId, number, captureTimeMs, isKey, data, ...evenTimes(index), isSlate: true };
  }

  #picture(writer: Writer, index: number, lostNumber: number): Uint8Array {
    const { startFrame, startTimeMs, fps } = this.run;
    const lost = new Date(startTimeMs + framesToMs(lostNumber - startFrame, fps));
    const message = `${MESSAGE} SINCE ${lost.toISOString().slice(11, 16)} UTC`;
    // Neighbouring pictures of this kind must differ in their number.
    const idrId = Math.floor(index / fps) % 2;
    const known = writer.pictures.get(`${idrId} ${message}`);
    if (known !== undefined) return known;
    const picture = drawSlate(writer.rendition, { title: TITLE, messages: [message, MESSAGE] });
    const data = prefixLength(writeFlatPicture(writer, picture, idrId));
    // Of an earlier outage.
    if (writer.pictures.size > 1) writer.pictures.clear();
    writer.pictures.set(`${idrId} ${message}`, data);
    return data;
  }
}

function createWriter(rendition: Rendition): Writer | undefined {
  const config = readAvcConfig(rendition.avcC);
  const [sequence] = config?.sequenceParameterSets ?? [];
  const format = sequence === undefined ? undefined : readSequenceParameters(sequence);
  if (config === undefined || format === undefined || !canContinue(format)) return undefined;
  const used = new Set(config.pictureParameterSets.map((unit) => readPictureParameters(unit)?.id));
  const pictureId = Array.from({ length: PICTURE_IDS }, (_, id) => id).find((id) => !used.has(id));
  if (pictureId === undefined || used.has(undefined)) return undefined;
  return { format, pictureId, rendition, pictures: new Map() };
}

/** Whole frames of 8 bits 4:2:0, in the order in which they are decoded. */
function canContinue(format: SequenceParameters): boolean {
  const { chromaFormat, lumaBits, chromaBits, isFrameOnly, pictureOrder, reorderFramesMax } = format;
  const isPlain = chromaFormat === CHROMA_420 && lumaBits === SAMPLE_BITS && chromaBits === SAMPLE_BITS;
  const isInOrder = pictureOrder.type === 2 || (pictureOrder.type === 0 && reorderFramesMax === 0);
  return isPlain && isFrameOnly && isInOrder;
}

/** The picture of `data` again: it follows in the count of reference pictures, and in order. */
function repeat(writer: Writer, data: Uint8Array): Uint8Array | undefined {
  const slice = splitNalUnits(data)?.find((unit) => [NAL_SLICE, NAL_IDR_SLICE].includes(nalType(unit)));
  const header = slice === undefined ? undefined : readSliceHeader(slice, writer.format);
  if (header === undefined) return undefined;
  // A picture that nothing refers to has the number of the next one that something does.
  const frameNumber = header.frameNumber + (header.referenceIdc > 0 ? 1 : 0);
  return prefixLength(writeRepeat(writer, { frameNumber, orderLsb: header.orderLsb + ORDER_STEP }));
}
