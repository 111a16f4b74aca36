/** The page that the processes of one edge show together. */
import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { DurationHistogram } from "#common/histogram.ts";
import { observedCounter, observedGauge, observedHistogram } from "#common/metrics.ts";
import type { MetricSeries } from "./worker-messages.ts";
import { addCounts, renderEdgeSeries } from "./worker-metrics.ts";

/** The series of one process, with figures by which it can be told from the others. */
function seriesOf(size: number): Promise<MetricSeries[]> {
  const registry = new Registry();
  const help = "For a test.";
  observedCounter({
    registry,
    help,
    name: "spillway_edge_requests_total",
    label: "result",
    read: () => ({ hit: size, miss: 1 }),
  });
  observedCounter({ registry, help, name: "spillway_edge_upstream_requests_total", read: () => size });
  observedGauge({ registry, help, name: "spillway_edge_ready", read: () => 1 });
  observedGauge({ registry, help, name: "spillway_edge_held_requests", read: () => size });
  observedGauge({ registry, help, name: "spillway_edge_store_bytes", read: () => size });
  const waits = new DurationHistogram([10, 100]);
  waits.observe(50, size);
  observedHistogram({ registry, help, name: "spillway_edge_wake_seconds", read: () => waits });
  return registry.getMetricsAsJSON();
}

function valuesOf(page: string): string[] {
  return page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("renderEdgeSeries() takes viewers' side from the workers, the upstream's from the hub, and memory from all", async () => {
  const [hub, one, two] = await Promise.all([seriesOf(100), seriesOf(10), seriesOf(1)]);
  const page = await renderEdgeSeries({ hub, workers: [one, two], past: [] });
  expect(valuesOf(page).toSorted()).toEqual([
    "spillway_edge_held_requests 11",
    "spillway_edge_ready 1",
    'spillway_edge_requests_total{result="hit"} 11',
    'spillway_edge_requests_total{result="miss"} 2',
    "spillway_edge_store_bytes 111",
    "spillway_edge_upstream_requests_total 100",
    'spillway_edge_wake_seconds_bucket{le="+Inf"} 11',
    'spillway_edge_wake_seconds_bucket{le="0.01"} 0',
    'spillway_edge_wake_seconds_bucket{le="0.1"} 11',
    "spillway_edge_wake_seconds_count 11",
    "spillway_edge_wake_seconds_sum 0.55",
  ]);
  expect(page).toContain("# TYPE spillway_edge_requests_total counter");
});

test("addCounts() keeps what workers counted that have died, and not how things stood with them", async () => {
  const [hub, dead, other, next] = await Promise.all([seriesOf(0), seriesOf(5), seriesOf(20), seriesOf(1)]);
  const past = await addCounts(await addCounts([], dead), other);
  const page = valuesOf(await renderEdgeSeries({ hub, workers: [next], past }));
  expect(page).toContain('spillway_edge_requests_total{result="hit"} 26');
  expect(page).toContain("spillway_edge_wake_seconds_count 26");
  expect(page).toContain("spillway_edge_held_requests 1");
});
