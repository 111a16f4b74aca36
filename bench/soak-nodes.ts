/** The server and the origin that a soak runs, on free ports in a folder of their own, and the blows that it deals. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { freePorts } from "./free-ports.ts";
import { LoggedProcess, MAIN } from "./logged-process.ts";
import { waitFor } from "./wait.ts";

const HOST = "127.0.0.1";
/** How long a node may take until it is ready. Milliseconds. */
const READY_MS_MAX = 60_000;
const READY_POLL_MS = 100;

export interface SoakNodesOptions {
  readonly width: number;
  readonly height: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Both nodes. They end with this process, however it ends. */
export class SoakNodes implements AsyncDisposable {
  readonly #options: SoakNodesOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "spillway-soak-"));
  readonly #ports: { readonly pixelflut: number; readonly server: number; readonly origin: number };
  #server: LoggedProcess;
  readonly #origin: LoggedProcess;

  private constructor(options: SoakNodesOptions) {
    this.#options = options;
    const [pixelflut = 0, server = 0, origin = 0] = freePorts(3);
    this.#ports = { pixelflut, server, origin };
    this.#server = this.#startServer();
    this.#origin = this.#spawn("origin", {
      "origin-port": this.#ports.origin,
      "origin-bind": HOST,
      source: `http://${HOST}:${this.#ports.server}/feed.mp4`,
    });
  }

  /** Starts both and waits until the origin serves. Throws {@link StartError} with the end of what they printed. */
  static async start(options: SoakNodesOptions): Promise<SoakNodes> {
    const nodes = new SoakNodes(options);
    try {
      if (await nodes.untilReady()) return nodes;
      throw new StartError(
        "not-ready",
        `The origin does not serve:\n${nodes.#server.printed}\n${nodes.#origin.printed}`,
      );
    } catch (error) {
      await nodes[Symbol.asyncDispose]();
      throw error;
    }
  }

  get originUrl(): string {
    return `http://${HOST}:${this.#ports.origin}`;
  }

  get pixelflut(): { readonly host: string; readonly port: number } {
    return { host: HOST, port: this.#ports.pixelflut };
  }

  get originPid(): number {
    return this.#origin.pid;
  }

  get serverPid(): number {
    return this.#server.pid;
  }

  /** False once the origin has ended by itself. */
  get isServing(): boolean {
    return this.#origin.isRunning;
  }

  /** To the server. */
  strike(signal: NodeJS.Signals): void {
    this.#server.kill(signal);
  }

  /** Starts the server again once it has ended. */
  async restartServer(): Promise<void> {
    await this.#server.exited;
    await this.#server[Symbol.asyncDispose]();
    this.#server = this.#startServer();
  }

  /** Resolves when both say that they are ready; false where they do not for a long time. */
  async untilReady(): Promise<boolean> {
    const { clock, signal } = this.#options;
    const endMs = clock.monotonicMs() + READY_MS_MAX;
    const pages = [`http://${HOST}:${this.#ports.server}/readyz`, `${this.originUrl}/readyz`];
    while (!signal.aborted && clock.monotonicMs() < endMs) {
      const answers = await Promise.all(pages.map(isOk));
      if (answers.every(Boolean)) return true;
      await waitFor({ clock, signal, msMax: READY_POLL_MS });
    }
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of [this.#origin, this.#server]) await node[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #startServer(): LoggedProcess {
    const { width, height } = this.#options;
    return this.#spawn("server", {
      "pixelflut-port": this.#ports.pixelflut,
      "pixelflut-bind": HOST,
      "server-port": this.#ports.server,
      "server-bind": HOST,
      width,
      height,
    });
  }

  #spawn(role: string, flags: Readonly<Record<string, string | number>>): LoggedProcess {
    const args = Object.entries({ ...flags, "data-dir": this.#folder }).map(
      ([name, value]) => `--${name}=${value}`,
    );
    return new LoggedProcess({
      // They end with this process, even where it is killed.
      command: [process.execPath, "--no-orphans", MAIN, role, ...args],
      logPath: join(this.#folder, `${role}.log`),
      // In a folder of its own it finds no settings.
      cwd: this.#folder,
      clock: this.#options.clock,
    });
  }
}

async function isOk(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url);
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
