/**
 * One endless upstream response for any number of viewers: opened for the first, opened again with back-off when
 * it ends, until it is stopped. The `.ts` relay and the events relay both stand on it.
 */
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { pause } from "#common/pause.ts";
import type { Upstream } from "./upstream.ts";

const RECONNECT_MS_MIN = 100;
const RECONNECT_MS_MAX = 1_000;

/** What becomes of the stream, told in this order for each connection. */
export interface StreamHandlers {
  readonly onOpen: () => void;
  readonly onChunk: (chunk: Uint8Array) => void;
  /** The connection ended or never began; `status` is the upstream's, 503 when there was none. */
  readonly onEnd: (status: number) => void;
}

export interface SharedStreamOptions extends StreamHandlers {
  readonly path: string;
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly log: Log;
  /** Silence after which the upstream counts as failed, in milliseconds. */
  readonly silenceMsMax: number;
}

/** A stream that reconnects until {@link SharedStream.stop}. */
export class SharedStream {
  readonly #options: SharedStreamOptions;
  readonly #abort = new AbortController();
  /** When the connection at hand was answered, on the monotonic clock; `undefined` before. */
  #openedMs: number | undefined;

  /** Begins at once. */
  constructor(options: SharedStreamOptions) {
    this.#options = options;
    // Every failure inside ends in onEnd and a new try; there is nobody to reject to.
    void this.#run();
  }

  stop(): void {
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const { path, clock, log, onEnd } = this.#options;
    let pauseMs = RECONNECT_MS_MIN;
    while (!this.#abort.signal.aborted) {
      let status = 503;
      this.#openedMs = undefined;
      try {
        status = await this.#readOnce();
      } catch (error) {
        log.debug(`Stream ${path} broke off: ${describeError(error)}`);
      }
      if (this.#abort.signal.aborted) return;
      onEnd(status === 200 ? 503 : status);
      if (this.#hasLasted()) pauseMs = RECONNECT_MS_MIN;
      await pause(clock, pauseMs, this.#abort.signal);
      pauseMs = Math.min(RECONNECT_MS_MAX, pauseMs * 2);
    }
  }

  async #readOnce(): Promise<number> {
    const { path, upstream, clock, silenceMsMax, onOpen, onChunk } = this.#options;
    const { signal } = this.#abort;
    const { status, chunks } = await upstream.open(path, { signal, silenceMsMax });
    if (status !== 200) return status;
    this.#openedMs = clock.monotonicMs();
    onOpen();
    for await (const chunk of chunks) {
      if (signal.aborted) break;
      onChunk(chunk);
    }
    return status;
  }

  /** Whether the connection that has ended was one worth having: one that ends as it begins is not asked for all the time. */
  #hasLasted(): boolean {
    const openedMs = this.#openedMs;
    return openedMs !== undefined && this.#options.clock.monotonicMs() - openedMs >= RECONNECT_MS_MAX;
  }
}
