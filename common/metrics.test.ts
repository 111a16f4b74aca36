/** Series as Prometheus reads them. */
import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { DurationHistogram } from "#common/histogram.ts";
import { observedHistogram } from "#common/metrics.ts";

test("observedHistogram() shows seconds, buckets that include the ones before, sum and count", async () => {
  const registry = new Registry();
  const histogram = new DurationHistogram([1, 5, 10]);
  observedHistogram({ registry, name: "spillway_test_wake_seconds", help: "Wakes.", read: () => histogram });
  histogram.observe(1);
  histogram.observe(4, 3);
  histogram.observe(1000);
  expect(await registry.metrics()).toBe(`# HELP spillway_test_wake_seconds Wakes.
# TYPE spillway_test_wake_seconds histogram
spillway_test_wake_seconds_bucket{le="0.001"} 1
spillway_test_wake_seconds_bucket{le="0.005"} 4
spillway_test_wake_seconds_bucket{le="0.01"} 4
spillway_test_wake_seconds_bucket{le="+Inf"} 5
spillway_test_wake_seconds_sum 1.013
spillway_test_wake_seconds_count 5
`);
  expect(await registry.getMetricsAsJSON()).toHaveLength(1);
});
