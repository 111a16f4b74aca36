/**
 * The series of all processes of one edge as those of one edge. Viewers are the workers' business, the upstream is
 * the hub's, memory and processor time are everybody's; what a worker counted stays counted when it dies.
 */
import { AggregatorRegistry, type Registry } from "prom-client";
import { declareOn } from "#common/metrics.ts";
import type { MetricSeries } from "./worker-messages.ts";

/** Whose series count. */
type Side = "workers" | "hub" | "all";

/** By the beginning of the name, the first that fits; for all others, what viewers meet, the workers. */
const SIDES: readonly (readonly [prefix: string, side: Side])[] = [
  ["process_start_time_seconds", "hub"],
  ["process_", "all"],
  ["nodejs_", "all"],
  ["spillway_edge_store_", "all"],
  ["spillway_edge_in_flight_", "all"],
  ["spillway_edge_relay_queued_bytes", "all"],
  ["spillway_edge_fill_readers_", "workers"],
  ["spillway_edge_fill", "hub"],
  ["spillway_edge_prefetches_", "hub"],
  ["spillway_edge_upstream_", "hub"],
  ["spillway_edge_relay_upstream_", "hub"],
  ["spillway_edge_relay_skipped_", "hub"],
  ["spillway_edge_relay_shifts_", "hub"],
  ["spillway_edge_relay_resumptions_", "hub"],
  ["spillway_edge_relayed_paths", "hub"],
  ["spillway_edge_tail_bytes", "all"],
  ["spillway_edge_tail", "hub"],
  ["spillway_edge_rewrite_", "hub"],
  ["spillway_edge_lease", "hub"],
  ["spillway_edge_tls_", "hub"],
  ["spillway_edge_ready", "hub"],
  ["spillway_edge_viewers", "hub"],
  ["spillway_edge_worker", "hub"],
];

/** What is told of the workers themselves. */
export interface WorkerFigures {
  /** Workers that answer now. */
  readonly running: number;
  /** Times that one has ended, asked or not. */
  readonly ended: number;
}

/** Adds the series of workers to those of their hub. */
export function declareWorkerMetrics(registry: Registry, figures: WorkerFigures): void {
  const { gauge, counter } = declareOn(registry);
  gauge("spillway_edge_workers", "Processes that answer viewers now.", () => figures.running);
  counter("spillway_edge_worker_ends_total", "Times that one of them has ended.", () => figures.ended);
}

/** Where the figures come from. */
export interface EdgeSeries {
  readonly hub: readonly MetricSeries[];
  /** Of each worker that lives. */
  readonly workers: readonly (readonly MetricSeries[])[];
  /** Counts of those that have died. */
  readonly past: readonly MetricSeries[];
}

/** The page that `/metrics` shows. */
export function renderEdgeSeries({ hub, workers, past }: EdgeSeries): Promise<string> {
  // What stands for one process only is shown as it is, whatever prom-client would do with several.
  const own = hub.filter(isHubs).map((series): MetricSeries => {
    return isWorkers(series) ? series : Object.assign({}, series, { aggregator: "first" });
  });
  const theirs = [...workers, past].map((series) => series.filter(isWorkers));
  return AggregatorRegistry.aggregate([own, ...theirs]).metrics();
}

/** What of a process outlives it: its counts, added to those of its predecessors. */
export function addCounts(
  past: readonly MetricSeries[],
  ended: readonly MetricSeries[],
): Promise<readonly MetricSeries[]> {
  return AggregatorRegistry.aggregate([past, ended.filter(isCount)]).getMetricsAsJSON();
}

function isHubs({ name }: MetricSeries): boolean {
  return sideOf(name) !== "workers";
}

function isWorkers({ name }: MetricSeries): boolean {
  return sideOf(name) !== "hub";
}

/** prom-client tells types by these names, though it declares numbers. */
function isCount({ type }: MetricSeries): boolean {
  const name: unknown = type;
  return name === "counter" || name === "histogram";
}

function sideOf(name: string): Side {
  return SIDES.find(([prefix]) => name.startsWith(prefix))?.[1] ?? "workers";
}
