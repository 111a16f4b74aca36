/** `bench cache-tests` with a suite of a few lines, laid out as the real one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { readFlagConfig } from "#common/config.ts";
import { cacheTestsOptions } from "./cache-tests-config.ts";
import { runCacheTests, score } from "./cache-tests.ts";
import type { TestOutcome } from "./cache-tests-runner.ts";
import { freePorts } from "./free-ports.ts";

const FILES = {
  "tests/index.mjs": `export default [
    { id: "one", tests: [
      { id: "basis", name: "Basis", kind: "check" },
      { id: "broken", name: "Broken", kind: "check" },
      { id: "good", name: "Good", depends_on: ["basis"] },
      { id: "above", name: "Above", depends_on: ["broken"] },
      { id: "best", name: "Best", kind: "optimal" },
      { id: "browser", name: "Browser", browser_only: true },
    ] },
    { id: "cdn-cache-control", tests: [{ id: "cdn", name: "Cdn" }] },
  ]`,
  // Sets up by PUT, which only the origin takes, and asks the cache.
  "test-engine/client/runner.mjs": `const results = {};
    export async function runTests (groups, isBrowser, base) {
      for (const { tests } of groups) for (const { id } of tests) {
        const put = await fetch(base + "/config/" + id, { method: "PUT", body: id });
        const answer = await fetch(base + "/test/" + id);
        const isOfCache = answer.headers.has("cache-status") || await answer.text() === "cache";
        results[id] = put.status === 201 && isOfCache && id !== "broken" ? true : ["Assertion", String(put.status)];
      }
    }
    export const getResults = () => results;`,
  "test-engine/server/server.mjs": `import http from "node:http";
    http.createServer((request, response) => {
      response.statusCode = request.method === "PUT" ? 201 : 200;
      response.end("origin");
    }).listen(Number(process.env.npm_config_port), "127.0.0.1");`,
};

const folder = mkdtempSync(join(tmpdir(), "spillway-suite-"));
let cache: Bun.Server<undefined>;

beforeAll(async () => {
  for (const [path, text] of Object.entries(FILES)) await Bun.write(join(folder, path), text);
  const fetch = ({ method }: Request): Response =>
    method === "GET" ? new Response("cache") : new Response("no", { status: 405 });
  cache = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch });
});

afterAll(async () => {
  await cache.stop(true);
  rmSync(folder, { recursive: true });
});

function run(...flags: string[]) {
  const config = readFlagConfig(cacheTestsOptions, flags);
  const output = { progress() {}, table() {} };
  return runCacheTests({ config, signal: new AbortController().signal, clock: systemClock, output });
}

test("runCacheTests() sets up at the origin, tests the cache and counts what builds on what", async () => {
  const [port = 0] = freePorts(1);
  const base = `http://127.0.0.1:${cache.port}`;
  const flags = ["--suite", folder, "--base", base, "--origin-port", String(port), "--verbose"];
  const { measurements, notes } = await run(...flags);
  expect(Object.fromEntries(measurements.map(({ name, value }) => [name, value]))).toEqual({
    requiredPassed: 1,
    requiredTotal: 2,
    optimalPassed: 1,
    optimalTotal: 1,
  });
  expect(notes).toEqual(["required above: builds on broken"]);
}, 30_000);

test("runCacheTests() puts an edge of its own before the suite's origin where no cache is given", async () => {
  const [port = 0] = freePorts(1);
  const { measurements } = await run("--suite", folder, "--origin-port", String(port), "--only", "good,best");
  expect(measurements.map(({ value }) => value)).toEqual([1, 1, 1, 1]);
}, 60_000);

test("runCacheTests() says where there is no suite", async () => {
  await expect(run("--suite", "/nowhere")).rejects.toEqual(
    new StartError("no-suite", 'No checkout of http-tests/cache-tests in "/nowhere" (--suite)'),
  );
});

test("score() tells failures only where they are wanted", () => {
  const outcome: TestOutcome = {
    id: "a",
    name: "A",
    kind: "optimal",
    isOfCdn: false,
    isPassed: false,
    detail: "Assertion: no",
  };
  expect(score([outcome], { isVerbose: false }).notes).toEqual([]);
  expect(score([outcome], { isVerbose: true }).notes).toEqual(["optimal a: Assertion: no"]);
});
