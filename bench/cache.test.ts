/** `bench cache` at a small size: a proxy that stores nothing and a small cache, each with the script's origin behind it. */
import { afterEach, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { readWrk } from "./cache-load.ts";
import { runBench } from "./main.ts";
import { freePorts } from "./free-ports.ts";

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** Answers by `answer`, with `fetch` of the origin that will listen on `port`. Returns its address. */
function serve(answer: (path: string) => Promise<Response>): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => answer(request.url.slice(new URL(request.url).origin.length)),
    error: () => new Response(null, { status: 502 }),
  });
  closers.push(() => server.stop(true));
  return server.url.href;
}

/** A cache that stores what is whole and asks once for all who ask meanwhile. */
function serveCache(originPort: number): string {
  const stored = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  return serve(async (path) => {
    const known = stored.get(path);
    if (known !== undefined) return new Response(await known);
    const filling = fetch(`http://127.0.0.1:${originPort}${path}`).then(async (answer) => {
      if (answer.status !== 200) throw new Error(`status ${answer.status}`);
      return answer.bytes();
    });
    stored.set(path, filling);
    filling.catch(() => stored.delete(path));
    return new Response(await filling);
  });
}

/** Runs the script before an origin on `port` and returns its JSON results by name. */
async function bench(flags: Readonly<Record<string, string | number | boolean>>) {
  const path = join(tmpdir(), `spillway-bench-${process.pid}-${crypto.randomUUID()}.json`);
  closers.push(() => rm(path, { force: true }));
  const args = Object.entries({ ...flags, json: path }).map(([name, value]) => `--${name}=${value}`);
  let table = "";
  await runBench(["cache", ...args], {
    signal: new AbortController().signal,
    clock: systemClock,
    output: { progress() {}, table: (text) => void (table += text) },
  });
  const { results } = await Bun.file(path).json();
  const values = Object.fromEntries(
    Object.entries<{ value: unknown }>(results).map(([name, { value }]) => [name, value]),
  );
  return { values, table };
}

function freePort(): number {
  return freePorts(1)[0] ?? 0;
}

const SMALL = { "chunk-ms": 5, "large-mib": 1, measure: "probes" };

describe("bench cache, probes", () => {
  test("of a proxy that stores nothing tell that each client reached the origin", async () => {
    const port = freePort();
    const url = serve((path) => fetch(`http://127.0.0.1:${port}${path}`));
    const probes = "cold,join,abort,failing,private,stalled,held";
    const { values, table } = await bench({ ...SMALL, url, "origin-port": port, probes });
    expect(values["cold.measured"]).toMatch(/^50 at the origin, first byte [\d.]+ ms, 50 whole$/);
    expect(values["join.measured"]).toMatch(/^2 at the origin, its first byte [\d.]+ ms, 2 whole$/);
    expect(values["abort.measured"]).toBe("11 at the origin, 10 whole");
    expect(values["failing.measured"]).toBe("20 at the origin, 19 whole");
    expect(values["private.measured"]).toMatch(/, 0 shared$/);
    expect(values["stalled.measured"]).toMatch(/, whole after [\d.]+ ms$/);
    expect(values["held.measured"]).toMatch(/^100 at the origin, slowest [\d.]+ ms, 100 right$/);
    for (const name of ["cold", "join", "abort", "failing", "held"])
      expect(values[`${name}.isOk`]).toBe("no");
    expect(table).toMatch(
      /the first of 11 clients leaves in the middle +11 at the origin, 10 whole .*NOT OK/,
    );
  });

  test("of a small cache tell what it gets right, and that it shares what is private", async () => {
    const port = freePort();
    const url = serveCache(port);
    const probes = "cold,abort,dying,cut,private,held";
    const { values } = await bench({ ...SMALL, url, "origin-port": port, probes });
    expect(values["cold.measured"]).toMatch(/^1 at the origin, first byte [\d.]+ ms, 50 whole$/);
    expect(values).toMatchObject({ "abort.isOk": "yes", "dying.isOk": "yes", "private.isOk": "no" });
    expect(values["private.measured"]).toMatch(/, 39 shared$/);
    expect(values["held.measured"]).toMatch(/^1 at the origin, .* 100 right$/);
  });

  test("notice answers that are short though HTTP calls them whole", async () => {
    const port = freePort();
    const url = serve(async (path) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return path.includes("dying") ? new Response("cut off") : answer;
    });
    const { values } = await bench({ ...SMALL, url, "origin-port": port, probes: "dying" });
    expect(values["dying.measured"]).toBe("20 short unnoticed, the next not whole");
    expect(values["dying.isOk"]).toBe("no");
  });

  test("say what is missing where the cache does not reach the origin", async () => {
    const url = serve(async () => new Response("something else"));
    const running = bench({ ...SMALL, url, "origin-port": 0, "wait-seconds": 0.3 });
    await expect(running).rejects.toThrow(StartError);
    await expect(running).rejects.toThrow(/does not give out what http:\/\/127\.0\.0\.1:\d+ has/);
  });
});

describe.if(process.platform === "linux")("bench cache, players", () => {
  test("wait for each part of a live stream and fetch it", async () => {
    const port = freePort();
    const url = serve(async (path) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return new Response(await answer.bytes(), { status: answer.status });
    });
    const { values } = await bench({
      measure: "players",
      players: 3,
      seconds: 0.5,
      url,
      "origin-port": port,
      pid: process.pid,
    });
    expect(values).toMatchObject({ "players.waiters": 3, "players.errors": "none" });
    expect(Number(values["players.seenMedian"])).toBeGreaterThan(0);
    expect(Number(values["players.partMax"])).toBeGreaterThanOrEqual(Number(values["players.waitP50"]));
    expect(Number(values["players.playersPerCore"])).toBeGreaterThan(0);
  });
});

describe("bench cache, rates", () => {
  test("alternates two caches and relates one to the other", async () => {
    const port = freePort();
    const { values, table } = await bench({
      measure: "rates",
      url: serveCache(port),
      against: serveCache(port),
      "origin-port": port,
      loader: "own",
      connections: 2,
      rounds: 2,
      seconds: 0.1,
      pid: process.pid,
      "against-pid": process.pid,
    });
    for (const load of ["playlist", "segment"]) {
      for (const cache of ["measured", "against"]) {
        const key = `${load}.${cache}`;
        expect(Number(values[`${key}.rate`])).toBeGreaterThan(0);
        expect(Number(values[`${key}.memory`])).toBeGreaterThan(1);
        expect(String(values[`${key}.cpuRates`]).split(" ").length).toBe(2);
      }
    }
    expect(table).toMatch(/playlist +measured( +[\d.-]+){5}\n +against( +[\d.-]+){6}/);
    expect(table).not.toContain(" rounds ");
  });

  test("readWrk() reads counts, the 99th percentile and failures", () => {
    const output = [
      "    99%  612.00us",
      "  187541 requests in 2.01s, 391.42MB read",
      "  Socket errors: connect 0, read 3, write 0, timeout 0",
      "  Non-2xx or 3xx responses: 2",
    ].join("\n");
    expect(readWrk(output)).toEqual({
      answers: 187_541,
      seconds: 2.01,
      p99Ms: 0.612,
      failures: "3 read, 2 other status",
    });
    expect(readWrk("unable to connect")).toBeUndefined();
  });
});
