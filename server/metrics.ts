/** All series of the server's Pixelflut side. Read from the threads' counters at scrape time. */
import type { Registry } from "prom-client";
import { observedCounter, observedGauge } from "#common/metrics.ts";
import { openConnections, sumCounter, type CounterName } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { declareLimitMetrics, type LimitGauges } from "./limit-metrics.ts";

/** Counters by the series that shows them. */
const COUNTER_SERIES: readonly {
  readonly counter: CounterName;
  readonly name: string;
  readonly help: string;
}[] = [
  {
    counter: "pixels",
    name: "spillway_server_pixels_total",
    help: "Pixels set inside the canvas, whatever their alpha.",
  },
  {
    counter: "receivedBytes",
    name: "spillway_server_received_bytes_total",
    help: "Bytes received from players.",
  },
  {
    counter: "sentBytes",
    name: "spillway_server_sent_bytes_total",
    help: "Bytes of replies that the sockets took.",
  },
  {
    counter: "accepted",
    name: "spillway_server_accepted_connections_total",
    help: "Player connections accepted.",
  },
  {
    counter: "outsideSets",
    name: "spillway_server_outside_sets_total",
    help: "Sets outside the canvas, ignored.",
  },
  { counter: "gets", name: "spillway_server_gets_total", help: "Pixels read back." },
  { counter: "outsideGets", name: "spillway_server_outside_gets_total", help: "Gets outside the canvas." },
  {
    counter: "invalidLines",
    name: "spillway_server_invalid_lines_total",
    help: "Lines that are no command.",
  },
  { counter: "longLines", name: "spillway_server_long_lines_total", help: "Lines dropped for their length." },
  {
    counter: "refusedHelps",
    name: "spillway_server_refused_helps_total",
    help: "HELPs beyond the limit of one connection.",
  },
  {
    counter: "redirects",
    name: "spillway_server_redirects_total",
    help: "Browsers on the game's port sent to the viewer page.",
  },
  {
    counter: "stalls",
    name: "spillway_server_stalls_total",
    help: "Times that reading stopped because a peer took no replies.",
  },
  {
    counter: "droppedStalled",
    name: "spillway_server_dropped_connections_total",
    help: "Connections closed because their peer took no replies for too long or too much was held for such peers.",
  },
  {
    counter: "faults",
    name: "spillway_server_connection_faults_total",
    help: "Connections closed by a fault of the server.",
  },
];

export interface ServerMetricsOptions {
  readonly registry: Registry;
  readonly framebuffer: Framebuffer;
  readonly threads: {
    readonly listening: number;
    readonly restarts: number;
    readonly shares: LimitGauges;
  };
}

/** Declares the series. */
export function declareServerMetrics({ registry, framebuffer, threads }: ServerMetricsOptions): void {
  const { counters } = framebuffer;
  declareLimitMetrics({ registry, framebuffer, shares: threads.shares });
  for (const { counter, name, help } of COUNTER_SERIES) {
    observedCounter({
      registry,
      name,
      help,
      read: () => sumCounter(counters, counter),
    });
  }
  observedGauge({
    registry,
    name: "spillway_server_connections",
    help: "Player connections open now.",
    read: () => openConnections(counters),
  });
  observedGauge({
    registry,
    name: "spillway_server_held_bytes",
    help: "Unsent replies and unparsed commands held for players that take no replies.",
    read: () => sumCounter(counters, "heldBytes"),
  });
  observedGauge({
    registry,
    name: "spillway_server_threads",
    help: "Pixel threads that listen.",
    read: () => threads.listening,
  });
  observedCounter({
    registry,
    name: "spillway_server_thread_restarts_total",
    help: "Attempts to replace a pixel thread that ended by itself.",
    read: () => threads.restarts,
  });
}
