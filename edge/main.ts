/**
 * Starts an edge: upstream, store, page, socket, lease, in this order. At its end the lease says so first, that nobody new is
 * sent here; then the socket closes, the lease and the upstream. With several workers the same things are
 * spread over processes: see `worker-main.ts`.
 */
import { systemClock } from "#common/clock.ts";
import type { RoleContext } from "#common/role.ts";
import { declareTlsMetrics } from "#common/tls-metrics.ts";
import { expectLimitsInOrder, type EdgeConfig } from "./config.ts";
import { createEdgeMetrics } from "./metrics.ts";
import { OriginSide } from "./origin-side.ts";
import { createParts } from "./parts.ts";
import { openViewerSide } from "./viewer-side.ts";
import { runHub, runWorker } from "./worker-main.ts";

/** Opens everything and returns; the edge lives until `lifecycle` stops. */
export async function main(context: RoleContext<EdgeConfig>): Promise<void> {
  expectLimitsInOrder(context.config);
  if (context.copyOf !== undefined) return runWorker(context, context.copyOf);
  return context.config.edgeWorkers > 1 ? runHub(context) : runAlone(context);
}

async function runAlone(context: RoleContext<EdgeConfig>): Promise<void> {
  const { config, tls, lifecycle, log, onListening } = context;
  const clock = systemClock;
  const parts = createParts({ config, clock, log });
  const { upstream, egress, playlists, viewers, admission, segmentHosts } = parts;
  lifecycle.onClose("upstream", () => upstream.close());
  lifecycle.onClose("playlists", () => playlists.close());
  const sides = { config, upstream, viewers, admission, segmentHosts, lifecycle, clock, log };
  const originSide = new OriginSide(sides);
  const { leases, readiness } = originSide;
  const registry = createEdgeMetrics({ ...parts, leases, readiness });
  declareTlsMetrics(registry, { node: "edge", tls });
  const { address } = await openViewerSide({
    context,
    parts,
    clock,
    registry,
    readiness,
    egress,
    reusePort: false,
  });
  originSide.takeLeases(address, egress);
  log.info("Listening", { bind: config.edgeBind, port: address.port, upstream: config.upstream.join(" ") });
  onListening({ "edge-port": address.port });
}
