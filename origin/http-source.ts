/**
 * A source that is read over HTTP, in whatever format. A break, silence or garbage ends one connection and begins the
 * next after a short wait.
 */
import type { Clock } from "#common/clock.ts";
import { describeError, errorCode, SpillwayError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import type { Run } from "#common/formats/frame.ts";
import { pause } from "#common/pause.ts";
import { msToSeconds } from "#common/units.ts";
import { SOURCE_BACKOFF_MS_MAX, SOURCE_BACKOFF_MS_MIN, SOURCE_SILENCE_MS_MAX } from "./config.ts";
import type { Source, SourceHandlers, SourceState, SourceStatus } from "./source.ts";
import { SourceLog } from "./source-log.ts";

/** Where a source is, who listens, and what it runs on. */
export interface HttpSourceOptions {
  /** Such as `http://127.0.0.1:9001/feed.mp4`. Its query may hold a token and is never shown. */
  readonly url: string;
  readonly handlers: SourceHandlers;
  readonly clock: Clock;
  readonly log: Log;
  /** Headers of a request, made anew for each. */
  readonly headers: () => Record<string, string>;
  /** What else to say of an answer of 403. Default: nothing. */
  readonly refusalHint?: string | undefined;
  /** Default: the global one. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** What is counted of a connection beside its bytes. */
export type SourceCounts = Pick<SourceStatus, "audioPackets" | "droppedPictures" | "continuityErrors">;

/** What the reader of a connection may call. */
export interface SourceReading {
  readonly handlers: Omit<SourceHandlers, "onEnd">;
  readonly clock: Clock;
  /** Something was understood, if not shown: the connection is not a silent one. */
  readonly onAlive: () => void;
  /** Why what comes cannot be shown, or `undefined` once it can. */
  readonly onTrouble: (reason: string | undefined) => void;
  /** Adds to the totals. */
  readonly count: (counts: SourceCounts) => void;
}

/** Reads one connection from its first byte, in chunks of any size. */
export interface SourceReader {
  /** Throws on what it cannot read. */
  push(chunk: Uint8Array): void;
  /** Waits until what was pushed has been passed on: no more is read meanwhile. */
  drain(signal: AbortSignal): Promise<void>;
  /** The connection has ended. */
  finish(): void;
}

/** What a source sends. */
export interface SourceFormat {
  /** In messages, such as `feed`. */
  readonly name: string;
  readonly open: (reading: SourceReading) => SourceReader;
  /** True for what its reader throws. */
  readonly isUnreadable: (error: unknown) => boolean;
}

const NO_HTTP = "what it answers is no HTTP";
const UNTRUSTED = "its certificate is not trusted (NODE_EXTRA_CA_CERTS)";
const CONNECTION_ERRORS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ECONNREFUSED: "connection refused",
  ConnectionClosed: "connection closed",
  ECONNRESET: "connection closed",
  Malformed_HTTP_Response: NO_HTTP,
  InvalidHTTPResponse: NO_HTTP,
  InvalidContentLength: NO_HTTP,
  UnsupportedTransferEncoding: NO_HTTP,
  EPROTO: "it does not speak TLS",
  UnexpectedRedirect: "the source answers with a redirect, which is not followed",
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
  readonly shownUrl: string;
  readonly #options: HttpSourceOptions;
  readonly #format: SourceFormat;
  readonly #log: SourceLog;
  readonly #status = {
    state: "connecting" as SourceState,
    failure: undefined as string | undefined,
    reconnects: 0,
    unreadable: 0,
    receivedBytes: 0,
    audioPackets: 0,
    droppedPictures: 0,
    continuityErrors: 0,
  };
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** When the present connection brought its latest frame, or began. */
  #lastFrameMs = 0;
  /** What the log has last said of the present outage. */
  #lostFor: string | undefined;
  /** True once the present connection has brought a run. */
  #hasRun = false;

  constructor(options: HttpSourceOptions, format: SourceFormat) {
    this.#options = options;
    this.#format = format;
    this.#log = new SourceLog(options.log, options.clock);
    this.shownUrl = shownUrl(options.url);
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
    const { clock, url } = this.#options;
    const { signal } = this.#closing;
    let backoffMs = SOURCE_BACKOFF_MS_MIN;
    while (!signal.aborted) {
      const openedMs = clock.monotonicMs();
      let failure: string;
      try {
        const end = await this.#readOnce();
        if (end === "finite" && !signal.aborted) {
          this.#finish();
          return;
        }
        failure = end;
      } catch (error) {
        failure = explain(error).replaceAll(url, this.shownUrl);
        if (this.#format.isUnreadable(error)) this.#status.unreadable++;
      }
      if (signal.aborted) return;
      this.#lose(failure);
      // One that begins well and breaks at once must not be opened twenty times a second.
      if (clock.monotonicMs() - openedMs > SOURCE_BACKOFF_MS_MAX) backoffMs = SOURCE_BACKOFF_MS_MIN;
      await pause(clock, backoffMs, signal);
      backoffMs = Math.min(2 * backoffMs, SOURCE_BACKOFF_MS_MAX);
      this.#status.reconnects++;
    }
  }

  /** Reads one connection to its end and returns why that came; `finite` where everything there ever was has come. */
  async #readOnce(): Promise<string> {
    const { clock } = this.#options;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, connection.signal]);
    this.#lastFrameMs = clock.monotonicMs();
    this.#hasRun = false;
    const cancelWatch = this.#watchSilence(connection);
    let isFinite = false;
    try {
      const response = await this.#open(signal);
      const body = response.body.getReader();
      // fetch rejects this where it has ended the body by itself: then nothing is left to do.
      const cancel = (): void => void body.cancel().catch(() => undefined);
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
      const reader = this.#format.open(this.#readingOf(signal));
      try {
        for (let read = await body.read(); !read.done; read = await body.read()) {
          this.#status.receivedBytes += read.value.length;
          reader.push(read.value);
          await reader.drain(signal);
        }
      } finally {
        // What came before a break is as good as what came before an end.
        if (!signal.aborted) reader.finish();
        await reader.drain(signal);
      }
      isFinite = response.isFinite && this.#hasRun && !signal.aborted;
    } catch (error) {
      if (!connection.signal.aborted) throw error;
    } finally {
      cancelWatch();
      connection.abort();
    }
    if (isFinite) return "finite";
    if (!this.#isSilent()) return `the ${this.#format.name} ended`;
    const { state, failure } = this.#status;
    const cause = state === "waiting" && failure !== undefined ? `: ${failure}` : "";
    return `no frame for ${msToSeconds(SOURCE_SILENCE_MS_MAX)} s${cause}`;
  }

  async #open(
    signal: AbortSignal,
  ): Promise<{ readonly body: ReadableStream<Uint8Array>; readonly isFinite: boolean }> {
    const { url, fetch: open = fetch, headers, refusalHint } = this.#options;
    // Video is compressed already; and Bun prints a line of its own for each answer that it cannot unpack.
    const asIs = { "accept-encoding": "identity" };
    const init: BunFetchRequestInit = {
      headers: { ...headers(), ...asIs },
      decompress: false,
      signal,
      redirect: "error",
    };
    const response = await open(url, init);
    const { status, body } = response;
    if (status !== 200 || body === null) {
      await body?.cancel();
      const hint = status === 403 && refusalHint !== undefined ? `: ${refusalHint}` : "";
      throw new SourceError("source-status", `the ${this.#format.name} answers with status ${status}${hint}`);
    }
    return { body, isFinite: response.headers.has("content-length") };
  }

  #readingOf(ended: AbortSignal): SourceReading {
    const { handlers, clock } = this.#options;
    const whileOpen =
      <Value>(handle: (value: Value) => void) =>
      (value: Value): void => {
        if (!ended.aborted) handle(value);
      };
    return {
      clock,
      handlers: {
        onRun: whileOpen((run) => {
          this.#goLive(run);
          handlers.onRun(run);
        }),
        onFrame: whileOpen((frame) => {
          this.#lastFrameMs = clock.monotonicMs();
          handlers.onFrame(frame);
        }),
        onFigures: whileOpen((figures) => handlers.onFigures(figures)),
      },
      onAlive: () => void (this.#lastFrameMs = clock.monotonicMs()),
      onTrouble: whileOpen((reason) => this.#wait(reason)),
      count: ({ audioPackets, droppedPictures, continuityErrors }) => {
        this.#status.audioPackets += audioPackets;
        this.#status.droppedPictures += droppedPictures;
        this.#status.continuityErrors += continuityErrors;
      },
    };
  }

  #goLive(run: Run): void {
    this.#hasRun = true;
    this.#lostFor = undefined;
    const { id, ordinal, fps } = run;
    const fields = { url: this.shownUrl, run: id, ordinal, fps: run.offGrid?.frameRate ?? fps };
    this.#log.say("info", "Source open", fields);
    this.#status.state = "live";
    this.#status.failure = undefined;
  }

  /** Bytes come, but nothing that can be shown. */
  #wait(reason: string | undefined): void {
    if (reason === undefined || this.#status.failure === reason) return;
    if (this.#status.state === "live")
      this.#log.say("warn", `Source waits: ${reason}`, { url: this.shownUrl });
    this.#status.state = "waiting";
    this.#status.failure = reason;
  }

  #lose(failure: string): void {
    // One line for an outage, not one for each attempt, whatever the attempts came to meanwhile.
    const isNews = failure !== this.#lostFor;
    if (isNews) this.#log.say("warn", `Source lost: ${failure}`, { url: this.shownUrl });
    this.#lostFor = failure;
    this.#status.state = "lost";
    this.#status.failure = failure;
  }

  #finish(): void {
    this.#log.say("info", "Source ended: the stream ends with it", { url: this.shownUrl });
    this.#status.state = "ended";
    this.#status.failure = undefined;
    this.#options.handlers.onEnd();
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
}

/** Behind the name of an error of fetch. */
const FETCH_ADVICE = / fetching ".*$|\.? For more information, pass .*$/s;

/** Why a connection failed, in words: fetch's own messages are advice to its programmer. */
function explain(error: unknown): string {
  const code = errorCode(error) ?? "";
  return CONNECTION_ERRORS[code] ?? describeError(error).replace(FETCH_ADVICE, "");
}

/** Queries may hold tokens. */
function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
