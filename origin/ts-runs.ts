/**
 * Makes runs of the pictures of a transport stream: key frames begin segments, times become media times, and whatever
 * does not continue (missing pictures, a jump in time, other parameters, another connection) ends a run, after which the
 * next key frame begins another. Keeps one picture back, since how long it is shown only the next one tells.
 */
// ISO/IEC 13818-1 2.4.3.7 (33-bit times), ISO/IEC 14496-15 5.3.3.1 (parameter sets apart)
import { joinNalUnits, splitAnnexB, writeAvcConfig } from "#common/formats/annex-b.ts";
import { type EncodedFrame, framesPerSegment, type Rendition, type Run } from "#common/formats/frame.ts";
import {
  NAL_IDR_SLICE,
  NAL_PICTURE_PARAMETERS,
  NAL_SEQUENCE_PARAMETERS,
  NAL_SLICE,
  nalType,
  readPictureParameters,
  readSequenceParameters,
  readSliceHeader,
  type SequenceParameters,
} from "#common/formats/h264-parameters.ts";
import type { VideoPes } from "#common/formats/mpegts-demuxer.ts";
import type { RunStart } from "#common/run-store.ts";
import { TICKS_PER_SECOND, TICKS_WRAP, unitsToMs } from "#common/units.ts";
import { frameRateOf } from "./frame-rate.ts";
import { partUnitsOf } from "./part-frames.ts";
import type { SourceHandlers } from "./source.ts";

/** The one rendition, whatever its size: playlists keep their URLs when that changes. */
export const TS_RENDITION = "source";
/** A segment may be so much longer than the target duration, which rounding forgives (4.4.3.1: 0.5 s). */
const SEGMENT_TICKS_OVER = 0.45 * TICKS_PER_SECOND;
/** Groups that vary by so little still fill a segment together. */
const GROUP_TICKS_OVER = 0.25 * TICKS_PER_SECOND;

/** No picture waits longer to be shown than a decoder may keep it (ISO/IEC 13818-1 2.4.2.6). */
const COMPOSITION_TICKS_MAX = 10 * TICKS_PER_SECOND;
/** Longer parameter sets are not kept: no encoder comes near it, and there may be 288 of them. */
const PARAMETER_SET_BYTES_MAX = 4096;

/** What gives runs and segments their numbers, and keeps them. */
export interface RunNumbers {
  beginRun(fps: number): RunStart;
  reserveSegment(segment: number, dates: { readonly startMs: number; readonly shownEndMs: number }): void;
}

export interface TsRunsOptions {
  readonly handlers: Pick<SourceHandlers, "onRun" | "onFrame">;
  readonly numbers: RunNumbers;
  readonly wallMs: () => number;
  readonly targetDurationSeconds: number;
  readonly partDurationMs: number;
  /** What there is to say: why nothing is shown, or `undefined` again. */
  readonly onTrouble: (reason: string | undefined) => void;
}

/** One picture, taken apart. */
interface Picture {
  readonly isKey: boolean;
  /** 90 kHz; of decoding, not wrapped. */
  readonly decodeTicks: number;
  readonly compositionTicks: number;
  readonly slices: readonly Uint8Array[];
}

/** A run and how far it has come. */
interface Open {
  readonly run: Run;
  /** Of the first picture. */
  readonly startTicks: number;
  readonly partTicks: number;
  index: number;
  segmentNumber: number;
  segmentStart: number;
  groupTicks: number;
  longestGroupTicks: number;
}

/** What the decoder must know, as it stands in the stream. */
interface Parameters {
  readonly sequence: SequenceParameters;
  readonly avcC: Uint8Array;
}

