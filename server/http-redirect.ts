/**
 * Answers browsers that were given the game's port: a request there is sent on to the viewer page. Reads the request's
 * header a line at a time in O(1) memory, looking only for `Host`, and never quotes anything else of it.
 */
// RFC 9110 7.2 (Host), 15.4.3 (302 Found); RFC 9112 (message syntax)
import { byteAt } from "./line-scanner.ts";

/** Longer header lines are skipped; a host name of the greatest length fits. */
const HEADER_LINE_BYTES_MAX = 300;
/** A header longer than this is answered before its end. */
const HEADER_BYTES_MAX = 65_536;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** A host name, an IPv4 or a bracketed IPv6 address, perhaps with a port: nothing that could leave its place in a URL. */
const HOST_HEADER =
  /^host:[ \t]*([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9.])?|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?[ \t]*$/i;

/** Where browsers are sent. Passes through `postMessage`. */
export interface ViewerAddress {
  /** URL of the page, or empty: the host that the browser used, with `port`. */
  readonly url: string;
  /** Of the first edge. */
  readonly port: number;
}

export interface RedirectOptions {
  readonly viewers: ViewerAddress;
  /** The address that the browser reached, for a request without a usable `Host`. */
  readonly localAddress: string;
}

/** One browser's request, from behind its `GET `. */
export class HttpRedirect {
  readonly #options: RedirectOptions;
  readonly #line = new Uint8Array(HEADER_LINE_BYTES_MAX);
  #lineLength = 0;
  #lines = 0;
  #bytes = 0;
  #host: string | undefined;
  #isComplete = false;

  constructor(options: RedirectOptions) {
    this.#options = options;
  }

  /** True once the header is over: {@link response} is due. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Takes the next bytes of the request. */
  receive(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length && !this.#isComplete; index += 1) {
      const byte = byteAt(bytes, index);
      this.#bytes += 1;
      if (byte === LINE_FEED) this.#endLine();
      else if (this.#lineLength < HEADER_LINE_BYTES_MAX) this.#line[this.#lineLength++] = byte;
      if (this.#bytes >= HEADER_BYTES_MAX) this.#isComplete = true;
    }
  }

  /** The whole answer, header and body. */
  response(): Uint8Array {
    const { viewers, localAddress } = this.#options;
    const host = this.#host ?? hostOfAddress(localAddress);
    const location = viewers.url === "" ? `http://${host}:${viewers.port}/` : viewers.url;
    const body = `This is a Pixelflut port. The picture is at ${location}\n`;
    return new TextEncoder().encode(
      [
        "HTTP/1.1 302 Found",
        `Location: ${location}`,
        "Content-Type: text/plain; charset=utf-8",
        `Content-Length: ${body.length}`,
        "Cache-Control: no-store",
        "Connection: close",
        "",
        body,
      ].join("\r\n"),
    );
  }

  #endLine(): void {
    const isWhole = this.#lineLength < HEADER_LINE_BYTES_MAX;
    const hasReturn = this.#lineLength > 0 && this.#line[this.#lineLength - 1] === CARRIAGE_RETURN;
    const length = hasReturn ? this.#lineLength - 1 : this.#lineLength;
    const isRequestLine = this.#lines === 0;
    this.#lineLength = 0;
    this.#lines += 1;
    if (isRequestLine) return;
    if (length === 0) this.#isComplete = true;
    else if (isWhole) this.#host ??= readHost(this.#line.subarray(0, length));
  }
}

function readHost(line: Uint8Array): string | undefined {
  return HOST_HEADER.exec(String.fromCharCode(...line))?.[1];
}

/** An address as the host of a URL: IPv4 mapped into IPv6 as IPv4, IPv6 in brackets. */
function hostOfAddress(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*$/, "");
  return plain.includes(":") ? `[${plain}]` : plain;
}
