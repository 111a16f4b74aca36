/**
 * One rendition of the stream: its frames become CMAF parts and segments, MPEG-TS segments, and the endless `.ts`.
 * It lives as long as runs have a rendition of its name, or another in its place of the ladder; each run brings a new grid,
 * a new muxer and a new init segment.
 */
import assert from "node:assert";
import type { Clock } from "#common/clock.ts";
import { writeChunk, writeInitSegment } from "#common/formats/cmaf.ts";
import type { EncodedFrame, FramePlace, OffGrid, Rendition, Run } from "#common/formats/frame.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { createTsMuxer, type TsFrameTimes, type TsMuxer } from "#common/formats/mpegts.ts";
import type { RenditionReport } from "#common/formats/playlist.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import type { FanOutTotals } from "#common/ts-fan-out.ts";
import { secondsToMs, TICKS_PER_SECOND, unitsToMs } from "#common/units.ts";
import {
  CMAF_SEGMENT_SECONDS,
  LISTED_TARGET_DURATIONS_MIN,
  SEGMENTS_LISTED_MIN,
  SKIP_WINDOW_SECONDS,
  TS_SEGMENT_SECONDS,
  WINDOW_BYTES_MAX,
} from "./config.ts";
import type { CutTimes } from "./cut-times.ts";
import type { Format } from "./multivariant.ts";
import { partFramesOf, partUnitsOf } from "./part-frames.ts";
import { PeakRate } from "./peak-rate.ts";
import { type PlacedFrame, PlacedSegmenter } from "./placed-segmenter.ts";
import { TsRelay } from "./relay.ts";
import { type CutPart, Segmenter } from "./segmenter.ts";
import type { StagedChange } from "./staging.ts";
import { type Asker, type MediaOutcome, Track, type TrackGrid } from "./track.ts";
import type { MediaNames, NewPart } from "./window.ts";

const CMAF_NAMES: MediaNames = {
  init: (run) => `${run.id}-init.mp4`,
  segment: (run, segmentNumber) => `${run.id}-${segmentNumber}.m4s`,
  part: (run, segmentNumber, part) => `${run.id}-${segmentNumber}.${part}.m4s`,
};
const TS_NAMES: MediaNames = { segment: (run, segmentNumber) => `${run.id}-${segmentNumber}.ts` };

export interface RenditionOptions {
  readonly name: string;
  readonly partDurationMs: number;
  /** Length of the window that its playlists list. */
  readonly windowSeconds: number;
  /** Of both formats where segments are another encoder's groups of pictures; absent on the grid. */
  readonly targetDurationSeconds?: number;
  readonly clock: Clock;
  readonly budget: HeldBudget;
  readonly relayTotals: FanOutTotals;
  readonly relayCounters: { sentBytes: number };
  readonly cutTimes: CutTimes;
  /** Where the other renditions stand, seen from this one's playlist. */
  readonly reports: () => readonly RenditionReport[];
  /** Takes a change of a playlist, to be made and shown when it is this rendition's turn at `number`. */
  readonly stage: (change: Omit<StagedChange, "order">) => void;
  readonly isCatchingUp: () => boolean;
}

/** A frame as MPEG-TS. */
interface TsFrame extends PlacedFrame {
  readonly bytes: Uint8Array;
}

/** What belongs to one run. */
interface Cutting {
  readonly run: Run;
  readonly rendition: Rendition;
  readonly muxer: TsMuxer;
  readonly cmaf: Cutter<EncodedFrame>;
  readonly ts: Cutter<TsFrame>;
}

/** On the grid or off it. */
type Cutter<Frame extends PlacedFrame> = Pick<Segmenter<Frame>, "push" | "finish">;

/** One of a run's cuts: what its playlist needs to know, and frames of a whole segment and of a part where it is on the grid. */
interface Cut {
  readonly grid: TrackGrid;
  readonly segmentFrames: number;
  readonly partFrames: number;
}

export class RenditionStream {
  /** That of its size: another once a run has another size in its place. */
  name: string;
  /** With parts. */
  readonly cmaf: Track;
  readonly ts: Track;
  readonly relay: TsRelay;
  /** Bit rates so far, off the grid. */
  readonly peaks = { cmaf: new PeakRate(), ts: new PeakRate() };
  readonly #options: RenditionOptions;
  readonly #inits = new Map<string, { readonly run: Run; readonly bytes: Uint8Array<ArrayBuffer> }>();
  #cutting: Cutting | undefined;
  #nextNumber = 0;
  /** True while the muxer has every frame since the start of a group. */
  #isAligned = false;
  /** Of the first run off the grid: a playlist's part target is for life. */
  #partUnits: number | undefined;

  constructor(options: RenditionOptions) {
    const { clock, targetDurationSeconds: other } = options;
    this.name = options.name;
    this.#options = options;
    const cmafSeconds = other ?? CMAF_SEGMENT_SECONDS;
    this.cmaf = createTrack(options, { names: CMAF_NAMES, targetDurationSeconds: cmafSeconds });
    this.ts = createTrack(options, {
      names: TS_NAMES,
      targetDurationSeconds: other ?? TS_SEGMENT_SECONDS,
    });
    this.relay = new TsRelay({ clock, totals: options.relayTotals, counters: options.relayCounters });
  }

