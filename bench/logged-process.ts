/** A process that a load script starts, whose output goes to a file, of which the end is shown when it fails. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";

/** The command line of this repository. */
export const MAIN = join(import.meta.dir, "..", "main.ts");
/** How long a process may take to end by itself. Milliseconds. */
const END_MS_MAX = 5_000;
/** Of what a process printed, so much is shown when it fails. */
const LOG_CHARACTERS_MAX = 2_000;

export interface LoggedProcessOptions {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** What it prints is added to this file. */
  readonly logPath: string;
  /** Default: that of this process. */
  readonly cwd?: string;
  /** Variables beside those of this process, which come without the settings of our nodes. */
  readonly env?: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** Runs until it ends, is disposed of, or this process ends: it and what it has started, in a process group of their own. */
export class LoggedProcess implements AsyncDisposable {
  readonly #process: Bun.Subprocess;
  readonly #logPath: string;
  readonly #clock: Clock;
  readonly #onExit = (): void => this.kill("SIGKILL");

  constructor({ command, logPath, cwd, env, clock }: LoggedProcessOptions) {
    this.#logPath = logPath;
    this.#clock = clock;
    const log = openSync(logPath, "a");
    try {
      this.#process = Bun.spawn([...command], {
        ...(cwd === undefined ? {} : { cwd }),
        env: { ...withoutSettings(process.env), ...env },
        stdio: ["ignore", log, log],
        detached: true,
      });
    } finally {
      closeSync(log);
    }
    // It is in a session of its own, so the terminal's Ctrl-C does not reach it.
    process.on("exit", this.#onExit);
  }

  get pid(): number {
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Resolves with its exit status once it has ended. */
  get exited(): Promise<number> {
    return this.#process.exited;
  }

  /** The end of what it has printed, and others before it into the same file. */
  get printed(): string {
    return readFileSync(this.#logPath, "utf8").trim().slice(-LOG_CHARACTERS_MAX);
  }

  /** Sends a signal to it and to what it has started. */
  kill(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#process.pid, signal);
    } catch {
      // The group is empty: it has ended.
    }
  }

  /** Ends the whole group: asks, waits, and kills what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    // One that is stopped ends once it goes on.
    this.kill("SIGTERM");
    this.kill("SIGCONT");
    const cancel = this.#clock.after(END_MS_MAX, () => this.kill("SIGKILL"));
    await this.#process.exited;
    cancel();
    this.kill("SIGKILL");
    process.off("exit", this.#onExit);
  }
}

/** The environment without what configures our nodes: what is measured has the options that it is given. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("SPILLWAY_")));
}
