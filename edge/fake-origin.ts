/**
 * For the tests of this folder: an origin whose answers a test scripts, a live playlist that moves when told, and an
 * edge in front of it on ports of their own. Nothing of it runs in production.
 */
import { systemClock, type Clock, type FakeClock } from "#common/clock.ts";
import { HttpServer } from "#common/listen.ts";
import { silentLog } from "#common/log.ts";
import { failureResponse } from "#common/node-http.ts";
import type { TlsSource } from "#common/tls.ts";
import { createRegistry } from "#common/metrics.ts";
import type { AddressRange } from "#common/address-prefix.ts";
import type { Guard } from "./guard.ts";
import { createEdgeFetch, type EdgeFetch, type PageFile } from "./http.ts";
import { createParts, type EdgeParts } from "./parts.ts";
import { ViewerAddresses } from "./viewer-address.ts";

type Handler = (request: Request, path: string) => Response | Promise<Response>;

/** An HTTP server that counts what it is asked. */
export class FakeOrigin {
  /** Requests by path with query. */
  readonly hits = new Map<string, number>();
  handler: Handler;
  lastHeaders = new Headers();
  readonly #server: Bun.Server<undefined>;

  constructor(handler: Handler, port = 0) {
    this.handler = handler;
    this.#server = Bun.serve({
      port,
      hostname: "127.0.0.1",
      idleTimeout: 30,
      fetch: (request) => {
        const { pathname, search } = new URL(request.url);
        const path = pathname + search;
        this.hits.set(path, (this.hits.get(path) ?? 0) + 1);
        this.lastHeaders = request.headers;
        return this.handler(request, path);
      },
    });
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Requests so far, of all paths that contain `part`. */
  count(part = ""): number {
    let sum = 0;
    for (const [path, hits] of this.hits) if (path.includes(part)) sum += hits;
    return sum;
  }

  async close(): Promise<void> {
    await this.#server.stop(true);
  }
}

const PARTS_PER_SEGMENT = 10;
const TARGET_SECONDS = 2;
const FIRST_MSN = 100;
const SEGMENTS_LISTED = 6;

/** A low-latency playlist with blocking reload, at a position that {@link FakeLivePlaylist.publish} moves on. */
export class FakeLivePlaylist {
  /** Parts published since segment 100 began. */
  parts: number;
  #isStalled = false;
  #restarts = 0;
  readonly #waiters = new Set<() => void>();
  readonly #mediaWaiters = new Set<() => void>();

  constructor(parts = 25) {
    this.parts = parts;
  }

  /** Playlist requests held now. */
  get held(): number {
    return this.#waiters.size;
  }

  get lastMsn(): number {
    return FIRST_MSN + Math.floor(this.parts / PARTS_PER_SEGMENT) - 1;
  }

  get openParts(): number {
    return this.parts % PARTS_PER_SEGMENT;
  }