  /** Bytes of all windows. */
  get windowBytes(): number {
    return this.cmaf.window.byteCount + this.ts.window.byteCount;
  }

  /** The run that frames belong to now, and what it says of this rendition; `undefined` between two runs. */
  get current(): { readonly run: Run; readonly rendition: Rendition } | undefined {
    return this.#cutting;
  }

  /** The number that is due next. */
  get nextNumber(): number {
    return this.#nextNumber;
  }

  /** The run before has ended: closes what it left open. */
  endRun(): void {
    this.finish();
    this.#cutting = undefined;
    this.relay.breakOff();
  }

  /** The run at hand has ended, and maybe the stream. */
  finish(): void {
    this.#cutting?.cmaf.finish();
    this.#cutting?.ts.finish();
  }

  /** The stream is over. To be called once what {@link finish} has staged is applied. */
  end(): void {
    this.cmaf.end();
    this.ts.end();
    this.relay.end();
  }

  /** Frames after this belong to `run`. To be called once what {@link endRun} has staged is applied. */
  startRun(run: Run, rendition: Rendition): void {
    const cuts = run.offGrid === undefined ? this.#cutsOf(run) : this.#cutsOffGrid(run, run.offGrid);
    const cmaf = this.#cutInto("cmaf", cuts.cmaf, (frames: readonly EncodedFrame[]) =>
      writeChunk(frames, run),
    );
    const ts = this.#cutInto("ts", cuts.ts, (frames: readonly TsFrame[]) =>
      joinBytes(frames.map((frame) => frame.bytes)),
    );
    this.#cutting = { run, rendition, muxer: createTsMuxer({ rendition, fps: run.fps }), cmaf, ts };
    this.#nextNumber = run.startFrame;
    this.#isAligned = false;
    for (const [name, init] of this.#inits) if (!this.cmaf.window.hasRun(init.run)) this.#inits.delete(name);
    this.#inits.set(`${run.id}-init.mp4`, { run, bytes: writeInitSegment(rendition, run) });
  }

  /** Takes the next frame. False for one that is known already. */
  push(frame: EncodedFrame): boolean {
    const cutting = this.#cutting;
    if (cutting === undefined || frame.number < this.#nextNumber) return false;
    const hasHole = frame.number !== this.#nextNumber;
    this.#nextNumber = frame.number + 1;
    this.#pushTs(frame, cutting, hasHole);
    cutting.cmaf.push(frame);
    return true;
  }

  /** What is made of an initialization segment, or a segment or part of either format; the next part is waited for. */
  media<Answer>(name: string, asker: Asker<MediaOutcome, Answer>): Answer | Promise<Answer> {
    const init = this.#inits.get(name);
    return init === undefined ? this.#trackOf(name).media(name, asker) : asker.answer(init.bytes);
  }

  /** The same without waiting. */
  mediaNow(name: string): MediaOutcome {
    return this.#inits.get(name)?.bytes ?? this.#trackOf(name).mediaNow(name);
  }

  /** Says that its playlists may have changed for another reason than frames. */
  publish(): void {
    this.cmaf.publish();
    this.ts.publish();
  }

  /** Where its low-latency playlist stands, for other renditions' playlists. */
  report(): RenditionReport | undefined {
    const newest = this.cmaf.window.newest();
    if (newest === undefined) return undefined;
    return {
      uri: `../${this.name}/index.m3u8`,
      lastMediaSequence: newest.segmentNumber,
      lastPart: newest.part,
    };
  }

  /** Ends all waits and all viewers. */
  close(): void {
    this.cmaf.close();
    this.ts.close();
    this.relay.close();
  }

  #cutsOf(run: Run): Record<Format, Cut> {
    const { fps, timescale } = run;
    const cutOf = (segmentFrames: number, partFrames: number): Cut => ({
      grid: {
        run,
        partUnits: (partFrames * timescale) / fps,
        partsPerSegment: Math.ceil(segmentFrames / partFrames),
      },
      segmentFrames,
      partFrames,
    });
    const tsFrames = TS_SEGMENT_SECONDS * fps;
    const partFrames = partFramesOf(this.#options.partDurationMs, fps);
    return { cmaf: cutOf(CMAF_SEGMENT_SECONDS * fps, partFrames), ts: cutOf(tsFrames, tsFrames) };
  }

  /** Both formats have the same segments; frames are counted to tell how far a player may ask ahead. */
  #cutsOffGrid(run: Run, { frameRate, targetDurationSeconds }: OffGrid): Record<Format, Cut> {
    this.#partUnits ??= partUnitsOf(this.#options.partDurationMs, { frameRate, timescale: run.timescale });
    const partUnits = this.#partUnits;
    const segmentUnits = targetDurationSeconds * run.timescale;
    const frames = { segmentFrames: 0, partFrames: 0 };
    return {
      cmaf: {
        grid: { run, partUnits, partsPerSegment: Math.ceil(segmentUnits / partUnits) },
        ...frames,
      },
      ts: { grid: { run, partUnits: segmentUnits, partsPerSegment: 1 }, ...frames },
    };
  }

  #trackOf(name: string): Track {
    return name.endsWith(".ts") ? this.ts : this.cmaf;
  }

  /** The muxer counts packets through a group: frames that do not stand in a whole one so far are left out. */
  #pushTs(frame: EncodedFrame, { run, muxer, ts }: Cutting, hasHole: boolean): void {
    const index = frame.number - run.startFrame;
    if (hasHole) {
      this.#isAligned = false;
      this.relay.breakOff();
    }
    this.#isAligned ||= frame.isKey && (run.offGrid !== undefined || index % run.fps === 0);
    if (!this.#isAligned) return;
    const { data, ...others } = frame;
    const { isKey, place } = others;
    const times = place === undefined ? undefined : tsTimesOf(frame, place, run.timescale);
    const bytes = muxer.muxFrame({ index, isKey, data, ...(times && { times }) });
    this.relay.push({ bytes, isKey }, run.fps);
    ts.push({ ...others, bytes });
  }

  #cutInto<Frame extends PlacedFrame>(
    format: Format,
    { grid, segmentFrames, partFrames }: Cut,
    encode: (frames: readonly Frame[]) => Uint8Array<ArrayBuffer>,
  ): Cutter<Frame> {
    const track = this[format];
    const { run, partUnits } = grid;
    const { clock, cutTimes, isCatchingUp } = this.#options;
    const cadence = cutTimes.createCadence();
    track.setGrid(grid);
    const onPart = ({ segmentNumber, frames, isLast }: CutPart<Frame>): void => {
      const [first] = frames;
      assert(first !== undefined, "a part has at least one frame");
      const durationUnits = frames.reduce((sum, frame) => sum + frame.durationUnits, 0);
      const bytes = encode(frames);
      const part: NewPart = {
        run,
        segmentNumber,
        startUnits: first.decodeUnits,
        durationUnits,
        isIndependent: frames.some((frame) => frame.isKey),
        isSlate: frames.some((frame) => frame.isSlate),
        isLast,
        bytes,
      };
      const durationMs = unitsToMs(durationUnits, run.timescale);
      this.peaks[format].add({ bytes: bytes.length, durationMs, isLast });
      const arrivalMs = clock.monotonicMs();
      this.#options.stage({
        number: first.number + frames.length - 1,
        apply: () => track.append(part),
        publish() {
          track.publish();
          if (!isCatchingUp()) cadence.add(part, arrivalMs);
        },
      });
    };
    const onEnd = (): void => this.#stage(track, this.#nextNumber - 1, () => track.closeOpen());
    const onHole = (): void => {
      cadence.reset();
      this.#stage(track, this.#nextNumber - 1, () => track.abandonOpen());
    };
    if (run.offGrid === undefined) {
      return new Segmenter<Frame>({ segmentFrames, partFrames, onPart, onEnd, onHole });
    }
    const frameUnits = run.timescale / run.offGrid.frameRate;
    const isWhole = format === "ts";
    return new PlacedSegmenter<Frame>({
      partUnits: isWhole ? Infinity : partUnits,
      frameUnits,
      onPart,
      onEnd,
    });
  }

  #stage(track: Track, number: number, apply: () => void): void {
    this.#options.stage({ number, apply, publish: () => track.publish() });
  }
}

