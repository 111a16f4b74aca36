/**
 * A server alone that is flooded while other players are rude: they sit idle, send byte after byte, or connect and
 * leave. The flood goes on, every command is counted, the encoder gets its turn, and the server ends when it is told.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { cpuSeconds } from "../bench/process-cpu.ts";
import { IdleCrowd, ByteSenders, Visitors } from "./rude-players.ts";
import { paint, waitFor } from "./harness.ts";
import { Flood, RECEIVE_PATHS, ServerAlone } from "./server-alone.ts";

const WIDTH = 320;
const HEIGHT = 180;
/** The flood paints the rows above, the others those from here on. */
const FLOOD_HEIGHT = 120;
const CANVAS = { width: WIDTH, height: HEIGHT, fps: 1 };
const FLOODED = { format: "text", width: WIDTH, height: FLOOD_HEIGHT } as const;

/** What of its rate a flood keeps beside others at least. Generous: they and it share the machine with the server. */
const SHARE_MIN = 0.5;
const IDLE_CONNECTIONS_MAX = 10_000;
/** Descriptors of this process that are no connection's. */
const OTHER_DESCRIPTORS = 1_000;
const IDLE_CONNECTIONS = Math.min(IDLE_CONNECTIONS_MAX, descriptorsMax() - OTHER_DESCRIPTORS);
/** Memory that a connection may cost, and that the server may grow by meanwhile for other reasons, in kibibytes. */
const CONNECTION_KIB_MAX = 4;
const SLACK_KIB = 16 * 1_024;
const BYTE_SENDERS = 250;
/** Of a stream of 30 frames a second. */
const FRAMES_SECONDS = 5;
const FRAMES = 30 * FRAMES_SECONDS;
const FRAMES_PER_SECOND_MIN = 15;
const RATES_MAX = 4;

/** Files and sockets that this process may have open. */
function descriptorsMax(): number {
  if (process.platform !== "linux") return 2 * OTHER_DESCRIPTORS;
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0);
}

