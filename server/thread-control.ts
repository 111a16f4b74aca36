/**
 * What the main thread tells the pixel threads through the shared memory, because a thread that receives by
 * `epoll-receiver.ts` never comes to read messages: to pause, to go on, to stop. A pause is a safe point: once
 * {@link ThreadControl.pause} returns, no thread touches the canvas or a connection until {@link ThreadControl.resume}.
 * Threads look for orders between two reads, or before whatever else they do by `listen-receiver.ts`, so the code that
 * paints has no check in it.
 */
import assert from "node:assert/strict";
import { SpillwayError } from "#common/errors.ts";
import type { Framebuffer } from "./framebuffer.ts";

/** The word of the order, and where the threads' states begin, one on each cache line; in 32-bit words. */
const ORDER_WORD = 0;
const STATES_WORD = 1_024;
const WORDS_PER_STATE = 16;

const ORDER_RUN = 0;
const ORDER_PAUSE = 1;
const ORDER_STOP = 2;

/** Blocked, paused, gone or not yet there: it touches nothing. All threads at first. */
const STATE_PARKED = 0;
/** Somewhere between two looks at the order. */
const STATE_RUNNING = 1;

/** A thread that does not come to a safe point in this time hangs. */
const PAUSE_MS_MAX = 2_000;
/** How long one look at a thread that runs may take: its word may change without a wake-up if it dies. */
const LOOK_MS = 1;

/** The thread's side. All steps are sequentially consistent: the order and the state are read after they are written. */
export class SafePoint {
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #state: number;

  constructor(framebuffer: Framebuffer, thread: number) {
    this.#words = controlWords(framebuffer);
    this.#state = stateWord(thread);
  }

  /** True once the thread should call {@link obey}. Asked between two reads. */
  get isOrdered(): boolean {
    return Atomics.load(this.#words, ORDER_WORD) !== ORDER_RUN;
  }

  /** From here on the thread touches the memory. Waits for the end of a pause first. Returns false when it should end. */
  enter(): boolean {
    Atomics.store(this.#words, this.#state, STATE_RUNNING);
    return !this.isOrdered || this.obey();
  }

  /** The thread touches nothing until it calls {@link enter}. */
  leave(): void {
    Atomics.store(this.#words, this.#state, STATE_PARKED);
    if (this.isOrdered) Atomics.notify(this.#words, this.#state);
  }

  /** For a thread that runs: stays as long as a pause lasts. Returns false when it should end. */
  obey(): boolean {
    for (;;) {
      const order = Atomics.load(this.#words, ORDER_WORD);
      if (order !== ORDER_PAUSE) return order === ORDER_RUN;
      this.leave();
      Atomics.wait(this.#words, ORDER_WORD, ORDER_PAUSE);
      Atomics.store(this.#words, this.#state, STATE_RUNNING);
    }
  }
}

/** The main thread's side. */
export class ThreadControl {
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #threads: number;

  /** Lets threads run, whatever was ordered before. */
  constructor(framebuffer: Framebuffer) {
    this.#words = controlWords(framebuffer);
    this.#threads = framebuffer.threads;
    Atomics.store(this.#words, ORDER_WORD, ORDER_RUN);
  }

  /** True between {@link pause} and {@link resume}. */
  get isPaused(): boolean {
    return Atomics.load(this.#words, ORDER_WORD) === ORDER_PAUSE;
  }

  /**
   * Waits, blocking, until every thread is at a safe point: for as long as a read takes to paint, well under 2 ms, and
   * longer only where the system has taken the processor from a thread in the middle of one. Throws,
   * with the threads running, where one hangs. Pauses do not nest.
   */
  pause(): void {
    const before = Atomics.compareExchange(this.#words, ORDER_WORD, ORDER_RUN, ORDER_PAUSE);
    assert(before !== ORDER_PAUSE, "a pause ends before the next begins");
    const deadlineMs = performance.now() + PAUSE_MS_MAX;
    for (let thread = 0; thread < this.#threads; thread += 1) {
      while (Atomics.load(this.#words, stateWord(thread)) === STATE_RUNNING) {
        if (performance.now() > deadlineMs) {
          this.resume();
          throw new SpillwayError("thread-hangs", `Pixel thread ${thread} does not pause`);
        }
        Atomics.wait(this.#words, stateWord(thread), STATE_RUNNING, LOOK_MS);
      }
    }
  }

  /** Ends a pause. */
  resume(): void {
    Atomics.compareExchange(this.#words, ORDER_WORD, ORDER_PAUSE, ORDER_RUN);
    Atomics.notify(this.#words, ORDER_WORD);
  }

  /** Has all threads end, paused or not. Threads that block have to be woken by other means. */
  stop(): void {
    Atomics.store(this.#words, ORDER_WORD, ORDER_STOP);
    Atomics.notify(this.#words, ORDER_WORD);
  }

  /** A thread is gone: nobody has to wait for it. */
  forget(thread: number): void {
    Atomics.store(this.#words, stateWord(thread), STATE_PARKED);
  }
}

function controlWords({ memory, map, threads }: Framebuffer): Int32Array<ArrayBufferLike> {
  return new Int32Array(memory.buffer, map.controlOffset, stateWord(threads));
}

function stateWord(thread: number): number {
  return STATES_WORD + thread * WORDS_PER_STATE;
}