/** A playlist and its window. Numbers count segments of the grid, whatever the target duration is. */
function createTrack(
  options: RenditionOptions,
  format: { readonly names: MediaNames; readonly targetDurationSeconds: number },
): Track {
  const { windowSeconds, targetDurationSeconds: offGridSeconds, clock, budget, isCatchingUp } = options;
  const { names, targetDurationSeconds } = format;
  return new Track({
    targetDurationSeconds,
    window: {
      names,
      segmentSeconds: offGridSeconds === undefined ? targetDurationSeconds : CMAF_SEGMENT_SECONDS,
      listedMax: Math.max(SEGMENTS_LISTED_MIN, Math.floor(windowSeconds / targetDurationSeconds)),
      listedMsMin: secondsToMs(LISTED_TARGET_DURATIONS_MIN * targetDurationSeconds),
      bytesMax: WINDOW_BYTES_MAX,
    },
    reports: names.part === undefined ? undefined : options.reports,
    canSkip: windowSeconds > SKIP_WINDOW_SECONDS,
    isCatchingUp,
    clock,
    budget,
  });
}

function tsTimesOf(frame: EncodedFrame, { isGroupEnd }: FramePlace, timescale: number): TsFrameTimes {
  assert(timescale === TICKS_PER_SECOND, "off the grid, times are ticks");
  const { decodeUnits, durationUnits, compositionUnits = 0 } = frame;
  return {
    decodeTicks: decodeUnits,
    durationTicks: durationUnits,
    compositionTicks: compositionUnits,
    isGroupEnd,
  };
}
