/**
 * Entry of the load scripts, such as `bench pixels`. Each takes its flags, runs until its time
 * is over or Ctrl-C, and prints what it measured. They speak only the public protocols, to any host;
 * `compare` also starts the servers that it floods.
 */
import { systemClock } from "#common/clock.ts";
import { readFlagConfig, wantsHelp } from "#common/config.ts";
import { EXIT_STATUS, OptionError, StartError } from "#common/errors.ts";
import { renderHelp, wrap } from "#common/option-docs.ts";
import type { ConfigOf, OptionSet } from "#common/options.ts";
import type { BenchContext } from "./context.ts";
import { cacheTestsOptions } from "./cache-tests-config.ts";
import { cacheOptions } from "./cache-config.ts";
import { compareOptions } from "./compare-config.ts";
import { encodeOptions } from "./encode-config.ts";
import {
  checkOptions,
  heldOptions,
  latencyOptions,
  pixelsOptions,
  soakOptions,
  viewersOptions,
} from "./config.ts";
import { relayOptions } from "./relay-config.ts";
import { playersOptions } from "./players-config.ts";
import { renderJson, renderTable, standardOutput, type Findings } from "./report.ts";

type Surroundings = Omit<BenchContext<unknown>, "config">;

interface Tool {
  readonly summary: string;
  readonly options: OptionSet;
  /** Reads the flags at once, so that a wrong one throws here, and returns what starts the run. */
  readonly prepare: (args: readonly string[]) => {
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly run: (surroundings: Surroundings) => Promise<Findings>;
  };
}

/** The load scripts by name. */
export const tools: Readonly<Record<string, Tool>> = {
  pixels: tool(pixelsOptions, {
    summary:
      "Floods a Pixelflut server over TCP and reports what it took, to the byte: each connection ends on a whole command and waits until the server has answered behind it.",
    load: async () => (await import("./pixels.ts")).runPixels,
  }),
  compare: tool(compareOptions, {
    summary:
      "Starts our server and any given ones, floods them in alternation, and prints medians and ratios of throughput and of the servers' processor time. Servers run on this machine; on Linux only their processor time is known.",
    load: async () => (await import("./compare.ts")).runCompare,
  }),
  viewers: tool(viewersOptions, {
    summary:
      "Plays HLS with many players that fetch as real ones do and do not decode: requests, errors, stalls, and how late playlists and parts arrive.",
    load: async () => (await import("./viewers.ts")).runViewers,
  }),
  held: tool(heldOptions, {
    summary:
      "Has many players wait for the next part of a Low-Latency HLS playlist and ask again at once, as players do: how long after its publication each has it, whether it missed any, and what that costs the server. Linux.",
    load: async () => (await import("./held.ts")).runHeld,
  }),
  cache: tool(cacheOptions, {
    summary:
      "Measures a cache before an origin of its own: one origin request for many readers, readers who join, leave and stall, an origin that fails and dies, held playlists; and hits for a second of the cache's processor time, also against another cache.",
    load: async () => (await import("./cache.ts")).runCache,
  }),
  check: tool(checkOptions, {
    summary:
      "Checks a live stream by the rules of HLS and Low-Latency HLS: every answer, every listed file, every version of the playlists for a while. Prints each rule that is broken, with its number.",
    load: async () => (await import("./check.ts")).runCheck,
  }),
  soak: tool(soakOptions, {
    summary:
      "Starts our server and origin, plays with many players for an hour while the server is killed and stopped at random, follows the playlists by all rules, and watches the origin's memory.",
    load: async () => (await import("./soak.ts")).runSoak,
  }),
  relay: tool(relayOptions, {
    summary:
      "Reads an endless MPEG-TS stream with many viewers and checks each packet's continuity, the start of the stream, gaps and fairness.",
    load: async () => (await import("./relay.ts")).runRelay,
  }),
  latency: tool(latencyOptions, {
    summary:
      "Paints a block in alternating colours and measures, in Chromium on the viewer page or another player, the time from the last byte sent to the video frame that shows it.",
    load: async () => (await import("./latency.ts")).runLatency,
  }),
  players: tool(playersOptions, {
    summary:
      "Has ffmpeg, ffplay, GStreamer and, in Chromium, hls.js, Shaka and the browser itself play both playlists of a stream, and tells who plays, how evenly, and what each complains of.",
    load: async () => (await import("./players.ts")).runPlayers,
  }),
  "cache-tests": tool(cacheTestsOptions, {
    summary:
      "Runs the tests for HTTP caches of a checkout of http-tests/cache-tests against an edge of its own or any other cache, and tells how many of the required and of the optimal ones pass.",
    load: async () => (await import("./cache-tests.ts")).runCacheTests,
  }),
  encode: tool(encodeOptions, {
    summary:
      "Encodes made-up canvases with the server's encoder and with the ffmpeg program, with the same settings of x264, in alternation: processor time, bits, SSIM and PSNR.",
    load: async () => (await import("./encode.ts")).runEncode,
  }),
};

