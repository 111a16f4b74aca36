/**
 * What a load script says: a line of progress a second on standard error, a table on standard output at the end,
 * and the same figures as JSON for whoever compares runs.
 */
import { cpus, totalmem } from "node:os";
import packageJson from "../package.json" with { type: "json" };
import type { Clock } from "#common/clock.ts";
import { MEBIBYTE, msToSeconds } from "#common/units.ts";

/** Time between two lines of progress. */
const PROGRESS_MS = 1_000;

/** One figure of the result. */
export interface Measurement {
  /** Key in the JSON, in camelCase and without its unit. */
  readonly name: string;
  /** What it is, for people. */
  readonly label: string;
  readonly value: number | string;
  /** `Gbit/s`, `ms`, `pixels`; empty for a text. */
  readonly unit: string;
}

/** What a load script found. */
export interface Findings {
  readonly measurements: readonly Measurement[];
  /** What people read instead of a list of the measurements, where there are too many of them. */
  readonly text?: string;
  /** Whatever limits what the figures say, one sentence each. */
  readonly notes: readonly string[];
}

/** Findings with what they were found with. */
export interface Result extends Findings {
  /** Name of the load script. */
  readonly tool: string;
  /** The values of all options. */
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly startedAtMs: number;
  /** True when Ctrl-C ended it before its time. */
  readonly isCutShort: boolean;
}

/** Figures to add to a list of measurements, most often those of one tool. */
export type AddMeasurement = (name: string, label: string, value: number | string, unit?: string) => void;

/** An empty list of measurements and the function that fills it. */
export function collectMeasurements(): {
  readonly measurements: Measurement[];
  readonly add: AddMeasurement;
} {
  const measurements: Measurement[] = [];
  return {
    measurements,
    add(name, label, value, unit = "") {
      measurements.push({ name, label, value, unit });
    },
  };
}

/** The table for people. */
export function renderTable({ tool, isCutShort, measurements, text, notes }: Result): string {
  const title = `bench ${tool}${isCutShort ? " (ended early)" : ""}`;
  return [title, text ?? renderMeasurements(measurements), ...notes.map((note) => `  Note: ${note}`)].join(
    "\n",
  );
}

/** A line for each figure. */
export function renderMeasurements(measurements: readonly Measurement[]): string {
  const rows = measurements.map(({ label, value, unit }) => [label, formatValue(value), unit] as const);
  const labelWidth = Math.max(0, ...rows.map(([label]) => label.length));
  const numberWidth = Math.max(
    0,
    ...measurements.map(({ value }) => (typeof value === "number" ? formatValue(value).length : 0)),
  );
  const lines = rows.map(([label, value, unit]) => {
    const figure = unit === "" ? value : `${value.padStart(numberWidth)} ${unit}`;
    return `  ${label.padEnd(labelWidth)}  ${figure}`.trimEnd();
  });
  return lines.join("\n");
}

/** A table of several columns for people; those of words begin at the left, those of numbers end at the right. */
export function renderColumns(
  rows: readonly (readonly string[])[],
  wordColumns: ReadonlySet<number>,
): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const align = (text: string, column: number): string => {
    const width = widths[column] ?? 0;
    return wordColumns.has(column) ? text.padEnd(width) : text.padStart(width);
  };
  return rows.map((row) => `  ${row.map(align).join("  ")}`.trimEnd()).join("\n");
}

/** The result with everything that is needed to repeat the run. */
export function renderJson(result: Result): string {
  const processors = cpus();
  const results = Object.fromEntries(
    result.measurements.map(({ name, value, unit, label }) => [name, { value, unit, label }]),
  );
  const document = {
    tool: result.tool,
    startedAt: new Date(result.startedAtMs).toISOString(),
    isCutShort: result.isCutShort,
    versions: { spillway: packageJson.version, bun: Bun.version },
    machine: {
      platform: `${process.platform} ${process.arch}`,
      processor: processors[0]?.model ?? "unknown",
      processors: processors.length,
      memoryMib: Math.round(totalmem() / MEBIBYTE),
    },
    parameters: result.parameters,
    results,
    notes: result.notes,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Whole numbers in full, others with three or four digits that count. */
export function formatValue(value: number | string): string {
  if (typeof value === "string") return value;
  if (Number.isInteger(value)) return String(value);
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return value.toFixed(digits);
}

/** Where the lines of a load script go. */
export interface Output {
  /** One line of progress or warning; on a terminal progress overwrites itself. */
  readonly progress: (line: string) => void;
  /** The table. */
  readonly table: (text: string) => void;
}

/** Standard error for progress, standard output for the table. */
export const standardOutput: Output = {
  progress(line) {
    const isTerminal = process.stderr.isTTY;
    process.stderr.write(isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  },
  table(text) {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    process.stdout.write(`${text}\n`);
  },
};

/** Calls `describe` about once a second and prints what it returns behind the time. Returns what ends it. */
export function startProgress(options: {
  readonly clock: Clock;
  readonly output: Output;
  readonly describe: (sinceLastMs: number) => string;
}): () => void {
  const { clock, output, describe } = options;
  const startMs = clock.monotonicMs();
  let lastMs = startMs;
  let cancel: (() => void) | undefined;
  const tick = (): void => {
    const nowMs = clock.monotonicMs();
    output.progress(
      `${msToSeconds(nowMs - startMs)
        .toFixed(1)
        .padStart(6)} s  ${describe(nowMs - lastMs)}`,
    );
    lastMs = nowMs;
    cancel = clock.after(PROGRESS_MS, tick);
  };
  cancel = clock.after(PROGRESS_MS, tick);
  return () => cancel?.();
}
