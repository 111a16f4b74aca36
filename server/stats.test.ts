/** Figures and metrics as sums of the threads' counters. */
import { expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { createRegistry } from "#common/metrics.ts";
import { openConnections } from "./counters.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { declareServerMetrics } from "./metrics.ts";
import { FiguresReader, readStats } from "./stats.ts";

test("readStats() sums over threads", () => {
  const framebuffer = createFramebuffer({ width: 20, height: 10 });
  const [first, second] = framebuffer.counters;
  first?.add("pixels", 5);
  second?.add("pixels", 6);
  second?.add("receivedBytes", 100);
  first?.add("accepted", 3);
  first?.add("closed", 1);
  expect(readStats(framebuffer, { listening: 2, receive: "epoll" })).toEqual({
    width: 20,
    height: 10,
    pixels: 11,
    bytes: 100,
    connections: 2,
    connectionsAccepted: 3,
    threads: 2,
    receive: "epoll",
  });
});

test("openConnections() is never negative, whoever counts what first", () => {
  const { counters } = createFramebuffer({ width: 20, height: 10 });
  counters[1]?.add("closed", 1);
  expect(openConnections(counters)).toBe(0);
  counters[0]?.add("accepted", 3);
  expect(openConnections(counters)).toBe(2);
});

test("FiguresReader.read() gives rates since the reading before", () => {
  const framebuffer = createFramebuffer({ width: 20, height: 10 });
  const clock = new FakeClock(1_000);
  const reader = new FiguresReader({ framebuffer, clock, pixelflutPort: 1234 });
  framebuffer.counters[0]?.add("pixels", 300);
  framebuffer.counters[0]?.add("receivedBytes", 5_000);
  expect(reader.read()).toMatchObject({ pixels: 300, pixelsPerSecond: 0, bitsPerSecond: 0 });
  framebuffer.counters[0]?.add("pixels", 100);
  framebuffer.counters[1]?.add("receivedBytes", 1_000);
  clock.advance(500);
  expect(reader.read()).toEqual({
    timeMs: 1_500,
    pixels: 400,
    bytes: 6_000,
    connections: 0,
    pixelsPerSecond: 200,
    bitsPerSecond: 16_000,
    pixelflutPort: 1234,
  });
});

test("declareServerMetrics() shows the counters by their names", async () => {
  const framebuffer = createFramebuffer({ width: 20, height: 10 });
  const registry = createRegistry();
  const threads = { listening: 2, restarts: 1, shares: { prefixes: () => 7, waiting: () => 5 } };
  declareServerMetrics({ registry, framebuffer, threads });
  framebuffer.counters[2]?.add("pausedConnections", 3);
  framebuffer.counters[2]?.add("fairSharePauses", 6);
  framebuffer.counters[3]?.add("deniedPrefix", 3);
  framebuffer.counters[3]?.add("pixels", 2 ** 33);
  framebuffer.counters[3]?.add("accepted", 4);
  framebuffer.counters[3]?.add("receivedBytes", 9);
  const lines = (await registry.metrics()).split("\n");
  for (const line of [
    `spillway_server_pixels_total ${2 ** 33}`,
    "spillway_server_received_bytes_total 9",
    "spillway_server_prefixes 7",
    "spillway_server_waiting_connections 8",
    "spillway_server_fair_share_pauses_total 6",
    'spillway_server_denied_connections_total{cause="prefix"} 3',
    'spillway_server_denied_connections_total{cause="all"} 0',
    "spillway_server_connections 4",
    "spillway_server_accepted_connections_total 4",
    "spillway_server_threads 2",
    "spillway_server_thread_restarts_total 1",
  ]) {
    expect(lines).toContain(line);
  }
});
