/**
 * The origin behind the cache that `bench cache` measures: it counts what it is asked for, and gives each object in the
 * way that its name says. On node:http, which lets a delivery end in the middle.
 */
// RFC 9111, RFC 5861, RFC 8246 (what it says of freshness)
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Clock } from "#common/clock.ts";
import { errorCode, StartError } from "#common/errors.ts";
import { pause } from "#common/pause.ts";
import {
  CHUNK_BYTES,
  CHUNKS,
  CHUNKS_BEFORE_DEATH,
  FIRST_BYTE_CHUNKS,
  HOLD_CHUNKS,
  OBJECT_BYTES,
  OBJECT_KINDS,
  objectBytes,
  PART_BYTES,
  SEGMENT_BYTES,
  type ObjectKind,
} from "./cache-objects.ts";
import { FIRST_HELD, HeldList, plainPlaylist } from "./cache-playlists.ts";
import type { Position } from "./playlist-position.ts";

const HOST = "127.0.0.1";
const FOR_EVER = "public, max-age=3600, immutable";
/** Fresh for the least time that there is, and then good enough while somebody asks. */
const BRIEF = "public, max-age=1, stale-while-revalidate=60";
const HELD_PLAYLIST = "public, max-age=12";
const PLAIN_PLAYLIST = "public, max-age=3";
/** The large object is written in pieces of so many bytes. */
const PIECE_BYTES = 1024 * 1024;

export interface CacheOriginOptions {
  readonly port: number;
  readonly clock: Clock;
  readonly chunkMs: number;
  readonly largeBytes: number;
}

