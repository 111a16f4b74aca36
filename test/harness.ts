/**
 * What the tests of whole processes share: starting Spillway on free ports in a folder of its own, waiting for
 * conditions, painting, and looking into the running tree. Every process is ended by its pid.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NODE_NAME_VARIABLE } from "#common/supervised-child.ts";
import { freePorts } from "../bench/free-ports.ts";

const MAIN = join(import.meta.dir, "..", "main.ts");
/** Of the fields of /proc/<pid>/stat behind the name: proc(5). */
const STAT_STATE = 0;
const STAT_THREADS = 17;
const POLL_MS = 25;
/** How long a condition may take before the test fails. Generous: shared machines pause. */
const WAIT_MS_MAX = 40_000;

/** Resolves with the first value of `probe` that is neither `undefined` nor `false`; a throwing probe is asked again. */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = WAIT_MS_MAX,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last: unknown = "nothing yet";
  while (performance.now() < deadline) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`Waited in vain for ${what}: ${String(last)}`);
}

/** A folder that is removed with the test. */
export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "spillway-test-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A started `main.ts` and what it printed. */
export class Program implements AsyncDisposable {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  output = "";
  errors = "";
  readonly #reading: Promise<unknown>;

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd?: string) {
    this.process = Bun.spawn([process.execPath, MAIN, ...args], {
      ...(cwd === undefined ? {} : { cwd }),
      // Edges end at once, unless a test says otherwise.
      env: { SPILLWAY_DRAIN_SECONDS: "0", ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#reading = Promise.all([
      this.#read(this.process.stdout, (text) => (this.output += text)),
      this.#read(this.process.stderr, (text) => (this.errors += text)),
    ]);
  }

  async #read(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
  }

  /** Resolves with the exit status once the process has ended and all its output is read. */
  async ended(): Promise<number> {
    const status = await this.process.exited;
    await this.#reading;
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null) this.process.kill("SIGTERM");
    const timer = setTimeout(() => this.process.kill("SIGKILL"), 6_000);
    await this.process.exited;
    clearTimeout(timer);
  }
}

/** Ports of a Spillway under test. */
export interface Ports {
  readonly pixelflut: number;
  readonly server: number;
  readonly origin: number;
  readonly edges: readonly number[];
}

/** A whole `start` on free ports, ready to be watched. */
export class Spillway implements AsyncDisposable {
  readonly ports: Ports;
  readonly program: Program;
  readonly #folder = new TemporaryFolder();
  readonly #edgeScheme: "http" | "https";

  constructor(args: readonly string[] = [], edges = 2) {
    this.#edgeScheme = args.some((arg) => arg.startsWith("--tls-cert=")) ? "https" : "http";
    const [pixelflut = 0, server = 0, origin = 0, ...edgePorts] = freePorts(3 + edges);
    this.ports = { pixelflut, server, origin, edges: edgePorts };
    this.program = new Program([
      "start",
      ...flags({
        "pixelflut-port": pixelflut,
        "server-port": server,
        "origin-port": origin,
        "edge-port": edgePorts[0] ?? 0,
        edges,
        "data-dir": this.#folder.path,
        width: 320,
        height: 180,
      }),
      ...args,
    ]);
  }

  /** Resolves when every edge serves the stream. */
  async ready(): Promise<void> {
    for (const index of this.ports.edges.keys()) {
      await waitFor(`edge ${index + 1} to be ready`, () => {
        if (this.program.process.exitCode !== null) throw new Error(`start ended: ${this.program.errors}`);
        return isOk(`${this.edge(index)}/readyz`);
      });
    }
  }

