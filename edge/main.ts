/**
 * Starts an edge: upstream, store, page, socket, lease, in this order. Closing runs backwards: the lease first, so
 * that nobody new is sent here, then the socket, then the upstream.
 */
import { systemClock } from "#common/clock.ts";
import {
  LEASE_REPORT_MS,
  LEASE_VERSION,
  type EdgeState,
  type LeaseHello,
  type LeaseLoad,
} from "#common/formats/lease.ts";
import { bindOrExplain, IDLE_TIMEOUT_SECONDS } from "#common/listen.ts";
import type { Readiness } from "#common/node-http.ts";
import type { RoleContext } from "#common/role.ts";
import { buildPage, pageSecurityHeaders } from "../public/bundle.ts";
import type { EdgeConfig } from "./config.ts";
import { createEdgeFetch } from "./http.ts";
import { LeaseClient } from "./lease.ts";
import { createEdgeMetrics } from "./metrics.ts";
import { createParts } from "./parts.ts";
import { UpstreamProbe } from "./readiness.ts";
import type { Viewers } from "./viewers.ts";

const BITS_PER_MEGABIT = 1_000_000;
/** Requests have no bodies here; what is longer is refused by Bun. */
const REQUEST_BODY_BYTES_MAX = 64 * 1024;

/** Opens everything and returns; the edge lives until `lifecycle` stops. */
export async function main({ config, lifecycle, log, onListening }: RoleContext<EdgeConfig>): Promise<void> {
  const clock = systemClock;
  const page = { files: await buildPage(), securityHeaders: pageSecurityHeaders };
  const parts = createParts({ config, clock, log });
  const { egress, streams, upstream, viewers } = parts;
  lifecycle.onClose("upstream", () => upstream.close());
  lifecycle.onClose("streams", () => streams.close());

  const leases: LeaseClient[] = [];
  const onChange = (): void => leases.forEach((lease) => lease.report());
  const probe = new UpstreamProbe({ upstream, clock, log, onChange });
  lifecycle.onClose("upstream probe", () => probe.close());
  const readiness: Readiness = () => readReadiness({ isStopping: lifecycle.isStopping, probe, viewers });
  const registry = createEdgeMetrics({ ...parts, leases, readiness });
  const { viewerLimit, viewerMax } = config;
  const server = listen(
    config,
    createEdgeFetch({ ...parts, registry, readiness, page, viewerLimit, viewerMax }),
  );
  lifecycle.onClose("edge socket", () => server.stop(true));

  const timer = setInterval(() => {
    egress.sample();
    viewers.rotate();
  }, LEASE_REPORT_MS);
  lifecycle.onClose("edge timer", () => clearInterval(timer));
  const port = server.port ?? config.edgePort;
  const load = (): Omit<LeaseLoad, "type"> => ({
    state: readState({ viewerLimit, viewers, probe, isStopping: lifecycle.isStopping }),
    viewers: viewers.total,
    egressBitsPerSecond: egress.bitsPerSecond,
  });
  for (const upstreamUrl of config.upstream) {
    const hello = createHello(config, port);
    const { clusterSecret } = config;
    leases.push(
      new LeaseClient({ upstreamUrl, hello, load, clusterSecret, clock, log, random: Math.random }),
    );
  }
  lifecycle.onClose("leases", () => leases.forEach((lease) => lease.close()));
  log.info("Listening", { bind: config.edgeBind, port, upstream: config.upstream.join(" ") });
  onListening({ "edge-port": port });
}

function listen(
  { edgePort, edgeBind }: EdgeConfig,
  fetch: ReturnType<typeof createEdgeFetch>,
): Bun.Server<undefined> {
  return bindOrExplain({ option: "edge-port", port: edgePort, hostname: edgeBind }, () =>
    Bun.serve({
      port: edgePort,
      hostname: edgeBind,
      idleTimeout: IDLE_TIMEOUT_SECONDS,
      maxRequestBodySize: REQUEST_BODY_BYTES_MAX,
      fetch,
    }),
  );
}

function createHello(config: EdgeConfig, port: number): LeaseHello {
  return {
    type: "hello",
    version: LEASE_VERSION,
    publicUrl: config.publicUrl,
    scheme: "http",
    port,
    region: config.region,
    capacityBitsPerSecond: config.capacityMbit * BITS_PER_MEGABIT,
  };
}

interface StateSources {
  readonly isStopping: boolean;
  readonly probe: UpstreamProbe;
  readonly viewers: Viewers;
}

function readState(sources: StateSources & { readonly viewerLimit: number }): EdgeState {
  const { viewers, probe, isStopping, viewerLimit } = sources;
  if (isStopping) return "draining";
  if (probe.reason !== undefined) return "waiting";
  const isOverLimit = viewerLimit > 0 && viewers.total >= viewerLimit;
  return isOverLimit || viewers.isFull ? "full" : "ready";
}

function readReadiness({ isStopping, probe, viewers }: StateSources): string | undefined {
  if (isStopping) return "draining";
  return probe.reason ?? (viewers.isFull ? "full" : undefined);
}