describe.each(RECEIVE_PATHS)("a flooded server with --receive %s", (receive) => {
  test("ends in time and with status 0 when it is told to", async () => {
    await using server = new ServerAlone({ width: WIDTH, height: HEIGHT, receive });
    await server.ready();
    using flood = await Flood.start({ ...FLOODED, port: server.port, format: "mixed", connections: 8 });
    await using idle = new IdleCrowd(server.port, `SIZE ${WIDTH} ${HEIGHT}\n`);
    await idle.open(30);
    await waitFor("pixels", () => server.metric("spillway_server_pixels_total"));
    server.program.process.kill("SIGTERM");
    expect(await server.program.ended()).toBe(0);
    await waitFor("the flood's connections to be closed", () => flood.failed === flood.connections);
  });

  test(`is flooded on beside ${IDLE_CONNECTIONS} idle connections, which cost little memory`, async () => {
    await using server = new ServerAlone({ ...CANVAS, receive, "connections-max": 2 * IDLE_CONNECTIONS_MAX });
    await server.ready();
    await using idle = new IdleCrowd(server.port, `SIZE ${WIDTH} ${HEIGHT}\n`);
    // Garbage of the flood in Bun's heap would hide what connections cost, so they come first.
    const kibMax = server.residentKib + IDLE_CONNECTIONS * CONNECTION_KIB_MAX + SLACK_KIB;
    await idle.open(IDLE_CONNECTIONS);
    await server.connectionsAre(IDLE_CONNECTIONS);
    expect(server.residentKib).toBeLessThan(kibMax);
    using flood = await Flood.start({ ...FLOODED, port: server.port, connections: 4 });
    const share = await flood.shareOfRate({
      wanted: SHARE_MIN,
      windows: 3,
      begin: async () => {
        if (idle.count === 0) await idle.open(IDLE_CONNECTIONS);
        await server.connectionsAre(IDLE_CONNECTIONS + flood.connections);
      },
      end: async () => {
        await idle.allAnswer();
        idle.close();
        await server.connectionsAre(flood.connections);
      },
    });
    expect(share).toBeGreaterThan(SHARE_MIN);
    const { pixels } = await flood.finish();
    expect(
      await server.metrics(["pixels_total", "invalid_lines_total", "dropped_connections_total"]),
    ).toEqual({
      pixels_total: pixels,
      invalid_lines_total: 0,
      dropped_connections_total: 0,
    });
  });

  test(`loses nothing of ${BYTE_SENDERS} players that send byte after byte, nor of the flood beside them`, async () => {
    await using server = new ServerAlone({ ...CANVAS, receive });
    await server.ready();
    using flood = await Flood.start({ ...FLOODED, port: server.port, connections: 4 });
    await using senders = new ByteSenders(server.port, { width: WIDTH, top: FLOOD_HEIGHT });
    await senders.open(BYTE_SENDERS);
    const share = await flood.shareOfRate({
      wanted: SHARE_MIN,
      windows: 1,
      begin: () => senders.start(),
      end: () => senders.stop(),
    });
    const answered = await senders.finish();
    const flooded = await flood.finish();
    expect(share).toBeGreaterThan(SHARE_MIN);
    expect(answered.commands).toBeGreaterThanOrEqual(2 * BYTE_SENDERS);
    expect(
      await server.metrics([
        "pixels_total",
        "gets_total",
        "received_bytes_total",
        "accepted_connections_total",
        "invalid_lines_total",
      ]),
    ).toEqual({
      pixels_total: flooded.pixels + answered.commands / 2,
      gets_total: answered.commands / 2,
      received_bytes_total: flooded.bytes + answered.bytes,
      accepted_connections_total: flood.connections + BYTE_SENDERS,
      invalid_lines_total: 0,
    });
  });

  test("loses nothing of players that connect, paint and leave in a loop, nor of the flood beside them", async () => {
    await using server = new ServerAlone({ ...CANVAS, receive });
    await server.ready();
    using flood = await Flood.start({ ...FLOODED, port: server.port, connections: 4 });
    const visitors = new Visitors(server.port, { width: WIDTH, top: FLOOD_HEIGHT, height: HEIGHT });
    const share = await flood.shareOfRate({
      wanted: SHARE_MIN,
      windows: 1,
      begin: () => visitors.start(),
      end: () => visitors.stop(),
    });
    const flooded = await flood.finish();
    const accepted = flood.connections + visitors.visits;
    await waitFor(
      "all visitors to be let in",
      async () => (await server.metric("spillway_server_accepted_connections_total")) >= accepted,
    );
    await server.connectionsAre(0);
    expect(share).toBeGreaterThan(SHARE_MIN);
    expect(visitors.visits).toBeGreaterThan(100);
    expect(
      await server.metrics(["pixels_total", "accepted_connections_total", "invalid_lines_total"]),
    ).toEqual({
      pixels_total: flooded.pixels + visitors.painted,
      accepted_connections_total: accepted,
      invalid_lines_total: 0,
    });
    expect(await paint(server.port, visitors.gets)).toBe(visitors.answers);
  });
});

test("a flood leaves the encoder of a server as shipped enough for its frames", async () => {
  await using server = new ServerAlone({});
  await server.ready();
  using flood = await Flood.start({
    port: server.port,
    connections: 8,
    format: "text",
    width: 1280,
    height: 720,
  });
  const rates: number[] = [];
  // A machine that is busy otherwise may spoil a few seconds.
  while (rates.length < RATES_MAX && (rates.at(-1) ?? 0) < FRAMES_PER_SECOND_MIN) {
    rates.push(await framesPerSecond(server));
  }
  expect(rates.at(-1)).toBeGreaterThan(FRAMES_PER_SECOND_MIN);
  expect(flood.failed).toBe(0);
});

/**
 * Frames that the encoder takes a second, over some seconds. A second is one of all processors for this test and its
 * children: what other programs had of them does not count.
 */
async function framesPerSecond(server: ServerAlone): Promise<number> {
  const frames = (): Promise<number> => server.metric('spillway_server_frames_total{result="encoded"}');
  const before = await frames();
  const startMs = performance.now();
  const startCpuSeconds = cpuSeconds(process.pid) ?? 0;
  return waitFor("frames", async () => {
    const count = (await frames()) - before;
    const seconds = (performance.now() - startMs) / 1_000;
    if (count < FRAMES && seconds < 2 * FRAMES_SECONDS) return false;
    const hadSeconds = ((cpuSeconds(process.pid) ?? 0) - startCpuSeconds) / availableParallelism();
    return count / Math.min(seconds, hadSeconds > 0 ? hadSeconds : seconds);
  });
}
