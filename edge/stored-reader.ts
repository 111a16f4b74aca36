/**
 * One client of a body in memory that is not lent to it as it is: it gets copies piece by piece, at its own speed, and
 * can be let go at any time.
 */
import { DirectStream } from "#common/direct-stream.ts";
import { WRITE_BYTES_MAX, type FillReaderOptions } from "./fill-reader.ts";
import { StallWatch } from "./stall-watch.ts";

/** As those of a {@link FillReader}; the piece that is on its way is counted. */
export interface StoredReaderOptions extends Omit<FillReaderOptions, "body" | "range"> {
  readonly body: Blob;
}

/** Reads a body into one response. */
export class StoredReader {
  readonly #options: StoredReaderOptions;
  readonly #stream: DirectStream;
  readonly #stall: StallWatch;
  #position = 0;
  #reservedBytes = 0;
  #isLaggard = false;

  constructor(options: StoredReaderOptions) {
    const { counters, signal, connection, onClose } = options;
    this.#options = options;
    this.#stall = new StallWatch({ ...options, onStall: () => this.drop() });
    this.#stream = new DirectStream({
      counters,
      signal,
      canReset: !connection.isHttp3,
      onDrain: () => void this.#sendNext(),
      onClose: () => {
        this.#endPiece();
        onClose(this.#isLaggard);
      },
    });
  }

  /** Hand this to `Response`. */
  get stream(): ReadableStream<Uint8Array> {
    return this.#stream.body;
  }

  /** Breaks off: its memory is needed, or it takes nothing. */
  drop(): void {
    this.#isLaggard = true;
    this.#stream.abort(new Error("The reader is too slow"));
  }

  /** Sends pieces until the socket is full. */
  async #sendNext(): Promise<void> {
    this.#endPiece();
    const { body, budget } = this.#options;
    while (this.#stream.canWrite) {
      const length = Math.min(WRITE_BYTES_MAX, body.size - this.#position);
      if (length === 0) {
        this.#stream.close();
        return;
      }
      if (!budget.reserve(length)) {
        this.drop();
        return;
      }
      // Making room may have cost this very reader its place.
      if (this.#stream.isClosed) {
        budget.release(length);
        return;
      }
      this.#reservedBytes = length;
      const piece = await body.slice(this.#position, this.#position + length).bytes();
      this.#position += length;
      this.#stream.write(piece);
      if (this.#stream.canWrite) this.#endPiece();
    }
    if (!this.#stream.isClosed) this.#stall.begin();
  }

  #endPiece(): void {
    this.#stall.end();
    this.#options.budget.release(this.#reservedBytes);
    this.#reservedBytes = 0;
  }
}
