/**
 * The edge's lease: one WebSocket to each origin that says who this edge is and, once a second, how busy. Origins
 * hand viewers to edges by it. Ends with the process; comes back within a second of an origin's restart.
 */
// RFC 6455; messages in common/formats/lease.ts
import type { Clock } from "#common/clock.ts";
import { PROOF_REFUSED, proveSecret } from "#common/cluster-auth.ts";
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  LEASE_REPORT_MS,
  LEASE_VERSION,
  type LeaseHello,
  type LeaseLoad,
  type LeaseSegmentHosts,
} from "#common/formats/lease.ts";
import type { Log } from "#common/log.ts";

/** RFC 6455 7.4.1 */
const CLOSE_NORMAL = 1000;
/** Pauses before connecting again, each drawn at random from half to all of it, so that edges do not come in step. */
const RECONNECT_MS_MIN = 150;
const RECONNECT_MS_MAX = 800;
/** Longest pause where the upstream answers that it knows no leases: it is no origin, though it may become one. */
const NO_ORIGIN_MS_MAX = 60_000;
/** What a handshake is answered where nobody knows of leases. An origin says none of them, nor does a proxy while it is away. */
const NO_ORIGIN_STATUSES = new Set([200, 301, 302, 307, 308, 404, 405, 410, 501]);
/** How long a connection may take until the origin's welcome. */
const WELCOME_MS_MAX = 5_000;
/** A report that the socket did not take by now means that nobody reads: begin anew. */
const UNSENT_BYTES_MAX = 65_536;
/** Each report goes with a ping. An origin that answered none for this long has vanished without a word. */
const SILENCE_MS_MAX = 5_000;

export interface LeaseOptions {
  /** Base URL of the origin. */
  readonly upstreamUrl: string;
  readonly hello: LeaseHello;
  /** Asked once a second. */
  readonly load: () => Omit<LeaseLoad, "type">;
  /** Told of each table of segment hosts, where the origin spreads segments. */
  readonly onSegmentHosts: (table: LeaseSegmentHosts) => void;
  /** Called when a lease that was held is lost. */
  readonly onLost: () => void;
  /** Empty without a cluster. */
  readonly clusterSecret: string;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Log;
}

interface LeaseSocket extends WebSocket {
  ping(): void;
}

/** Keeps one lease until {@link LeaseClient.close}. */
export class LeaseClient {
  readonly #options: LeaseOptions;
  readonly #url: string;
  #socket: LeaseSocket | undefined;
  #cancelTimer: (() => void) | undefined;
  #pauseMs = RECONNECT_MS_MIN;
  #isHeld = false;
  /** When the origin was last heard of, on the monotonic clock. */
  #heardMs = 0;
  #isClosed = false;
  /** What was said of there being no lease, since it was held last: each once, not at each try. */
  #toldLoss: "lost" | "no origin" | undefined;

