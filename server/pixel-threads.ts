/**
 * The pixel threads as the server's main thread sees them: opens the port, starts them, replaces one that dies, pauses
 * and ends them. What they count is in the framebuffer.
 */
import { readClock, type Clock } from "#common/clock.ts";
import type { Log } from "#common/log.ts";
import { OPEN_ADMISSION, type AdmissionRules } from "./admission.ts";
import { OwnedEpollGroup } from "./epoll-group.ts";
import { shareFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { loadKernel } from "./kernel.ts";
import { ListenPath } from "./listen-path.ts";
import { THREADS_MAX } from "./memory-layout.ts";
import { startPixelWorker, type PixelWorker } from "./pixel-worker.ts";
import { PlayerShares } from "./player-shares.ts";
import { chooseReceive, type ReceiveName, type ReceivePath } from "./receive-path.ts";
import { ThreadControl } from "./thread-control.ts";
import type { ThreadStart } from "./thread-messages.ts";

/** A thread that died is replaced after this long; twice as long each time, until one has lived for a minute. */
const RESTART_MS_MIN = 100;
const RESTART_MS_MAX = 10_000;
const RESTART_FORGIVEN_MS = 60_000;

export interface PixelThreadsOptions {
  /** With an area for each thread. */
  readonly framebuffer: Framebuffer;
  /** How many threads, at least one. */
  readonly count: number;
  readonly hostname: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly protocol: ThreadStart["protocol"];
  readonly viewers: ThreadStart["viewers"];
  /** Who may play. Default: everybody. */
  readonly admission?: AdmissionRules;
  /** How to receive. Default: what {@link chooseReceive} finds. */
  readonly receive?: ReceiveName;
  readonly log: Log;
  readonly clock: Clock;
  /** The worker's module. Default: `pixel-thread.ts`. */
  readonly entry?: URL;
}

export class PixelThreads {
  /** The players' places, for the threads' and for figures. */
  readonly shares: PlayerShares;
  readonly #options: PixelThreadsOptions;
  readonly #admission: AdmissionRules;
  readonly #kernel: WebAssembly.Module;
  readonly #path: ReceivePath;
  readonly #control: ThreadControl;
  readonly #threads = new Map<number, PixelWorker>();
  readonly #restartDelaysMs = new Map<number, number>();
  readonly #cancels = new Set<() => void>();
  #port = 0;
  #isClosing = false;
  #restarts = 0;

  private constructor(options: PixelThreadsOptions, kernel: WebAssembly.Module) {
    const { framebuffer, hostname, port, admission = OPEN_ADMISSION } = options;
    this.#options = options;
    this.#admission = admission;
    this.#kernel = kernel;
    // No thread has this index.
    this.shares = new PlayerShares(framebuffer, THREADS_MAX, admission.limits);
    const place = { framebuffer, hostname, port, shares: this.shares };
    const isEpoll = (options.receive ?? chooseReceive("auto")) === "epoll";
    this.#path = isEpoll ? new OwnedEpollGroup(place) : new ListenPath(place);
    this.#control = new ThreadControl(framebuffer);
  }

  /** Starts the threads and resolves when all of them listen. Rejects with a `StartError`, leaving none. */
  static async open(options: PixelThreadsOptions): Promise<PixelThreads> {
    const threads = new PixelThreads(options, await loadKernel(options.log));
    try {
      // The first one finds the port, where any will do.
      await threads.#start(0);
      const others = Array.from({ length: options.count - 1 }, (_, index) => threads.#start(index + 1));
      const failed = (await Promise.allSettled(others)).find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      await threads.close();
      throw error;
    }
    return threads;
  }

  /** The port that players connect to. */
  get port(): number {
    return this.#port;
  }

  /** How they receive. */
  get receive(): ReceiveName {
    return this.#path.name;
  }

  /** Threads that listen now. */
  get listening(): number {
    return this.#threads.size;
  }

  /** Attempts since the start to replace a thread that ended by itself. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Waits, blocking, until no thread touches the canvas or a connection: see {@link ThreadControl}. Players wait until {@link resume}.
   */
  pause(): void {
    this.#control.pause();
  }

  /** Ends a {@link pause}. */
  resume(): void {
    this.#control.resume();
  }

  /** Stops listening, closes all connections and ends the threads. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const cancel of this.#cancels) cancel();
    this.#control.stop();
    this.#path.wake();
    await Promise.all([...this.#threads.values()].map((thread) => thread.close()));
    this.#path.close();
  }

  async #start(index: number): Promise<void> {
    const { framebuffer, protocol, viewers, log, clock } = this.#options;
    const entry = this.#options.entry ?? new URL("./pixel-thread.ts", import.meta.url);
    const order: ThreadStart = {
      type: "start",
      framebuffer: shareFramebuffer(framebuffer),
      index,
      kernel: this.#kernel,
      receive: this.#path.plan(),
      protocol,
      viewers,
      admission: this.#admission,
      clock: readClock(clock),
    };
    const thread = await startPixelWorker({ order, entry, log, clock });
    this.#port = thread.port;
    this.#path.listensOn(thread.port);
    this.#threads.set(index, thread);
    // Never rejects, and nobody waits for the end of a thread that is replaced.
    void thread.ended.then(() => this.#afterEnd(index, thread));
    if (this.#isClosing) await thread.close();
  }

  #afterEnd(index: number, thread: PixelWorker): void {
    const { log, clock } = this.#options;
    this.#threads.delete(index);
    this.#control.forget(index);
    if (this.#isClosing) return;
    log.error("A pixel thread ended: starting another", { thread: index });
    this.#forgetThread(index);
    if (clock.monotonicMs() - thread.startedMs >= RESTART_FORGIVEN_MS) this.#restartDelaysMs.delete(index);
    this.#restartLater(index);
  }

  /** Puts right what a thread left behind, while the others touch nothing. */
  #forgetThread(index: number): void {
    this.#path.freeLocks(index);
    const isPaused = this.#control.isPaused;
    try {
      if (!isPaused) this.#control.pause();
      this.#path.forgetThread(index);
    } catch (error) {
      // Another thread hangs: what the dead one served stays open, and the rest goes on.
      this.#options.log.error("A pixel thread's connections are lost", {
        thread: index,
        reason: String(error),
      });
    } finally {
      if (!isPaused) this.#control.resume();
    }
  }

  #restartLater(index: number): void {
    const { clock, log } = this.#options;
    const delayMs = this.#restartDelaysMs.get(index) ?? RESTART_MS_MIN;
    this.#restartDelaysMs.set(index, Math.min(delayMs * 2, RESTART_MS_MAX));
    const cancel = clock.after(delayMs, () => {
      this.#cancels.delete(cancel);
      this.#restarts += 1;
      this.#start(index).catch((error: unknown) => {
        log.error("A pixel thread could not start", { thread: index, reason: String(error) });
        if (!this.#isClosing) this.#restartLater(index);
      });
    });
    this.#cancels.add(cancel);
  }
}
