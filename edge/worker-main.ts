/**
 * An edge of several processes. The hub is the one that was started: it has the upstream, the store that all share
 * and the leases, and answers the workers on a Unix socket. The workers have the port, and the hub as their only
 * upstream: an edge behind an edge, on one machine.
 */
import { type Clock, every, systemClock } from "#common/clock.ts";
import { describeError, OptionError, StartError } from "#common/errors.ts";
import { bindOrExplain } from "#common/listen.ts";
import type { Log } from "#common/log.ts";
import type { Readiness } from "#common/node-http.ts";
import type { CopyOf, RoleContext } from "#common/role.ts";
import { declareTlsMetrics } from "#common/tls-metrics.ts";
import { MILLISECONDS_PER_SECOND, secondsToMs } from "#common/units.ts";
import { Admission } from "./admission.ts";
import { CACHE_MIB_MIN, type EdgeConfig } from "./config.ts";
import { createEdgeFetch } from "./http.ts";
import { createEdgeMetrics } from "./metrics.ts";
import { OriginSide } from "./origin-side.ts";
import { createParts, type EdgeParts } from "./parts.ts";
import { openViewerSide } from "./viewer-side.ts";
import { ViewerAddresses } from "./viewer-address.ts";
import { CountedViewers, randomSalt } from "./viewers.ts";
import { WorkerHub } from "./worker-hub.ts";
import { metricsOfHub, WorkerLink } from "./worker-link.ts";
import { decodeWorkerTask } from "./worker-messages.ts";
import { declareWorkerMetrics } from "./worker-metrics.ts";
import { WorkerSocket } from "./worker-socket.ts";
import { WorkerViewers } from "./worker-viewers.ts";

/** The hub refuses nobody: its own clients are the workers, and how many viewers they have, they say. */
const NO_LIMITS = { viewerLimit: 0, viewerMax: 0, streamViewerLimit: 0, streamViewerMax: 0 };
/** A worker that is asked to end finishes what is under way. */
const WORKER_STOP_MS_MAX = 1_000;

/** Opens everything but the port, which the workers open; lives until `lifecycle` stops. */
export async function runHub(context: RoleContext<EdgeConfig>): Promise<void> {
  const { config, tls, lifecycle, log, onListening } = context;
  const clock = systemClock;
  const cacheMib = cacheShare(config);
  // The workers do it, and are waited for.
  const drainMs = secondsToMs(config.drainSeconds);
  lifecycle.allowClosing(drainMs);
  expectFreePort(config);
  const parts = createParts({ config: { ...config, ...NO_LIMITS, cacheMib }, clock, log });
  lifecycle.onClose("upstream", () => parts.upstream.close());
  lifecycle.onClose("playlists", () => parts.playlists.close());
  lifecycle.onClose("streams", () => parts.streams.close());
  const socket = await WorkerSocket.create();
  lifecycle.onClose("socket of workers", () => socket.close());
  const viewers = new CountedViewers({ clock, viewersMax: config.viewerMax });
  const admission = new Admission({ ...config, viewers });
  const { upstream, segmentHosts } = parts;
  const onChange = (): void => hub.publish();
  const sides = { config, upstream, viewers, admission, segmentHosts, lifecycle, clock, log, onChange };
  const originSide = new OriginSide(sides);
  const { leases, readiness } = originSide;
  const registry = createEdgeMetrics({ ...parts, viewers, leases, readiness });
  const hub = new WorkerHub({
    count: config.edgeWorkers,
    task: { socketPath: socket.path, salt: randomSalt() },
    supervise: superviseOf(context),
    stopMsMax: WORKER_STOP_MS_MAX + drainMs,
    viewers,
    admission,
    registry,
    readiness,
    clock,
  });
  declareWorkerMetrics(registry, hub);
  declareTlsMetrics(registry, { node: "edge", tls });
  serveWorkers({ socket, parts, hub, readiness, clock, log });
  lifecycle.onClose(
    "edge timer",
    every(clock, MILLISECONDS_PER_SECOND, () => viewers.rotate()),
  );
  lifecycle.onClose("workers", () => hub.close());
  const ports = await hub.start();
  const scheme = tls === undefined ? "http" : "https";
  originSide.takeLeases({ scheme, port: ports["edge-port"] ?? 0 }, hub);
  log.info("Workers listen", { ...ports, workers: config.edgeWorkers, upstream: config.upstream.join(" ") });
  onListening(ports);
}

