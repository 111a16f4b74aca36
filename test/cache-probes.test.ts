/** The probes of `bench cache` on an edge: what it measured, without its times, which are the machine's. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#common/clock.ts";
import { runBench } from "../bench/main.ts";
import { freePorts } from "../bench/free-ports.ts";
import { startTestEdge, type TestEdge } from "../edge/fake-origin.ts";

/** The origin's pace: a fifth of the real one, so that all takes a few seconds. */
const CHUNK_MS = 20;

const path = join(tmpdir(), `spillway-probes-${process.pid}.json`);
let edge: TestEdge;
let measured: Readonly<Record<string, unknown>> = {};

beforeAll(async () => {
  const [port = 0] = freePorts(1);
  edge = startTestEdge(`http://127.0.0.1:${port}`);
  const probes = "cold,join,abort,dying,cut,failing,expired,private,stalled,held";
  await runBench(
    [
      "cache",
      `--url=${edge.url}`,
      `--origin-port=${port}`,
      "--paths=live",
      "--measure=probes",
      `--probes=${probes}`,
      `--chunk-ms=${CHUNK_MS}`,
      "--large-mib=4",
      `--json=${path}`,
    ],
    {
      signal: new AbortController().signal,
      clock: systemClock,
      output: { progress() {}, table() {} },
    },
  );
  const { results } = await Bun.file(path).json();
  measured = Object.fromEntries(
    Object.entries<{ value: unknown }>(results).map(([name, { value }]) => [name, value]),
  );
});

afterAll(async () => {
  await edge.close();
  await rm(path, { force: true });
});

describe("an edge before an origin that is slow, fails and dies", () => {
  test.each([
    ["E1: asks once for 50 clients, and all have it whole", "cold", /^1 at the origin, .*, 50 whole$/],
    ["asks once for a client who joins in the middle", "join", /^1 at the origin, .*, 2 whole$/],
    ["E5: goes on when the first client leaves", "abort", /^1 at the origin, 10 whole$/],
    [
      "calls nothing whole that broke off, and keeps none of it",
      "dying",
      /^0 short unnoticed, the next whole$/,
    ],
    ["calls nothing whole that ended without its last chunk", "cut", /^0 short unnoticed, the next whole$/],
    ["E6: asks once more where the first answer is a 503", "failing", /^2 at the origin, (19|20) whole$/],
    ["asks once for what has expired, and nobody waits", "expired", /^1 at the origin, /],
    ["E8: shares nothing that is nobody else's", "private", /, 0 shared$/],
    ["serves others while a reader stalls", "stalled", /, whole after /],
    ["E1: asks once for 100 held reloads", "held", /^1 at the origin, .*, 100 right$/],
  ])("%s", (_title, probe, expected) => {
    expect(measured[`${probe}.measured`]).toMatch(expected);
  });
});
