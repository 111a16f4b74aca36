/**
 * The writing end of one viewer's endless response. Bun's direct streams take what they are given and answer a
 * promise while the socket is full: this class keeps one such write under way, so that whoever feeds it knows
 * when a viewer is behind and decides what to leave out.
 */
import type { Counters } from "./counters.ts";

export interface ViewerStreamOptions {
  readonly counters: Counters;
  /** The socket took everything written so far: more may be written. */
  readonly onDrain: () => void;
  /** Called once, when either side ended it. */
  readonly onClose: () => void;
}

/** One viewer's response body. */
export class ViewerStream {
  /** Hand this to `Response`. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: ViewerStreamOptions;
  #controller: ReadableStreamDirectController | undefined;
  #isWaiting = true;
  #isClosed = false;

  constructor(options: ViewerStreamOptions, signal: AbortSignal) {
    this.#options = options;
    const source: Bun.DirectUnderlyingSource<Uint8Array> = {
      type: "direct",
      pull: (controller) => this.#open(controller),
      cancel: () => this.close(),
    };
    // The DOM's types of ReadableStream, which win over Bun's, do not know direct sources.
    this.body = new ReadableStream(source as unknown as UnderlyingDefaultSource<Uint8Array>);
    signal.addEventListener("abort", () => this.close(), { once: true });
  }

  /** False while an earlier write waits for the socket, and before the response has begun. */
  get canWrite(): boolean {
    return !this.#isWaiting && !this.#isClosed;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Writes and sends at once. Only when {@link canWrite}. */
  write(bytes: Uint8Array | string): void {
    if (this.#controller === undefined || !this.canWrite) return;
    try {
      // Never shared memory: what comes from upstream lies in buffers of its own.
      const written = this.#controller.write(bytes as Uint8Array<ArrayBuffer> | string);
      void this.#controller.flush();
      this.#options.counters.sentBytes += bytes.length;
      if (typeof written !== "number") this.#waitFor(written);
    } catch {
      // Bun throws when the peer has gone a moment ago; that is an end like any other.
      this.close();
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.#controller?.close();
    } catch {
      // Already ended by the peer.
    }
    this.#controller = undefined;
    this.#options.onClose();
  }

  #open(controller: ReadableStreamDirectController): void {
    if (this.#isClosed) {
      controller.close();
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
