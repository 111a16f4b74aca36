/**
 * The endless `.ts` of a rendition: its frames go out in batches of a tenth of a second. Who gets which of them, and what
 * becomes of viewers that are slower than the stream, is the fan-out's to decide.
 */
import { joinBytes } from "#common/join-bytes.ts";
import { markDiscontinuity } from "#common/formats/mpegts.ts";
import { TsFanOut, type TsFanOutOptions, type ViewerPlace, type ViewerSink } from "#common/ts-fan-out.ts";

/** Batches a second: fewer writes carry more viewers. */
const BATCHES_PER_SECOND = 10;

/** Packets of one frame; a key frame's begin with the tables. */
export interface RelayFrame {
  readonly bytes: Uint8Array;
  readonly isKey: boolean;
}

export type RelayOptions = Omit<TsFanOutOptions, "markDiscontinuity">;

/** One rendition's viewers. */
export class TsRelay {
  readonly #fanOut: TsFanOut;
  #pending: RelayFrame[] = [];

  constructor(options: RelayOptions) {
    this.#fanOut = new TsFanOut({ ...options, markDiscontinuity: ({ bytes }) => markDiscontinuity(bytes) });
  }

  /** Takes the next frame of a stream of `fps` frames a second. */
  push(frame: RelayFrame, fps: number): void {
    if (frame.isKey) this.flush();
    this.#pending.push(frame);
    if (this.#pending.length >= Math.max(1, Math.round(fps / BATCHES_PER_SECOND))) this.flush();
  }

  /** Frames are missing, or another run begins: what follows does not continue what was sent. */
  breakOff(): void {
    this.flush();
    this.#fanOut.breakOff();
  }

  /** Sends what is pending. */
  flush(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    const bytes = joinBytes(this.#pending.map((frame) => frame.bytes));
    this.#pending = [];
    this.#fanOut.push({ bytes, isKey: first.isKey });
  }

  /** The body of one viewer's response; the end of `signal`, the request's, ends it too. */
  open(signal?: AbortSignal): ReadableStream<Uint8Array> {
    return this.#fanOut.open(signal);
  }

  /** Adds a viewer who takes bytes through `sink`. */
  join(sink: ViewerSink): ViewerPlace {
    return this.#fanOut.join(sink);
  }

  /** The stream is over: who is behind may still take what waits, for a while. */
  end(): void {
    this.flush();
    this.#fanOut.end();
  }

  /** Ends all viewers at once. */
  close(): void {
    this.flush();
    this.#fanOut.close();
  }
}
