/**
 * One client of a fill that is under way: a cursor in the body and a socket. It gets what is there at once and the
 * rest as it comes, without a copy of its own; one that takes nothing for too long is let go.
 */
import type { Clock } from "#common/clock.ts";
import { DirectStream } from "#common/direct-stream.ts";
import type { ByteRange } from "#common/http-conditions.ts";
import type { Cursor, FillBody } from "./fill-body.ts";
import { StallWatch } from "./stall-watch.ts";
import type { ByteBudget } from "./store.ts";
import type { ViewerConnection } from "./viewer-connection.ts";

/** What one write gives to the socket at most: it is also what Bun may copy for a reader whose socket is full. */
export const WRITE_BYTES_MAX = 128 * 1024;

export interface FillReaderOptions {
  readonly body: FillBody;
  /** Counts what Bun copies while the socket is full. Where there is no room for it the reader is let go. */
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** Shows whether a reader whose socket is full takes anything. */
  readonly connection: Pick<ViewerConnection, "unsentBytes" | "keepOpen" | "isHttp3">;
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
  readonly #stall: StallWatch;
  #copiedBytes = 0;
  #isLaggard = false;

  constructor(options: FillReaderOptions) {
    const { body, counters, signal, range, connection } = options;
    this.#options = options;
    this.#stall = new StallWatch({ ...options, onStall: () => this.drop() });
    this.cursor = body.cursorAt(range?.start ?? 0);
    this.#stream = new DirectStream({
      counters,
      signal,
      canReset: !connection.isHttp3,
      onDrain: () => this.#onDrain(),
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
      if (!this.#stream.canWrite) this.#onFull(bytes.length);
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

  /** The socket is full: Bun keeps a copy of what it did not take, and time counts until it takes more. */
  #onFull(bytes: number): void {
    if (this.#stream.isClosed) return;
    const { budget } = this.#options;
    if (!budget.reserve(bytes)) {
      this.drop();
      return;
    }
    // Making room may have cost this very reader its place.
    if (this.#stream.isClosed) {
      budget.release(bytes);
      return;
    }
    this.#copiedBytes = bytes;
    this.#stall.begin();
  }

  #onDrain(): void {
    this.#endFull();
    this.onChange();
  }

  #endFull(): void {
    this.#stall.end();
    this.#options.budget.release(this.#copiedBytes);
    this.#copiedBytes = 0;
  }

  #close(): void {
    const { body, onClose } = this.#options;
    this.#endFull();
    body.readers.delete(this);
    body.onTaken();
    onClose(this.#isLaggard);
  }
}
