/**
 * One upstream request for one thing, however many ask for it meanwhile. A fill belongs to none of them: it runs at the
 * upstream's speed, whoever leaves, and each asker reads along at its own. Its life is that of the lock in other
 * caches: done, failed once and asked anew, given up for all but who began it, or abandoned. Nothing incomplete is
 * stored, and nobody is told that it was complete.
 */
import type { Clock } from "#common/clock.ts";
import { FillBody } from "./fill-body.ts";
import { endOf, type FillCounters, type FillEnd } from "./fill-counters.ts";
import { FillLine } from "./fill-line.ts";
import { FillReader, type FillReaderOptions } from "./fill-reader.ts";
import { lengthOf, type ResponseHead } from "./response-head.ts";
import type { ByteBudget } from "./store.ts";
import type { Stored } from "./stored.ts";
import { retryOnce, serverError, type Attempt } from "./upstream-retry.ts";
import { nobodyWaits, type Upstream } from "./upstream.ts";
import type { Verdict, Wanted } from "./wanted.ts";

/** Longest wait for an answer to begin, where nothing is known of how long it may be held. */
const HOLD_MS_MAX = 20_000;
/** A body that is whole so soon after its head is sent with its length, from one buffer; any other is streamed. */
const STREAM_AFTER_MS = 5;
/** How long a request whose answer has not begun goes on for nobody: the next one is likely to ask for it. */
const UNHEARD_MS_MAX = 2_000;
/** What may be left of a body that is fetched to its end for the store alone, or half of it; and for how long. */
const FINISH_BYTES_MAX = 1024 * 1024;
const FINISH_MS_MAX = 30_000;

/** How a request met its fill. */
export type FillPart = "miss" | "collapsed";

/** Who asks. */
export interface Asker<Answer> {
  /** Ends the asker's interest. */
  readonly signal?: AbortSignal | undefined;
  /** Makes the answer from what there is: all, or a body that is still coming. */
  readonly answer: (fill: Fill, part: FillPart) => Answer | Promise<Answer>;
  /** What is done where the answer is only for whoever began the fill. Default: the same is asked for alone. */
  readonly elsewhere?: () => Promise<Answer>;
}

/** Who reads a body along, and which part of it. */
export type StreamOptions = Pick<FillReaderOptions, "counters" | "signal" | "connection" | "range">;

export interface FillOptions {
  readonly upstream: Upstream;
  readonly budget: ByteBudget;
  readonly clock: Clock;
  readonly counters: FillCounters;
  readonly wanted: Wanted;
  /** Puts what is whole into the store. */
  readonly store: (key: string, stored: Stored) => void;
  /** Called once, when nobody can join any more: it is over, or not for everyone. */
  readonly onClosed: (fill: Fill) => void;
  /** Called once, when nothing more comes. */
  readonly onOver: (fill: Fill) => void;
  /** Called once, when it is over and nobody reads it any more. */
  readonly onFree: (fill: Fill) => void;
}

/** A fill under way, or just over. */
export class Fill {
  readonly wanted: Wanted;
  /** Resolves when the body is whole. */
  readonly finished: Promise<void>;
  readonly #options: FillOptions;
  readonly #line = new FillLine();
  readonly #finished = Promise.withResolvers<void>();
  readonly #outgrown = Promise.withResolvers<void>();
  readonly #abort = new AbortController();
  #answer: { readonly head: ResponseHead; readonly verdict: Verdict; readonly body: FillBody } | undefined;
  #stored: Stored | undefined;
  /** There is something to answer with: all of it, or a body that is streamed from now on. */
  #isReady = false;
  #isOver = false;
  /** Why there is no answer. */
  #error: unknown;
  #isClosed = false;
  #isFree = false;
  /** Askers that wait, and readers. */
  #interested = 0;
  /** For the store, whoever leaves. */
  #isWantedAnyway = false;
  #cancelPatience: (() => void) | undefined;

  /** Begins at once. */
  constructor(options: FillOptions) {
    this.#options = options;
    this.wanted = options.wanted;
    this.finished = this.#finished.promise;
    // Askers hear of a failure by themselves; a fill that all of them left must not end the process.
    this.finished.catch(() => {});
    // Every failure inside is told to the askers.
    void this.#run();
  }

