/**
 * An origin: wires source, stream, leases and HTTP together. Opened in the order of the data's flow, closed in the
 * reverse: first no new request, then those that wait, then the source.
 */
import { randomBytes } from "node:crypto";
import { withAbsoluteUrl } from "#common/absolute-request.ts";
import { type Clock, systemClock } from "#common/clock.ts";
import { ProofChecker } from "#common/cluster-auth.ts";
import { describeError } from "#common/errors.ts";
import { HeldBudget } from "#common/held-requests.ts";
import { HttpServer, isOwnAddress } from "#common/listen.ts";
import type { Log } from "#common/log.ts";
import { failureResponse, type NodeApp } from "#common/node-http.ts";
import { boundHeldRequests, readOpenFilesMax } from "#common/open-files.ts";
import type { RoleContext } from "#common/role.ts";
import { declareTlsMetrics } from "#common/tls-metrics.ts";
import type { TlsSource } from "#common/tls.ts";
import { secondsToMs } from "#common/units.ts";
import { HELD_REQUESTS_MAX, type OriginConfig } from "./config.ts";
import { EdgeRegistry } from "./edges.ts";
import { EventFeed, streamFigures } from "./events.ts";
import { answerEndless, createOriginApp, type RefusalCounts } from "./http.ts";
import { LEASE_PATH, LeaseDesk, type LeaseSocketData } from "./lease.ts";
import { createLiveAnswers, emptyCounts, readLiveRequest, type RequestCounts } from "./live-answers.ts";
import { LiveStream } from "./live-stream.ts";
import { createOriginMetrics } from "./metrics.ts";
import { openSource } from "./open-source.ts";
import { SegmentTables } from "./segment-tables.ts";
import { Slate } from "./slate.ts";
import { whyNotReady, whySlate } from "./readiness.ts";
import { SourceNumbers } from "./source-numbers.ts";

/** Of the name that tells the tables of one start of an origin from those of another. */
const ORIGIN_ID_BYTES = 8;
/** Endless answers, which may be quiet while the source is. */
const ENDLESS_PATH = /\/(?:stream\.ts|events)$/;

/** Opens an origin and returns once it listens. */
export async function main({
  config,
  lifecycle,
  log,
  tls,
  onListening,
}: RoleContext<OriginConfig>): Promise<void> {
  const clock = systemClock;
  const heldRequests = { countMax: HELD_REQUESTS_MAX, openFilesMax: readOpenFilesMax(), log };
  const budget = new HeldBudget(boundHeldRequests(heldRequests));
  const { stream, source, slate } = openStream({ config, lifecycle, log, budget, clock });
  const edges = new EdgeRegistry();
  const proofs = new ProofChecker(config.clusterSecret);
  const segmentTables = createSegmentTables(config, { stream, edges, clock });
  const leases = new LeaseDesk({ registry: edges, segmentTables, proofs, isOwnAddress, clock, log });
  const events = new EventFeed({ clock, figures: () => streamFigures(stream, edges, clock) });
  const requests = emptyCounts();
  const sent = emptyCounts();
  const refusals: RefusalCounts = { viewers: 0, readers: 0 };
  const failures = { count: 0 };
  const onError = (error: unknown): void => {
    failures.count++;
    log.error(`A request failed: ${describeError(error)}`);
  };
  const parts = {
    requests,
    sent,
    refusals,
    failures,
    budget,
    stream,
    source,
    slate,
    edges,
    leases,
    segmentTables,
    events,
  };
  const registry = createOriginMetrics(parts);
  declareTlsMetrics(registry, { node: "origin", tls });
  const app = createOriginApp({
    registry,
    readiness: () => whyNotReady(stream, source),
    readyNote: () => (slate.isShowing ? whySlate(source) : undefined),
    stream,
    streamName: config.stream,
    edges,
    events,
    requests,
    sent,
    refusals,
    onError,
    spreads: config.spread !== "off",
    random: Math.random,
  });
  const answerLive = createLiveAnswers({ stream, streamName: config.stream, requests, sent });
  const server = listen({ config, tls, clock, log }, { answerLive, app, leases, requests, onError });
  const endOpen = (): void => [events, leases, stream].forEach((part) => part.close());
  lifecycle.onClose("http", () => server.close(endOpen));
  log.info("Origin listens", { port: server.port, source: source.shownUrl, stream: config.stream });
  onListening({ "origin-port": server.port });
}

/** `undefined` where segments are not spread. */
function createSegmentTables(
  { spread }: OriginConfig,
  {
    stream,
    edges,
    clock,
  }: { readonly stream: LiveStream; readonly edges: EdgeRegistry; readonly clock: Clock },
): SegmentTables | undefined {
  if (spread !== "segment") return undefined;
  const originId = randomBytes(ORIGIN_ID_BYTES).toString("hex");
  return new SegmentTables({ edges, span: (format) => stream.segmentSpan(format), clock, originId });
}

interface StreamOptions extends Pick<RoleContext<OriginConfig>, "config" | "lifecycle" | "log"> {
  readonly budget: HeldBudget;
  readonly clock: Clock;
}

/** The source, the stream that it fills, and what stands between the two. */
function openStream({ config, lifecycle, log, budget, clock }: StreamOptions) {
  const { windowSeconds } = config;
  const partDurationMs = secondsToMs(config.partDuration);
  const stream = new LiveStream({ partDurationMs, windowSeconds, clock, log, budget });
  const isSourceLive = (): boolean => source.status.state === "live";
  const numbers = new SourceNumbers({ dataDir: config.dataDir, clock, log });
  lifecycle.onClose("numbers", () => numbers.close());
  const slate = new Slate({ stream, isOn: config.slate === "on", isSourceLive, numbers, clock, log });
  const source = openSource({
    url: config.source,
    secret: config.clusterSecret,
    targetDurationSeconds: config.targetDuration,
    partDurationMs,
    numbers,
    handlers: slate.handlers,
    clock,
    log,
  });
  lifecycle.onClose("source", () => {
    slate.close();
    return source.close();
  });
  return { stream, source, slate };
}

interface Handlers {
  readonly answerLive: ReturnType<typeof createLiveAnswers>;
  readonly app: NodeApp;
  readonly leases: LeaseDesk;
  readonly requests: RequestCounts;
  readonly onError: (error: unknown) => void;
}

interface Place {
  readonly config: OriginConfig;
  readonly tls: TlsSource | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

function listen({ config, tls, clock, log }: Place, handlers: Handlers): HttpServer<LeaseSocketData> {
  const { answerLive, app, leases, requests, onError } = handlers;
  return new HttpServer<LeaseSocketData>({
    option: "origin-port",
    port: config.originPort,
    hostname: config.originBind,
    tls,
    http3: config.http3,
    clock,
    log,
    websocket: leases.websocket,
    fetch(original, server) {
      const request = withAbsoluteUrl(original);
      const live = readLiveRequest(request);
      const answer = answerLive(live);
      if (answer !== undefined) return answer;
      if (live.path === LEASE_PATH && request.method === "GET") {
        requests.api++;
        return leases.upgrade(original, server);
      }
      // The routes do not ask who calls.
      const routed = app.fetch(request, { address: "" });
      if (!ENDLESS_PATH.test(live.path)) return routed;
      return answerEndless(routed, { request, noTimeout: () => server.timeout(original, 0) });
    },
    error(error) {
      onError(error);
      return failureResponse();
    },
  });
}
