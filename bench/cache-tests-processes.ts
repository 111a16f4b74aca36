/** What `bench cache-tests` starts: the suite's origin server, its tests, and an edge where no cache is given. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { RUN_VARIABLE, type SuiteRun, type TestOutcome } from "./cache-tests-runner.ts";
import { withoutSettings } from "./server-process.ts";
import { waitFor } from "./wait.ts";

/** The command line of this repository. */
const MAIN = join(import.meta.dir, "..", "main.ts");
const RUNNER = join(import.meta.dir, "cache-tests-runner.ts");
/** Addresses of the suite's server and of the edge. */
const HOST = "127.0.0.1";
const READY_MS_MAX = 30_000;
const READY_POLL_MS = 100;
/** How long a process may take to end by itself. Milliseconds. */
const END_MS_MAX = 5_000;
/** Of what a process printed, so much is shown when it fails. */
const LOG_CHARACTERS_MAX = 2_000;

export interface CacheTestsProcessesOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Everything that is started, in a folder of its own that is removed at the end. */
export class CacheTestsProcesses implements AsyncDisposable {
  readonly #options: CacheTestsProcessesOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "spillway-cache-tests-"));
  readonly #running: Bun.Subprocess[] = [];

  constructor(options: CacheTestsProcessesOptions) {
    this.#options = options;
  }

  /** Makes sure that the suite's origin server listens on a port of this machine, and returns its URL. */
  async startOrigin(suite: string, port: number): Promise<string> {
    const url = `http://${HOST}:${port}`;
    if (await answers(url)) return url;
    const command = [...scriptProgram(), join(suite, "test-engine/server/server.mjs")];
    this.#spawn("origin", command, {
      cwd: suite,
      env: {
        npm_config_protocol: "http",
        npm_config_port: String(port),
        npm_config_pidfile: join(this.#folder, "origin.pid"),
      },
    });
    await this.#untilAnswers(url, "origin");
    return url;
  }

  /** Starts an edge as a plain caching proxy and returns its URL. */
  async startEdge(upstream: string, port: number): Promise<string> {
    const url = `http://${HOST}:${port}`;
    const flags = ["--proxy-all", "--upstream", upstream, "--edge-port", String(port), "--edge-bind", HOST];
    this.#spawn("edge", [process.execPath, MAIN, "edge", ...flags], { cwd: this.#folder, env: {} });
    await this.#untilAnswers(`${url}/healthz`, "edge");
    return url;
  }

  /** Runs the suite and returns how each of its tests ended. */
  async runSuite(run: Omit<SuiteRun, "outcomePath">): Promise<readonly TestOutcome[]> {
    const outcomePath = join(this.#folder, "outcomes.json");
    const code = new Bun.Transpiler({ loader: "ts" }).transformSync(readFileSync(RUNNER, "utf8"));
    const path = join(this.#folder, "runner.mjs");
    await Bun.write(path, code);
    const text = JSON.stringify({ ...run, outcomePath });
    const tests = this.#spawn("tests", [...scriptProgram(), path], { env: { [RUN_VARIABLE]: text } });
    const stop = (): void => tests.kill();
    this.#options.signal.addEventListener("abort", stop);
    const status = await tests.exited;
    this.#options.signal.removeEventListener("abort", stop);
    if (this.#options.signal.aborted) return [];
    if (status !== 0) throw new StartError("suite-failed", `The suite did not run:\n${this.#log("tests")}`);
    return JSON.parse(readFileSync(outcomePath, "utf8")) as readonly TestOutcome[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running.toReversed()) {
      child.kill("SIGTERM");
      const cancel = this.#options.clock.after(END_MS_MAX, () => child.kill("SIGKILL"));
      await child.exited;
      cancel();
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(
    name: string,
    command: readonly string[],
    options: { readonly cwd?: string; readonly env: Readonly<Record<string, string>> },
  ): Bun.Subprocess {
    const log = openSync(this.#logPath(name), "w");
    const child = Bun.spawn([...command], {
      stdio: ["ignore", log, log],
      env: { ...withoutSettings(process.env), ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    closeSync(log);
    this.#running.push(child);
    return child;
  }

  async #untilAnswers(url: string, name: string): Promise<void> {
    const { clock, signal } = this.#options;
    const endMs = clock.monotonicMs() + READY_MS_MAX;
    while (!signal.aborted) {
      if (await answers(url)) return;
      const isRunning = this.#running.at(-1)?.exitCode === null;
      if (!isRunning || clock.monotonicMs() > endMs) {
        throw new StartError("not-ready", `The ${name} does not serve:\n${this.#log(name)}`);
      }
      await waitFor({ clock, signal, msMax: READY_POLL_MS });
    }
  }

  #logPath(name: string): string {
    return join(this.#folder, `${name}.log`);
  }

  #log(name: string): string {
    return readFileSync(this.#logPath(name), "utf8").trim().slice(-LOG_CHARACTERS_MAX);
  }
}

/** Any answer at all. */
async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).body?.cancel();
    return true;
  } catch {
    // Nobody listens yet: asked again by the caller.
    return false;
  }
}

/** The suite is written for Node.js; Bun runs it as well, but for early hints. */
function scriptProgram(): readonly string[] {
  const node = Bun.which("node");
  return node === null ? [process.execPath, "run"] : [node, "--no-warnings"];
}
