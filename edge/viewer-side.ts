/** The side of an edge that viewers connect to: the page, the socket and what is counted once a second. */
import { every, type Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import { HttpServer } from "#common/listen.ts";
import { failureResponse, type MetricsPage, type Readiness } from "#common/node-http.ts";
import type { RoleContext } from "#common/role.ts";
import { MILLISECONDS_PER_SECOND } from "#common/units.ts";
import { buildPage, pageSecurityHeaders } from "../public/bundle.ts";
import type { EdgeConfig } from "./config.ts";
import type { EgressRate } from "./counters.ts";
import { drainAtEnd } from "./drain.ts";
import { createGuard, createViewerAddresses, type Guard } from "./guard.ts";
import { createEdgeFetch } from "./http.ts";
import type { EdgeAddress } from "./origin-side.ts";
import type { EdgeParts } from "./parts.ts";

export interface ViewerSideOptions {
  readonly context: RoleContext<EdgeConfig>;
  readonly parts: EdgeParts;
  readonly clock: Clock;
  readonly registry: MetricsPage;
  readonly readiness: Readiness;
  /** What the whole edge sends. */
  readonly egress: Pick<EgressRate, "bitsPerSecond">;
  /** True where other processes listen on the same port. */
  readonly reusePort: boolean;
}

/** What listens. */
export interface ViewerSide {
  readonly address: EdgeAddress;
  /** `undefined` where no viewer is limited. */
  readonly guard: Guard | undefined;
}

/** Builds the page and listens. */
export async function openViewerSide(options: ViewerSideOptions): Promise<ViewerSide> {
  const { context, parts, clock, registry, readiness, egress, reusePort } = options;
  const { config, lifecycle, log, tls } = context;
  const { counters, streams, viewers } = parts;
  const page = { files: await buildPage(), securityHeaders: pageSecurityHeaders };
  const { adminToken } = config;
  const onError = (error: unknown): void => {
    counters.requests.error++;
    log.error(`A request failed by our own mistake: ${describeError(error)}`);
  };
  const guard = createGuard(config, { clock, port: () => server.port });
  const server: HttpServer = new HttpServer({
    option: "edge-port",
    port: config.edgePort,
    hostname: config.edgeBind,
    reusePort,
    tls,
    // Of several UDP sockets on one port each would get packets of every connection; with one, one worker had it all.
    http3: reusePort ? "off" : config.http3,
    clock,
    log,
    onFault: (fault) => counters.refuse(fault),
    fetch: createEdgeFetch({
      ...parts,
      clock,
      egress,
      registry,
      readiness,
      page,
      adminToken,
      log,
      addresses: createViewerAddresses(config),
      guard,
      onError,
    }),
    error(error) {
      onError(error);
      return failureResponse();
    },
  });
  lifecycle.onClose("edge socket", () => server.close(() => streams.close()));
  const stopSampling = every(clock, MILLISECONDS_PER_SECOND, () => {
    parts.egress.sample();
    viewers.rotate();
  });
  lifecycle.onClose("edge timer", stopSampling);
  drainAtEnd({ drainSeconds: config.drainSeconds, lifecycle, streams, viewers, clock, log });
  const { port, scheme } = server;
  return { address: { port, scheme }, guard };
}