  /** Begins to connect at once. */
  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#url = `${options.upstreamUrl.replace(/^http/, "ws")}/api/v1/lease`;
    this.#connect();
  }

  /** True from the origin's welcome to the loss of the connection. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Says the present load at once, without waiting for the second to pass: a change of state cannot wait. */
  report(): void {
    if (!this.#isHeld || this.#socket === undefined) return;
    if (this.#socket.bufferedAmount > UNSENT_BYTES_MAX) {
      this.#lose("the origin does not read");
      return;
    }
    if (this.#options.clock.monotonicMs() - this.#heardMs >= SILENCE_MS_MAX) {
      this.#lose("the origin does not answer");
      return;
    }
    this.#socket.send(encodeLeaseMessage({ type: "load", ...this.#options.load() }));
    this.#socket.ping();
  }

  /** Says the present state once more and gives the lease up: the origin hands nobody to this edge from now on. */
  close(): void {
    this.report();
    this.#isClosed = true;
    this.#isHeld = false;
    this.#cancelTimer?.();
    this.#socket?.close(CLOSE_NORMAL, "edge ends");
    this.#socket = undefined;
  }

  #connect(): void {
    const { clusterSecret, clock, hello } = this.#options;
    const headers: Record<string, string> = { "cdn-loop": "spillway" };
    if (clusterSecret !== "") {
      headers["authorization"] = proveSecret({
        secret: clusterSecret,
        purpose: "lease",
        wallMs: clock.wallMs(),
      });
    }
    const socket = openSocket(this.#url, headers);
    this.#socket = socket;
    const isCurrent = (): boolean => this.#socket === socket;
    socket.addEventListener("open", () => {
      if (isCurrent()) socket.send(encodeLeaseMessage(hello));
    });
    socket.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (isCurrent() && typeof event.data === "string") this.#onMessage(event.data);
    });
    socket.addEventListener("pong", () => {
      if (isCurrent()) this.#heardMs = clock.monotonicMs();
    });
    // A close event follows each error, but a handshake that failed is described by the error alone.
    let failure: HandshakeFailure | undefined;
    socket.addEventListener("error", (event) => {
      failure = readFailure(event);
    });
    socket.addEventListener("close", (event) => {
      if (!isCurrent()) return;
      this.#lose(event.reason || failure?.why || `closed with code ${event.code}`, failure?.status);
    });
    this.#cancelTimer = clock.after(WELCOME_MS_MAX, () => this.#lose("no welcome"));
  }

  #onMessage(text: string): void {
    const message = decodeLeaseMessage(text);
    if (message?.type === "segment-hosts" && this.#isHeld) this.#options.onSegmentHosts(message);
    if (message?.type !== "welcome" || this.#isHeld) return;
    this.#isHeld = true;
    this.#heardMs = this.#options.clock.monotonicMs();
    this.#toldLoss = undefined;
    this.#pauseMs = RECONNECT_MS_MIN;
    this.#cancelTimer?.();
    this.#options.log.info("Holds a lease", { origin: this.#options.upstreamUrl, version: LEASE_VERSION });
    this.#reportOnAndOn();
  }

  #reportOnAndOn(): void {
    this.report();
    // The report may have found the lease lost; the timer is that of the next try then.
    if (!this.#isHeld) return;
    this.#cancelTimer = this.#options.clock.after(LEASE_REPORT_MS, () => this.#reportOnAndOn());
  }

  /** @param status what the handshake was answered with, where it was */
  #lose(why: string, status?: number): void {
    const socket = this.#socket;
    const wasHeld = this.#isHeld;
    this.#socket = undefined;
    this.#isHeld = false;
    this.#cancelTimer?.();
    socket?.close();
    if (this.#isClosed) return;
    if (wasHeld) this.#options.onLost();
    const { clock, random } = this.#options;
    const isOrigin = status === undefined || !NO_ORIGIN_STATUSES.has(status);
    this.#tellLoss(isOrigin, why);
    const pauseMsMax = isOrigin ? RECONNECT_MS_MAX : NO_ORIGIN_MS_MAX;
    const pauseMs = Math.min(pauseMsMax, this.#pauseMs);
    this.#pauseMs = Math.min(pauseMsMax, pauseMs * 2);
    this.#cancelTimer = clock.after(pauseMs * (0.5 + random() / 2), () => this.#connect());
  }

  #tellLoss(isOrigin: boolean, why: string): void {
    const { log, upstreamUrl: origin } = this.#options;
    if (this.#toldLoss === "no origin" || (isOrigin && this.#toldLoss === "lost")) return;
    this.#toldLoss = isOrigin ? "lost" : "no origin";
    if (isOrigin) log.warn("Has no lease: trying again", { origin, why });
    else
      log.warn("Has no lease from an upstream that is no origin: asking it ever more seldom", {
        origin,
        why,
      });
  }
}

/** Why a handshake failed. */
interface HandshakeFailure {
  readonly why: string;
  /** What it was answered with, where it was. */
  readonly status: number | undefined;
}

/** What Bun says of a handshake that failed, without the address that it begins with. */
function readFailure(event: Event): HandshakeFailure {
  const text = event instanceof ErrorEvent ? event.message : "";
  const reason = text.replace(/^WebSocket connection to '[^']*' failed: /, "");
  const status = /^Expected 101 status code: (\d+)$/.exec(reason)?.[1];
  if (status === undefined) return { why: reason, status };
  const hint = status === "403" ? `: ${PROOF_REFUSED}` : "";
  return { why: `refused with status ${status}${hint}`, status: Number(status) };
}

function openSocket(url: string, headers: Record<string, string>): LeaseSocket {
  // Bun's WebSocket takes headers in its second argument and can ping; the DOM's type, which wins, knows neither.
  return new WebSocket(url, { headers } as unknown as string[]) as LeaseSocket;
}
