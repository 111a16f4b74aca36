/** All series of an origin. Everything is counted elsewhere and read when Prometheus scrapes. */
import type { Registry } from "prom-client";
import { declareHeldMetrics } from "#common/held-metrics.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import { createRegistry, declareOn, observedCounter } from "#common/metrics.ts";
import { declareCutMetrics } from "./cut-metrics.ts";
import type { EdgeRegistry } from "./edges.ts";
import type { EventFeed } from "./events.ts";
import type { RefusalCounts } from "./http.ts";
import type { LeaseDesk } from "./lease.ts";
import type { RequestCounts } from "./live-answers.ts";
import type { LiveStream } from "./live-stream.ts";
import type { SegmentTables } from "./segment-tables.ts";
import { declareSourceMetrics } from "./source-metrics.ts";
import type { Slate } from "./slate.ts";
import type { Source } from "./source.ts";

export interface OriginParts {
  readonly requests: RequestCounts;
  /** Bytes of bodies, without those of endless answers. */
  readonly sent: RequestCounts;
  readonly refusals: RefusalCounts;
  /** Requests that failed by our own mistake. */
  readonly failures: { readonly count: number };
  readonly budget: HeldBudget;
  readonly stream: LiveStream;
  readonly source: Source;
  readonly slate: Slate;
  readonly edges: EdgeRegistry;
  readonly leases: LeaseDesk;
  /** `undefined` where segments are not spread. */
  readonly segmentTables: SegmentTables | undefined;
  readonly events: EventFeed;
}

/** The registry of an origin that consists of `parts`. */
export function createOriginMetrics(parts: OriginParts): Registry {
  const registry = createRegistry();
  declareSourceMetrics(registry, parts);
  declareCutMetrics(registry, parts.stream.cutTimes);
  declareWindow(registry, parts);
  declareHeldMetrics(registry, { node: "origin", budget: parts.budget });
  declareClients(registry, parts);
  return registry;
}

/** What is kept and listed. */
function declareWindow(registry: Registry, { stream }: OriginParts): void {
  const { counter, gauge } = declareOn(registry);
  gauge(
    "spillway_origin_window_bytes",
    "Media in memory, all renditions and formats.",
    () => stream.windowBytes,
  );
  counter(
    "spillway_origin_window_early_evictions_total",
    "Segments dropped for their size.",
    () => stream.evictedEarly,
  );
  counter(
    "spillway_origin_list_restarts_total",
    "Times a playlist began anew because numbers did not go on.",
    () => stream.listRestarts,
  );
}

/** Requests, endless viewers, edges, readers of events. */
function declareClients(registry: Registry, parts: OriginParts): void {
  const { counter, gauge } = declareOn(registry);
  const { stream, edges, leases, events } = parts;
  observedCounter({
    registry,
    name: "spillway_origin_requests_total",
    help: "Requests by kind.",
    label: "kind",
    read: () => parts.requests,
  });
  observedCounter({
    registry,
    name: "spillway_origin_sent_bytes_total",
    help: "Bytes of bodies handed to clients, by kind of request; events are other, errors and the node's own pages do not count.",
    label: "kind",
    read: () => ({ ...parts.sent, ts: stream.relayCounters.sentBytes, other: events.sentBytes }),
  });
  gauge("spillway_origin_ts_viewers", "Viewers of the endless MPEG-TS.", () => stream.relayTotals.viewers);
  gauge(
    "spillway_origin_ts_queued_bytes",
    "Bytes kept for new and slow viewers of the endless MPEG-TS, as they lie in memory.",
    () => stream.relayTotals.loggedBytes,
  );
  counter(
    "spillway_origin_ts_skips_total",
    "Times a slow viewer lost groups of pictures.",
    () => stream.relayTotals.skips,
  );
  counter(
    "spillway_origin_ts_dropped_viewers_total",
    "Viewers dropped because they took nothing.",
    () => stream.relayTotals.droppedViewers,
  );
  counter(
    "spillway_origin_ts_refused_total",
    "Viewers of the endless MPEG-TS refused because there were too many.",
    () => parts.refusals.viewers,
  );
  gauge("spillway_origin_leases", "Edges that hold a lease.", () => edges.count);
  counter("spillway_origin_leases_refused_total", "Leases refused.", () => leases.refused);
  counter("spillway_origin_leases_silent_total", "Leases ended by silence.", () => leases.silent);
  gauge(
    "spillway_origin_segment_hosts",
    "Edges that segments are spread over.",
    () => parts.segmentTables?.hostCount ?? 0,
  );
  counter(
    "spillway_origin_segment_tables_total",
    "Times that the edges that segments are spread over have changed.",
    () => parts.segmentTables?.made ?? 0,
  );
  gauge("spillway_origin_event_readers", "Readers of server-sent events.", () => events.readers);
  counter(
    "spillway_origin_event_readers_refused_total",
    "Readers of server-sent events refused because there were too many.",
    () => parts.refusals.readers,
  );
  counter(
    "spillway_origin_event_readers_dropped_total",
    "Readers of server-sent events dropped because they took nothing.",
    () => events.droppedReaders,
  );
  counter("spillway_origin_failures_total", "Requests that ended with 500.", () => parts.failures.count);
}
