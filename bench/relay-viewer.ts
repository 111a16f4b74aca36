/** A viewer of `bench relay` whose packets are checked, and what all of them count together. */
import type { Clock } from "#common/clock.ts";
import type { HttpClient } from "./http-client.ts";
import { HttpFailure } from "./http-connection.ts";
import { MpegtsCheck } from "./mpegts-check.ts";
import { Distribution, Tally } from "./statistics.ts";

/** A viewer that is cut off comes back after this long. Milliseconds. */
const RETRY_MS = 1_000;
/** No bytes for this long is a gap that a viewer would see. Milliseconds. */
const GAP_MS = 1_000;
/** No single response lasts longer. Milliseconds. */
const STREAM_MS_MAX = 7 * 86_400_000;

/** What all viewers count together. */
export class RelayFigures {
  bytes = 0;
  packets = 0;
  continuityErrors = 0;
  discontinuities = 0;
  syncErrors = 0;
  gaps = 0;
  longestGapMs = 0;
  /** Streams that had begun and ended before the run did. */
  disconnects = 0;
  /** Streams that began without PAT and PMT, and not at a random access point. */
  withoutTables = 0;
  withoutRandomAccess = 0;
  /** Requests that got no stream, by what went wrong. */
  readonly errors = new Tally();
  /** From the request to the first byte of the body. Milliseconds. */
  readonly firstByte = new Distribution();
}

/** One viewer: reads, checks, and comes back when it is cut off. */
export class RelayViewer {
  readonly #figures: RelayFigures;
  readonly #clock: Clock;
  readonly #client: HttpClient;
  readonly #url: string;
  #isStopped = false;
  #endPause: (() => void) | undefined;
  #lastByteMs = 0;
  bytes = 0;

  constructor(options: {
    readonly figures: RelayFigures;
    readonly clock: Clock;
    readonly client: HttpClient;
    readonly url: string;
  }) {
    this.#figures = options.figures;
    this.#clock = options.clock;
    this.#client = options.client;
    this.#url = options.url;
  }

  async run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#read();
      if (!this.#isStopped) await this.#pause();
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#endPause?.();
    this.#client.close();
  }

  async #read(): Promise<void> {
    const figures = this.#figures;
    const check = new MpegtsCheck();
    const requestedMs = this.#clock.monotonicMs();
    let hasBegun = false;
    try {
      const response = await this.#client.get(this.#url, {
        msMax: STREAM_MS_MAX,
        onBody: (chunk) => {
          const nowMs = this.#clock.monotonicMs();
          if (hasBegun) this.#noteGap(nowMs - this.#lastByteMs);
          else figures.firstByte.add(nowMs - requestedMs);
          hasBegun = true;
          this.#lastByteMs = nowMs;
          this.bytes += chunk.length;
          figures.bytes += chunk.length;
          check.push(chunk);
        },
      });
      if (response.status !== 200) figures.errors.add(`status ${response.status}`);
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error;
      if (!hasBegun && !this.#isStopped) figures.errors.add(error.kind);
    }
    if (!hasBegun) return;
    if (this.#isStopped) this.#noteGap(this.#clock.monotonicMs() - this.#lastByteMs);
    else figures.disconnects += 1;
    this.#count(check);
  }

  #noteGap(gapMs: number): void {
    const figures = this.#figures;
    if (gapMs > GAP_MS) figures.gaps += 1;
    if (gapMs > figures.longestGapMs) figures.longestGapMs = gapMs;
  }

  #count(check: MpegtsCheck): void {
    const figures = this.#figures;
    figures.packets += check.packets;
    figures.continuityErrors += check.continuityErrors;
    figures.discontinuities += check.discontinuities;
    figures.syncErrors += check.syncErrors;
    if (!check.beginsWithTables) figures.withoutTables += 1;
    if (check.beginsAtRandomAccess === false) figures.withoutRandomAccess += 1;
  }

  async #pause(): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancel = this.#clock.after(RETRY_MS, over.resolve);
    this.#endPause = over.resolve;
    await over.promise;
    cancel();
  }
}
