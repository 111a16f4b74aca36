/**
 * The server: keeps the canvas, lets players paint it over TCP, encodes it, and offers feed and figures over HTTP.
 * Wiring only. Things are closed in the opposite order of opening: the HTTP port, the feeds, the encoder, and last
 * the pixel threads, so that nobody reads what is already gone.
 */
import { randomInt } from "node:crypto";
import { withAbsoluteUrl } from "#common/absolute-request.ts";
import { ProofChecker } from "#common/cluster-auth.ts";
import { systemClock } from "#common/clock.ts";
import { EDGE_PORT_DEFAULT } from "#common/config.ts";
import { describeError } from "#common/errors.ts";
import { HttpServer } from "#common/listen.ts";
import { createRegistry } from "#common/metrics.ts";
import type { Log } from "#common/log.ts";
import { failureResponse, type NodeApp } from "#common/node-http.ts";
import { readOpenFilesMax } from "#common/open-files.ts";
import type { RoleContext } from "#common/role.ts";
import { declareTlsMetrics } from "#common/tls-metrics.ts";
import type { TlsSource } from "#common/tls.ts";
import { describeRules, makeAdmissionRules } from "./admission-rules.ts";
import { CanvasImage } from "./canvas-image.ts";
import type { ServerConfig } from "./config.ts";
import { startEncoding, type Encoding, type FrameSink } from "./encoding.ts";
import { declareEncodingMetrics } from "./encoding-metrics.ts";
import { FeedOutlet } from "./feed-outlet.ts";
import { TsOutlet } from "./feed-ts.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { adviseHugePages } from "./huge-pages.ts";
import { createServerApp } from "./http.ts";
import { declareServerMetrics } from "./metrics.ts";
import { PixelThreads } from "./pixel-threads.ts";
import { chooseReceive } from "./receive-path.ts";
import { FiguresReader, readStats } from "./stats.ts";

/** The seed of the players' hash table is below this. */
const HASH_SEED_MAX = 2 ** 31;
/** How often figures of the canvas go into the feed. */
const FIGURES_MS = 1_000;

/** Starts the server and returns once its ports are open. */
export async function main({
  config,
  lifecycle,
  log,
  tls,
  onListening,
}: RoleContext<ServerConfig>): Promise<void> {
  const { framebuffer, threads, hasHugePages } = await openThreads(config, log);
  lifecycle.onClose("pixel threads", () => threads.close());

  const mp4 = new FeedOutlet({ log });
  const ts = new TsOutlet({ log });
  const encoding = await openEncoding({ config, framebuffer, log, sinks: [mp4, ts] });
  lifecycle.onClose("encoder", () => encoding.close());
  lifecycle.onClose("feeds", () => [mp4, ts].forEach((outlet) => outlet.close()));
  const figures = new FiguresReader({ framebuffer, clock: systemClock, pixelflutPort: threads.port });
  const publishFigures = (): void => mp4.publishFigures(figures.read());
  // At once, since an origin waits for them.
  publishFigures();
  const figuresTimer = setInterval(publishFigures, FIGURES_MS);
  lifecycle.onClose("figures", () => clearInterval(figuresTimer));

  const registry = createRegistry();
  declareServerMetrics({ registry, framebuffer, threads });
  const feeds = { mp4: mp4.readers, ts: ts.readers };
  let forbidden = 0;
  declareEncodingMetrics({ registry, encoding, feeds, history: mp4, forbiddenRequests: () => forbidden });
  declareTlsMetrics(registry, { node: "server", tls });
  const app = createServerApp({
    registry,
    readiness: () => (threads.listening === 0 ? "No pixel thread is listening" : encoding.readiness()),
    image: new CanvasImage(framebuffer),
    stats: () => readStats(framebuffer, threads),
    feeds: { mp4: () => mp4.serve(), ts: () => ts.serve() },
    proofs: new ProofChecker(config.clusterSecret),
    onForbidden: () => void forbidden++,
    clock: systemClock,
  });
  const http = listen({ config, tls, app, log });
  lifecycle.onClose("HTTP", () => http.stop());

  const ports = { "pixelflut-port": threads.port, "server-port": http.port };
  log.info("Listening", {
    pixelflut: ports["pixelflut-port"],
    http: ports["server-port"],
    canvas: `${config.width}x${config.height}`,
    threads: threads.listening,
    receive: threads.receive,
    hugePages: hasHugePages,
  });
  onListening(ports);
}

/** The canvas, and the threads that let players in and paint on it. */
async function openThreads(
  config: ServerConfig,
  log: Log,
): Promise<{
  readonly framebuffer: Framebuffer;
  readonly threads: PixelThreads;
  readonly hasHugePages: boolean;
}> {
  const admission = makeAdmissionRules({
    config,
    descriptorsMax: readOpenFilesMax(),
    threads: config.serverThreads,
    hashSeed: randomInt(HASH_SEED_MAX),
    log,
  });
  let hasHugePages = false;
  const framebuffer = createFramebuffer({
    width: config.width,
    height: config.height,
    threads: config.serverThreads,
    connectionsMax: admission.limits.connectionsMax,
    prepare(memory, map) {
      hasHugePages = adviseHugePages(memory, map, log);
    },
  });
  const threads = await PixelThreads.open({
    framebuffer,
    count: config.serverThreads,
    hostname: config.pixelflutBind,
    port: config.pixelflutPort,
    protocol: {
      alpha: config.alpha,
      outsideGets: config.oobGet,
      isStrict: config.strict,
      limits: describeRules(admission),
    },
    viewers: {
      url: config.viewerUrl,
      // Whoever lets the system choose the edge's port has to say where it is; else this is a guess like any other.
      port: config.edgePort === 0 ? EDGE_PORT_DEFAULT : config.edgePort,
      // Under `start` the certificate is the edges'; elsewhere they are expected to have one where this node has.
      scheme: config.tlsCert === "" ? "http" : "https",
    },
    admission,
    receive: chooseReceive(config.receive),
    log,
    clock: systemClock,
  });
  return { framebuffer, threads, hasHugePages };
}

function openEncoding(options: {
  readonly config: ServerConfig;
  readonly framebuffer: Framebuffer;
  readonly log: Log;
  readonly sinks: readonly FrameSink[];
}): Promise<Encoding> {
  const { config, framebuffer, log, sinks } = options;
  const { memory, width, height, canvasOffsetBytes } = framebuffer;
  return startEncoding({
    // A shared WebAssembly memory's buffer is a SharedArrayBuffer; its type says ArrayBuffer.
    canvas: {
      memory: memory.buffer as unknown as SharedArrayBuffer,
      byteOffset: canvasOffsetBytes,
      width,
      height,
    },
    fps: config.fps,
    preset: config.x264Preset,
    renditions: config.rendition,
    dataDir: config.dataDir,
    sinks,
    clock: systemClock,
    log,
  });
}

function listen({
  config,
  tls,
  app,
  log,
}: {
  readonly config: ServerConfig;
  readonly tls: TlsSource | undefined;
  readonly app: NodeApp;
  readonly log: Log;
}): HttpServer {
  return new HttpServer({
    option: "server-port",
    port: config.serverPort,
    hostname: config.serverBind,
    tls,
    http3: config.http3,
    clock: systemClock,
    log,
    fetch: (request, server) =>
      app.fetch(withAbsoluteUrl(request), { address: server.requestIP(request)?.address ?? "" }),
    error(error) {
      log.error(`A request failed: ${describeError(error)}`);
      return failureResponse();
    },
  });
}