/** One of the processes that viewers are connected to; lives until `lifecycle` stops. */
export async function runWorker(context: RoleContext<EdgeConfig>, copyOf: CopyOf): Promise<void> {
  const { config, lifecycle, log, onListening } = context;
  const clock = systemClock;
  const { socketPath, salt } = decodeWorkerTask(copyOf.task);
  const upstream = [`unix:${encodeURI(socketPath)}`];
  const own = { ...config, cacheMib: cacheShare(config), upstream, upstreamWeight: [] };
  const viewers = new WorkerViewers({ clock, salt, viewersMax: config.viewerMax });
  const parts = createParts({ config: own, clock, log, viewers, isWorker: true });
  lifecycle.onClose("upstream", () => parts.upstream.close());
  lifecycle.onClose("playlists", () => parts.playlists.close());
  const readiness = (): string | undefined => (lifecycle.isStopping ? "draining" : link.reason);
  const registry = createEdgeMetrics({ ...parts, leases: [], readiness });
  const { admission, egress } = parts;
  const link = new WorkerLink({ channel: copyOf, viewers, admission, egress, registry, clock });
  link.begin();
  lifecycle.onClose("talk with the hub", () => link.close());
  const { address, guard } = await openViewerSide({
    context,
    parts,
    clock,
    registry: metricsOfHub(socketPath),
    readiness,
    egress: link,
    reusePort: true,
  });
  link.guard = guard;
  const { port } = address;
  log.info("Listening", { bind: config.edgeBind, port });
  onListening({ "edge-port": port });
}

function superviseOf({ supervise }: RoleContext<EdgeConfig>): NonNullable<typeof supervise> {
  if (supervise === undefined) throw new StartError("no-children", "No worker can be started from here");
  return supervise;
}

/** What of `--cache-mib` is for each process, in MiB: the hub and the workers have the same. */
function cacheShare({ cacheMib, edgeWorkers }: EdgeConfig): number {
  const processes = edgeWorkers + 1;
  if (cacheMib >= processes * CACHE_MIB_MIN) return Math.floor(cacheMib / processes);
  throw new OptionError(
    `Option --cache-mib ${cacheMib} is too little for --edge-workers ${edgeWorkers}: expected at least ${processes * CACHE_MIB_MIN}, ${CACHE_MIB_MIN} for each process`,
  );
}

/** Workers share a port with everybody who asks for that: whether it is taken shows only to who does not. */
function expectFreePort({ edgePort: port, edgeBind: hostname }: EdgeConfig): void {
  if (port === 0) return;
  bindOrExplain({ option: "edge-port", port, hostname }, () =>
    Bun.listen({ port, hostname, socket: { data() {} } }).stop(true),
  );
}

/** Answers the workers as an edge answers viewers; of what is the edge's own, only the sums are asked for here. */
function serveWorkers(options: {
  readonly socket: WorkerSocket;
  readonly parts: EdgeParts;
  readonly hub: WorkerHub;
  readonly readiness: Readiness;
  readonly clock: Clock;
  readonly log: Log;
}): void {
  const { socket, parts, hub, readiness, clock, log } = options;
  const onError = (error: unknown): void => {
    parts.counters.requests.error++;
    log.error(`A request of a worker failed by our own mistake: ${describeError(error)}`);
  };
  const page = { files: new Map(), securityHeaders: {} };
  const fetch = createEdgeFetch({
    ...parts,
    clock,
    registry: hub,
    readiness,
    page,
    adminToken: "",
    log,
    // Nobody on the socket has an address.
    addresses: new ViewerAddresses({ trusted: [], header: "forwarded" }),
    onError,
  });
  socket.listen(fetch, onError);
}
