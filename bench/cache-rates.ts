/**
 * The rates of `bench cache`: hits a second for each second of the cache's processor time, of one cache or of two in
 * alternation, round by round, so that whatever the machine does meanwhile it does to both.
 */
import type { CacheConfig } from "./cache-config.ts";
import type { CacheLoad } from "./cache-objects.ts";
import { runLoadWindow, type LoadWindow } from "./cache-load.ts";
import type { BenchContext } from "./context.ts";
import { formatValue, renderColumns, type AddMeasurement } from "./report.ts";
import { median } from "./statistics.ts";

/** The windows of one cache and object. */
export interface RateCell {
  readonly load: CacheLoad;
  readonly cache: "measured" | "against";
  readonly windows: readonly LoadWindow[];
}

interface Side {
  readonly cache: RateCell["cache"];
  readonly url: string;
  readonly pid: number;
}

/** Measures all loads of the one cache or both. The objects at `pathOf` are in them already. */
export async function runRates(
  context: BenchContext<CacheConfig>,
  pathOf: (load: CacheLoad) => string,
): Promise<readonly RateCell[]> {
  const { config, signal, output } = context;
  const sides: Side[] = [{ cache: "measured", url: config.url, pid: config.pid }];
  if (config.against !== "") sides.push({ cache: "against", url: config.against, pid: config.againstPid });
  const cells: RateCell[] = [];
  for (const load of config.loads.flat()) {
    const windows = new Map<Side, LoadWindow[]>(sides.map((side) => [side, []]));
    for (let round = 1; round <= config.rounds && !signal.aborted; round++) {
      // The first of a round takes turns as well.
      for (const side of round % 2 === 1 ? sides : sides.toReversed()) {
        if (signal.aborted) break;
        const { url, pid } = side;
        const plan = { ...config, pid, isInsecure: config.insecure, url: new URL(pathOf(load), url).href };
        const window = await runLoadWindow(plan, context);
        if (!signal.aborted) windows.get(side)?.push(window);
        output.progress(
          `${load}, round ${round} of ${config.rounds}: ${side.cache} ${Math.round(window.answersPerSecond)} hits/s`,
        );
      }
    }
    for (const side of sides) cells.push({ load, cache: side.cache, windows: windows.get(side) ?? [] });
  }
  return cells;
}

/** Medians over the windows of a cell; NaN of what is not known. */
function mediansOf({ windows }: RateCell) {
  const of = (value: (window: LoadWindow) => number | undefined): number => {
    const known = windows.map(value).filter((each) => each !== undefined);
    return known.length === 0 ? Number.NaN : median(known);
  };
  return {
    rate: of(({ answersPerSecond }) => answersPerSecond),
    cpuRate: of(({ answersPerCpuSecond }) => answersPerCpuSecond),
    cores: of(({ cores }) => cores),
    p99Ms: of(({ p99Ms }) => p99Ms),
    megabytes: Math.max(0, ...windows.map((window) => window.residentBytes ?? 0)) / 1e6,
  };
}

const COLUMNS = ["object", "cache", "hits/s", "hits/CPU s", "ratio", "cores", "p99 ms", "memory MB"];
const WORD_COLUMNS = new Set([0, 1]);

/** A line for each object and cache; behind the other cache's figures the ratio of the measured one's to its. */
export function renderRates(cells: readonly RateCell[]): string {
  const rows = cells.map((cell) => {
    const { rate, cpuRate, cores, p99Ms, megabytes } = mediansOf(cell);
    const own = cells.find(({ load, cache }) => load === cell.load && cache === "measured");
    const ratio = own === undefined || own === cell ? Number.NaN : mediansOf(own).cpuRate / cpuRate;
    return [
      cell.cache === "measured" ? cell.load : "",
      cell.cache,
      formatValue(Math.round(rate)),
      formatValue(Math.round(cpuRate)),
      Number.isNaN(ratio) ? "" : ratio.toFixed(2),
      formatValue(cores),
      formatValue(p99Ms),
      megabytes === 0 ? "-" : formatValue(Math.round(megabytes)),
    ];
  });
  return renderColumns([COLUMNS, ...rows], WORD_COLUMNS);
}

/** The same for the JSON, with the values of all windows in their order. */
export function addRates(add: AddMeasurement, cells: readonly RateCell[]): void {
  for (const cell of cells) {
    const key = `${cell.load}.${cell.cache}`;
    const { rate, cpuRate, cores, p99Ms, megabytes } = mediansOf(cell);
    const list = (value: (window: LoadWindow) => number): string =>
      cell.windows.map((window) => formatValue(value(window))).join(" ");
    add(`${key}.rate`, "hits a second, median", rate, "hits/s");
    add(`${key}.cpuRate`, "hits for a second of processor time, median", cpuRate, "hits/s");
    add(
      `${key}.cpuRates`,
      "hits for a second of processor time in each round",
      list(({ answersPerCpuSecond }) => answersPerCpuSecond ?? Number.NaN),
      "hits/s",
    );
    add(`${key}.cores`, "processor time of the cache, median", cores, "cores");
    add(`${key}.p99`, "99 of 100 answers take at most, median", p99Ms, "ms");
    add(`${key}.memory`, "memory of the process, greatest", megabytes, "MB");
  }
}

/** What failed in which cell, one sentence each. */
export function notesOnRates(cells: readonly RateCell[]): readonly string[] {
  return cells.flatMap(({ load, cache, windows }) => {
    const failed = windows.filter(({ failures }) => failures !== "none");
    if (failed.length === 0) return [];
    return [
      `${load}, ${cache}: in ${failed.length} of ${windows.length} rounds ${failed[0]?.failures ?? ""}.`,
    ];
  });
}
