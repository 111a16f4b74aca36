/**
 * The feed, what the server's encoder hands to origins (`/feed.mp4`): fragmented MP4 with a track for each rendition,
 * one frame a fragment, decode times that are frame numbers. Any MP4 reader plays it; ours also learns the run, the
 * capture times and the figures of the canvas.
 */
// ISO/IEC 14496-12 (boxes), ISO/IEC 23009-1 5.10.3.3 (emsg)
import { BoxParser, createFile, MP4BoxBuffer } from "mp4box";
import { type FragmentHead, readFragmentHead, writeFragment } from "#common/formats/feed-fragment.ts";
import {
  readMovie,
  readRunBox,
  type RunRecord,
  writeMovie,
  writeRunBox,
} from "#common/formats/feed-header.ts";
import { type CanvasFigures, type EncodedFrame, evenTimes, type Run } from "#common/formats/frame.ts";
import {
  boxContent,
  BoxSplitter,
  FeedFormatError,
  refuseUnreadable,
  type WholeBox,
  writeBoxes,
} from "#common/formats/mp4-boxes.ts";
import { joinBytes } from "#common/join-bytes.ts";

/** Content type of the response that carries the feed. */
export const FEED_CONTENT_TYPE = "video/mp4";

/** Scheme of the events that carry {@link CanvasFigures}. */
const FIGURES_SCHEME = "urn:spillway:figures";
const FIGURES_VERSION = "1";

/** The first bytes of a feed: `ftyp`, the box of the run, `moov`. */
export function encodeFeedHeader(run: Run): Uint8Array {
  const { fileType, movie } = writeMovie(run);
  return joinBytes([fileType, writeRunBox(run), movie]);
}

/** The fragment of one frame: `prft`, `moof`, `mdat`. */
export function encodeFeedFrame(run: Run, frame: EncodedFrame): Uint8Array {
  return writeFragment(run, frame);
}

/** An event with figures of the canvas; it may stand between any two fragments. */
export function encodeFeedFigures(figures: CanvasFigures): Uint8Array {
  const box = new BoxParser.box.emsg();
  box.scheme_id_uri = FIGURES_SCHEME;
  box.value = FIGURES_VERSION;
  box.timescale = 1;
  box.presentation_time_delta = 0;
  box.event_duration = 0;
  box.id = 0;
  box.message_data = new TextEncoder().encode(JSON.stringify(figures));
  return writeBoxes(box);
}

/** What a {@link FeedReader} tells, in the order of the feed. */
export interface FeedHandlers {
  /** Once, before any frame. */
  onRun(run: Run): void;
  /** Every frame of every track, as it comes. The first of each track is a key frame, numbers go on without holes. */
  onFrame(frame: EncodedFrame): void;
  /** Figures that can be read, between any two frames. */
  onFigures(figures: CanvasFigures): void;
}

/** Reads one feed from its first byte, in chunks of any size. */
export class FeedReader {
  readonly #handlers: FeedHandlers;
  readonly #splitter = new BoxSplitter((box) => this.#onBox(box));
  #record: RunRecord | undefined;
  #run: Run | undefined;
  #referenceTime: WholeBox | undefined;
  #head: FragmentHead | undefined;
  /** By track: the number that must come next. */
  readonly #nextNumbers = new Map<number, number>();
  #unreadableFigures = 0;

  constructor(handlers: FeedHandlers) {
    this.#handlers = handlers;
  }

  /** Events with figures that could not be read, and were left out. */
  get unreadableFigures(): number {
    return this.#unreadableFigures;
  }

  /** Takes the next bytes. Throws {@link FeedFormatError} on what is no feed; the reader is of no use afterwards. */
  push(chunk: Uint8Array): void {
    this.#splitter.push(chunk);
  }

