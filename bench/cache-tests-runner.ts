/**
 * Runs the tests of a checkout of http-tests/cache-tests, in a process of its own and under Node.js where there is one:
 * the suite is written for it, and changes nothing here. `cache-tests.ts` starts it and reads what it leaves.
 *
 * What sets a test up and reads its outcome goes to the suite's origin server itself: a cache need not pass PUT on.
 */
import { writeFile } from "node:fs/promises";

/** What a run is told, as JSON in the environment variable {@link RUN_VARIABLE}. */
export interface SuiteRun {
  /** The checkout, as a file URL that ends in a slash. */
  readonly suiteUrl: string;
  /** Cache under test and the suite's origin server, without a slash at the end. */
  readonly base: string;
  readonly origin: string;
  /** Tests at once. */
  readonly together: number;
  /** Only these tests and those that they depend on. Empty: all. */
  readonly only: readonly string[];
  /** Where the outcomes go, as JSON. */
  readonly outcomePath: string;
}

/** How one test ended. */
export interface TestOutcome {
  readonly id: string;
  readonly name: string;
  /** The suite's own sorting of its tests. */
  readonly kind: "required" | "optimal" | "check";
  /** For caches that read `CDN-Cache-Control`, which is no part of the scores. */
  readonly isOfCdn: boolean;
  /** Whether the test alone passed, and those that it builds on as well. */
  readonly isPassed: boolean;
  /** Why not, in the suite's words. */
  readonly detail: string;
}

export const RUN_VARIABLE = "CACHE_TESTS_RUN";

interface SuiteTest {
  readonly id: string;
  readonly name: string;
  readonly kind?: TestOutcome["kind"];
  readonly browser_only?: boolean;
  readonly cdn_only?: boolean;
  readonly depends_on?: readonly string[];
}

interface SuiteGroup {
  readonly id: string;
  readonly tests: readonly SuiteTest[];
}

/** True for a pass, otherwise the kind of failure and its text. */
type SuiteResults = Readonly<Record<string, true | readonly [string, string] | undefined>>;

const CDN_GROUP = "cdn-cache-control";

async function run({ suiteUrl, base, origin, together, only, outcomePath }: SuiteRun): Promise<void> {
  const { default: all } = (await import(`${suiteUrl}tests/index.mjs`)) as { default: readonly SuiteGroup[] };
  const { runTests, getResults } = (await import(`${suiteUrl}test-engine/client/runner.mjs`)) as {
    runTests: (
      groups: readonly SuiteGroup[],
      isBrowser: boolean,
      base: string,
      together: number,
    ) => Promise<void>;
    getResults: () => SuiteResults;
  };
  const wanted = only.length === 0 ? undefined : withDependencies(all, only);
  const groups = all.map((group) => ({
    id: group.id,
    tests: group.tests.filter(({ id, browser_only: isOfBrowsers }) => {
      return isOfBrowsers !== true && (wanted === undefined || wanted.has(id));
    }),
  }));
  sendSetupTo(origin);
  await runTests(groups, false, base, together);
  await writeFile(outcomePath, JSON.stringify(readOutcomes(groups, getResults())));
}

function withDependencies(groups: readonly SuiteGroup[], ids: readonly string[]): ReadonlySet<string> {
  const byId = new Map(groups.flatMap(({ tests }) => tests.map((test) => [test.id, test] as const)));
  const wanted = new Set<string>();
  const add = (id: string): void => {
    if (wanted.has(id)) return;
    wanted.add(id);
    byId.get(id)?.depends_on?.forEach(add);
  };
  ids.forEach(add);
  return wanted;
}

/** The suite asks by `fetch` with whole URLs, all below one base. */
function sendSetupTo(origin: string): void {
  const plainFetch = globalThis.fetch;
  const routed = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    if (input instanceof Request) return plainFetch(input, init);
    const { pathname } = new URL(input);
    return plainFetch(/^\/(?:config|state)\//.test(pathname) ? `${origin}${pathname}` : input, init);
  };
  globalThis.fetch = Object.assign(routed, plainFetch);
}

function readOutcomes(groups: readonly SuiteGroup[], results: SuiteResults): readonly TestOutcome[] {
  const tests = groups.flatMap((group) => group.tests.map((test) => ({ group, test })));
  const byId = new Map(tests.map(({ test }) => [test.id, test]));
  const failedBelow = ({ depends_on: below = [] }: SuiteTest): string | undefined =>
    below.find((id) => {
      const test = byId.get(id);
      return results[id] !== true || (test !== undefined && failedBelow(test) !== undefined);
    });
  return tests.map(({ group, test }) => {
    const result = results[test.id];
    const below = failedBelow(test);
    return {
      id: test.id,
      name: test.name,
      kind: test.kind ?? "required",
      isOfCdn: group.id === CDN_GROUP || test.cdn_only === true,
      isPassed: result === true && below === undefined,
      detail: below === undefined ? describe(result) : `builds on ${below}`,
    };
  });
}

function describe(result: SuiteResults[string]): string {
  if (result === true) return "";
  return result === undefined ? "did not run" : result.join(": ");
}

const text = process.env[RUN_VARIABLE];
// The parent writes it; imported for its types, this file does nothing.
if (text !== undefined) await run(JSON.parse(text) as SuiteRun);
