/**
 * The writing end of one endless response: `stream.ts`, events, the feed. Bun's direct streams throw or take nothing
 * when the peer has just gone, and answer a promise while the socket is full. This class is the one place that knows:
 * it keeps one write under way, so that whoever feeds it knows when a reader is behind and decides what to leave out.
 */

export interface DirectStreamOptions {
  /** Where the bytes that the socket took are counted. */
  readonly counters: { sentBytes: number };
  /** The socket took everything written so far: more may be written. Also called once when the response begins. */
  readonly onDrain: () => void;
  /** Called once, when either side ended it. Never from inside the constructor. */
  readonly onClose: () => void;
  /** The request's: it ends the stream as well. Without it only the end of the connection does. */
  readonly signal?: AbortSignal;
  /**
   * False over HTTP/3, where Bun 1.4.5 has no way to reset a stream: it would end as if it were whole. It stays open instead, and
   * the peer gives it up by its own time. Default: true.
   */
  readonly canReset?: boolean;
}

/** One reader's response body. */
export class DirectStream {
  /** Hand this to `Response`. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: DirectStreamOptions;
  #controller: ReadableStreamDirectController | undefined;
  #isWaiting = true;
  #isClosed = false;
  /** What it was broken off for. */
  #error: Error | undefined;

  constructor(options: DirectStreamOptions) {
    this.#options = options;
    const source: Bun.DirectUnderlyingSource<Uint8Array> = {
      type: "direct",
      pull: (controller) => this.#open(controller),
      cancel: () => this.close(),
    };
    // The DOM's types of ReadableStream, which win over Bun's, do not know direct sources.
    this.body = new ReadableStream(source as unknown as UnderlyingDefaultSource<Uint8Array>);
    const { signal } = options;
    if (signal?.aborted === true) queueMicrotask(() => this.close());
    else signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  /** False while an earlier write waits for the socket, before the response has begun and after its end. */
  get canWrite(): boolean {
    return !this.#isWaiting && !this.#isClosed;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Writes and sends at once; ends the stream where the peer is found gone. Does nothing unless {@link canWrite}. */
  write(bytes: Uint8Array | string): void {
    if (this.#controller === undefined || !this.canWrite || bytes.length === 0) return;
    try {
      // Never shared memory: what is sent lies in buffers of its own.
      const written = this.#controller.write(bytes as Uint8Array<ArrayBuffer> | string);
      // Nothing taken of something means that the peer has gone; less than nothing, that Bun keeps it for later.
      if (written === 0) {
        this.close();
        return;
      }
      void this.#controller.flush();
      this.#options.counters.sentBytes += Buffer.byteLength(bytes);
      if (typeof written !== "number") this.#waitFor(written);
    } catch {
      // Bun throws when the peer has gone a moment ago; that is an end like any other.
      this.close();
    }
  }

  /** Ends the response, once the socket has taken what was written. */
  close(): void {
    this.#end(undefined);
  }

  /**
   * Breaks the response off, so that the peer knows that it is not whole: a reset of the connection or HTTP/2 stream. What
   * the socket has not taken is given up, and its memory free.
   */
  abort(error = new Error("The reader takes nothing")): void {
    this.#end(error);
  }

  #end(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#error = error;
    const controller = this.#controller;
    this.#controller = undefined;
    if (this.#mayEnd) endQuietly(controller, error);
    this.#options.onClose();
  }

  /** Whether the peer can tell this end from another. */
  get #mayEnd(): boolean {
    return this.#error === undefined || this.#options.canReset !== false;
  }

  #open(controller: ReadableStreamDirectController): void {
    if (this.#isClosed) {
      if (this.#mayEnd) endQuietly(controller, this.#error);
      return;
    }
    this.#controller = controller;
    this.#isWaiting = false;
    this.#options.onDrain();
  }

  #waitFor(written: Promise<number>): void {
    this.#isWaiting = true;
    written.then(
      () => {
        this.#isWaiting = false;
        if (!this.#isClosed) this.#options.onDrain();
      },
      () => this.close(),
    );
  }
}

/** Bun prints an error that ends a stream in the turn in which its response begins; in a later one it says nothing. */
function endQuietly(controller: ReadableStreamDirectController | undefined, error: Error | undefined): void {
  if (error === undefined) endNow(controller, undefined);
  else setImmediate(() => endNow(controller, error));
}

function endNow(controller: ReadableStreamDirectController | undefined, error: Error | undefined): void {
  try {
    controller?.close(error);
  } catch {
    // Already ended by the peer.
  }
}