  #onBox(box: WholeBox): void {
    if (box.type === "uuid") this.#record ??= readRunBox(box);
    else if (box.type === "moov") this.#openRun(box);
    else if (box.type === "prft") this.#referenceTime = box;
    else if (box.type === "moof") this.#openFragment(box);
    else if (box.type === "mdat") this.#closeFragment(box);
    else if (box.type === "emsg") this.#readEvent(box);
  }

  #openRun(box: WholeBox): void {
    if (this.#record === undefined) throw new FeedFormatError("The feed does not say which run it is");
    if (this.#run !== undefined) throw new FeedFormatError("A second moov in one feed");
    this.#run = readMovie(this.#record, box);
    this.#handlers.onRun(this.#run);
  }

  #openFragment(box: WholeBox): void {
    if (this.#run === undefined) throw new FeedFormatError("A fragment before moov");
    if (this.#referenceTime === undefined) throw new FeedFormatError("A fragment without its capture time");
    this.#head = readFragmentHead(this.#referenceTime.bytes, box.bytes);
    this.#referenceTime = undefined;
    this.#checkNumber(this.#run, this.#head);
  }

  #checkNumber(run: Run, { trackId, number, isKey }: FragmentHead): void {
    if (!run.renditions.some((rendition) => rendition.trackId === trackId)) {
      throw new FeedFormatError(`A frame of the unknown track ${trackId}`);
    }
    const next = this.#nextNumbers.get(trackId);
    if (next === undefined && !isKey) throw new FeedFormatError("A track does not begin with a key frame");
    if (number < run.startFrame || (next !== undefined && number !== next)) {
      throw new FeedFormatError(
        `Frame ${number} of track ${trackId} where ${next ?? run.startFrame} was due`,
      );
    }
    this.#nextNumbers.set(trackId, number + 1);
  }

  #closeFragment(box: WholeBox): void {
    const run = this.#run;
    const head = this.#head;
    if (run === undefined || head === undefined) throw new FeedFormatError("mdat without its fragment");
    this.#head = undefined;
    const data = boxContent(box);
    if (data.length !== head.dataBytes) throw new FeedFormatError("mdat is not as long as its fragment says");
    const { trackId, number, captureTimeMs, isKey } = head;
    const times = evenTimes(number - run.startFrame);
    this.#handlers.onFrame({ trackId, number, captureTimeMs, isKey, data, ...times });
  }

  /** The pictures do not depend on events: one that cannot be read is counted and left out. */
  #readEvent(box: WholeBox): void {
    let figures: CanvasFigures | undefined;
    try {
      figures = readFigures(box);
    } catch (error) {
      if (!(error instanceof FeedFormatError)) throw error;
      this.#unreadableFigures++;
    }
    if (figures !== undefined) this.#handlers.onFigures(figures);
  }
}

/** Figures in an event, or `undefined` for an event of another scheme. */
function readFigures(box: WholeBox): CanvasFigures | undefined {
  return refuseUnreadable("An event", () => {
    const file = createFile();
    file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(box.bytes.buffer, 0));
    const event = file.boxes[0];
    if (!(event instanceof BoxParser.box.emsg) || event.scheme_id_uri !== FIGURES_SCHEME) return undefined;
    if (event.value !== FIGURES_VERSION) return undefined;
    return checkFigures(JSON.parse(new TextDecoder().decode(event.message_data)));
  });
}

function checkFigures(value: unknown): CanvasFigures {
  const fields: Readonly<Record<string, unknown>> = typeof value === "object" ? { ...value } : {};
  const number = (name: keyof CanvasFigures): number => {
    const field = fields[name];
    if (typeof field !== "number" || field < 0) throw new FeedFormatError(`Figures: ${name} is no number`);
    return field;
  };
  return {
    timeMs: number("timeMs"),
    pixels: number("pixels"),
    bytes: number("bytes"),
    connections: number("connections"),
    pixelsPerSecond: number("pixelsPerSecond"),
    bitsPerSecond: number("bitsPerSecond"),
    pixelflutPort: number("pixelflutPort"),
  };
}
