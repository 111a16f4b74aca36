/**
 * For the tests of this folder: an origin that a test drives byte by byte, over real sockets. Nothing of it runs in
 * production.
 */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

/** One request that the origin was asked, and its answer in the making. */
export class PacedRequest {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly #response: ServerResponse;

  constructor(path: string, method: string, headers: IncomingHttpHeaders, response: ServerResponse) {
    this.path = path;
    this.method = method;
    this.headers = headers;
    this.#response = response;
  }

  /** Sends the head alone. Without `content-length` the body is chunked. */
  begin(status: number, headers: Readonly<Record<string, string>> = {}): this {
    this.#response.writeHead(status, headers);
    this.#response.flushHeaders();
    return this;
  }

  /** Sends a piece of the body. */
  send(bytes: Uint8Array | string): this {
    this.#response.write(bytes);
    return this;
  }

  end(): void {
    this.#response.end();
  }

  /** Breaks off in the middle. */
  die(): void {
    this.#response.destroy();
  }

  /** True once the asker has gone, or has all. */
  get isClosed(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }
}

/** An HTTP server that answers nothing by itself. */
export class PacedOrigin {
  readonly requests: PacedRequest[] = [];
  readonly #server: Server;
  /** Called with each request. Default: it waits for the test. */
  onRequest: (request: PacedRequest) => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => {
      const { url = "", method = "", headers } = request;
      // A peer that leaves in the middle is part of the tests.
      response.on("error", () => {});
      const paced = new PacedRequest(url, method, headers, response);
      this.requests.push(paced);
      this.onRequest(paced);
    });
  }

  static async listen(): Promise<PacedOrigin> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new PacedOrigin(server);
  }

  get url(): string {
    // A TCP server has an address of this shape while it listens.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The request so many asked before; throws where there was none. */
  at(index: number): PacedRequest {
    const request = this.requests[index];
    if (request === undefined) throw new Error(`The origin was asked ${this.requests.length} times`);
    return request;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** A viewer's answer as it comes in. */
export class Download {
  bytes = 0;
  status = 0;
  outcome: "open" | "whole" | "broken off" = "open";
  headers = new Headers();
  readonly #chunks: Uint8Array[] = [];
  readonly #abort = new AbortController();

  constructor(url: string, headers: Record<string, string> = {}) {
    void this.#run(url, headers);
  }

  leave(): void {
    this.#abort.abort();
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  async #run(url: string, headers: Record<string, string>): Promise<void> {
    try {
      const response = await fetch(url, { headers, signal: this.#abort.signal });
      this.status = response.status;
      this.headers = response.headers;
      for await (const piece of response.body ?? []) {
        this.#chunks.push(piece);
        this.bytes += piece.length;
      }
      this.outcome = "whole";
    } catch {
      this.outcome = "broken off";
    }
  }
}

/** A viewer who asks and then takes no byte of what is sent, until it is resumed. */
export function startStalled(url: string): Socket {
  const { port, pathname } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: edge\r\n\r\n`);
  return socket;
}
