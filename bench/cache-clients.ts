/**
 * Clients of `bench cache`: each has a connection of its own, open before the clock runs, asks once, and tells when the
 * first and the last byte came and whether the bytes were right.
 */
import { connect, type Socket } from "node:net";
import type { Clock } from "#common/clock.ts";
import { HttpConnection, HttpFailure, type Authority } from "./http-connection.ts";
import { objectBytes } from "./cache-objects.ts";

/** What one client got. */
export interface Fetched {
  /** 0 without an answer. */
  readonly status: number;
  /** From the request to the first byte of the body, or to the head of an answer without one; NaN without. Milliseconds. */
  readonly firstByteMs: number;
  /** From the request to the end of the body, whole or not. Milliseconds. */
  readonly endMs: number;
  readonly bytes: number;
  /** False where a byte of the body was not the object's. */
  readonly areBytesRight: boolean;
  /** The beginning of the body as text: all of a short one. */
  readonly text: string;
  /** Why it broke off; empty where HTTP says that the answer came whole. */
  readonly failure: string;
}

/** A request under way. */
export interface Fetching {
  readonly done: Promise<Fetched>;
  /** Ends the connection. */
  readonly abort: () => void;
}

/** Where clients connect to. */
export interface CacheClientOptions {
  readonly url: URL;
  readonly clock: Clock;
  readonly isInsecure: boolean;
  /** Longest time for one request. Milliseconds. */
  readonly msMax: number;
  /** Largest object. */
  readonly bytesMax: number;
}

/** So much of a body is kept as text. */
const TEXT_BYTES_MAX = 8_192;

/** Opens connections and asks over them. */
export class CacheClients {
  readonly #options: CacheClientOptions;
  readonly #authority: Authority;
  readonly #expected: Buffer;

  constructor(options: CacheClientOptions) {
    const { url, isInsecure, bytesMax } = options;
    const isTls = url.protocol === "https:";
    this.#options = options;
    this.#expected = objectBytes(bytesMax);
    this.#authority = {
      isTls,
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: Number(url.port || (isTls ? 443 : 80)),
      isInsecure,
    };
  }

  /** Clients that are connected and wait. Throws HttpFailure where the cache does not take them. */
  async open(count: number): Promise<readonly CacheClient[]> {
    return Promise.all(Array.from({ length: count }, () => this.#openOne()));
  }

  /** One client asks for `path`. */
  async fetch(path: string): Promise<Fetched> {
    const [client] = await this.open(1);
    if (client === undefined) throw new HttpFailure("closed");
    return client.fetch(path).done;
  }

  /** So many ask for `path` at once. */
  async fetchAll(count: number, path: string): Promise<readonly Fetched[]> {
    const clients = await this.open(count);
    return Promise.all(clients.map((client) => client.fetch(path).done));
  }

  /** Asks for `path` over a plain connection and reads nothing of the answer until it is ended. */
  async stall(path: string): Promise<Socket> {
    const { hostname, port } = this.#authority;
    const socket = connect({ host: hostname, port });
    socket.on("error", () => {});
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", () => reject(new HttpFailure("cannot connect")));
    });
    socket.pause();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#options.url.host}\r\n\r\n`);
    return socket;
  }

  async #openOne(): Promise<CacheClient> {
    const connection = new HttpConnection(() => connection.close());
    await connection.open(this.#authority);
    return new CacheClient(connection, { ...this.#options, expected: this.#expected });
  }
}

/** One connection for one request. */
export class CacheClient {
  readonly #connection: HttpConnection;
  readonly #options: CacheClientOptions & { readonly expected: Buffer };

  constructor(connection: HttpConnection, options: CacheClientOptions & { readonly expected: Buffer }) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Asks for `path`; the answer settles whatever becomes of it. */
  fetch(path: string): Fetching {
    const { url, clock, msMax, expected } = this.#options;
    const { promise, resolve } = Promise.withResolvers<Fetched>();
    const startMs = clock.monotonicMs();
    const chunks: Uint8Array[] = [];
    let status = 0;
    let bytes = 0;
    let firstByteMs = Number.NaN;
    let areBytesRight = true;
    const cancel = clock.after(msMax, () => this.#connection.close("timeout"));
    const finish = (failure: string): void => {
      cancel();
      const endMs = clock.monotonicMs() - startMs;
      if (Number.isNaN(firstByteMs) && failure === "") firstByteMs = endMs;
      const text = Buffer.concat(chunks).toString("latin1");
      resolve({ status, firstByteMs, endMs, bytes, areBytesRight, text, failure });
    };
    const request = `GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\nUser-Agent: spillway-bench\r\nAccept: */*\r\n\r\n`;
    this.#connection.send(request, {
      onHead: (head) => void (status = head.status),
      onBody(chunk) {
        if (bytes === 0) firstByteMs = clock.monotonicMs() - startMs;
        // A copy: the chunk's memory is the socket's.
        if (bytes < TEXT_BYTES_MAX) chunks.push(new Uint8Array(chunk.subarray(0, TEXT_BYTES_MAX - bytes)));
        areBytesRight &&= expected.subarray(bytes, bytes + chunk.length).equals(chunk);
        bytes += chunk.length;
      },
      onEnd: () => finish(""),
      onFailure: ({ kind }) => finish(kind),
    });
    return { done: promise, abort: () => this.#connection.close("aborted") };
  }
}
