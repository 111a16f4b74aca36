/** All series of an edge. Nothing is counted here: each is read where it is kept, at scrape time. */
import type { Registry } from "prom-client";
import { declareHeldMetrics } from "#common/held-metrics.ts";
import type { HeldBudget } from "#common/held-requests.ts";
import {
  createRegistry,
  declareOn,
  observedCounter,
  observedGauge,
  observedHistogram,
} from "#common/metrics.ts";
import { msToSeconds } from "#common/units.ts";
import type { Counters, EgressRate } from "./counters.ts";
import type { Fills } from "./fills.ts";
import type { LeaseClient } from "./lease.ts";
import type { Playlists } from "./playlists.ts";
import type { RelayCounters } from "./relay.ts";
import type { SegmentHosts } from "./segment-hosts.ts";
import type { Store } from "./store.ts";
import type { Streams } from "./streams.ts";
import type { UpstreamPeer } from "./upstream-peer.ts";
import type { Upstream } from "./upstream.ts";
import type { Viewers } from "./viewers.ts";

/** Where an edge's figures are kept. */
export interface MetricSources {
  readonly counters: Counters;
  readonly egress: EgressRate;
  readonly upstream: Upstream;
  readonly store: Store;
  readonly fills: Fills;
  readonly budget: HeldBudget;
  readonly playlists: Playlists;
  readonly viewers: Viewers;
  readonly streams: Streams;
  readonly relayCounters: RelayCounters;
  readonly leases: readonly LeaseClient[];
  readonly segmentHosts: SegmentHosts;
  /** Why the edge cannot serve, if so. */
  readonly readiness: () => string | undefined;
}

interface Series {
  readonly name: string;
  readonly help: string;
  readonly read: () => number;
}

/** The registry that `/metrics` shows. */
export function createEdgeMetrics(sources: MetricSources): Registry {
  const registry = createRegistry();
  const { counters, playlists, viewers } = sources;
  observedCounter({
    registry,
    name: "spillway_edge_requests_total",
    help: "Requests of viewers for the stream, by how the cache met them.",
    label: "result",
    read: () => counters.requests,
  });
  observedCounter({
    registry,
    name: "spillway_edge_refused_total",
    help: "Refused requests by cause: what was wrong with them, or the limit that they met.",
    label: "cause",
    read: () => counters.refused,
  });
  observedGauge({
    registry,
    name: "spillway_edge_viewers",
    help: "Viewers: HLS players by session over some seconds, the others by open connection.",
    label: "kind",
    read: () => viewers.byKind,
  });
  observedCounter({
    registry,
    name: "spillway_edge_fills_total",
    help: "Upstream requests for whole objects, by how they ended.",
    label: "end",
    read: () => sources.fills.counters.ends,
  });
  observedCounter({
    registry,
    name: "spillway_edge_prefetches_total",
    help: "Media fetched before a viewer asked: whether one did within 20 s, or the queue was full.",
    label: "result",
    read: () => playlists.prefetches.judged,
  });
  declareHeldMetrics(registry, { node: "edge", budget: sources.budget });
  declareSegmentHosts(registry, sources);
  declareUpstreamMetrics(registry, sources.upstream);
  for (const series of counterSeries(sources)) observedCounter({ registry, ...series });
  for (const series of relaySeries(sources)) observedCounter({ registry, ...series });
  for (const series of gaugeSeries(sources)) observedGauge({ registry, ...series });
  return registry;
}

/** Labelled by their place among the operator's, from 1: the page is open to all, and addresses behind an edge are nobody's business. */
function declareUpstreamMetrics(registry: Registry, { peers }: Upstream): void {
  const byPlace = <Value>(read: (peer: UpstreamPeer) => Value): [string, Value][] =>
    peers.map((peer, index) => [String(index + 1), read(peer)]);
  observedGauge({
    registry,
    name: "spillway_edge_upstream_up",
    help: "1 while an upstream is well; 0 while it does not answer, cannot serve, or shows its slate and another has the picture: others are asked, where there are any.",
    label: "upstream",
    read: () => Object.fromEntries(byPlace(({ state, isOnSlate }) => (state === "up" && !isOnSlate ? 1 : 0))),
  });
  observedGauge({
    registry,
    name: "spillway_edge_upstream_hanging_folders",
    help: "Folders, such as a rendition's, that others are asked for first because this upstream left a request unanswered.",
    label: "upstream",
    read: () => Object.fromEntries(byPlace(({ hangingFolders }) => hangingFolders)),
  });
  observedHistogram({
    registry,
    name: "spillway_edge_upstream_first_byte_seconds",
    help: "From a request to the first byte of its answer. Requests for a playlist's next version or part, which are held, are left out.",
    label: "upstream",
    read: () => new Map(byPlace(({ firstBytes }) => firstBytes)),
  });
}

function counterSeries({ counters, upstream, store, fills }: MetricSources): readonly Series[] {
  return [
    {
      name: "spillway_edge_sent_bytes_total",
      help: "Body bytes handed to viewers.",
      read: () => counters.sentBytes,
    },
    {
      name: "spillway_edge_upstream_requests_total",
      help: "Requests sent upstream.",
      read: () => upstream.requests,
    },
    {
      name: "spillway_edge_upstream_received_bytes_total",
      help: "Body bytes received from upstream.",
      read: () => upstream.receivedBytes,
    },
    {
      name: "spillway_edge_upstream_failures_total",
      help: "Requests sent upstream that brought no whole answer.",
      read: () => upstream.failures,
    },
    {
      name: "spillway_edge_fill_retries_total",
      help: "Fills that failed at first and were asked for once more.",
      read: () => fills.counters.retries,
    },
    {
      name: "spillway_edge_fill_readers_dropped_total",
      help: "Viewers of a large object cut off because they were too slow.",
      read: () => fills.counters.laggards + store.lending.laggards,
    },
    {
      name: "spillway_edge_store_evictions_total",
      help: "Stored answers that made room for others.",
      read: () => store.evictions,
    },
  ];
}

