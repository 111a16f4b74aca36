/**
 * The HTTP client of the load scripts: GET over keep-alive connections that belong to one viewer, as a browser's do.
 * A response body goes to a callback chunk by chunk and is never gathered unless asked for. Bun's `fetch` costs as
 * little, but shares connections between viewers and limits how many requests may be held at once, which players do
 * not; undici takes three times the processor time for a request.
 *
 * Hot path: one `data` event from the kernel; a body of known length costs one addition.
 */
// RFC 9110, RFC 9112
import type { Socket } from "bun";
import { errorCode } from "#common/errors.ts";

/** A response head longer than this ends the connection. Bytes. */
const HEAD_BYTES_MAX = 65_536;
/** Status codes without a body, whatever their fields say (RFC 9112 6.3). */
const BODILESS = new Set([204, 304]);

/** What went wrong with a request, in one word or two: errors are counted by it. */
export class HttpFailure extends Error {
  override readonly name = "HttpFailure";
  /** `cannot connect`, `closed`, `timeout`, `bad response`, or a system error's code. */
  readonly kind: string;

  constructor(kind: string, options?: { readonly cause?: unknown }) {
    super(kind, options);
    this.kind = kind;
  }
}

/** The head of a response. */
export interface ResponseHead {
  readonly status: number;
  /** A field's value, or `undefined`. `name` in lower case. */
  readonly field: (name: string) => string | undefined;
}

/** A request that is underway. */
export interface Exchange {
  readonly onHead: (head: ResponseHead) => void;
  readonly onBody: (chunk: Uint8Array) => void;
  readonly onEnd: () => void;
  readonly onFailure: (failure: HttpFailure) => void;
}

/** Scheme, host and port. */
export interface Authority {
  readonly isTls: boolean;
  readonly hostname: string;
  readonly port: number;
  /** True to accept any certificate. */
  readonly isInsecure: boolean;
}

type State = "idle" | "head" | "length" | "chunk-head" | "chunk" | "chunk-end" | "trailer" | "until-close";

/** One connection; one request at a time. */
export class HttpConnection {
  readonly #onIdle: (connection: HttpConnection) => void;
  #socket: Socket | undefined;
  #exchange: Exchange | undefined;
  #state: State = "idle";
  #rest: Buffer | undefined;
  /** Bytes left of the body or chunk. */
  #left = 0;
  #isKeptAlive = true;
  #isClosed = false;
  #rejectHandshake: ((failure: HttpFailure) => void) | undefined;
  /** When the request must be over, for whoever sweeps. */
  deadlineMs = Infinity;

