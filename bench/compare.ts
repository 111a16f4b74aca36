/**
 * `bench compare`: floods this repository's server and any given peers in alternation, in one run on one machine, and
 * prints medians and ratios. A window is counted from its first byte until the last connection was answered behind
 * its last command, so every byte that is counted was worked off in it.
 */
import { LOADS, type LoadName } from "./compare-loads.ts";
import type { CompareConfig } from "./compare-config.ts";
import { CompareServers } from "./compare-servers.ts";
import { addCells, notesOnCells, renderCells, type Cell, type WindowResult } from "./compare-table.ts";
import { runWindow } from "./compare-window.ts";
import type { BenchContext } from "./context.ts";
import { buildPatterns, type Pattern } from "./pixel-patterns.ts";
import { collectMeasurements, formatValue, type Findings } from "./report.ts";
import type { ServerCommand } from "./server-process.ts";

/** Longest wait for a server's answers at the end of a window. Milliseconds. */
const FINISH_MS_MAX = 5_000;
/** Runs the comparison. Throws StartError where a server does not start. */
export async function runCompare(context: BenchContext<CompareConfig>): Promise<Findings> {
  const { config, signal } = context;
  await using servers = new CompareServers(context);
  const { width, height } = await servers.size();
  const cells: Cell[] = [];
  for (const load of config.loads.flat()) {
    const { format, order, connections: fixed } = LOADS[load];
    const { seed, pixels } = config;
    const patterns = buildPatterns({ width, height, format, order, image: "noise", seed, pixels });
    for (const connections of fixed === undefined ? config.connections.flat() : [fixed]) {
      if (signal.aborted) break;
      cells.push(...(await compareOnce(context, servers, { load, patterns, connections })));
    }
  }
  const { measurements, add } = collectMeasurements();
  addCells(add, cells);
  const text = cells.length === 0 ? "  nothing was measured" : renderCells(cells);
  return { measurements, text, notes: [...notesOnCells(cells), ...servers.notes, ...EXPLANATIONS] };
}

const EXPLANATIONS = [
  "s/GB is the processor time of the server's whole process tree for 10^9 bytes, client that of this script. Ratios are ours to the peer's.",
  "* marks a server that did not answer every connection at the end: its figures are of what was sent until its last answer, and some of that may not have been read.",
] as const;

interface Flood {
  readonly load: LoadName;
  readonly patterns: readonly Pattern[];
  readonly connections: number;
}

/** Warms every server up with the load, then measures all in turn, round by round. */
async function compareOnce(
  context: BenchContext<CompareConfig>,
  servers: CompareServers,
  flood: Flood,
): Promise<readonly Cell[]> {
  const { config, signal, output } = context;
  const windows = new Map<ServerCommand, WindowResult[]>(servers.commands.map((command) => [command, []]));
  for (let round = 0; round <= config.rounds && !signal.aborted; round += 1) {
    for (let turn = 0; turn < servers.commands.length && !signal.aborted; turn += 1) {
      // Each round begins with another server: whatever a place in the row does, it does to all of them.
      const command = servers.commands[(turn + round) % servers.commands.length];
      if (command === undefined) continue;
      const isWarmUp = round === 0;
      const seconds = isWarmUp ? config.warmUpSeconds : config.seconds;
      if (seconds === 0) continue;
      const server = await servers.get(command);
      const window = await runWindow(
        { target: server.target, cpuSeconds: () => server.cpuSeconds() },
        {
          ...flood,
          ...config,
          ...context,
          connections: flood.connections,
          seconds,
          finishMsMax: FINISH_MS_MAX,
        },
      );
      if (!isWarmUp && !signal.aborted) windows.get(command)?.push(window);
      const rate = `${formatValue(window.bitsPerSecond / 1e9)} Gbit/s`;
      const what = isWarmUp ? "warm-up" : `round ${round} of ${config.rounds}`;
      output.progress(`${flood.load}, ${flood.connections} connections, ${what}: ${command.name} ${rate}`);
    }
  }
  return [...windows]
    .filter(([, results]) => results.length > 0)
    .map(([{ name }, results]) => ({
      load: flood.load,
      connections: flood.connections,
      server: name,
      windows: results,
    }));
}
