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

export interface LimitMetricsOptions {
  readonly registry: Registry;
  readonly framebuffer: Framebuffer;
  /** Prefixes that have connections now. */
  readonly prefixes: () => number;
}

/** Declares the series. */
export function declareLimitMetrics({ registry, framebuffer, prefixes }: LimitMetricsOptions): void {
  const sum = (counter: CounterName): number => sumCounter(framebuffer.counters, counter);
  for (const { counter, name, help } of COUNTER_SERIES) {
    observedCounter({ registry, name, help, read: () => sum(counter) });
  }
  observedCounter({
    registry,
    name: "spillway_server_denied_connections_total",
    help: "Connections not let in: the prefix has as many as allowed, there are as many in all, or no descriptor is left.",
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
    read: prefixes,
  });
}