  /** @param onIdle called when the connection can take another request */
  constructor(onIdle: (connection: HttpConnection) => void) {
    this.#onIdle = onIdle;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async open(authority: Authority): Promise<void> {
    const { hostname, port, isTls, isInsecure } = authority;
    const handshake = Promise.withResolvers<void>();
    // Of a connection that is closed before, nobody waits for it any more.
    handshake.promise.catch(() => {});
    this.#rejectHandshake = handshake.reject;
    try {
      this.#socket = await Bun.connect({
        hostname,
        port,
        ...(isTls ? { tls: { serverName: hostname, rejectUnauthorized: !isInsecure } } : {}),
        socket: {
          data: (_, chunk) => this.#read(chunk),
          close: () => this.#ended(),
          end: () => this.#ended(),
          error: (_, error) => this.#fail(new HttpFailure(errorCode(error) ?? "closed", { cause: error })),
          connectError: () => {},
          handshake: (_, isSecure, problem) => {
            if (isInsecure || (isSecure && problem === null)) handshake.resolve();
            else handshake.reject(new HttpFailure("certificate refused", { cause: problem }));
          },
        },
      });
      // Nothing can be written before the handshake is done.
      if (isTls) await handshake.promise;
    } catch (error) {
      this.#close();
      if (error instanceof HttpFailure) throw error;
      throw new HttpFailure(errorCode(error) ?? "cannot connect", { cause: error });
    }
    if (this.#isClosed) this.#socket.terminate();
  }

  /** Sends `request`, which must be a whole GET; answers go to `exchange`. */
  send(request: string, exchange: Exchange): void {
    this.#exchange = exchange;
    if (this.#isClosed || this.#socket === undefined) {
      this.#fail(new HttpFailure("closed"));
      return;
    }
    this.#state = "head";
    // A request is far smaller than a socket's buffer: what is not taken at once means a dead peer.
    if (this.#socket.write(request) < request.length) this.#fail(new HttpFailure("closed"));
  }

  /** Ends the connection and whatever is underway on it. */
  close(kind = "closed"): void {
    this.#fail(new HttpFailure(kind));
  }

  #read(chunk: Buffer): void {
    let rest = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    while (rest.length > 0 && !this.#isClosed) {
      const used = this.#step(rest);
      if (used === 0) {
        if (rest.length > HEAD_BYTES_MAX) this.#fail(new HttpFailure("bad response"));
        this.#rest = rest;
        return;
      }
      rest = rest.subarray(used);
    }
  }

  /** Takes what it can from the front of `bytes` and returns how much; 0 means that more must come first. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case "length":
      case "chunk":
        return this.#readBody(bytes);
      case "until-close":
        this.#exchange?.onBody(bytes);
        return bytes.length;
      case "head":
        return this.#readHead(bytes);
      case "chunk-head":
      case "chunk-end":
      case "trailer":
        return this.#readLine(bytes);
      case "idle":
        this.#fail(new HttpFailure("bad response"));
        return bytes.length;
    }
  }

  #readBody(bytes: Buffer): number {
    const used = Math.min(this.#left, bytes.length);
    this.#left -= used;
    this.#exchange?.onBody(used === bytes.length ? bytes : bytes.subarray(0, used));
    if (this.#left === 0) {
      if (this.#state === "chunk") this.#state = "chunk-end";
      else this.#done();
    }
    return used;
  }

  #readHead(bytes: Buffer): number {
    const end = bytes.indexOf("\r\n\r\n");
    if (end === -1) return 0;
    const text = bytes.toString("latin1", 0, end);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) {
      this.#fail(new HttpFailure("bad response"));
      return bytes.length;
    }
    if (status >= 100 && status < 200) return end + 4;
    const lower = text.toLowerCase();
    const field = (name: string): string | undefined => fieldOf(text, lower, name);
    this.#isKeptAlive = field("connection")?.toLowerCase() !== "close" && lower.startsWith("http/1.1");
    this.#exchange?.onHead({ status, field });
    const length = field("content-length");
    if (BODILESS.has(status) || length === "0") this.#done();
    else if (field("transfer-encoding")?.toLowerCase() === "chunked") this.#state = "chunk-head";
    else if (length === undefined) this.#state = "until-close";
    else {
      this.#state = "length";
      this.#left = Number(length);
    }
    return end + 4;
  }

  #readLine(bytes: Buffer): number {
    const end = bytes.indexOf("\r\n");
    if (end === -1) return 0;
    if (this.#state === "chunk-end") {
      this.#state = "chunk-head";
    } else if (this.#state === "trailer") {
      if (end === 0) this.#done();
    } else {
      this.#left = Number.parseInt(bytes.toString("latin1", 0, end), 16);
      if (Number.isNaN(this.#left)) this.#fail(new HttpFailure("bad response"));
      else this.#state = this.#left === 0 ? "trailer" : "chunk";
    }
    return end + 2;
  }

  #done(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#state = "idle";
    this.deadlineMs = Infinity;
    if (this.#isKeptAlive) this.#onIdle(this);
    else this.#close();
    exchange?.onEnd();
  }

  #ended(): void {
    if (this.#state === "until-close") {
      this.#isKeptAlive = false;
      this.#done();
    } else {
      this.#fail(new HttpFailure("closed"));
    }
  }

  #fail(failure: HttpFailure): void {
    this.#rejectHandshake?.(failure);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#close();
    exchange?.onFailure(failure);
  }

  #close(): void {
    this.#isClosed = true;
    this.deadlineMs = Infinity;
    this.#socket?.terminate();
  }
}

function fieldOf(text: string, lower: string, name: string): string | undefined {
  const start = lower.indexOf(`\r\n${name}:`);
  if (start === -1) return undefined;
  const from = start + name.length + 3;
  const end = text.indexOf("\r\n", from);
  return text.slice(from, end === -1 ? text.length : end).trim();
}