  edge(index = 0): string {
    return `${this.#edgeScheme}://127.0.0.1:${this.ports.edges[index]}`;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.ports.origin}`;
  }

  get server(): string {
    return `http://127.0.0.1:${this.ports.server}`;
  }

  /** The pid of a child by its name in the log, such as `edge 1`. */
  childPid(name: string): number | undefined {
    return childrenOf(this.program.process.pid).find((pid) => nodeName(pid) === name);
  }

  /** Kills a child outright and resolves when another has taken its place. */
  async killChild(name: string): Promise<void> {
    const old = await waitFor(`${name} to run`, () => this.childPid(name));
    process.kill(old, "SIGKILL");
    await waitFor(`${name} to be restarted`, () => {
      const next = this.childPid(name);
      return next !== undefined && next !== old;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** `{ "edge-port": 1 }` as `["--edge-port=1"]`. */
export function flags(values: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

/** Certificates of tests sign themselves. */
const ANY_CERTIFICATE: BunFetchRequestInit = { tls: { rejectUnauthorized: false } };

export async function isOk(url: string): Promise<boolean> {
  const response = await fetch(url, ANY_CERTIFICATE);
  await response.arrayBuffer();
  return response.ok;
}

export async function getText(url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const response = await fetch(url, { ...ANY_CERTIFICATE, headers });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.text();
}

/** The value of one series in a Prometheus text page; 0 where it is absent. */
export function metric(page: string, series: string): number {
  const line = page.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

/** Sends `text` to a Pixelflut port, ends the sending side, and resolves with all that came back until the server closed. */
export async function paint(port: number, text: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let reply = "";
  let rest: Uint8Array = new TextEncoder().encode(text);
  const send = (socket: Bun.Socket): void => {
    rest = rest.subarray(Math.max(0, socket.write(rest)));
    if (rest.length === 0) socket.shutdown();
  };
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      open: send,
      drain: (socket) => {
        if (rest.length > 0) send(socket);
      },
      data: (_, bytes) => void (reply += decoder.decode(bytes, { stream: true })),
      end: (socket) => void socket.end(),
      close: () => done.resolve(reply),
      error: (_, error) => done.reject(error),
    },
  });
  return done.promise;
}

/** What an HTTP port answers to text that no client here would send, until it closes or `isEnough`. */
export async function rawAnswer(
  port: number,
  request: string,
  isEnough: (answer: string) => boolean = () => false,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let answer = "";
  let rest = Buffer.from(request, "latin1");
  const send = (socket: Bun.Socket): void => {
    rest = rest.subarray(Math.max(0, socket.write(rest)));
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: send,
      drain: send,
      data(_, bytes) {
        answer += bytes.toString("latin1");
        if (isEnough(answer)) resolve();
      },
      close: () => resolve(),
      error: () => resolve(),
    },
  });
  await promise;
  socket.terminate();
  return answer;
}

/** Status of a {@link rawAnswer}; 0 where the connection was closed without one. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0);
}

/** Commands that fill the rectangle from 0,0 with one colour. */
export function block(width: number, height: number, colour: string): string {
  let text = "";
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) text += `PX ${x} ${y} ${colour}\n`;
  }
  return text;
}

/** Direct children of a process. Linux. */
export function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      if (parent === pid) children.push(Number(entry));
    } catch {
      // It ended meanwhile.
    }
  }
  return children;
}

/** Children of a process, and theirs. Linux. */
export function descendantsOf(pid: number): number[] {
  const children = childrenOf(pid);
  return children.concat(children.flatMap(descendantsOf));
}

/** True while a process with this pid runs. A zombie does not, once its last thread has ended: until then it has its sockets. Linux. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[STAT_STATE] !== "Z" || Number(fields[STAT_THREADS]) > 1;
  } catch {
    return false;
  }
}

/** The name that a child's log lines carry. Linux. */
export function nodeName(pid: number): string | undefined {
  return environmentOf(pid, NODE_NAME_VARIABLE);
}

/** A variable of a process's environment, as it was started. Linux. */
export function environmentOf(pid: number, variable: string): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    const entry = environment.find((candidate) => candidate.startsWith(`${variable}=`));
    return entry?.slice(variable.length + 1);
  } catch {
    return undefined;
  }
}
