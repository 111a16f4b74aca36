/**
 * `bench cache-tests`: the tests for HTTP caches of http-tests/cache-tests, from a checkout, against any cache, and the
 * two scores: how many of the tests that every cache has to pass, and of those that a good one does.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { StartError } from "#common/errors.ts";
import type { CacheTestsConfig } from "./cache-tests-config.ts";
import { CacheTestsProcesses } from "./cache-tests-processes.ts";
import type { TestOutcome } from "./cache-tests-runner.ts";
import type { BenchContext } from "./context.ts";
import { collectMeasurements, startProgress, type Findings } from "./report.ts";
import { freePorts } from "./free-ports.ts";

const RUNNER_OF_SUITE = "test-engine/client/runner.mjs";
const SCORED_KINDS = ["required", "optimal"] as const;

/** Runs the suite. Throws StartError where there is none, or nothing to test. */
export async function runCacheTests(context: BenchContext<CacheTestsConfig>): Promise<Findings> {
  const { config, signal } = context;
  const suite = resolve(config.suite);
  if (config.suite === "" || !existsSync(join(suite, RUNNER_OF_SUITE))) {
    throw new StartError("no-suite", `No checkout of http-tests/cache-tests in "${config.suite}" (--suite)`);
  }
  await using processes = new CacheTestsProcesses(context);
  const origin = await processes.startOrigin(suite, config.originPort);
  const [port = 0] = freePorts(1);
  const base = config.base === "" ? await processes.startEdge(origin, port) : config.base.replace(/\/$/, "");
  if (signal.aborted) return { measurements: [], notes: [] };
  const stop = startProgress({ ...context, describe: () => `testing ${base}` });
  const suiteUrl = pathToFileURL(`${suite}/`).href;
  const only = config.only === "" ? [] : config.only.split(",");
  const { together } = config;
  const outcomes = await processes.runSuite({ suiteUrl, base, origin, together, only }).finally(stop);
  return score(outcomes, { isVerbose: config.verbose });
}

/** The two scores, and each test that failed where that is wanted. Tests of `CDN-Cache-Control` are left out. */
export function score(
  outcomes: readonly TestOutcome[],
  { isVerbose }: { readonly isVerbose: boolean },
): Findings {
  const { measurements, add } = collectMeasurements();
  const notes: string[] = [];
  for (const kind of SCORED_KINDS) {
    const scored = outcomes.filter((outcome) => outcome.kind === kind && !outcome.isOfCdn);
    const failed = scored.filter((outcome) => !outcome.isPassed);
    add(`${kind}Passed`, `${kind} tests passed`, scored.length - failed.length);
    add(`${kind}Total`, `${kind} tests in all`, scored.length);
    if (isVerbose) notes.push(...failed.map(({ id, detail }) => `${kind} ${id}: ${detail}`));
  }
  return { measurements, notes };
}
