/**
 * A server without origin and edges, and a flood beside other players: what the tests of players under load share.
 * The flood comes from `::1`, so that it is another player than those from 127.0.0.1.
 */
import { readFileSync } from "node:fs";
import { systemClock } from "#common/clock.ts";
import type { PixelFormat } from "../bench/config.ts";
import { PixelFlood } from "../bench/pixel-flood.ts";
import { buildPatterns } from "../bench/pixel-patterns.ts";
import { median } from "../bench/statistics.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, metric, Program, TemporaryFolder, waitFor } from "./harness.ts";

/** Values of `--receive` that work here. */
export const RECEIVE_PATHS: readonly string[] =
  process.platform === "linux" ? ["epoll", "listen"] : ["listen"];
const FLOOD_HOST = "::1";
/** How long a flood's connections may wait for the answer behind their last command. Milliseconds. */
const FINISH_MS_MAX = 30_000;
/** Over so long a rate is taken. Milliseconds. */
const RATE_WINDOW_MS = 250;
/** Windows of each kind after which two rates are compared, and after which no better ones are hoped for. */
const WINDOWS_MIN = 3;
const WINDOWS_MAX = 12;

/** A started server. */
export class ServerAlone implements AsyncDisposable {
  readonly port: number;
  readonly program: Program;
  readonly #http: number;
  readonly #folder = new TemporaryFolder();

  constructor(options: Readonly<Record<string, string | number>>) {
    const [port = 0, http = 0] = freePorts(2);
    this.port = port;
    this.#http = http;
    this.program = new Program([
      "server",
      ...flags({ "pixelflut-port": port, "server-port": http, "data-dir": this.#folder.path, ...options }),
    ]);
  }

  /** Resolves when players are let in. */
  async ready(): Promise<void> {
    await waitFor("the server to listen", () => {
      if (this.program.process.exitCode !== null) throw new Error(`it ended: ${this.program.errors}`);
      return this.metric("spillway_server_threads");
    });
  }

  async metric(series: string): Promise<number> {
    return metric(await getText(`http://127.0.0.1:${this.#http}/metrics`), series);
  }

  /** Several series of `spillway_server_` by the rest of their names, at one moment. */
  async metrics(names: readonly string[]): Promise<Readonly<Record<string, number>>> {
    const page = await getText(`http://127.0.0.1:${this.#http}/metrics`);
    return Object.fromEntries(names.map((name) => [name, metric(page, `spillway_server_${name}`)]));
  }

  /** Resolves once exactly so many players are connected. */
  async connectionsAre(count: number): Promise<void> {
    await waitFor(
      `${count} connections`,
      async () => (await this.metric("spillway_server_connections")) === count,
    );
  }

  /** Resident memory in kibibytes. Linux. */
  get residentKib(): number {
    const status = readFileSync(`/proc/${this.program.process.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** What a flood sends. */
export interface FloodOptions {
  readonly port: number;
  readonly connections: number;
  readonly format: PixelFormat;
  /** The canvas, or the upper rows of it that are painted. */
  readonly width: number;
  readonly height: number;
}

/** What a flood is compared with itself beside. */
export interface Comparison {
  /** The part of its rate that it should keep. */
  readonly wanted: number;
  /** Windows in a row of each kind. */
  readonly windows: number;
  /** Lets the others begin. */
  begin(): Promise<unknown>;
  /** Ends them. */
  end(): Promise<unknown>;
}

/** Connections that flood from a thread of their own until the end. */
export class Flood implements Disposable {
  readonly connections: number;
  readonly #flood: PixelFlood;

  private constructor(flood: PixelFlood, connections: number) {
    this.#flood = flood;
    this.connections = connections;
  }

  /** Resolves once all are open and some mebibytes are sent. */
  static async start({ port, connections, ...picture }: FloodOptions): Promise<Flood> {
    const patterns = buildPatterns({ ...picture, image: "noise", order: "shuffled", pixels: 0, seed: 1 });
    const target = { host: FLOOD_HOST, port };
    const flood = new Flood(
      await PixelFlood.connect({ target, patterns, connections, threads: 1, sockets: "direct" }, systemClock),
      connections,
    );
    flood.#flood.start();
    await waitFor("the flood to run", () => flood.#flood.totals.sentBytes > 32 * 2 ** 20);
    return flood;
  }

  /** Connections that have failed. */
  get failed(): number {
    return this.#flood.totals.failed;
  }

  /**
   * The flood's rate beside others as a part of its rate alone: medians of rounds that alternate. While it is below
   * `wanted` rounds go on, within bounds, since a busy machine may spoil a few.
   */
  async shareOfRate({ wanted, windows, begin, end }: Comparison): Promise<number> {
    const together: number[] = [];
    const alone: number[] = [];
    let share = 0;
    while (together.length < WINDOWS_MAX && (together.length < WINDOWS_MIN || share < wanted)) {
      await begin();
      together.push(...(await this.#rates(windows)));
      await end();
      alone.push(...(await this.#rates(windows)));
      share = median(together) / median(alone);
    }
    return share;
  }

  /** Ends on whole commands, each connection answered behind its last; how many pixels and bytes that were in all. */
  async finish(): Promise<{ readonly pixels: number; readonly bytes: number }> {
    const { sent } = await this.#flood.finish(FINISH_MS_MAX);
    const failures = sent.filter(({ isConfirmed }) => !isConfirmed).map(({ failure }) => failure);
    if (failures.length > 0) throw new Error(`connections of the flood failed: ${failures.join(", ")}`);
    return {
      pixels: sent.reduce((sum, { pixels }) => sum + pixels, 0),
      bytes: sent.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  [Symbol.dispose](): void {
    this.#flood.close();
  }

  /** Bytes a millisecond that are taken in so many windows from now on. */
  async #rates(windows: number): Promise<number[]> {
    const rates: number[] = [];
    for (let window = 0; window < windows; window += 1) {
      const before = this.#flood.totals.sentBytes;
      const startMs = performance.now();
      await Bun.sleep(RATE_WINDOW_MS);
      rates.push((this.#flood.totals.sentBytes - before) / (performance.now() - startMs));
    }
    return rates;
  }
}