  /** Media are their own names. The part that comes next is held, what comes later does not exist. */
  async #answerMedia([path, msn, part = String(PARTS_PER_SEGMENT - 1)]: RegExpExecArray): Promise<Response> {
    const wanted = msn === undefined ? -1 : (Number(msn) - FIRST_MSN) * PARTS_PER_SEGMENT + Number(part);
    while (this.parts === wanted && !this.#isStalled)
      await new Promise<void>((resolve) => this.#mediaWaiters.add(resolve));
    if (this.parts <= wanted) return new Response("Not found\n", { status: this.#isStalled ? 503 : 404 });
    const headers = { "content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable" };
    return new Response(path, { headers });
  }

  /** Publishes the next part and answers who waits for it. */
  publish(): void {
    this.parts++;
    this.#wake();
  }

  /** Begins anew with fewer parts: who waits gets 503. */
  restart(parts: number): void {
    this.#restarts++;
    this.parts = parts;
    this.#wake();
  }

  /** From now on nothing is published: who waits gets 503, as after the longest hold. */
  stall(): void {
    this.#isStalled = true;
    this.#wake();
  }

  #wake(): void {
    const waiters = [...this.#waiters, ...this.#mediaWaiters];
    this.#waiters.clear();
    this.#mediaWaiters.clear();
    for (const wake of waiters) wake();
  }

  /** The playlist as it is. */
  text(): string {
    const lines = [
      "#EXTM3U",
      "#EXT-X-VERSION:9",
      `#EXT-X-TARGETDURATION:${TARGET_SECONDS}`,
      "#EXT-X-PART-INF:PART-TARGET=0.2",
      "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6",
    ];
    const first = Math.max(FIRST_MSN, this.lastMsn - SEGMENTS_LISTED + 1);
    lines.push(`#EXT-X-MEDIA-SEQUENCE:${first}`, '#EXT-X-MAP:URI="aabbccdd-init.mp4"');
    for (let msn = first; msn <= this.lastMsn; msn++) {
      if (msn > this.lastMsn - 2) lines.push(...partLines(msn, PARTS_PER_SEGMENT));
      lines.push("#EXTINF:2.00000,", `aabbccdd-${msn}.m4s`);
    }
    lines.push(...partLines(this.lastMsn + 1, this.openParts));
    const hint = `aabbccdd-${this.lastMsn + 1}.${this.openParts}.m4s`;
    return `${lines.join("\n")}\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${hint}"\n`;
  }

  /** Answers as an origin does: holds what is to come, refuses what is too far. */
  async answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const media = MEDIA_NAME.exec(pathname);
    if (media !== null) return this.#answerMedia(media);
    const msn = searchParams.get("_HLS_msn");
    const isBlocking = msn !== null;
    if (isBlocking) {
      const wanted =
        (Number(msn) - FIRST_MSN) * PARTS_PER_SEGMENT + Number(searchParams.get("_HLS_part") ?? 0);
      if (Number(msn) > this.lastMsn + 2) return new Response("too far\n", { status: 400 });
      const restarts = this.#restarts;
      while (this.parts <= wanted && !this.#isStalled && restarts === this.#restarts)
        await new Promise<void>((resolve) => this.#waiters.add(resolve));
      if (restarts !== this.#restarts) return new Response("begins anew\n", { status: 503 });
    }
    if (this.#isStalled) return new Response("stalled\n", { status: 503 });
    return new Response(this.text(), {
      headers: {
        "content-type": "application/vnd.apple.mpegurl",
        "cache-control": `max-age=${isBlocking ? 6 * TARGET_SECONDS : TARGET_SECONDS / 2}`,
        etag: `"v${this.parts}"`,
      },
    });
  }
}

/** Sequence number and part of a name of {@link FakeLivePlaylist}. */
const MEDIA_NAME = /\/aabbccdd-(?:init\.mp4|(\d+)(?:\.(\d+))?\.m4s)$/;

function partLines(msn: number, count: number): string[] {
  return Array.from({ length: count }, (_, part) => {
    const independent = part === 0 ? ",INDEPENDENT=YES" : "";
    return `#EXT-X-PART:DURATION=0.2,URI="aabbccdd-${msn}.${part}.m4s"${independent}`;
  });
}

/** An edge on a port of its own. */
export interface TestEdge extends EdgeParts {
  readonly url: string;
  /** What its server calls. */
  readonly fetch: EdgeFetch;
  readonly close: () => Promise<void>;
}

export interface TestEdgeLimits {
  readonly cacheMib?: number;
  readonly viewerLimit?: number;
  readonly viewerMax?: number;
  readonly streamViewerLimit?: number;
  readonly streamViewerMax?: number;
  readonly refuseStatus?: "503" | "404";
  readonly adminToken?: string;
  readonly idleTimeoutSeconds?: number;
  readonly proxyAll?: boolean;
  /** Default: the machine's. */
  readonly clock?: Clock;
  readonly publicUrl?: string;
  readonly tls?: TlsSource;
  /** Of the page, by path. Default: none. */
  readonly pageFiles?: ReadonlyMap<string, PageFile>;
  readonly trusted?: readonly AddressRange[];
  /** Made for the edge's port. */
  readonly guard?: (port: () => number) => Guard | undefined;
}

const DEFAULTS = {
  cacheMib: 32,
  viewerLimit: 0,
  viewerMax: 0,
  streamViewerLimit: 0,
  streamViewerMax: 0,
  refuseStatus: "503",
  publicUrl: "",
  proxyAll: false,
} as const;

/** Starts an edge in front of `upstream`. */
export function startTestEdge(upstream: string | readonly string[], limits: TestEdgeLimits = {}): TestEdge {
  const { idleTimeoutSeconds = 60, adminToken = "", clock = systemClock, ...others } = limits;
  const config = { upstream: [upstream].flat(), ...DEFAULTS, ...others };
  const parts = createParts({ config, clock, log: silentLog });
  const fetch = createEdgeFetch({
    ...parts,
    clock,
    registry: createRegistry(),
    readiness: () => undefined,
    page: { files: limits.pageFiles ?? new Map(), securityHeaders: {} },
    adminToken,
    log: silentLog,
    addresses: new ViewerAddresses({ trusted: limits.trusted ?? [], header: "x-forwarded-for" }),
    guard: limits.guard?.(() => server.port),
    onError: (error) => {
      throw error;
    },
  });
  const server = new HttpServer({
    option: "edge-port",
    port: 0,
    hostname: "127.0.0.1",
    tls: limits.tls,
    http3: "on",
    clock: systemClock,
    log: silentLog,
    idleTimeoutSeconds,
    onFault: (fault) => parts.counters.refuse(fault),
    fetch,
    error: failureResponse,
  });
  return {
    ...parts,
    url: `${server.scheme}://127.0.0.1:${server.port}`,
    fetch,
    close: async () => {
      parts.streams.close();
      await server.stop();
      parts.playlists.close();
      await parts.upstream.close();
    },
  };
}

/** Of time that passes while a test waits. */
const ADVANCE_STEP_MS = 10;

/** Resolves once `condition` holds; a test that waits in vain ends by its own time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

/** Lets time pass in small steps until `condition` holds, with room between them for what happens on sockets. */
export async function advanceUntil(clock: FakeClock, condition: () => boolean): Promise<void> {
  while (!condition()) {
    clock.advance(ADVANCE_STEP_MS);
    await Bun.sleep(1);
  }
}

/** Resolves as `pending` does, for which time passes. */
export async function whileAdvancing<Value>(clock: FakeClock, pending: Promise<Value>): Promise<Value> {
  let isOver = false;
  const over = (): void => void (isOver = true);
  void pending.then(over, over);
  await advanceUntil(clock, () => isOver);
  return pending;
}