export class TsRuns {
  readonly #options: TsRunsOptions;
  /** NAL units by their ids. */
  readonly #sequences = new Map<number, Uint8Array>();
  readonly #pictures = new Map<number, Uint8Array>();
  /** True once one was replaced by another of its id, until the next picture. */
  #isReplaced = false;
  #parameters: Parameters | undefined;
  #open: Open | undefined;
  /** The picture that waits for the next one. */
  #pending: Picture | undefined;
  #lastTicks: number | undefined;
  /** How the last shown picture lasted. */
  #durationTicks = 0;
  /** Set where a group of pictures must be seen to fit before any is shown: from its key frame on, if that has come. */
  #probation: { keyTicks: number | undefined } | undefined;
  /** Pictures that were not shown. */
  droppedPictures = 0;

  constructor(options: TsRunsOptions) {
    this.#options = options;
  }

  /** Takes the next PES packet. */
  onPes(pes: VideoPes): void {
    const slices = this.#readUnits(pes.data);
    if (slices.length === 0) return;
    if (this.#isReplaced && !slices.some(isKeySlice)) this.breakOff("parameters changed within a group");
    this.#isReplaced = false;
    const picture = this.#timePicture(pes, slices);
    if (picture === undefined) {
      this.droppedPictures++;
      this.breakOff("pictures without a time that can be");
      return;
    }
    if (this.#pending !== undefined) this.#advance(this.#pending, picture);
    if (this.#pending === undefined && !this.#mayBegin(picture)) {
      this.droppedPictures++;
      return;
    }
    this.#pending = picture;
  }

  /** What comes next does not continue what came: the run ends, and the next key frame begins another. */
  breakOff(reason: string): void {
    this.finish();
    if (this.#probation !== undefined) this.#probation.keyTicks = undefined;
    this.#options.onTrouble(`${reason}: waiting for a key frame`);
  }

  /** Ends the run with the picture that was kept back. */
  finish(): void {
    const open = this.#open;
    if (this.#pending !== undefined && open !== undefined) {
      this.#emit(open, this.#pending, {
        durationTicks: this.#durationTicks,
        isSegmentEnd: true,
        isGroupEnd: false,
      });
    } else if (this.#pending !== undefined) this.droppedPictures++;
    this.#pending = undefined;
    this.#open = undefined;
  }

  /** Keeps parameter sets, and gives the slices. */
  #readUnits(data: Uint8Array): Uint8Array[] {
    const slices: Uint8Array[] = [];
    for (const unit of splitAnnexB(data)) {
      const type = nalType(unit);
      if (type >= NAL_SLICE && type <= NAL_IDR_SLICE) slices.push(unit);
      else if (type === NAL_SEQUENCE_PARAMETERS) {
        this.#keep(this.#sequences, readSequenceParameters(unit)?.id, unit);
      } else if (type === NAL_PICTURE_PARAMETERS) {
        this.#keep(this.#pictures, readPictureParameters(unit)?.id, unit);
      }
    }
    return slices;
  }

  #keep(sets: Map<number, Uint8Array>, id: number | undefined, unit: Uint8Array): void {
    const known = id === undefined ? unit : sets.get(id);
    if (id === undefined || unit.length > PARAMETER_SET_BYTES_MAX || isSame(known, unit)) return;
    this.#isReplaced ||= known !== undefined;
    // A copy: the unit is a view on what was received.
    sets.set(id, unit.slice());
  }

