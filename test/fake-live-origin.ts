/** A live origin in this process that counts what it is asked, for tests of whole edges: every kind of path, and leases. */
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  LEASE_VERSION,
  type LeaseLoad,
} from "#common/formats/lease.ts";
import { FakeLivePlaylist } from "../edge/fake-origin.ts";
import { FakeTransportStream } from "../edge/fake-transport-stream.ts";

const PART_MS = 200;

/** Publishes parts by itself until it is disposed of. */
export class FakeLiveOrigin implements AsyncDisposable {
  readonly live = new FakeLivePlaylist();
  /** Requests by path with query. */
  readonly hits = new Map<string, number>();
  /** Leases held now, and all that there were. */
  leases = 0;
  leasesEver = 0;
  load: LeaseLoad | undefined;
  /** Open `stream.ts` and events. */
  endless = 0;
  /** Media whose path contains `part` are answered when `until` resolves. */
  held: { readonly part: string; readonly until: Promise<void> } | undefined;
  readonly #server: Bun.Server<undefined>;
  readonly #timer: Timer;
  readonly #stream = new FakeTransportStream();
  readonly #takers = new Set<(group: Uint8Array) => void>();

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 30,
      fetch: (request, server) => {
        const { pathname, search } = new URL(request.url);
        if (pathname === "/api/v1/lease" && server.upgrade(request)) return undefined;
        this.hits.set(pathname + search, (this.hits.get(pathname + search) ?? 0) + 1);
        const { held } = this;
        if (held === undefined || !pathname.includes(held.part)) return this.#answer(request, pathname);
        return held.until.then(() => this.#answer(request, pathname));
      },
      websocket: {
        open: () => void (this.leases++, this.leasesEver++),
        close: () => void this.leases--,
        message: (socket, text) => {
          const message = decodeLeaseMessage(String(text));
          if (message?.type === "load") this.load = message;
          if (message?.type === "hello")
            socket.send(encodeLeaseMessage({ type: "welcome", version: LEASE_VERSION }));
        },
      },
    });
    this.#timer = setInterval(() => this.#publish(), PART_MS);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Position of the next part, as a player asks for it. */
  get next(): string {
    return `_HLS_msn=${this.live.lastMsn + 1}&_HLS_part=${this.live.openParts}`;
  }

  /** Requests so far of all paths that contain `part`. */
  count(part: string): number {
    let sum = 0;
    for (const [path, hits] of this.hits) if (path.includes(part)) sum += hits;
    return sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#server.stop(true);
  }

  #publish(): void {
    this.live.publish();
    const group = this.#stream.gop(6);
    for (const take of this.#takers) take(group);
  }

  #answer(request: Request, path: string): Response | Promise<Response> {
    if (path === "/readyz") return new Response("ready\n");
    if (path === "/api/v1/edges") return Response.json([]);
    if (path.endsWith(".m4s") || path.endsWith("init.mp4")) {
      const headers = { "content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable" };
      return new Response(path, { headers });
    }
    if (path.endsWith(".m3u8")) return this.live.answer(request);
    if (path.endsWith("/stream.ts")) return this.#endless(request, "video/mp2t", (group) => group);
    if (path.endsWith("/events")) {
      const event = new TextEncoder().encode('event: figures\ndata: {"timeMs":1}\n\n');
      return this.#endless(request, "text/event-stream", () => event);
    }
    return new Response("Not found\n", { status: 404 });
  }

  #endless(request: Request, contentType: string, bytesOf: (group: Uint8Array) => Uint8Array): Response {
    this.endless++;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const take = (group: Uint8Array): void => controller.enqueue(bytesOf(group));
        this.#takers.add(take);
        request.signal.addEventListener("abort", () => {
          this.#takers.delete(take);
          this.endless--;
        });
      },
    });
    return new Response(body, { headers: { "content-type": contentType } });
  }
}