/** The origin. */
export class CacheOrigin implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #options: CacheOriginOptions;
  readonly #hits = new Map<string, number>();
  readonly #lists = new Map<string, HeldList>();
  /** The list of the players' stream, by its run. */
  readonly #live = new Map<number, HeldList>();
  readonly #large: Buffer;
  readonly #segment = objectBytes(SEGMENT_BYTES);
  readonly #part = objectBytes(PART_BYTES);
  readonly #plainPlaylist = plainPlaylist();

  private constructor(options: CacheOriginOptions, server: Server, port: number) {
    this.#options = options;
    this.#server = server;
    this.port = port;
    this.#large = objectBytes(options.largeBytes);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      // A reader that leaves is the cache's business; the count stands.
      response.on("error", () => {});
      void this.#answer(request, response);
    });
  }

  /** Listens. Throws StartError where the port cannot be had. */
  static async open(options: CacheOriginOptions): Promise<CacheOrigin> {
    const server = createServer();
    const { port } = options;
    await new Promise<void>((resolve, reject) => {
      server.on("error", (cause) => {
        const why = errorCode(cause) ?? "unknown";
        reject(new StartError("cannot-bind", `Cannot bind port ${port} (--origin-port): ${why}`, { cause }));
      });
      server.listen(port, HOST, resolve);
    });
    const address = server.address();
    return new CacheOrigin(options, server, typeof address === "object" ? (address?.port ?? port) : port);
  }

  /** Where the cache has to send its requests. */
  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  /** How often a path was asked for; of held playlists those requests alone that ask for the first part to come. */
  hits(path: string): number {
    return this.#hits.get(path) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "", query = ""] = (request.url ?? "").split("?");
    if (path.endsWith("/index.m3u8")) return this.#answerPlaylist(response, { path, query });
    const kind = readKind(path);
    if (kind === undefined) return end(response, 404, {}, "No such object\n");
    const hit = this.#count(path);
    if (kind === "ready") return end(response, 200, { "cache-control": FOR_EVER }, "ready\n");
    if (kind === "segment") return end(response, 200, { "cache-control": FOR_EVER }, this.#segment);
    if (kind === "part") return this.#answerPart(response, path);
    if (kind === "large") return this.#sendLarge(response);
    await this.#pause(FIRST_BYTE_CHUNKS);
    if (kind === "private") return end(response, 200, { "cache-control": "no-store" }, `answer ${hit}\n`);
    if (kind === "expiring") {
      return end(
        response,
        200,
        { "cache-control": BRIEF, etag: '"same"' },
        this.#large.subarray(0, CHUNK_BYTES),
      );
    }
    if (kind === "failing" && hit === 1) {
      return end(response, 503, { "cache-control": "no-store" }, "Not now\n");
    }
    return this.#sendChunks(response, {
      isCut: hit === 1 && kind === "cut",
      isDying: hit === 1 && kind === "dying",
    });
  }

  async #answerPlaylist(
    response: ServerResponse,
    { path, query }: { readonly path: string; readonly query: string },
  ): Promise<void> {
    const type = { "content-type": "application/vnd.apple.mpegurl" };
    const [, kind, run = ""] = /\/(held|live|plain)(\d+)\/index\.m3u8$/.exec(path) ?? [];
    if (kind === undefined) return end(response, 404, {}, "No such playlist\n");
    if (kind === "plain") {
      this.#count(path);
      return end(response, 200, { ...type, "cache-control": PLAIN_PLAYLIST }, this.#plainPlaylist);
    }
    if (query === FIRST_HELD) this.#count(path);
    const list = this.#lists.get(path) ?? this.#createList(kind, Number(run));
    this.#lists.set(path, list);
    const text = await list.answer(query);
    if (text === undefined) return end(response, 400, {}, "Bad directives\n");
    const etag = `"${Bun.hash(text).toString(16)}"`;
    return end(
      response,
      200,
      { ...type, "cache-control": query === "" ? PLAIN_PLAYLIST : HELD_PLAYLIST, etag },
      text,
    );
  }

  #createList(kind: string, run: number): HeldList {
    const { clock, chunkMs } = this.#options;
    if (kind === "held") return new HeldList({ media: "ready", run, clock, holdMs: HOLD_CHUNKS * chunkMs });
    const list = new HeldList({ media: "part", run, clock });
    this.#live.set(run, list);
    return list;
  }

  /** When a part of the players' stream was published. On the monotonic clock, milliseconds. */
  publishedMs(run: number, at: Position): number | undefined {
    return this.#live.get(run)?.publishedMs(at);
  }

  /** A part ahead of its time is held, as preload hints have it. */
  async #answerPart(response: ServerResponse, path: string): Promise<void> {
    const [, run, msn, part] = /part(\d+)-(\d+)\.(\d+)\.m4s$/.exec(path) ?? [];
    await this.#live.get(Number(run))?.untilListed({ msn: Number(msn), part: Number(part) });
    end(response, 200, { "cache-control": FOR_EVER }, this.#part);
  }

  /** The object in its ten chunks; one that dies ends after a few, with its length announced (`isDying`) or not. */
  async #sendChunks(
    response: ServerResponse,
    { isCut, isDying }: { readonly isCut: boolean; readonly isDying: boolean },
  ): Promise<void> {
    const length = isCut ? {} : { "content-length": String(OBJECT_BYTES) };
    response.writeHead(200, { "content-type": "video/mp4", "cache-control": FOR_EVER, ...length });
    const bytes = objectBytes(OBJECT_BYTES);
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      if (chunk > 0) await this.#pause(1);
      if (response.destroyed) return;
      if ((isCut || isDying) && chunk === CHUNKS_BEFORE_DEATH) return void response.socket?.destroy();
      response.write(bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES));
    }
    response.end();
  }

  async #sendLarge(response: ServerResponse): Promise<void> {
    const bytes = this.#large;
    response.writeHead(200, {
      "content-type": "video/mp4",
      "cache-control": FOR_EVER,
      "content-length": String(bytes.length),
    });
    for (let start = 0; start < bytes.length && !response.destroyed; start += PIECE_BYTES) {
      if (!response.write(bytes.subarray(start, start + PIECE_BYTES))) await untilDrained(response);
    }
    response.end();
  }

  #count(path: string): number {
    const hits = this.hits(path) + 1;
    this.#hits.set(path, hits);
    return hits;
  }

  #pause(chunks: number): Promise<void> {
    const { clock, chunkMs } = this.#options;
    return pause(clock, chunks * chunkMs);
  }
}

/** Resolves when there is room again, or nobody left. */
function untilDrained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

function readKind(path: string): ObjectKind | undefined {
  const word = /\/([a-z]+)\d+-[\d.]+\.m4s$/.exec(path)?.[1];
  return OBJECT_KINDS.find((kind) => kind === word);
}

function end(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
): void {
  response.writeHead(status, {
    "content-type": "video/mp4",
    "content-length": String(Buffer.byteLength(body)),
    date: new Date().toUTCString(),
    ...headers,
  });
  response.end(body);
}
