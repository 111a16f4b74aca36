/** The series of the limits for players. Read from the threads' counters at scrape time. */
import type { Registry } from "prom-client";
import { observedCounter, observedGauge } from "#common/metrics.ts";
import { sumCounter, type CounterName } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";

/** Counters by the series that shows them. */
const COUNTER_SERIES: readonly {
  readonly counter: CounterName;
  readonly name: string;
  readonly help: string;
}[] = [
  {
    counter: "throttledReads",
    name: "spillway_server_throttled_reads_total",
    help: "Reads after which a prefix of addresses had to wait because of --mbit-per-prefix.",
  },
  {
    counter: "fairSharePauses",
    name: "spillway_server_fair_share_pauses_total",
    help: "Pauses of a connection because its prefix had got more than its fair share; only with --receive listen, elsewhere connections wait in a queue.",
  },
  {
    counter: "proxiedConnections",
    name: "spillway_server_proxied_connections_total",
    help: "Connections whose player's address a load balancer told by the PROXY protocol.",
  },
  {
    counter: "proxyFailures",
    name: "spillway_server_proxy_failures_total",
    help: "Connections from --proxy-protocol-from closed because they did not begin with a valid header.",
  },
  {
    counter: "idleClosed",
    name: "spillway_server_idle_closed_connections_total",
    help: "Connections closed because of --idle-seconds.",
  },
];

/** What {@link PlayerShares} knows of now. */
export interface LimitGauges {
  /** Prefixes that have connections. */
  prefixes(): number;
  /** Connections queued to be read. */
  waiting(): number;
}

export interface LimitMetricsOptions {
  readonly registry: Registry;
  readonly framebuffer: Framebuffer;
  /** The players' places. */
  readonly shares: LimitGauges;
}

/** Declares the series. */
export function declareLimitMetrics({ registry, framebuffer, shares }: LimitMetricsOptions): void {
  const sum = (counter: CounterName): number => sumCounter(framebuffer.counters, counter);
  for (const { counter, name, help } of COUNTER_SERIES) {
    observedCounter({ registry, name, help, read: () => sum(counter) });
  }
  observedCounter({
    registry,
    name: "spillway_server_denied_connections_total",
    help: "Connections not let in: the prefix has as many as allowed, there are as many in all, or the system has no room for more.",
    label: "cause",
    read: () => ({
      prefix: sum("deniedPrefix"),
      all: sum("deniedAll"),
      descriptors: sum("refusedConnections"),
    }),
  });
  observedGauge({
    registry,
    name: "spillway_server_prefixes",
    help: "Prefixes of addresses (--prefix-v4, --prefix-v6) that players are connected from now.",
    read: () => shares.prefixes(),
  });
  observedGauge({
    registry,
    name: "spillway_server_waiting_connections",
    help: "Connections that wait for their turn, their fair share or their budget to be read.",
    read: () => shares.waiting() + sum("pausedConnections"),
  });
}