function tool<Set extends OptionSet>(
  options: Set,
  about: {
    readonly summary: string;
    readonly load: () => Promise<(context: BenchContext<ConfigOf<Set>>) => Promise<Findings>>;
  },
): Tool {
  return {
    summary: about.summary,
    options,
    prepare(args) {
      const config = readFlagConfig(options, args);
      return {
        parameters: config,
        async run(surroundings) {
          const run = await about.load();
          return run({ ...surroundings, config });
        },
      };
    },
  };
}

/**
 * Runs the load script that the first argument names. SIGINT and SIGTERM end it early; it still prints what it
 * measured. A second signal ends the process.
 *
 * @param args what stands behind `bench` on the command line
 * @throws OptionError for an unknown tool or a wrong flag; StartError where there is nothing to measure
 */
export async function main(args: readonly string[]): Promise<void> {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT_STATUS.failed);
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    await runBench(args, { signal: controller.signal, clock: systemClock, output: standardOutput });
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

/** As {@link main}, with its surroundings as arguments. */
export async function runBench(args: readonly string[], surroundings: Surroundings): Promise<void> {
  const { output, clock, signal } = surroundings;
  const [name = "", ...flags] = args;
  if (name === "--help" || name === "-h" || name === "help") {
    output.table(usage());
    return;
  }
  const chosen = Object.hasOwn(tools, name) ? tools[name] : undefined;
  if (chosen === undefined) {
    const problem = name === "" ? "Which load script?" : `Unknown load script: ${name}`;
    throw new OptionError(`${problem} (one of ${Object.keys(tools).join(", ")}; bench --help)`);
  }
  if (wantsHelp(flags)) {
    const { summary, options } = chosen;
    output.table(
      renderHelp({ usage: `bun run bench -- ${name} [options]`, summary, options, isFlagsOnly: true }),
    );
    return;
  }
  const { parameters, run } = chosen.prepare(flags);
  const path = parameters["json"];
  const jsonPath = typeof path === "string" && path !== "" ? path : undefined;
  // Before the run: nobody wants to hear of it after a day of measuring.
  if (jsonPath !== undefined) await writeJson(jsonPath, "");
  const startedAtMs = clock.wallMs();
  const findings = await run(surroundings);
  const result = { ...findings, tool: name, parameters, startedAtMs, isCutShort: signal.aborted };
  output.table(renderTable(result));
  if (jsonPath !== undefined) await writeJson(jsonPath, renderJson(result));
}

async function writeJson(path: string, text: string): Promise<void> {
  try {
    await Bun.write(path, text);
  } catch (error) {
    throw new StartError("cannot-write", `Cannot write ${path} (--json)`, { cause: error });
  }
}

function usage(): string {
  return [
    "Usage: bun run bench -- <script> [options]",
    "",
    ...Object.entries(tools).flatMap(([name, { summary }]) => [`  ${name}`, wrap(summary)]),
    "",
    "<script> --help lists its options. Progress goes to standard error, the result to standard output;",
    "--json <file> keeps it. Ctrl-C ends a run early and still prints what was measured.",
    "Point them only at hosts that you may load.",
  ].join("\n");
}
