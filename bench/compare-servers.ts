/** The servers of a comparison: ours and the peers that the options name, started, watched and ended together. */
import { OptionError, StartError } from "#common/errors.ts";
import type { CompareConfig } from "./compare-config.ts";
import type { BenchContext } from "./context.ts";
import { MAIN } from "./logged-process.ts";
import { ServerProcess, type ServerCommand } from "./server-process.ts";
import { Tally } from "./statistics.ts";

/** Name of the first server in the table. */
const OWN_NAME = "ours";

/**
 * This repository's server role alone. Its encoder cannot be switched off, but it does next to nothing with one frame
 * a second: the peers do not encode, and all of the process's time counts. In a folder of its own it finds no settings.
 * Limits that are off as shipped are on, so that their work is measured, and beyond what a flood reaches.
 */
const OWN_COMMAND = `cd {folder} && exec ${[
  process.execPath,
  MAIN,
  "server",
  "--pixelflut-port={port}",
  "--pixelflut-bind=127.0.0.1",
  "--server-port=0",
  "--fps=1",
  "--x264-preset=ultrafast",
  "--connections-per-prefix=10000",
  "--mbit-per-prefix=1000000",
  "--idle-seconds=3600",
]
  .map((part) => `'${part.replaceAll("'", "'\\''")}'`)
  .join(" ")}`;

/** All servers of a run; each is started when it is first needed, and again when it has ended by itself. */
export class CompareServers implements AsyncDisposable {
  /** Ours first. */
  readonly commands: readonly ServerCommand[];
  readonly #context: BenchContext<CompareConfig>;
  readonly #running = new Map<ServerCommand, ServerProcess>();
  readonly #crashes = new Tally();

  constructor(context: BenchContext<CompareConfig>) {
    const { own, server } = context.config;
    this.#context = context;
    this.commands = [{ name: OWN_NAME, command: own === "" ? OWN_COMMAND : own }, ...server];
    const names = this.commands.map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw new OptionError(`Two servers are called ${twice} (--server)`);
  }

  /** A running server. Throws {@link StartError} where it does not start. */
  async get(command: ServerCommand): Promise<ServerProcess> {
    const present = this.#running.get(command);
    if (present?.isRunning === true) return present;
    if (present !== undefined) {
      this.#crashes.add(command.name);
      await present[Symbol.asyncDispose]();
    }
    const server = await ServerProcess.start(command, this.#context);
    this.#running.set(command, server);
    return server;
  }

  /** Size of the canvas of all of them. Throws {@link StartError} where they differ. */
  async size(): Promise<{ readonly width: number; readonly height: number }> {
    const sizes = new Map<string, { readonly width: number; readonly height: number }>();
    const texts: string[] = [];
    for (const command of this.commands) {
      const size = await (await this.get(command)).size();
      sizes.set(`${size.width} x ${size.height}`, size);
      texts.push(`${command.name} ${size.width} x ${size.height}`);
    }
    const [first] = sizes.values();
    if (first === undefined || sizes.size > 1)
      throw new StartError("sizes-differ", `The canvases differ: ${texts.join(", ")}`);
    return first;
  }

  /** A sentence where servers ended by themselves. */
  get notes(): readonly string[] {
    return this.#crashes.total === 0
      ? []
      : [`Servers that ended by themselves and were started again: ${this.#crashes.toString()}.`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map((server) => server[Symbol.asyncDispose]()));
  }
}
