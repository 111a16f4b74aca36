/**
 * One window of a rate: connections that ask a cache for one object again and again, by the program wrk or by this
 * script's own connections, and what that cost the cache's process.
 */
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";
import { HttpClient, HttpContext } from "./http-client.ts";
import { HttpFailure } from "./http-connection.ts";
import { cpuSeconds, residentBytes } from "./process-cpu.ts";
import { Distribution, Tally } from "./statistics.ts";

/** Longest time for one answer. Milliseconds. */
const ANSWER_MS_MAX = 10_000;

/** What asks. */
export const LOADERS = ["wrk", "own"] as const;
export type Loader = (typeof LOADERS)[number];

/** What to ask for, and how. */
export interface LoadPlan {
  readonly url: string;
  readonly loader: Loader;
  readonly connections: number;
  readonly seconds: number;
  /** Process of the cache; 0 for none. */
  readonly pid: number;
  readonly isInsecure: boolean;
}

/** What one window brought. */
export interface LoadWindow {
  readonly answersPerSecond: number;
  /** For each second of the cache's processor time; `undefined` where that is not known. */
  readonly answersPerCpuSecond: number | undefined;
  /** Share of one core. */
  readonly cores: number | undefined;
  readonly p99Ms: number;
  /** Memory of the cache's process at the end. */
  readonly residentBytes: number | undefined;
  /** `3 status 503`, or `none`. */
  readonly failures: string;
}

/** What a loader counted. */
interface Counted {
  readonly answers: number;
  readonly seconds: number;
  readonly p99Ms: number;
  readonly failures: string;
}

/** Runs one window. */
export async function runLoadWindow(
  plan: LoadPlan,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<LoadWindow> {
  const { pid } = plan;
  const before = pid === 0 ? undefined : cpuSeconds(pid);
  const startMs = clock.monotonicMs();
  const counted = plan.loader === "wrk" ? await runWrk(plan, signal) : await runOwn(plan, { clock, signal });
  const after = pid === 0 ? undefined : cpuSeconds(pid);
  const elapsedSeconds = msToSeconds(clock.monotonicMs() - startMs);
  const used = before === undefined || after === undefined ? undefined : after - before;
  return {
    answersPerSecond: counted.answers / counted.seconds,
    answersPerCpuSecond: used === undefined || used === 0 ? undefined : counted.answers / used,
    cores: used === undefined ? undefined : used / elapsedSeconds,
    p99Ms: counted.p99Ms,
    residentBytes: pid === 0 ? undefined : residentBytes(pid),
    failures: counted.failures,
  };
}

async function runWrk({ url, connections, seconds }: LoadPlan, signal: AbortSignal): Promise<Counted> {
  // wrk takes whole seconds.
  const wholeSeconds = Math.max(1, Math.round(seconds));
  const args = ["-t1", `-c${connections}`, `-d${wholeSeconds}s`, "--latency", url];
  const wrk = Bun.spawn(["wrk", ...args], { stdio: ["ignore", "pipe", "pipe"], signal });
  const [output, complaint] = await Promise.all([
    new Response(wrk.stdout).text(),
    new Response(wrk.stderr).text(),
    wrk.exited,
  ]);
  const counted = readWrk(output);
  if (counted === undefined)
    throw new StartError("no-answer", `Cannot measure ${url} with wrk: ${complaint.trim()}`);
  return counted;
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

/** Reads what wrk prints; `undefined` where that is no result. */
export function readWrk(output: string): Counted | undefined {
  const [, answers, time, unit = ""] = /(\d+) requests in ([\d.]+)(us|ms|s|m),/.exec(output) ?? [];
  const [, latency, latencyUnit = ""] = /^\s*99%\s+([\d.]+)(us|ms|s|m)$/m.exec(output) ?? [];
  if (answers === undefined || time === undefined) return undefined;
  const failures = new Tally();
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1];
  if (refused !== undefined) failures.add("other status", Number(refused));
  const errors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)?.slice(1) ?? [];
  for (const [index, kind] of ["connect", "read", "write", "timeout"].entries()) {
    const count = Number(errors[index] ?? 0);
    if (count > 0) failures.add(kind, count);
  }
  return {
    answers: Number(answers),
    seconds: msToSeconds(Number(time) * (UNIT_MS[unit] ?? Number.NaN)),
    p99Ms: Number(latency ?? Number.NaN) * (UNIT_MS[latencyUnit] ?? Number.NaN),
    failures: failures.toString(),
  };
}

async function runOwn(
  plan: LoadPlan,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Counted> {
  const context = new HttpContext({ clock, isInsecure: plan.isInsecure });
  const clients = Array.from({ length: plan.connections }, () => new HttpClient(context));
  const latencies = new Distribution();
  const failures = new Tally();
  const startMs = clock.monotonicMs();
  const endMs = startMs + secondsToMs(plan.seconds);
  const ask = async (client: HttpClient): Promise<void> => {
    while (clock.monotonicMs() < endMs && !signal.aborted) {
      const askedMs = clock.monotonicMs();
      try {
        const { status } = await client.get(plan.url, { msMax: ANSWER_MS_MAX });
        latencies.add(clock.monotonicMs() - askedMs);
        if (status !== 200) failures.add(`status ${status}`);
      } catch (error) {
        if (!(error instanceof HttpFailure)) throw error;
        failures.add(error.kind);
        // Whoever refuses connections would be asked without a pause.
        return;
      }
    }
  };
  try {
    await Promise.all(clients.map(ask));
  } finally {
    for (const client of clients) client.close();
    context.close();
  }
  const seconds = msToSeconds(clock.monotonicMs() - startMs);
  return {
    answers: latencies.count,
    seconds,
    p99Ms: latencies.percentile(0.99),
    failures: failures.toString(),
  };
}
