/** Resident memory of a process over hours: samples, medians of stretches, and how steep they go up. Linux. */
import { readFileSync } from "node:fs";
import { median } from "./statistics.ts";

// proc_pid_status(5)

/** The first part of the time is left out of the slope: caches and windows fill. */
const WARM_UP_SHARE = 0.15;
const MS_PER_HOUR = 3_600_000;

/** Resident memory of a process in bytes; `undefined` where it is gone or there is no /proc. */
export function residentBytes(pid: number): number | undefined {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}

/** One look at a process. */
export interface MemorySample {
  readonly atMs: number;
  readonly bytes: number;
}

/** What samples come to. */
export interface MemoryTrend {
  readonly medianBytes: number;
  readonly maxBytes: number;
  /** Of a straight line through the samples after the warm-up (least squares), as a share of their median an hour. */
  readonly slopePerHour: number;
}

/** The trend of samples in the order of their time; zeros of none. */
export function trendOf(samples: readonly MemorySample[]): MemoryTrend {
  const first = samples[0]?.atMs ?? 0;
  const warmUpMs = ((samples.at(-1)?.atMs ?? 0) - first) * WARM_UP_SHARE;
  const steady = samples.filter(({ atMs }) => atMs - first >= warmUpMs);
  const medianBytes = median(steady.map(({ bytes }) => bytes));
  const meanMs = mean(steady.map(({ atMs }) => atMs));
  const meanBytes = mean(steady.map(({ bytes }) => bytes));
  const spread = steady.reduce((sum, { atMs }) => sum + (atMs - meanMs) ** 2, 0);
  const common = steady.reduce((sum, { atMs, bytes }) => sum + (atMs - meanMs) * (bytes - meanBytes), 0);
  const bytesPerMs = spread === 0 ? 0 : common / spread;
  return {
    medianBytes,
    maxBytes: samples.reduce((max, { bytes }) => Math.max(max, bytes), 0),
    slopePerHour: medianBytes === 0 ? 0 : (bytesPerMs * MS_PER_HOUR) / medianBytes,
  };
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
