/**
 * One client of a fill that is under way: a cursor in the body and a socket. It gets what is there at once and the
 * rest as it comes, without a copy of its own; one that takes nothing for too long is let go.
 */
import type { Clock } from "#common/clock.ts";
import { DirectStream } from "#common/direct-stream.ts";
import type { ByteRange } from "#common/http-conditions.ts";
import type { Cursor, FillBody } from "./fill-body.ts";

/** What one write gives to the socket at most: it is also what Bun copies for a reader whose socket is full. */
export const WRITE_BYTES_MAX = 32 * 1024;
/** A reader for whom there is something and who takes nothing for so long is let go. */
const STALL_MS_MAX = 30_000;

export interface FillReaderOptions {
  readonly body: FillBody;
  readonly clock: Clock;
  /** Where the bytes that the socket took are counted. */
  readonly counters: { sentBytes: number };
  readonly signal: AbortSignal;
  /** Which bytes are wanted. Default: all. */
  readonly range?: ByteRange | undefined;
  /** Called once, when it has all or has gone. `isLaggard`: it was let go for its slowness. */
  readonly onClose: (isLaggard: boolean) => void;
}

/** Reads a body into one response. */
export class FillReader {
  readonly cursor: Cursor;
  readonly #options: FillReaderOptions;
  readonly #stream: DirectStream;
  #cancelStall: (() => void) | undefined;
  #isLaggard = false;

  constructor(options: FillReaderOptions) {
    const { body, counters, signal, range } = options;
    this.#options = options;
    this.cursor = body.cursorAt(range?.start ?? 0);
    this.#stream = new DirectStream({
      counters,
      signal,
      onDrain: () => this.onChange(),
      onClose: () => this.#close(),
    });
    body.readers.add(this);
  }

  /** Hand this to `Response`. */
  get stream(): ReadableStream<Uint8Array> {
    return this.#stream.body;
  }

  /** Writes what the socket takes. */
  onChange(): void {
    const { body, range } = this.#options;
    const to = range?.end ?? Infinity;
    while (this.#stream.canWrite) {
      const bytes = body.take(this.cursor, Math.min(WRITE_BYTES_MAX, to - this.cursor.position));
      if (bytes === "lost") {
        this.drop();
        return;
      }
      if (bytes === undefined || bytes.length === 0) break;
      this.#stream.write(bytes);
      this.#watchStall();
    }
    body.onTaken();
    if (!this.#stream.canWrite) return;
    if (this.cursor.position >= to || body.isComplete) this.#stream.close();
    else if (body.error !== undefined) this.#stream.abort(body.error);
  }

  /** Breaks off, because it is too slow. */
  drop(): void {
    this.#isLaggard = true;
    this.#stream.abort(new Error("The reader is too slow"));
  }

  /** Begins to count time when the socket is full; each write that it takes begins anew. */
  #watchStall(): void {
    this.#cancelStall?.();
    this.#cancelStall = undefined;
    if (!this.#stream.canWrite && !this.#stream.isClosed) {
      this.#cancelStall = this.#options.clock.after(STALL_MS_MAX, () => this.drop());
    }
  }

  #close(): void {
    const { body, onClose } = this.#options;
    this.#cancelStall?.();
    body.readers.delete(this);
    body.onTaken();
    onClose(this.#isLaggard);
  }
}
