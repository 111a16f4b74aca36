/** All series of an origin. Everything is counted elsewhere and read when Prometheus scrapes. */
import type { Registry } from "prom-client";
import type { HeldBudget } from "#common/held-requests.ts";
import { createRegistry, observedCounter, observedGauge } from "#common/metrics.ts";
import { msToSeconds } from "#common/units.ts";
import type { EdgeRegistry } from "./edges.ts";
import type { EventFeed } from "./events.ts";
import type { RefusalCounts } from "./http.ts";
import type { LeaseDesk } from "./lease.ts";
import type { RequestCounts } from "./live-answers.ts";
import type { LiveStream } from "./live-stream.ts";
import type { Source } from "./source.ts";

export interface OriginParts {
  readonly requests: RequestCounts;
  readonly refusals: RefusalCounts;
  /** Requests that failed by our own mistake. */
  readonly failures: { readonly count: number };
  readonly budget: HeldBudget;
  readonly stream: LiveStream;
  readonly source: Source;
  readonly edges: EdgeRegistry;
  readonly leases: LeaseDesk;
  readonly events: EventFeed;
}

/** The registry of an origin that consists of `parts`. */
export function createOriginMetrics(parts: OriginParts): Registry {
  const registry = createRegistry();
  declareStream(registry, parts);
  declareClients(registry, parts);
  return registry;
}

/** The source, the window and the requests that wait for it. */
function declareStream(registry: Registry, parts: OriginParts): void {
  const { counter, gauge } = declareOn(registry);
  const { budget, stream, source } = parts;
  observedCounter({
    registry,
    name: "spillway_origin_requests_total",
    help: "Requests by kind.",
    label: "kind",
    read: () => parts.requests,
  });
  gauge(
    "spillway_origin_held_requests",
    "Requests that wait for the next part or segment.",
    () => budget.count,
  );
  counter(
    "spillway_origin_held_refused_total",
    "Requests refused because too many waited.",
    () => budget.refused,
  );
  counter(
    "spillway_origin_held_overdue_total",
    "Requests answered 503 because nothing new came in time.",
    () => budget.overdue,
  );
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
  gauge("spillway_origin_source_connected", "1 while the source is open.", () =>
    Number(source.status.isConnected),
  );
  gauge("spillway_origin_source_silence_seconds", "Time since the last new frame.", () =>
    msToSeconds(stream.silenceMs()),
  );
  counter(
    "spillway_origin_source_reconnects_total",
    "Times the source was opened anew.",
    () => source.status.reconnects,
  );
  counter(
    "spillway_origin_source_received_bytes_total",
    "Received from the source.",
    () => source.status.receivedBytes,
  );
  counter(
    "spillway_origin_frames_total",
    "Frames of all renditions, repeated ones left out.",
    () => stream.frames,
  );
  counter("spillway_origin_runs_total", "Runs of the encoder seen since start.", () => stream.runs);
  counter(
    "spillway_origin_list_restarts_total",
    "Times a playlist began anew because numbers did not go on.",
    () => stream.listRestarts,
  );
  counter(
    "spillway_origin_unreadable_feeds_total",
    "Connections to the source that ended because of bytes that are no feed.",
    () => source.status.unreadable,
  );
}

/** Endless viewers, edges, readers of events. */
function declareClients(registry: Registry, parts: OriginParts): void {
  const { counter, gauge } = declareOn(registry);
  const { stream, edges, leases, events } = parts;
  gauge("spillway_origin_ts_viewers", "Viewers of the endless MPEG-TS.", () => stream.relayTotals.viewers);
  counter(
    "spillway_origin_ts_sent_bytes_total",
    "Sent to viewers of the endless MPEG-TS.",
    () => stream.relayTotals.sentBytes,
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

type Declare = (name: string, help: string, read: () => number) => void;

function declareOn(registry: Registry): { readonly counter: Declare; readonly gauge: Declare } {
  return {
    counter: (name, help, read) => observedCounter({ registry, name, help, read }),
    gauge: (name, help, read) => observedGauge({ registry, name, help, read }),
  };
}
