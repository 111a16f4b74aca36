/**
 * A source that is read over HTTP, in whatever format. A break, silence or garbage ends one connection and begins the
 * next after a short wait.
 */
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode, SpillwayError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { msToSeconds } from "#common/units.ts";
import { SOURCE_BACKOFF_MS_MAX, SOURCE_BACKOFF_MS_MIN, SOURCE_SILENCE_MS_MAX } from "./config.ts";
import type { Source, SourceHandlers, SourceStatus } from "./source.ts";

/** Where a source is, who listens, and what it runs on. */
export interface HttpSourceOptions {
  /** Such as `http://127.0.0.1:9001/feed.mp4`. */
  readonly url: string;
  readonly handlers: SourceHandlers;
  readonly clock: Clock;
  readonly log: Log;
  /** Default: the global one. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** What a source sends and how it is asked for it. */
export interface SourceFormat {
  /** In messages, such as `feed`. */
  readonly name: string;
  /** Headers of a request, made anew for each. */
  readonly headers: () => Record<string, string>;
  /** Reads one connection from its first byte, in chunks of any size, and throws on what it cannot read. */
  readonly open: (handlers: SourceHandlers) => { push(chunk: Uint8Array): void };
  /** True for what that throws. */
  readonly isUnreadable: (error: unknown) => boolean;
}

const UNTRUSTED = "its certificate is not trusted (NODE_EXTRA_CA_CERTS)";
const CONNECTION_ERRORS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ECONNREFUSED: "connection refused",
  ConnectionClosed: "connection closed",
  ECONNRESET: "connection closed",
  FailedToOpenSocket: "host not found or not reachable",
  ENOTFOUND: "host not found",
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host name",
};

class SourceError extends SpillwayError {
  override readonly name = "SourceError";
}

/** Opens what is at `options.url` and keeps it open. */
export class HttpSource implements Source {
  readonly #options: HttpSourceOptions;
  readonly #format: SourceFormat;
  readonly #status = {
    isConnected: false,
    failure: undefined as string | undefined,
    reconnects: 0,
    unreadable: 0,
    receivedBytes: 0,
  };
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** When the present connection brought its latest frame, or began. */
  #lastFrameMs = 0;

  constructor(options: HttpSourceOptions, format: SourceFormat) {
    this.#options = options;
    this.#format = format;
    this.#running = this.#run();
  }

  get status(): SourceStatus {
    return this.#status;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log, url } = this.#options;
    let backoffMs = SOURCE_BACKOFF_MS_MIN;
    while (!this.#closing.signal.aborted) {
      const openedMs = clock.monotonicMs();
      let failure: string;
      try {
        failure = await this.#readOnce();
      } catch (error) {
        failure = explain(error);
        if (this.#format.isUnreadable(error)) this.#status.unreadable++;
      }
      if (this.#closing.signal.aborted) return;
      // One line for an outage, not one for each attempt.
      if (failure !== this.#status.failure) log.warn(`Source lost: ${failure}`, { url });
      this.#status.isConnected = false;
      this.#status.failure = failure;
      // One that begins well and breaks at once must not be opened twenty times a second.
      if (clock.monotonicMs() - openedMs > SOURCE_BACKOFF_MS_MAX) backoffMs = SOURCE_BACKOFF_MS_MIN;
      await this.#pause(backoffMs);
      backoffMs = Math.min(2 * backoffMs, SOURCE_BACKOFF_MS_MAX);
      this.#status.reconnects++;
    }
  }

  /** Reads one connection to its end and returns why that came. */
  async #readOnce(): Promise<string> {
    const { clock } = this.#options;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, connection.signal]);
    this.#lastFrameMs = clock.monotonicMs();
    const cancelWatch = this.#watchSilence(connection);
    try {
      const body = (await this.#open(signal)).getReader();
      // fetch rejects this where it has ended the body by itself: then nothing is left to do.
      const cancel = (): void => void body.cancel().catch(() => undefined);
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
      const reader = this.#format.open(this.#handlersOf(connection.signal));
      for (let read = await body.read(); !read.done; read = await body.read()) {
        this.#status.receivedBytes += read.value.length;
        reader.push(read.value);
      }
    } catch (error) {
      if (!connection.signal.aborted) throw error;
    } finally {
      cancelWatch();
      connection.abort();
    }
    return this.#isSilent()
      ? `no frame for ${msToSeconds(SOURCE_SILENCE_MS_MAX)} s`
      : `the ${this.#format.name} ended`;
  }

  async #open(signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { url, fetch: open = fetch } = this.#options;
    const response = await open(url, { headers: this.#format.headers(), signal, redirect: "error" });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      throw new SourceError(
        "source-status",
        `the ${this.#format.name} answers with status ${response.status}`,
      );
    }
    return response.body;
  }

  #handlersOf(ended: AbortSignal): SourceHandlers {
    const { handlers, clock, log, url } = this.#options;
    const { signal } = this.#closing;
    return {
      onRun: (run) => {
        if (signal.aborted || ended.aborted) return;
        this.#status.isConnected = true;
        this.#status.failure = undefined;
        log.info("Source open", { url, run: run.id, ordinal: run.ordinal, fps: run.fps });
        handlers.onRun(run);
      },
      onFrame: (frame) => {
        if (signal.aborted || ended.aborted) return;
        this.#lastFrameMs = clock.monotonicMs();
        handlers.onFrame(frame);
      },
      onFigures: (figures) => {
        if (!signal.aborted && !ended.aborted) handlers.onFigures(figures);
      },
    };
  }

  #isSilent(): boolean {
    return this.#options.clock.monotonicMs() - this.#lastFrameMs >= SOURCE_SILENCE_MS_MAX;
  }

  /** Aborts the connection when no frame comes; also one that is never answered. */
  #watchSilence(connection: AbortController): () => void {
    const { clock } = this.#options;
    let cancel: () => void;
    const check = (): void => {
      if (this.#isSilent()) {
        connection.abort();
        return;
      }
      const waitMs = this.#lastFrameMs + SOURCE_SILENCE_MS_MAX - clock.monotonicMs();
      cancel = clock.after(waitMs, check);
    };
    cancel = clock.after(SOURCE_SILENCE_MS_MAX, check);
    return () => cancel();
  }

  /** Waits, or until the source is closed. */
  async #pause(delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#closing;
    const cancel = this.#options.clock.after(delayMs, resolve);
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort);
    await promise;
    cancel();
    signal.removeEventListener("abort", onAbort);
  }
}

/** Why a connection failed, in words: fetch's own messages are advice to its programmer. */
function explain(error: unknown): string {
  const code = errorCode(error) ?? "";
  return CONNECTION_ERRORS[code] ?? describeError(error);
}