  /** What came before the body. There for whoever is asked to answer. */
  get head(): ResponseHead {
    if (this.#answer === undefined) throw new Error("The head of a fill was read before it came");
    return this.#answer.head;
  }

  /** What has come of the body, and who reads it; `undefined` before the head. */
  get body(): FillBody | undefined {
    return this.#answer?.body;
  }

  /** The answer, once it is whole. Stored or not; `undefined` for good where it was too large to be kept. */
  get stored(): Stored | undefined {
    return this.#stored;
  }

  /** Bytes of the whole body, where they are known. */
  get length(): number | undefined {
    return this.#stored?.body.size ?? (this.#answer === undefined ? undefined : lengthOf(this.#answer.head));
  }

  /** Whether others than who began it may have the answer. Known with the head, and may be over later. */
  get isShared(): boolean {
    return this.#answer?.verdict.isShared === true && !this.#answer.body.isWindow;
  }

  /** True when nothing more comes; there may still be readers. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True where readers hold memory by their slowness alone: they may be let go. */
  get isHeldUp(): boolean {
    return this.#isOver || this.#answer?.body.isOverfull === true;
  }

  /** True for an answer that is not shared. */
  get isGivenUp(): boolean {
    return this.#answer !== undefined && !this.isShared;
  }

  /** True once it is over without an answer that anybody wanted: a 5xx, or none that began. */
  get isFailure(): boolean {
    return (
      this.#isOver && (this.#answer === undefined ? !this.#abort.signal.aborted : this.head.status >= 500)
    );
  }

  /**
   * Waits until there is something to answer with, and resolves with what the asker makes of it in its turn. One who is given
   * a way `elsewhere` takes it, as soon as that is known, where the answer is only for who began the fill. Rejects with
   * {@link UpstreamError}, also once the asker has left.
   */
  ask<Answer>(
    { signal, answer }: Asker<Answer>,
    part: FillPart,
    elsewhere?: () => Promise<Answer>,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.retain();
    const end = (): void => {
      signal?.removeEventListener("abort", leave);
      try {
        if (this.#error !== undefined) reject(this.#error);
        else if (elsewhere !== undefined && !this.isShared) resolve(elsewhere());
        else resolve(answer(this, part));
      } catch (error) {
        reject(error);
      } finally {
        this.release();
      }
    };
    const waiter = { isFirst: elsewhere === undefined, end };
    const leave = (): void => {
      if (!this.#line.delete(waiter)) return;
      reject(nobodyWaits());
      this.release();
    };
    if (this.#isReady || this.#isOver || (this.isGivenUp && elsewhere !== undefined)) end();
    else {
      this.#line.add(waiter);
      signal?.addEventListener("abort", leave, { once: true });
      if (signal?.aborted === true) leave();
    }
    return promise;
  }

  /** Counts somebody in who needs it. */
  retain(): void {
    this.#interested++;
    this.#cancelPatience?.();
    this.#cancelPatience = undefined;
  }

  /** Counts somebody out. When nobody is left it ends, unless it is worth more to the next one than it costs. */
  release(): void {
    this.#interested--;
    if (this.#interested > 0 || (this.#isWantedAnyway && !this.#answer?.body.isWindow)) return;
    if (this.#isOver) this.#free();
    else if (!this.#isWorthFinishing) this.abandon();
    else this.#cancelPatience = this.#options.clock.after(this.#patienceMs, () => this.abandon());
  }

  /** Runs it to its end for the store, whoever leaves. */
  keepGoing(): void {
    this.#isWantedAnyway = true;
  }

  /**
   * Waits until all of it is there, or has grown too large to be kept, and resolves with what is made of it. Rejects where it
   * breaks off.
   */
  async whole<Answer>(answer: () => Answer | Promise<Answer>): Promise<Answer> {
    // What is not stored would end with the last who waits for it.
    this.retain();
    try {
      await Promise.race([this.finished, this.#outgrown.promise]);
      return await answer();
    } finally {
      this.release();
    }
  }

  /** A response body that gets what has come so far at once, and the rest as it comes. */
  stream(options: StreamOptions): ReadableStream<Uint8Array> {
    if (this.#answer === undefined) throw new Error("The body of a fill was read before it began");
    const { range } = options;
    const { budget, clock, counters } = this.#options;
    if (this.#isFree) {
      // Its blocks are gone; who was remembered a failure reads what was made of them.
      if (this.#stored === undefined) throw new Error("The body of a fill was read after its end");
      return this.#stored.body.slice(range?.start, range?.end).stream();
    }
    this.retain();
    const reader = new FillReader({
      ...options,
      body: this.#answer.body,
      budget,
      clock,
      onClose: (isLaggard) => {
        if (isLaggard) counters.laggards++;
        this.release();
      },
    });
    return reader.stream;
  }

  /** Ends it without an answer. Whoever still waits or reads hears of it. */
  abandon(): void {
    const error = nobodyWaits();
    this.#answer?.body.fail(error);
    this.#fail(error, "abandoned");
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const { upstream, clock, counters, wanted } = this.#options;
    const othersWait = (): boolean => this.#interested > 1 || wanted.retriesAlone !== false;
    try {
      await retryOnce((attempt) => this.#attempt(attempt), {
        upstream,
        clock,
        mayRetry: () => !this.#isReady && !this.#isOver && othersWait(),
        onRetry: () => void counters.retries++,
      });
    } catch (error) {
      this.#fail(error, endOf(error, this.#answer !== undefined));
    }
  }

  async #attempt({ isFinal, failed }: Attempt): Promise<void> {
    const { upstream, wanted } = this.#options;
    const { path, holdMsMax = HOLD_MS_MAX } = wanted;
    const options = { ...wanted, holdMsMax, failed, signal: this.#abort.signal };
    const response = await upstream.request(path, options);
    try {
      if (this.#isOver) throw nobodyWaits();
      const { head } = response;
      if (head.status >= 500 && !isFinal()) throw serverError(path, head.status);
      const body = this.#begin(head);
      for await (const bytes of response.chunks) {
        // Abandoned meanwhile: its memory is free again, and must stay so.
        if (this.#isOver) return;
        const room = body.append(bytes);
        if (body.isWindow) {
          this.#outgrown.resolve();
          this.#close();
          // Too large to be kept, and nobody reads it: it leads nowhere.
          if (this.#interested === 0) this.abandon();
        }
        await room;
      }
      this.#complete(head, body);
    } catch (error) {
      response.discard();
      this.#answer?.body.fail(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** Takes over the head of the answer that will be given. */
  #begin(head: ResponseHead): FillBody {
    const { budget, clock, wanted } = this.#options;
    const hasBody = wanted.method !== "HEAD" && head.status !== 304;
    const verdict = wanted.judge(head);
    this.#answer?.body.release();
    const isForOne = !verdict.isShared && !verdict.isStored;
    const body = new FillBody(budget, { length: hasBody ? lengthOf(head) : 0, isForOne });
    this.#answer = { head, verdict, body };
    if (!this.isShared) this.#close();
    if (verdict.mayOutlive === false && this.#interested === 0) this.abandon();
    clock.after(STREAM_AFTER_MS, () => this.#becomeReady(body));
    return body;
  }

  /** A body that broke off meanwhile is not what anybody should begin with. */
  #becomeReady(body: FillBody): void {
    if (this.#isOver || this.#answer?.body !== body || body.error !== undefined) return;
    this.#isReady = true;
    this.#line.wakeAll();
  }

  #complete(head: ResponseHead, body: FillBody): void {
    if (this.#isOver) return;
    const verdict = this.#answer?.verdict;
    if (!body.isWindow && verdict !== undefined) {
      this.#stored = verdict.toStored?.({ head, body: body.toBlob(), bytes: () => body.toBytes() });
      const { isStored, storeKey = this.wanted.key } = verdict;
      if (isStored && this.#stored !== undefined) this.#options.store(storeKey, this.#stored);
    }
    this.#isReady = true;
    this.#finished.resolve();
    this.#finish(this.isShared ? "done" : "given_up");
    // Last: who leaves with an answer must not be taken for the last one of a fill that goes on.
    body.complete();
    this.#line.wakeAll();
  }

  /** Tells everybody, once. What was read so far stays as it is, and its readers are cut off. */
  #fail(error: unknown, end: FillEnd): void {
    if (this.#isOver) return;
    this.#error = error;
    this.#finished.reject(error);
    this.#finish(end);
    this.#line.wakeAll();
  }

  #finish(end: FillEnd): void {
    this.#isOver = true;
    this.#isWantedAnyway = false;
    this.#cancelPatience?.();
    this.#options.counters.ends[end]++;
    this.#close();
    this.#options.onOver(this);
    if (this.#interested === 0) this.#free();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClosed(this);
    if (this.isGivenUp) this.#line.wakeJoined();
  }

  #free(): void {
    if (this.#isFree) return;
    this.#isFree = true;
    this.#answer?.body.release();
    this.#options.onFree(this);
  }

  get #patienceMs(): number {
    return this.#answer === undefined ? UNHEARD_MS_MAX : FINISH_MS_MAX;
  }

  /** Before the head anything can be; then it must be storable, and what is left small. */
  get #isWorthFinishing(): boolean {
    if (this.#answer === undefined) return true;
    const { head, verdict, body } = this.#answer;
    if (!(verdict.mayOutlive ?? verdict.isStored) || body.isWindow) return false;
    const length = lengthOf(head) ?? body.size;
    return length - body.size <= Math.max(FINISH_BYTES_MAX, length / 2);
  }
}
