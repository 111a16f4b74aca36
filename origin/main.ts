/**
 * An origin: wires source, stream, leases and HTTP together. Opened in the order of the data's flow, closed in the
 * reverse: first no new request, then those that wait, then the source.
 */
import type { Server } from "bun";
import { systemClock } from "#common/clock.ts";
import { ProofChecker } from "#common/cluster-auth.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { bindOrExplain, IDLE_TIMEOUT_SECONDS } from "#common/listen.ts";
import type { NodeApp } from "#common/node-http.ts";
import type { RoleContext } from "#common/role.ts";
import { msToSeconds, secondsToMs } from "#common/units.ts";
import { HELD_REQUESTS_MAX, type OriginConfig } from "./config.ts";
import { EdgeRegistry } from "./edges.ts";
import { EventFeed, streamFigures } from "./events.ts";
import { FeedSource } from "./feed-source.ts";
import { createOriginApp, REQUEST_KINDS, type RequestCounts } from "./http.ts";
import { LEASE_PATH, LeaseDesk, type LeaseSocketData } from "./lease.ts";
import { LiveStream } from "./live-stream.ts";
import { createOriginMetrics } from "./metrics.ts";
import type { Source } from "./source.ts";

/** Requests have no bodies. */
const BODY_BYTES_MAX = 1024;
/** Endless answers, which may be quiet while the source is. */
const ENDLESS_PATH = /\/(?:stream\.ts|events)$/;

/** Opens an origin and returns once it listens. */
export async function main({
  config,
  lifecycle,
  log,
  onListening,
}: RoleContext<OriginConfig>): Promise<void> {
  const clock = systemClock;
  const budget = new HeldBudget(HELD_REQUESTS_MAX);
  const stream = new LiveStream({ partDurationMs: secondsToMs(config.partDuration), clock, log, budget });
  const source = new FeedSource({
    url: config.source,
    secret: config.clusterSecret,
    handlers: stream,
    clock,
    log,
  });
  lifecycle.onClose("source", () => source.close());
  const edges = new EdgeRegistry();
  const proofs = new ProofChecker(config.clusterSecret);
  const leases = new LeaseDesk({ registry: edges, proofs, clock, log });
  const events = new EventFeed({ clock, figures: () => streamFigures(stream, edges, clock) });
  const requests = emptyCounts();
  const registry = createOriginMetrics({ requests, budget, stream, source, edges, leases, events });
  const app = createOriginApp({
    registry,
    readiness: () => whyNotReady(stream, source),
    stream,
    streamName: config.stream,
    edges,
    events,
    requests,
    spreads: config.spread !== "off",
    random: Math.random,
  });
  const server = listen(config, app, leases);
  lifecycle.onClose("http", async () => {
    const stopped = server.stop();
    events.close();
    leases.close();
    stream.close();
    await Promise.race([stopped, Bun.sleep(DRAIN_MS_MAX)]);
    await server.stop(true);
  });
  log.info("Origin listens", { port: server.port, source: config.source, stream: config.stream });
  onListening({ "origin-port": server.port ?? 0 });
}

/** Answers that are under way may take this long when the process ends. */
const DRAIN_MS_MAX = 500;

function listen(config: OriginConfig, app: NodeApp, leases: LeaseDesk): Server<LeaseSocketData> {
  const { originPort: port, originBind: hostname } = config;
  return bindOrExplain({ option: "origin-port", port, hostname }, () =>
    Bun.serve<LeaseSocketData>({
      port,
      hostname,
      idleTimeout: IDLE_TIMEOUT_SECONDS,
      maxRequestBodySize: BODY_BYTES_MAX,
      websocket: leases.websocket,
      fetch(request, server) {
        const { pathname } = new URL(request.url);
        if (pathname === LEASE_PATH) return leases.upgrade(request, server);
        if (ENDLESS_PATH.test(pathname)) server.timeout(request, 0);
        return app.fetch(request, { address: server.requestIP(request)?.address ?? "" });
      },
    }),
  );
}

/** Why the origin cannot serve, for `/readyz`. */
function whyNotReady(stream: LiveStream, source: Source): string | undefined {
  const { failure } = source.status;
  const cause = failure === undefined ? "" : `: ${failure}`;
  if (stream.run === undefined) return `No source yet${cause}`;
  if (!stream.isListed) return `Waiting for the first whole segment${cause}`;
  if (!stream.isLive) return `No frame for ${Math.round(msToSeconds(stream.silenceMs()))} s${cause}`;
  return undefined;
}

function emptyCounts(): RequestCounts {
  const counts: Partial<RequestCounts> = {};
  for (const kind of REQUEST_KINDS) counts[kind] = 0;
  // The loop fills every kind.
  return counts as RequestCounts;
}
