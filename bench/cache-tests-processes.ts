/** What `bench cache-tests` starts: the suite's origin server, its tests, and an edge where no cache is given. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { RUN_VARIABLE, type SuiteRun, type TestOutcome } from "./cache-tests-runner.ts";
import { LoggedProcess, type LoggedProcessOptions, MAIN } from "./logged-process.ts";
import { waitFor } from "./wait.ts";

const RUNNER = join(import.meta.dir, "cache-tests-runner.ts");
/** Addresses of the suite's server and of the edge. */
const HOST = "127.0.0.1";
const READY_MS_MAX = 30_000;
const READY_POLL_MS = 100;

export interface CacheTestsProcessesOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Everything that is started, in a folder of its own that is removed at the end. */
export class CacheTestsProcesses implements AsyncDisposable {
  readonly #options: CacheTestsProcessesOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "spillway-cache-tests-"));
  readonly #running: LoggedProcess[] = [];

  constructor(options: CacheTestsProcessesOptions) {
    this.#options = options;
  }

  /** Makes sure that the suite's origin server listens on a port of this machine, and returns its URL. */
  async startOrigin(suite: string, port: number): Promise<string> {
    const url = `http://${HOST}:${port}`;
    if (await answers(url)) return url;
    const command = [...scriptProgram(), join(suite, "test-engine/server/server.mjs")];
    const server = this.#spawn("origin", command, {
      cwd: suite,
      env: {
        npm_config_protocol: "http",
        npm_config_port: String(port),
        npm_config_pidfile: join(this.#folder, "origin.pid"),
      },
    });
    await this.#untilAnswers(url, { name: "origin", server });
    return url;
  }

  /** Starts an edge as a plain caching proxy and returns its URL. */
  async startEdge(upstream: string, port: number): Promise<string> {
    const url = `http://${HOST}:${port}`;
    const flags = ["--proxy-all", "--upstream", upstream, "--edge-port", String(port), "--edge-bind", HOST];
    const server = this.#spawn("edge", [process.execPath, MAIN, "edge", ...flags], { cwd: this.#folder });
    await this.#untilAnswers(`${url}/healthz`, { name: "edge", server });
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
    const stop = (): void => tests.kill("SIGTERM");
    this.#options.signal.addEventListener("abort", stop);
    const status = await tests.exited;
    this.#options.signal.removeEventListener("abort", stop);
    if (this.#options.signal.aborted) return [];
    if (status !== 0) throw new StartError("suite-failed", `The suite did not run:\n${tests.printed}`);
    return JSON.parse(readFileSync(outcomePath, "utf8")) as readonly TestOutcome[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running.toReversed()) await child[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(
    name: string,
    command: readonly string[],
    options: Pick<LoggedProcessOptions, "cwd" | "env">,
  ): LoggedProcess {
    const logPath = join(this.#folder, `${name}.log`);
    const child = new LoggedProcess({ command, logPath, clock: this.#options.clock, ...options });
    this.#running.push(child);
    return child;
  }

  async #untilAnswers(
    url: string,
    { name, server }: { readonly name: string; readonly server: LoggedProcess },
  ): Promise<void> {
    const { clock, signal } = this.#options;
    const endMs = clock.monotonicMs() + READY_MS_MAX;
    while (!signal.aborted) {
      if (await answers(url)) return;
      if (!server.isRunning || clock.monotonicMs() > endMs) {
        throw new StartError("not-ready", `The ${name} does not serve:\n${server.printed}`);
      }
      await waitFor({ clock, signal, msMax: READY_POLL_MS });
    }
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