  #timePicture({ dtsTicks, ptsTicks }: VideoPes, slices: readonly Uint8Array[]): Picture | undefined {
    if (dtsTicks === undefined || ptsTicks === undefined) return undefined;
    const compositionTicks = Math.max(0, wrappedDifference(ptsTicks, dtsTicks));
    if (compositionTicks > COMPOSITION_TICKS_MAX) return undefined;
    const last = this.#lastTicks;
    const decodeTicks = last === undefined ? dtsTicks : last + wrappedDifference(dtsTicks, last % TICKS_WRAP);
    // A jump back to before the first time is another time line.
    this.#lastTicks = decodeTicks < 0 ? dtsTicks : decodeTicks;
    return {
      isKey: slices.some(isKeySlice),
      decodeTicks: this.#lastTicks,
      compositionTicks,
      slices,
    };
  }

  /** Shows `picture`, now that the one behind it is known, or breaks off where that does not follow. */
  #advance(picture: Picture, next: Picture): void {
    const { targetDurationSeconds } = this.#options;
    const durationTicks = next.decodeTicks - picture.decodeTicks;
    if (durationTicks <= 0 || durationTicks > (this.#open?.partTicks ?? this.#partTicks(durationTicks))) {
      // A picture that lasts longer than a part may cannot be in a playlist.
      this.#probation =
        durationTicks > 0 && durationTicks < TICKS_PER_SECOND ? { keyTicks: undefined } : undefined;
      const ms = Math.round(unitsToMs(durationTicks, TICKS_PER_SECOND));
      this.breakOff(`the next picture is ${ms} ms away, which a part (--part-duration) cannot hold`);
      return;
    }
    const open = this.#open ?? this.#beginRun(picture, durationTicks);
    if (open === undefined) return;
    const isChanged = next.isKey && !isSame(this.#parametersOf(next)?.avcC, this.#parameters?.avcC);
    open.groupTicks += durationTicks;
    const segmentTicks = picture.decodeTicks + durationTicks - open.segmentStart;
    const targetTicks = targetDurationSeconds * TICKS_PER_SECOND;
    if (next.isKey) open.longestGroupTicks = Math.max(open.longestGroupTicks, open.groupTicks);
    const isFull = segmentTicks + open.longestGroupTicks > targetTicks + GROUP_TICKS_OVER;
    const isTooLong = !next.isKey && segmentTicks + durationTicks > targetTicks + SEGMENT_TICKS_OVER;
    const isSegmentEnd = isTooLong || isChanged || (next.isKey && isFull);
    this.#emit(open, picture, { durationTicks, isSegmentEnd, isGroupEnd: next.isKey });
    this.#pending = undefined;
    if (next.isKey) open.groupTicks = 0;
    if (isSegmentEnd) open.segmentStart = next.decodeTicks;
    if (isChanged) this.#open = undefined;
    if (isTooLong) {
      this.#probation = { keyTicks: undefined };
      this.breakOff(tooLong(targetDurationSeconds));
    }
  }

  /** True where `picture` continues the run, or may begin one. */
  #mayBegin(picture: Picture): boolean {
    if (this.#open !== undefined) return true;
    if (!picture.isKey) return false;
    const parameters = this.#parametersOf(picture);
    if (parameters === undefined) return false;
    if (this.#probation !== undefined) {
      const { keyTicks } = this.#probation;
      const limitTicks = this.#options.targetDurationSeconds * TICKS_PER_SECOND + SEGMENT_TICKS_OVER;
      this.#probation.keyTicks = picture.decodeTicks;
      if (keyTicks === undefined || picture.decodeTicks - keyTicks > limitTicks) return false;
      this.#probation = undefined;
    }
    this.#parameters = parameters;
    return true;
  }

  /** What the decoder must know for a key frame; tells why where that cannot be had. */
  #parametersOf({ slices }: Picture): Parameters | undefined {
    const [slice] = slices;
    if (slice === undefined) return undefined;
    for (const [id, unit] of this.#sequences) {
      const sequence = readSequenceParameters(unit);
      const header = sequence === undefined ? undefined : readSliceHeader(slice, sequence);
      const own = this.#pictures.get(header?.pictureParametersId ?? -1);
      if (sequence === undefined || own === undefined || readPictureParameters(own)?.sequenceId !== id)
        continue;
      if (!sequence.isFrameOnly && header?.isField === true) {
        this.#options.onTrouble("interlaced fields cannot be shown: the source must send frames");
        return undefined;
      }
      const pictures = this.#pictures.values().filter((one) => readPictureParameters(one)?.sequenceId === id);
      const avcC = writeAvcConfig(unit, [...pictures]);
      return avcC === undefined ? undefined : { sequence, avcC };
    }
    this.#options.onTrouble("key frames without readable parameter sets");
    return undefined;
  }

  /** Of the longest part, where the first picture lasts `durationTicks`. */
  #partTicks(durationTicks: number): number {
    const frameRate = frameRateOf(this.#parameters?.sequence.timing, durationTicks);
    return partUnitsOf(this.#options.partDurationMs, { frameRate, timescale: TICKS_PER_SECOND });
  }

  #beginRun(picture: Picture, durationTicks: number): Open | undefined {
    const { handlers, numbers, wallMs, targetDurationSeconds } = this.#options;
    const parameters = this.#parameters;
    if (parameters === undefined) return undefined;
    const { sequence, avcC } = parameters;
    const frameRate = frameRateOf(sequence.timing, durationTicks);
    const fps = Math.max(1, Math.round(frameRate));
    const { startTimeMsMin, ...start } = numbers.beginRun(fps);
    const rendition: Rendition = {
      trackId: 1,
      name: TS_RENDITION,
      width: sequence.width,
      height: sequence.height,
      bitsPerSecondMax: 0,
      avcC,
    };
    const run: Run = {
      ...start,
      startTimeMs: Math.max(wallMs(), startTimeMsMin),
      fps,
      timescale: TICKS_PER_SECOND,
      renditions: [rendition],
      offGrid: { targetDurationSeconds, frameRate },
    };
    this.#open = {
      run,
      startTicks: picture.decodeTicks,
      partTicks: this.#partTicks(durationTicks),
      index: 0,
      segmentNumber: Math.floor(run.startFrame / framesPerSegment(fps)),
      segmentStart: picture.decodeTicks,
      groupTicks: 0,
      longestGroupTicks: 0,
    };
    this.#options.onTrouble(undefined);
    handlers.onRun(run);
    return this.#open;
  }

  #emit(
    open: Open,
    picture: Picture,
    end: { readonly durationTicks: number; readonly isSegmentEnd: boolean; readonly isGroupEnd: boolean },
  ): void {
    const { durationTicks, isSegmentEnd, isGroupEnd } = end;
    const { run, segmentNumber } = open;
    const decodeUnits = picture.decodeTicks - open.startTicks;
    const dateOf = (ticks: number): number => run.startTimeMs + unitsToMs(ticks, TICKS_PER_SECOND);
    this.#options.numbers.reserveSegment(segmentNumber, {
      startMs: dateOf(open.segmentStart - open.startTicks),
      shownEndMs: dateOf(decodeUnits + durationTicks),
    });
    const frame: EncodedFrame = {
      trackId: 1,
      number: run.startFrame + open.index,
      decodeUnits,
      durationUnits: durationTicks,
      compositionUnits: picture.compositionTicks,
      captureTimeMs: dateOf(decodeUnits),
      isKey: picture.isKey,
      data: joinNalUnits(picture.slices),
      place: { segmentNumber, isSegmentEnd, isGroupEnd },
    };
    open.index++;
    if (isSegmentEnd) open.segmentNumber++;
    this.#durationTicks = durationTicks;
    this.#options.handlers.onFrame(frame);
  }
}

function isKeySlice(unit: Uint8Array): boolean {
  return nalType(unit) === NAL_IDR_SLICE;
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one !== undefined && other !== undefined && Buffer.compare(one, other) === 0;
}

/** How far `ticks` is after `before`, negative where it is before it: the nearer way around 33 bits. */
function wrappedDifference(ticks: number, before: number): number {
  const forward = (ticks - before + 2 * TICKS_WRAP) % TICKS_WRAP;
  return forward >= TICKS_WRAP / 2 ? forward - TICKS_WRAP : forward;
}

function tooLong(targetDurationSeconds: number): string {
  return `no key frame for more than ${targetDurationSeconds} s, the longest segment (--target-duration)`;
}