/** Counts of what is endless. */
function relaySeries({ relayCounters }: MetricSources): readonly Series[] {
  return [
    {
      name: "spillway_edge_relay_gops_lost_total",
      help: "Groups of pictures of stream.ts that slow viewers lost, from their key frames on.",
      read: () => relayCounters.fanOut.lostGroups,
    },
    {
      name: "spillway_edge_relay_lost_bytes_total",
      help: "Bytes of stream.ts that slow viewers lost by that.",
      read: () => relayCounters.fanOut.lostBytes,
    },
    {
      name: "spillway_edge_relay_viewers_dropped_total",
      help: "Viewers of stream.ts let go because they took nothing for too long.",
      read: () => relayCounters.fanOut.droppedViewers,
    },
    {
      name: "spillway_edge_relay_upstream_losses_total",
      help: "Upstream connections of stream.ts that ended or could not be made.",
      read: () => relayCounters.upstreamLosses,
    },
    {
      name: "spillway_edge_relay_skipped_bytes_total",
      help: "Bytes of stream.ts from upstream that belonged to no packet.",
      read: () => relayCounters.skippedBytes,
    },
    {
      name: "spillway_edge_relay_resumptions_total",
      help: "Times that another upstream connection of stream.ts was joined on so that viewers missed nothing.",
      read: () => relayCounters.resumptions,
    },
    {
      name: "spillway_edge_relay_shifts_total",
      help: "Times that time stamps of stream.ts jumped upstream and were shifted to go on.",
      read: () => relayCounters.shifts,
    },
    {
      name: "spillway_edge_event_listeners_dropped_total",
      help: "Listeners to events let go because they took nothing for too long.",
      read: () => relayCounters.listenersDropped,
    },
  ];
}

function gaugeSeries(sources: MetricSources): readonly Series[] {
  const { store, fills, playlists, streams, leases, egress, readiness, relayCounters } = sources;
  return [
    {
      name: "spillway_edge_tails",
      help: "Playlists that are followed, because somebody watches them.",
      read: () => playlists.running,
    },
    {
      name: "spillway_edge_tail_age_seconds",
      help: "Since the newest version came of the followed playlist that waits longest.",
      read: () => msToSeconds(playlists.ageMs),
    },
    {
      name: "spillway_edge_tail_bytes",
      help: "Memory of the newest versions of playlists, with what is made of them. Part of what is in flight.",
      read: () => playlists.bytes,
    },
    {
      name: "spillway_edge_egress_bits_per_second",
      help: "Sent over the last seconds.",
      read: () => egress.bitsPerSecond,
    },
    { name: "spillway_edge_store_bytes", help: "Memory of stored answers.", read: () => store.bytes },
    {
      name: "spillway_edge_store_lent_bytes",
      help: "Memory of answers that are stored no longer and still being sent.",
      read: () => store.lending.goneBytes,
    },
    { name: "spillway_edge_store_items", help: "Stored answers.", read: () => store.items },
    {
      name: "spillway_edge_fills",
      help: "Upstream requests for whole objects under way.",
      read: () => fills.running,
    },
    {
      name: "spillway_edge_fills_passing",
      help: "Those of them for one client alone, or too large to be kept: they last as long as their clients like.",
      read: () => fills.passing,
    },
    {
      name: "spillway_edge_in_flight_bytes",
      help: "Memory of answers that are not complete, or still being read, and of playlists that are followed.",
      read: () => store.reservedBytes,
    },
    {
      name: "spillway_edge_relay_queued_bytes",
      help: "Bytes kept for new and slow viewers of stream.ts, each counted once.",
      read: () => relayCounters.fanOut.loggedBytes,
    },
    {
      name: "spillway_edge_relay_unsent_bytes",
      help: "Most that the runtime keeps for viewers of stream.ts whose sockets are full.",
      read: () => relayCounters.fanOut.unsentBytes,
    },
    { name: "spillway_edge_relayed_paths", help: "Endless streams relayed now.", read: () => streams.paths },
    {
      name: "spillway_edge_leases",
      help: "Leases held.",
      read: () => leases.filter((lease) => lease.isHeld).length,
    },
    {
      name: "spillway_edge_ready",
      help: "1 while it can serve.",
      read: () => (readiness() === undefined ? 1 : 0),
    },
  ];
}

/** Over which edges the segments of a playlist are spread. */
function declareSegmentHosts(registry: Registry, { segmentHosts }: MetricSources): void {
  const { counter, gauge } = declareOn(registry);
  gauge(
    "spillway_edge_rewrite_hosts",
    "Edges that segments are spread over; 0 where they stay with the playlist.",
    () => segmentHosts.count,
  );
  counter(
    "spillway_edge_rewrite_tables_total",
    "Tables of the edges that segments are spread over, taken over from an origin.",
    () => segmentHosts.adopted,
  );
  counter(
    "spillway_edge_rewrite_late_tables_total",
    "Those that came after a segment that they are for: other edges may name another host for it.",
    () => segmentHosts.late,
  );
}
