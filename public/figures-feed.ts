/**
 * Listens to the origin's figures over server-sent events, through whatever breaks: the browser reconnects a
 * connection that ends, and this opens a new one where the browser gives up (an answer that is no event stream)
 * or where a dead connection says nothing.
 */
// HTML Living Standard 9.2 (server-sent events)
import type { Clock } from "#common/clock.ts";
import {
  decodeFigures,
  decodeMove,
  MOVE_KIND,
  type Move,
  type StreamFigures,
} from "#common/formats/events.ts";
import { retryDelayMs } from "./retry.ts";

/** The part of `EventSource` in use. */
export interface FiguresSource {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: Event) => void): void;
  close(): void;
}

export interface FiguresFeedOptions {
  readonly clock: Clock;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  readonly connect: (url: string) => FiguresSource;
  readonly onFigures: (figures: StreamFigures) => void;
  /** The edge ends, and asks its pages to leave within a time. */
  readonly onMove: (move: Move) => void;
  /** Figures have become old, or are new again. */
  readonly onStale: (isStale: boolean) => void;
}

/** Figures come once a second; older ones are shown as old. */
export const STALE_AFTER_MS = 5_000;
/** A connection that says nothing for this long is replaced, again and again. */
const REPLACE_AFTER_MS = 10_000;
const TICK_MS = 500;
/** `EventSource.CLOSED`: the browser has given up. */
const CLOSED = 2;

export class FiguresFeed {
  readonly #options: FiguresFeedOptions;
  #url = "";
  #source: FiguresSource | undefined;
  #isStale = true;
  #failures = 0;
  #heardMs: number;
  #openedMs = Number.NEGATIVE_INFINITY;
  #reopenMs: number | undefined;
  #cancelTick: (() => void) | undefined;

  constructor(options: FiguresFeedOptions) {
    this.#options = options;
    this.#heardMs = options.clock.monotonicMs();
  }

  /** How long no figures have come, in milliseconds. */
  get silentMs(): number {
    return this.#options.clock.monotonicMs() - this.#heardMs;
  }

  /** Listens to `url` from now on. */
  open(url: string): void {
    this.#url = url;
    this.#failures = 0;
    this.#reopen();
    if (this.#cancelTick === undefined) this.#scheduleTick();
  }

  /** Hangs up. {@link open} begins anew. */
  close(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#source?.close();
  }

  #reopen(): void {
    const { clock, connect } = this.#options;
    this.#source?.close();
    this.#reopenMs = undefined;
    this.#openedMs = clock.monotonicMs();
    const source = connect(this.#url);
    this.#source = source;
    source.addEventListener("figures", (event) => {
      if (this.#source !== source || !(event instanceof MessageEvent)) return;
      const figures = decodeFigures(String(event.data));
      if (figures !== undefined) this.#onFigures(figures);
    });
    source.addEventListener(MOVE_KIND, (event) => {
      if (this.#source !== source || !(event instanceof MessageEvent)) return;
      const move = decodeMove(String(event.data));
      if (move !== undefined) this.#options.onMove(move);
    });
  }

  #onFigures(figures: StreamFigures): void {
    this.#heardMs = this.#options.clock.monotonicMs();
    this.#failures = 0;
    this.#setStale(false);
    this.#options.onFigures(figures);
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#options.clock.after(TICK_MS, () => {
      this.#tick();
      this.#scheduleTick();
    });
  }

  #tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.silentMs > STALE_AFTER_MS) this.#setStale(true);
    const isDead = this.silentMs > REPLACE_AFTER_MS && nowMs - this.#openedMs > REPLACE_AFTER_MS;
    if (this.#reopenMs === undefined && (isDead || this.#source?.readyState === CLOSED)) {
      this.#failures += 1;
      const delayMs = retryDelayMs({ failures: this.#failures, random: this.#options.random() });
      this.#reopenMs = nowMs + delayMs;
    }
    if (this.#reopenMs !== undefined && nowMs >= this.#reopenMs) this.#reopen();
  }

  #setStale(isStale: boolean): void {
    if (isStale === this.#isStale) return;
    this.#isStale = isStale;
    this.#options.onStale(isStale);
  }
}
