/**
 * The origin's end of the lease: one WebSocket for each edge. It says who it is, then how busy; its close ends the
 * lease at once, five seconds of silence end it too.
 */
// RFC 6455 7.4 (close codes)
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import type { Clock } from "#common/clock.ts";
import { mayUseCluster } from "#common/cluster-access.ts";
import type { ProofChecker } from "#common/cluster-auth.ts";
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  LEASE_MESSAGE_BYTES_MAX,
  LEASE_SILENCE_MS_MAX,
  LEASE_VERSION,
  NO_SEGMENT_HOSTS,
  type LeaseHello,
  type LeaseMessage,
} from "#common/formats/lease.ts";
import { CORS_HEADERS } from "#common/node-http.ts";
import type { Log } from "#common/log.ts";
import { LEASES_MAX } from "./config.ts";
import type { EdgePlace, EdgeRegistry } from "./edges.ts";
import type { SegmentTables } from "./segment-tables.ts";

/** Path of the WebSocket. */
export const LEASE_PATH = "/api/v1/lease";
const CLOSE_GOING_AWAY = 1001;
const CLOSE_POLICY = 1008;

/** What Bun keeps for each socket. */
export interface LeaseSocketData {
  readonly address: string;
  place: EdgePlace | undefined;
  /** What tells it from other edges of its address in the log. */
  name: { readonly url: string | undefined; readonly port: number } | undefined;
  cancelSilence: (() => void) | undefined;
}

export interface LeaseDeskOptions {
  readonly registry: EdgeRegistry;
  /** Told to all edges; `undefined` where segments are not spread. */
  readonly segmentTables: Pick<SegmentTables, "kept" | "refresh"> | undefined;
  readonly proofs: ProofChecker;
  /** True for an address of this machine. */
  readonly isOwnAddress: (address: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** Opens and ends leases. */
export class LeaseDesk {
  readonly #options: LeaseDeskOptions;
  readonly #sockets = new Set<ServerWebSocket<LeaseSocketData>>();
  /** Leases refused for lack of proof, of room, or for their version; and ended by silence. */
  refused = 0;
  silent = 0;

  constructor(options: LeaseDeskOptions) {
    this.#options = options;
  }

  /** Handlers for `Bun.serve`. */
  get websocket(): WebSocketHandler<LeaseSocketData> {
    return {
      maxPayloadLength: LEASE_MESSAGE_BYTES_MAX,
      open: (socket) => {
        this.#sockets.add(socket);
        this.#expectWord(socket);
      },
      message: (socket, message) => this.#onMessage(socket, message),
      close: (socket) => this.#onClose(socket),
    };
  }

  /** Answers a request to {@link LEASE_PATH}; `undefined` where it has become a WebSocket. */
  upgrade(request: Request, server: Server<LeaseSocketData>): Response | undefined {
    const { proofs, clock } = this.#options;
    const address = server.requestIP(request)?.address ?? "";
    const wallMs = clock.wallMs();
    const headers = { ...CORS_HEADERS, "cache-control": "no-store" };
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("A WebSocket is expected here\n", {
        status: 426,
        headers: { ...headers, upgrade: "websocket" },
      });
    }
    if (!mayUseCluster(proofs, { headers: request.headers, address, purpose: "lease", wallMs })) {
      this.refused++;
      return new Response("Leases from another host need the cluster secret\n", { status: 403, headers });
    }
    if (this.#sockets.size >= LEASES_MAX) {
      this.refused++;
      return new Response("Too many leases\n", { status: 503, headers: { ...headers, "retry-after": "5" } });
    }
    const data: LeaseSocketData = { address, place: undefined, name: undefined, cancelSilence: undefined };
    if (server.upgrade(request, { data })) return undefined;
    return new Response("Not a WebSocket handshake\n", { status: 400, headers });
  }

  /** Ends all leases. */
  close(): void {
    for (const socket of this.#sockets) socket.close(CLOSE_GOING_AWAY, "The origin ends");
  }

  #onMessage(socket: ServerWebSocket<LeaseSocketData>, text: string | Buffer): void {
    const refusal = this.#take(socket, typeof text === "string" ? decodeLeaseMessage(text) : undefined);
    if (refusal !== undefined) {
      this.refused++;
      socket.close(CLOSE_POLICY, refusal);
      return;
    }
    this.#expectWord(socket);
    this.#refreshTables();
  }

  /** Acts on a message, or returns why it is refused. */
  #take(socket: ServerWebSocket<LeaseSocketData>, message: LeaseMessage | undefined): string | undefined {
    const { place } = socket.data;
    if (message?.type === "load" && place !== undefined) {
      place.update(message);
      return undefined;
    }
    if (message?.type !== "hello" || place !== undefined) return "Not a message that is expected now";
    if (message.version !== LEASE_VERSION) {
      return `Lease version ${message.version} is unknown here: this origin speaks ${LEASE_VERSION}`;
    }
    this.#enter(socket, message);
    return undefined;
  }

  #enter(socket: ServerWebSocket<LeaseSocketData>, hello: LeaseHello): void {
    const { registry, segmentTables, isOwnAddress, log } = this.#options;
    const { address } = socket.data;
    socket.data.place = registry.enter(hello);
    socket.data.name = { url: hello.publicUrl || undefined, port: hello.port };
    socket.send(encodeLeaseMessage({ type: "welcome", version: LEASE_VERSION }));
    for (const table of segmentTables?.kept ?? [NO_SEGMENT_HOSTS]) socket.send(encodeLeaseMessage(table));
    if (segmentTables !== undefined && hello.publicUrl === "") {
      log.warn("Edge gets no segments: it has no --public-url", { address });
    }
    log.info("Edge enters", { address, ...socket.data.name });
    if (hello.publicUrl === "" && !isOwnAddress(address)) {
      const port = hello.port;
      log.warn("Edge on another host has no --public-url: viewers look for it under this host's name", {
        address,
        port,
      });
    }
  }

  #refreshTables(): void {
    const table = this.#options.segmentTables?.refresh();
    if (table === undefined) return;
    const text = encodeLeaseMessage(table);
    for (const socket of this.#sockets) if (socket.data.place !== undefined) socket.send(text);
  }

  /** Starts the wait for the next message anew. */
  #expectWord(socket: ServerWebSocket<LeaseSocketData>): void {
    socket.data.cancelSilence?.();
    socket.data.cancelSilence = this.#options.clock.after(LEASE_SILENCE_MS_MAX, () => {
      this.silent++;
      // Whoever is silent may not answer a close either: the lease ends here, the socket when it can.
      this.#endLease(socket);
      socket.close(CLOSE_POLICY, "Silent for too long");
    });
  }

  #onClose(socket: ServerWebSocket<LeaseSocketData>): void {
    this.#sockets.delete(socket);
    this.#endLease(socket);
  }

  #endLease({ data }: ServerWebSocket<LeaseSocketData>): void {
    data.cancelSilence?.();
    data.cancelSilence = undefined;
    if (data.place === undefined) return;
    data.place.leave();
    data.place = undefined;
    this.#options.log.info("Edge leaves", { address: data.address, ...data.name });
    this.#refreshTables();
  }
}
