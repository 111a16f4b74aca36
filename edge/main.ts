/**
 * Starts an edge: upstream, store, page, socket, lease, in this order. Closing runs backwards: the lease first, so
 * that nobody new is sent here, then the socket, then the upstream.
 */
import { systemClock, type Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import { LEASE_VERSION, type EdgeState, type LeaseHello, type LeaseLoad } from "#common/formats/lease.ts";
import { HttpServer } from "#common/listen.ts";
import { failureResponse, type Readiness } from "#common/node-http.ts";
import type { RoleContext } from "#common/role.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";
import { buildPage, pageSecurityHeaders } from "../public/bundle.ts";
import type { EdgeConfig } from "./config.ts";
import { createEdgeFetch } from "./http.ts";
import { LeaseClient } from "./lease.ts";
import { createEdgeMetrics } from "./metrics.ts";
import { createParts } from "./parts.ts";
import { UpstreamProbe } from "./readiness.ts";
import type { Viewers } from "./viewers.ts";

const BITS_PER_MEGABIT = 1_000_000;

/** Opens everything and returns; the edge lives until `lifecycle` stops. */
export async function main({
  config,
  lifecycle,
  log,
  tls,
  onListening,
}: RoleContext<EdgeConfig>): Promise<void> {
  const clock = systemClock;
  const page = { files: await buildPage(), securityHeaders: pageSecurityHeaders };
  const parts = createParts({ config, clock, log });
  const { counters, egress, streams, upstream, viewers } = parts;
  lifecycle.onClose("upstream", () => upstream.close());

  const leases: LeaseClient[] = [];
  const onChange = (): void => leases.forEach((lease) => lease.report());
  const probe = new UpstreamProbe({ upstream, clock, log, onChange });
  lifecycle.onClose("upstream probe", () => probe.close());
  const readiness: Readiness = () => readReadiness({ isStopping: lifecycle.isStopping, probe, viewers });
  const registry = createEdgeMetrics({ ...parts, leases, readiness });
  const { viewerLimit, viewerMax } = config;
  const onError = (error: unknown): void => {
    counters.requests.error++;
    log.error(`A request failed by our own mistake: ${describeError(error)}`);
  };
  const fetch = createEdgeFetch({ ...parts, registry, readiness, page, viewerLimit, viewerMax, onError });
  const server = new HttpServer({
    option: "edge-port",
    port: config.edgePort,
    hostname: config.edgeBind,
    tls,
    fetch,
    error(error) {
      onError(error);
      return failureResponse();
    },
  });
  lifecycle.onClose("edge socket", () => server.close(clock, () => streams.close()));
  const stopSampling = everySecond(clock, () => {
    egress.sample();
    viewers.rotate();
  });
  lifecycle.onClose("edge timer", stopSampling);
  const { port, scheme } = server;
  const load = (): Omit<LeaseLoad, "type"> => ({
    state: readState({ viewerLimit, viewers, probe, isStopping: lifecycle.isStopping }),
    viewers: viewers.total,
    egressBitsPerSecond: egress.bitsPerSecond,
  });
  for (const upstreamUrl of config.upstream) {
    const hello = createHello(config, { scheme, port });
    const { clusterSecret } = config;
    leases.push(
      new LeaseClient({ upstreamUrl, hello, load, clusterSecret, clock, log, random: Math.random }),
    );
  }
  lifecycle.onClose("leases", () => leases.forEach((lease) => lease.close()));
  log.info("Listening", { bind: config.edgeBind, port, upstream: config.upstream.join(" ") });
  onListening({ "edge-port": port });
}

/** Calls `action` once a second until the function returned is called. */
function everySecond(clock: Clock, action: () => void): () => void {
  let cancel: () => void;
  const schedule = (): void => {
    cancel = clock.after(MILLISECONDS_PER_SECOND, () => {
      action();
      schedule();
    });
  };
  schedule();
  return () => cancel();
}

function createHello(config: EdgeConfig, address: Pick<LeaseHello, "scheme" | "port">): LeaseHello {
  return {
    type: "hello",
    version: LEASE_VERSION,
    publicUrl: config.publicUrl,
    ...address,
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
