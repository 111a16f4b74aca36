/**
 * Answers browsers that were given the game's port: a request there is sent on to the viewer page. Reads the request's
 * header a line at a time in O(1) memory, looking only for `Host`, and never quotes anything else of it. Both receive
 * paths use it; what it knows of a request lies in plain bytes, so that any thread can go on with a request.
 */
// RFC 9110 7.2 (Host), 15.4.3 (302 Found); RFC 9112 (message syntax)
import { byteAt } from "./line-scanner.ts";

/** Longer header lines are skipped; a host name of the greatest length fits. */
const HEADER_LINE_BYTES_MAX = 300;
/** A header longer than this is answered before its end. */
const HEADER_BYTES_MAX = 65_536;
/** The longest host that {@link HOST_HEADER} finds. */
const HOST_BYTES_MAX = 253;

// What is known of a request: five 32-bit words, the line that is being read, the host.
const WORD_BYTES = 0;
const WORD_LINES = 1;
const WORD_LINE_LENGTH = 2;
const WORD_HOST_LENGTH = 3;
const WORD_IS_COMPLETE = 4;
const STATE_WORDS = 5;
const LINE_AT = 4 * STATE_WORDS;
const HOST_AT = LINE_AT + HEADER_LINE_BYTES_MAX;
/** Bytes in which a request's state is kept, see {@link RedirectOptions.state}. */
export const REDIRECT_STATE_BYTES = HOST_AT + HOST_BYTES_MAX;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const LETTER_H = 0x68;
/** The bit by which small letters of ASCII differ from capitals. */
const LOWER_CASE = 0x20;
/** A host name, an IPv4 or a bracketed IPv6 address, perhaps with a port: nothing that could leave its place in a URL. */
const HOST_HEADER =
  /^host:[ \t]*([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9.])?|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?[ \t]*$/i;

/** Where browsers are sent. Passes through `postMessage`. */
export interface ViewerAddress {
  /** URL of the page, or empty: the host that the browser used, with `port`. */
  readonly url: string;
  /** Of the first edge. */
  readonly port: number;
  /** Of the first edge. Default `http`. */
  readonly scheme?: "http" | "https";
}

export interface RedirectOptions {
  readonly viewers: ViewerAddress;
  /** The address that the browser reached, for a request without a usable `Host`. */
  readonly localAddress: string;
  /**
   * What is known of the request so far, for who keeps that elsewhere: {@link REDIRECT_STATE_BYTES} at an address that is
   * a multiple of 4, all 0 at first. Default: memory of its own.
   */
  readonly state?: Uint8Array<ArrayBufferLike>;
}

/** One browser's request, from behind its `GET `. */
export class HttpRedirect {
  readonly #options: RedirectOptions;
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #line: Uint8Array<ArrayBufferLike>;
  readonly #host: Uint8Array<ArrayBufferLike>;

  constructor(options: RedirectOptions) {
    const { state = new Uint8Array(REDIRECT_STATE_BYTES) } = options;
    this.#options = options;
    this.#words = new Int32Array(state.buffer, state.byteOffset, STATE_WORDS);
    this.#line = state.subarray(LINE_AT, HOST_AT);
    this.#host = state.subarray(HOST_AT, REDIRECT_STATE_BYTES);
  }

  /** True once the header is over: {@link response} is due. */
  get isComplete(): boolean {
    return this.#get(WORD_IS_COMPLETE) !== 0;
  }

  /** Takes the next bytes of the request. */
  receive(bytes: Uint8Array<ArrayBufferLike>): void {
    const words = this.#words;
    for (let index = 0; index < bytes.length && !this.isComplete; index += 1) {
      const byte = byteAt(bytes, index);
      const lineLength = this.#get(WORD_LINE_LENGTH);
      words[WORD_BYTES] = this.#get(WORD_BYTES) + 1;
      if (byte === LINE_FEED) this.#endLine(lineLength);
      else if (lineLength < HEADER_LINE_BYTES_MAX) {
        this.#line[lineLength] = byte;
        words[WORD_LINE_LENGTH] = lineLength + 1;
      }
      if (this.#get(WORD_BYTES) >= HEADER_BYTES_MAX) words[WORD_IS_COMPLETE] = 1;
    }
  }

  /** The whole answer, header and body. */
  response(): Uint8Array {
    const { viewers, localAddress } = this.#options;
    const hostLength = this.#get(WORD_HOST_LENGTH);
    const host = hostLength === 0 ? hostOfAddress(localAddress) : textOf(this.#host.subarray(0, hostLength));
    const { scheme = "http", port, url } = viewers;
    const location = url === "" ? `${scheme}://${host}:${port}/` : url;
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

  #endLine(lineLength: number): void {
    const words = this.#words;
    const isWhole = lineLength < HEADER_LINE_BYTES_MAX;
    const hasReturn = lineLength > 0 && this.#line[lineLength - 1] === CARRIAGE_RETURN;
    const length = hasReturn ? lineLength - 1 : lineLength;
    const isRequestLine = this.#get(WORD_LINES) === 0;
    words[WORD_LINE_LENGTH] = 0;
    words[WORD_LINES] = this.#get(WORD_LINES) + 1;
    if (isRequestLine) return;
    if (length === 0) words[WORD_IS_COMPLETE] = 1;
    else if (isWhole && this.#get(WORD_HOST_LENGTH) === 0) this.#readHost(length);
  }

  /** Keeps the host that a header line names, if it names one. */
  #readHost(lineLength: number): void {
    // All other lines are spared the expression.
    if ((byteAt(this.#line, 0) | LOWER_CASE) !== LETTER_H) return;
    const host = HOST_HEADER.exec(textOf(this.#line.subarray(0, lineLength)))?.[1] ?? "";
    for (let index = 0; index < host.length; index += 1) this.#host[index] = host.charCodeAt(index);
    this.#words[WORD_HOST_LENGTH] = host.length;
  }

  #get(word: number): number {
    return this.#words[word] ?? 0;
  }
}

function textOf(bytes: Uint8Array<ArrayBufferLike>): string {
  return String.fromCharCode(...bytes);
}

/** An address as the host of a URL: IPv4 mapped into IPv6 as IPv4, IPv6 in brackets. */
function hostOfAddress(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*$/, "");
  return plain.includes(":") ? `[${plain}]` : plain;
}
