/**
 * How every Spillway process ends: SIGINT or SIGTERM closes what was opened, last opened first, within a bound;
 * a second signal, a second later or more, ends it at once. A node's `main` registers each thing right after it is open, so a start that
 * fails half-way closes exactly what was begun.
 */
import { describeError, EXIT_STATUS, exitStatusOf } from "#common/errors.ts";
import type { Log } from "#common/log.ts";

/**
 * A signal this soon after the first is the same one: Ctrl-C reaches the process from the terminal and again through
 * npm, and `timeout` sends to the process and its group.
 */
const SAME_SIGNAL_MS = 1_000;
/** How often a process that ends with its parent looks whether it still has it. */
const PARENT_POLL_MS = 500;
/** A process that has not closed after this long is ended with status 1. */
const CLOSE_MS_MAX = 4_000;

interface Closer {
  readonly name: string;
  readonly close: () => void | Promise<void>;
}

/** The open things of a process, closed in the reverse order of opening. */
export class Lifecycle {
  readonly #closers: Closer[] = [];
  readonly #stop = Promise.withResolvers<string>();
  #isStopping = false;
  #closeMs = 0;

  /** Resolves with the reason when the process is asked to end. */
  get stopping(): Promise<string> {
    return this.#stop.promise;
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Registers `close`, to be called once when the process ends. */
  onClose(name: string, close: () => void | Promise<void>): void {
    this.#closers.push({ name, close });
  }

  /** Something that closes takes so much longer than most, in milliseconds. */
  allowClosing(ms: number): void {
    this.#closeMs += ms;
  }

  /** All of {@link allowClosing}. */
  get closeMs(): number {
    return this.#closeMs;
  }

  /** Asks the process to end. The first reason wins. */
  stop(reason: string): void {
    this.#isStopping = true;
    this.#stop.resolve(reason);
  }

  /** Closes everything, last opened first. One that fails is logged and does not keep the others open. */
  async closeAll(log: Log): Promise<void> {
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (error) {
        log.warn(`Closing ${closer.name} failed: ${describeError(error)}`);
      }
    }
  }
}

export interface RunOptions {
  readonly log: Log;
  /** True for a child of `start`: the supervisor gets the terminal's SIGINT and decides the order. */
  readonly isSupervised: boolean;
  /**
   * True under `npm start` and `bun start`: when that process is killed outright, nobody is left who could end this
   * one by Ctrl-C, so it ends by itself. Default false.
   */
  readonly endsWithParent?: boolean;
  /** Longest time that closing may take, beside {@link Lifecycle.closeMs}. Default 4 s. */
  readonly closeMsMax?: number;
}

/**
 * Runs `main` until a signal or `lifecycle.stop`, then closes everything and ends the process: status 0 after a
 * clean stop, 2 for a wrong option, 1 for any other failure.
 */
export async function runUntilStopped(
  main: (lifecycle: Lifecycle) => Promise<void>,
  options: RunOptions,
): Promise<never> {
  const { log } = options;
  const lifecycle = new Lifecycle();
  catchSignals(lifecycle, options);
  if (options.endsWithParent === true) watchParent(lifecycle);
  let status: number = EXIT_STATUS.ok;
  try {
    await Promise.race([main(lifecycle), lifecycle.stopping]);
    log.debug(`Stopping: ${await lifecycle.stopping}`);
  } catch (error) {
    log.error(describeError(error));
    status = exitStatusOf(error);
  }
  const closeMsMax = (options.closeMsMax ?? CLOSE_MS_MAX) + lifecycle.closeMs;
  const overdue = setTimeout(() => {
    log.error("Closing took too long: ended");
    process.exit(EXIT_STATUS.failed);
  }, closeMsMax);
  await lifecycle.closeAll(log);
  clearTimeout(overdue);
  process.exit(status);
}

function catchSignals(lifecycle: Lifecycle, { log, isSupervised }: RunOptions): void {
  let firstMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (isSupervised && signal === "SIGINT") return;
    firstMs ??= performance.now();
    if (lifecycle.isStopping) {
      if (performance.now() - firstMs < SAME_SIGNAL_MS) return;
      log.warn(`Second ${signal}: ended at once`);
      process.exit(EXIT_STATUS.failed);
    }
    lifecycle.stop(signal);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

function watchParent(lifecycle: Lifecycle): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) lifecycle.stop("the process that started this one has ended");
  }, PARENT_POLL_MS);
  lifecycle.onClose("watch of the parent", () => clearInterval(timer));
}
