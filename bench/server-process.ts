/** A Pixelflut server that `bench compare` starts, measures and ends: the repository's own, or any other by its command. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { freePorts } from "./free-ports.ts";
import { LoggedProcess } from "./logged-process.ts";
import { PixelflutClient, type PixelflutTarget } from "./pixelflut-client.ts";
import { cpuSeconds } from "./process-cpu.ts";
import { waitFor } from "./wait.ts";

/** How long a server may take to answer SIZE: ours may have to build its parser first. Milliseconds. */
const READY_MS_MAX = 60_000;
/** Time between two attempts to reach it. Milliseconds. */
const RETRY_MS = 100;
/** How long its port may stay taken once it has ended. Milliseconds. */
const END_MS_MAX = 5_000;
/** Time between two looks whether it is free again. Milliseconds. */
const END_LOOK_MS = 10;
/** The end of a server is waited for even when the run is interrupted. */
const NEVER = new AbortController().signal;
/** Servers listen on loopback. */
const HOST = "127.0.0.1";

/** How to start a server. */
export interface ServerCommand {
  /** Its name in the table. */
  readonly name: string;
  /**
   * For `sh -c`; `{port}` stands for the Pixelflut port that it is to listen on, `{folder}` for an empty folder that is
   * removed at the end.
   */
  readonly command: string;
}

/** A running server in a process group of its own. */
export class ServerProcess implements AsyncDisposable {
  readonly name: string;
  readonly target: PixelflutTarget;
  /** Its own, removed at the end. */
  readonly folder = mkdtempSync(join(tmpdir(), "spillway-bench-"));
  readonly #clock: Clock;
  readonly #process: LoggedProcess;

  private constructor({ name, command }: ServerCommand, clock: Clock) {
    this.name = name;
    this.#clock = clock;
    this.target = { host: HOST, port: freePorts(1)[0] ?? 0 };
    const text = command.replaceAll("{port}", String(this.target.port)).replaceAll("{folder}", this.folder);
    this.#process = new LoggedProcess({
      command: ["sh", "-c", text],
      logPath: join(this.folder, "output.log"),
      clock,
    });
  }

  /** Starts a server and waits until it answers SIZE. Throws {@link StartError} with the end of what it printed. */
  static async start(
    command: ServerCommand,
    { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  ): Promise<ServerProcess> {
    const server = new ServerProcess(command, clock);
    try {
      await server.#waitUntilReady(signal);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get isRunning(): boolean {
    return this.#process.isRunning;
  }

  /** Processor time of the whole tree so far, in seconds; `undefined` where /proc does not tell. */
  cpuSeconds(): number | undefined {
    return cpuSeconds(this.#process.pid);
  }

  /** Width and height of its canvas. */
  async size(): Promise<{ readonly width: number; readonly height: number }> {
    const control = await PixelflutClient.connect(this.target, this.#clock);
    try {
      return await control.size();
    } finally {
      control.close();
    }
  }

  /** Ends it with all that it has started, and waits until its port is free. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    // What it has started may outlive it: if only for a moment, in which the port is still taken.
    const endMs = this.#clock.monotonicMs() + END_MS_MAX;
    while ((await this.#isListening()) && this.#clock.monotonicMs() < endMs) {
      await waitFor({ clock: this.#clock, signal: NEVER, msMax: END_LOOK_MS });
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #waitUntilReady(signal: AbortSignal): Promise<void> {
    const endMs = this.#clock.monotonicMs() + READY_MS_MAX;
    let trouble: unknown;
    while (this.isRunning && !signal.aborted && this.#clock.monotonicMs() < endMs) {
      try {
        await this.size();
        return;
      } catch (error) {
        trouble = error;
        await waitFor({ clock: this.#clock, signal, msMax: RETRY_MS });
      }
    }
    const what = this.isRunning ? "does not answer SIZE" : "has ended";
    const { printed } = this.#process;
    throw new StartError("server-not-ready", `${this.name} ${what}${printed === "" ? "" : `:\n${printed}`}`, {
      cause: trouble,
    });
  }

  async #isListening(): Promise<boolean> {
    try {
      const control = await PixelflutClient.connect(this.target, this.#clock);
      control.close();
      return true;
    } catch {
      return false;
    }
  }
}
