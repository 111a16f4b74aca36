/**
 * One rendition of the stream: its frames become CMAF parts and segments, MPEG-TS segments, and the endless `.ts`.
 * It lives as long as runs have a rendition of its name; each run brings a new grid, a new muxer and a new init segment.
 */
import assert from "node:assert";
import type { Clock } from "#common/clock.ts";
import { writeChunk, writeInitSegment } from "#common/formats/cmaf.ts";
import type { EncodedFrame, FrameTimes, Rendition, Run } from "#common/formats/frame.ts";
import { joinBytes } from "#common/formats/mp4-boxes.ts";
import { createTsMuxer, type TsMuxer } from "#common/formats/mpegts.ts";
import type { RenditionReport } from "#common/formats/playlist.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import { CMAF_SEGMENT_SECONDS, SKIP_WINDOW_SECONDS, TS_SEGMENT_SECONDS, WINDOW_BYTES_MAX } from "./config.ts";
import { partFramesOf } from "./part-frames.ts";
import { type RelayTotals, TsRelay } from "./relay.ts";
import { type CutFrame, Segmenter } from "./segmenter.ts";
import type { StagedChange } from "./staging.ts";
import { type Asker, type MediaOutcome, Track } from "./track.ts";
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
  readonly clock: Clock;
  readonly budget: HeldBudget;
  readonly relayTotals: RelayTotals;
  /** Where the other renditions stand, seen from this one's playlist. */
  readonly reports: () => readonly RenditionReport[];
  /** Takes a change of a playlist, to be made and shown when it is this rendition's turn at `number`. */
  readonly stage: (change: Omit<StagedChange, "order">) => void;
  readonly isCatchingUp: () => boolean;
}

/** A frame as MPEG-TS. */
interface TsFrame extends CutFrame, FrameTimes, Pick<EncodedFrame, "isSlate"> {
  readonly bytes: Uint8Array;
}

/** What belongs to one run. */
interface Cutting {
  readonly run: Run;
  readonly rendition: Rendition;
  readonly muxer: TsMuxer;
  readonly cmaf: Segmenter<EncodedFrame>;
  readonly ts: Segmenter<TsFrame>;
}

export class RenditionStream {
  readonly name: string;
  /** With parts. */
  readonly cmaf: Track;
  readonly ts: Track;
  readonly relay: TsRelay;
  readonly #options: RenditionOptions;
  readonly #inits = new Map<string, { readonly run: Run; readonly bytes: Uint8Array<ArrayBuffer> }>();
  #cutting: Cutting | undefined;
  #nextNumber = 0;
  /** True while the muxer has every frame since the start of a group. */
  #isAligned = false;

  constructor(options: RenditionOptions) {
    const { clock, budget, isCatchingUp, reports, windowSeconds } = options;
    const canSkip = windowSeconds > SKIP_WINDOW_SECONDS;
    this.name = options.name;
    this.#options = options;
    this.cmaf = new Track({
      targetDurationSeconds: CMAF_SEGMENT_SECONDS,
      window: {
        names: CMAF_NAMES,
        segmentSeconds: CMAF_SEGMENT_SECONDS,
        listedMax: windowSeconds / CMAF_SEGMENT_SECONDS,
        bytesMax: WINDOW_BYTES_MAX,
      },
      reports,
      canSkip,
      isCatchingUp,
      clock,
      budget,
    });
    this.ts = new Track({
      targetDurationSeconds: TS_SEGMENT_SECONDS,
      window: {
        names: TS_NAMES,
        segmentSeconds: TS_SEGMENT_SECONDS,
        listedMax: windowSeconds / TS_SEGMENT_SECONDS,
        bytesMax: WINDOW_BYTES_MAX,
      },
      reports: undefined,
      canSkip,
      isCatchingUp,
      clock,
      budget,
    });
    this.relay = new TsRelay({ clock, totals: options.relayTotals });
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
    this.#cutting?.cmaf.finish();
    this.#cutting?.ts.finish();
    this.#cutting = undefined;
    this.relay.breakOff();
  }

  /** Frames after this belong to `run`. To be called once what {@link endRun} has staged is applied. */
  startRun(run: Run, rendition: Rendition): void {
    const partFrames = partFramesOf(this.#options.partDurationMs, run.fps);
    const cmafGrid = { run, segmentFrames: CMAF_SEGMENT_SECONDS * run.fps, partFrames };
    const tsFrames = TS_SEGMENT_SECONDS * run.fps;
    const tsGrid = { run, segmentFrames: tsFrames, partFrames: tsFrames };
    const cmaf = this.#cutInto(this.cmaf, cmafGrid, (frames: readonly EncodedFrame[]) =>
      writeChunk(frames, run),
    );
    const ts = this.#cutInto(this.ts, tsGrid, (frames: readonly TsFrame[]) =>
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
    this.#isAligned ||= frame.isKey && index % run.fps === 0;
    if (!this.#isAligned) return;
    const { data, ...others } = frame;
    const bytes = muxer.muxFrame({ index, isKey: frame.isKey, data });
    this.relay.push({ bytes, isKey: frame.isKey }, run.fps);
    ts.push({ ...others, bytes });
  }

  #cutInto<Frame extends CutFrame & FrameTimes & Pick<EncodedFrame, "isSlate">>(
    track: Track,
    grid: Parameters<Track["setGrid"]>[0],
    encode: (frames: readonly Frame[]) => Uint8Array<ArrayBuffer>,
  ): Segmenter<Frame> {
    track.setGrid(grid);
    return new Segmenter<Frame>({
      segmentFrames: grid.segmentFrames,
      partFrames: grid.partFrames,
      onPart: ({ segmentNumber, frames, isLast }) => {
        const [first] = frames;
        assert(first !== undefined, "a part has at least one frame");
        const part: NewPart = {
          run: grid.run,
          segmentNumber,
          startUnits: first.decodeUnits,
          durationUnits: frames.reduce((sum, frame) => sum + frame.durationUnits, 0),
          isIndependent: frames.some((frame) => frame.isKey),
          isSlate: frames.some((frame) => frame.isSlate),
          isLast,
          bytes: encode(frames),
        };
        this.#stage(track, first.number + frames.length - 1, () => track.append(part));
      },
      onEnd: () => this.#stage(track, this.#nextNumber - 1, () => track.closeOpen()),
      onHole: () => this.#stage(track, this.#nextNumber - 1, () => track.abandonOpen()),
    });
  }

  #stage(track: Track, number: number, apply: () => void): void {
    this.#options.stage({ number, apply, publish: () => track.publish() });
  }
}
