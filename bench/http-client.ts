/**
 * HTTP for one viewer: connections to each host that are opened as needed and kept, redirects, deadlines. All
 * viewers of a process share one {@link HttpContext}, which ends what is overdue.
 */
import type { Clock } from "#common/clock.ts";
import { HttpConnection, HttpFailure, type Authority, type ResponseHead } from "./http-connection.ts";

/** How often overdue requests are looked for. Milliseconds. */
const SWEEP_MS = 500;
/** Longest chain of redirects. */
const REDIRECTS_MAX = 5;
/** Idle connections that one viewer keeps to one host: as many as a browser. */
const IDLE_CONNECTIONS_MAX = 6;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** What all clients of a process share. */
export class HttpContext {
  readonly clock: Clock;
  readonly isInsecure: boolean;
  readonly #active = new Set<HttpConnection>();
  #cancelSweep: (() => void) | undefined;

  constructor(options: { readonly clock: Clock; readonly isInsecure: boolean }) {
    this.clock = options.clock;
    this.isInsecure = options.isInsecure;
    this.#sweep();
  }

  watch(connection: HttpConnection): void {
    this.#active.add(connection);
  }

  close(): void {
    this.#cancelSweep?.();
  }

  #sweep(): void {
    const nowMs = this.clock.monotonicMs();
    for (const connection of this.#active) {
      if (connection.isClosed) this.#active.delete(connection);
      else if (connection.deadlineMs <= nowMs) connection.close("timeout");
    }
    this.#cancelSweep = this.clock.after(SWEEP_MS, () => this.#sweep());
  }
}

/** A finished response. */
export interface HttpResponse {
  /** The address it came from, after redirects. */
  readonly url: string;
  readonly status: number;
  readonly field: ResponseHead["field"];
  /** The body where it was asked for, still encoded as `content-encoding` says; otherwise empty. */
  readonly body: Uint8Array;
  /** Length of the body as it came. */
  readonly bytes: number;
}

/** How to fetch. */
export interface FetchOptions {
  /** Longest time from the request to the end of the body. Milliseconds. */
  readonly msMax: number;
  /** True to gather the body; otherwise it is counted and dropped. */
  readonly isBodyKept?: boolean;
  /** More fields of the request. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Gets each chunk of a successful response. */
  readonly onBody?: (chunk: Uint8Array) => void;
  /** Gets the head of the last response, after redirects. */
  readonly onHead?: (head: ResponseHead) => void;
}

/** The connections of one viewer. */
export class HttpClient {
  readonly #context: HttpContext;
  readonly #idle = new Map<string, HttpConnection[]>();
  readonly #open = new Set<HttpConnection>();
  #isClosed = false;

  constructor(context: HttpContext) {
    this.#context = context;
  }

  /** GETs `url`. Any status is a response; no response is an {@link HttpFailure}. */
  async get(url: string, options: FetchOptions): Promise<HttpResponse> {
    let address = URL.parse(url);
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects += 1) {
      if (address?.protocol !== "http:" && address?.protocol !== "https:") throw new HttpFailure("bad URL");
      const response = await this.#getOnce(address, options);
      const location = REDIRECTS.has(response.status) ? response.field("location") : undefined;
      if (location === undefined) return response;
      address = URL.parse(location, address);
    }
    throw new HttpFailure("too many redirects");
  }

  /** Ends all connections; requests underway fail with `closed`. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#open) connection.close();
    this.#open.clear();
    this.#idle.clear();
  }

  async #getOnce(url: URL, options: FetchOptions): Promise<HttpResponse> {
    const deadlineMs = this.#context.clock.monotonicMs() + options.msMax;
    const connection = await this.#connectionTo(url, deadlineMs);
    connection.deadlineMs = deadlineMs;
    const done = Promise.withResolvers<HttpResponse>();
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let head: ResponseHead | undefined;
    connection.send(requestText(url, options.fields), {
      onHead(received) {
        head = received;
        if (!REDIRECTS.has(received.status)) options.onHead?.(received);
      },
      onBody(chunk) {
        bytes += chunk.length;
        if (options.isBodyKept === true) chunks.push(chunk);
        if (head?.status === 200) options.onBody?.(chunk);
      },
      onEnd() {
        if (head === undefined) return;
        const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
        done.resolve({ url: url.href, status: head.status, field: head.field, body, bytes });
      },
      onFailure: done.reject,
    });
    return done.promise;
  }

  async #connectionTo(url: URL, deadlineMs: number): Promise<HttpConnection> {
    const key = url.origin;
    const idle = this.#idle.get(key);
    for (let connection = idle?.pop(); connection !== undefined; connection = idle?.pop()) {
      if (!connection.isClosed) return connection;
      this.#open.delete(connection);
    }
    if (this.#isClosed) throw new HttpFailure("closed");
    const connection = new HttpConnection((ready) => this.#keep(key, ready));
    connection.deadlineMs = deadlineMs;
    this.#open.add(connection);
    this.#context.watch(connection);
    await connection.open(authorityOf(url, this.#context.isInsecure));
    return connection;
  }

  #keep(key: string, connection: HttpConnection): void {
    const idle = this.#idle.get(key) ?? [];
    if (idle.length >= IDLE_CONNECTIONS_MAX) {
      this.#open.delete(connection);
      connection.close();
      return;
    }
    idle.push(connection);
    this.#idle.set(key, idle);
  }
}

function authorityOf(url: URL, isInsecure: boolean): Authority {
  const isTls = url.protocol === "https:";
  return {
    isTls,
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (isTls ? 443 : 80) : Number(url.port),
    isInsecure,
  };
}

function requestText(url: URL, fields: FetchOptions["fields"] = {}): string {
  let text = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nUser-Agent: spillway-bench\r\nAccept: */*\r\n`;
  for (const [name, value] of Object.entries(fields)) text += `${name}: ${value}\r\n`;
  return `${text}\r\n`;
}
