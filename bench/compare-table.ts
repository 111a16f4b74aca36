/** The result of `bench compare` as a table for people and as figures for the JSON. */
import { LOADS, type LoadName } from "./compare-loads.ts";
import { formatValue, renderColumns, type AddMeasurement } from "./report.ts";
import { median } from "./statistics.ts";

/** What one server did in one window of a flood. */
export interface WindowResult {
  readonly bitsPerSecond: number;
  /** Pixels set: 0 where the load sets none, `undefined` where not every connection was answered at the end. */
  readonly pixelsPerSecond: number | undefined;
  /** Processor time of the server per gigabyte (10^9 bytes) sent; `undefined` where /proc does not tell, or of no byte. */
  readonly serverSecondsPerGigabyte: number | undefined;
  /** The same of this script. */
  readonly clientSecondsPerGigabyte: number | undefined;
  /** False where a connection was not answered at the end: then the figures are of what was sent, not of what was read. */
  readonly isConfirmed: boolean;
  /** `3 closed by the server`, or `none`. */
  readonly failures: string;
}

/** All windows of one server under one load with one number of connections. */
export interface Cell {
  readonly load: LoadName;
  readonly connections: number;
  readonly server: string;
  readonly windows: readonly WindowResult[];
}

/** Medians over the windows of a cell. */
interface Medians {
  readonly gigabits: number;
  readonly megapixels: number;
  readonly serverSeconds: number;
  readonly clientSeconds: number;
}

function mediansOf({ windows }: Cell): Medians {
  const of = (value: (window: WindowResult) => number | undefined): number => {
    const known = windows.map(value).filter((each) => each !== undefined);
    return known.length === 0 ? Number.NaN : median(known);
  };
  return {
    gigabits: of(({ bitsPerSecond }) => bitsPerSecond) / 1e9,
    megapixels: of(({ pixelsPerSecond }) => pixelsPerSecond) / 1e6,
    serverSeconds: of(({ serverSecondsPerGigabyte }) => serverSecondsPerGigabyte),
    clientSeconds: of(({ clientSecondsPerGigabyte }) => clientSecondsPerGigabyte),
  };
}

const COLUMNS = [
  "load",
  "conns",
  "server",
  "Gbit/s",
  "Mpx/s",
  "s/GB",
  "client",
  "Gbit/s ratio",
  "s/GB ratio",
];
/** Columns of words; the others are numbers. */
const TEXT_COLUMNS = new Set([0, 2]);

/**
 * One line for each cell; behind a peer's figures the ratios of the first server's to its. A peer's line of a load
 * that has a base is followed by one with its figures under that base.
 */
export function renderCells(cells: readonly Cell[]): string {
  const rows: (readonly string[])[] = [COLUMNS];
  for (const cell of cells) {
    const own = cells.find((other) => isSameFlood(other, cell, cell.load));
    const isOwn = own === cell;
    rows.push(renderRow(cell, isOwn ? undefined : own, isOwn));
    const { base } = LOADS[cell.load];
    if (isOwn || base === undefined) continue;
    const based = cells.find((other) => isSameFlood(other, cell, base) && other.server === cell.server);
    if (based !== undefined)
      rows.push(renderRow({ ...based, server: `${based.server}, ${base}` }, own, false));
  }
  return renderColumns(rows, TEXT_COLUMNS);
}

function isSameFlood(other: Cell, cell: Cell, load: LoadName): boolean {
  return other.load === load && other.connections === cell.connections;
}

function renderRow(cell: Cell, own: Cell | undefined, isHead: boolean): readonly string[] {
  const medians = mediansOf(cell);
  const owns = own === undefined ? undefined : mediansOf(own);
  const isConfirmed = cell.windows.every((window) => window.isConfirmed);
  return [
    isHead ? cell.load : "",
    isHead ? String(cell.connections) : "",
    isConfirmed ? cell.server : `${cell.server} *`,
    formatValue(medians.gigabits),
    medians.megapixels === 0 ? "-" : formatValue(medians.megapixels),
    formatValue(medians.serverSeconds),
    formatValue(medians.clientSeconds),
    owns === undefined ? "" : formatRatio(owns.gigabits / medians.gigabits),
    owns === undefined ? "" : formatRatio(owns.serverSeconds / medians.serverSeconds),
  ];
}

function formatRatio(ratio: number): string {
  return Number.isFinite(ratio) ? ratio.toFixed(2) : "-";
}

/** The same for the JSON: medians, and the values of all windows in their order. */
export function addCells(add: AddMeasurement, cells: readonly Cell[]): void {
  for (const cell of cells) {
    const { load, connections, server, windows } = cell;
    const key = `${load}.${connections}.${server}`;
    const medians = mediansOf(cell);
    const list = (value: (window: WindowResult) => number): string =>
      windows.map((window) => formatValue(value(window))).join(" ");
    add(`${key}.throughput`, "throughput, median", medians.gigabits, "Gbit/s");
    add(
      `${key}.throughputs`,
      "throughput of each round",
      list(({ bitsPerSecond }) => bitsPerSecond / 1e9),
      "Gbit/s",
    );
    add(`${key}.pixelRate`, "pixels set, median", medians.megapixels, "Mpx/s");
    add(`${key}.serverCpu`, "processor time of the server, median", medians.serverSeconds, "s/GB");
    add(
      `${key}.serverCpus`,
      "processor time of the server in each round",
      list(({ serverSecondsPerGigabyte }) => serverSecondsPerGigabyte ?? Number.NaN),
      "s/GB",
    );
    add(`${key}.clientCpu`, "processor time of this script, median", medians.clientSeconds, "s/GB");
  }
}

/** What failed in which cell, one sentence each. */
export function notesOnCells(cells: readonly Cell[]): readonly string[] {
  return cells.flatMap(({ load, connections, server, windows }) => {
    const failed = windows.filter(({ failures }) => failures !== "none");
    if (failed.length === 0) return [];
    const example = failed[0]?.failures ?? "";
    return [
      `${load}, ${connections} connections, ${server}: in ${failed.length} of ${windows.length} rounds ${example}.`,
    ];
  });
}
