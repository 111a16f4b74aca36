/**
 * Reads parts on one connection, one after the other: heads and the lines between chunks are looked at, bodies taken off
 * the socket without a copy, so that thousands of players cost this script less than they cost the server.
 */
// RFC 9112 6.3 (length of a body), 7.1 (chunks)
import { AnswerError } from "./held-answer.ts";
import { LATER, type RawSockets } from "./raw-sockets.ts";

/** A head that has not ended by then is none. */
const HEAD_BYTES_MAX = 2_048;
/** Read at once where a chunk's size is expected: that line, and of a last chunk all. */
const LINE_BYTES = 16;
const STATUS_PATTERN = /^HTTP\/1\.1 (\d{3})/;
const LENGTH_PATTERN = /\r\ncontent-length: *(\d{1,9})/i;
const CHUNKED_PATTERN = /\r\ntransfer-encoding: *chunked/i;
const SIZE_PATTERN = /^(?:\r\n)?([0-9a-f]{1,8})\r\n/i;
const LAST_CHUNK = /^(?:\r\n)?0+\r\n\r\n$/;

/** The reader of one connection. */
export class PartReader {
  #state: "head" | "body" | "size" | "chunk" = "head";
  /** Of the body or chunk that is to come. */
  #left = 0;
  /** The beginning of a head or of a chunk's line. */
  #text = "";

  /** Takes what has come. True once a part is whole. Throws AnswerError for what is none. */
  read(sockets: RawSockets, socket: number): boolean {
    for (;;) {
      if (this.#state === "body" || this.#state === "chunk") {
        if (!this.#discard(sockets, socket)) return false;
        if (this.#state === "body") return this.#end();
        this.#state = "size";
      }
      const taken = sockets.receive(socket, this.#state === "head" ? HEAD_BYTES_MAX : LINE_BYTES);
      if (taken === LATER) return false;
      if (taken === 0) throw new AnswerError("closed by the server");
      this.#text += Buffer.from(sockets.receivedBytes(taken)).toString("latin1");
      if (this.#state === "head") this.#readHead();
      // A head may be followed by the first chunk, a chunk's line by the next.
      while (this.#state === "size" && this.#text !== "") {
        if (LAST_CHUNK.test(this.#text)) return this.#end();
        if (!this.#readSize()) break;
      }
    }
  }

  /** False where more has to come. */
  #discard(sockets: RawSockets, socket: number): boolean {
    while (this.#left > 0) {
      const taken = sockets.discard(socket, this.#left);
      if (taken === LATER) return false;
      if (taken === 0) throw new AnswerError("closed by the server");
      this.#left -= taken;
    }
    return true;
  }

  #readHead(): void {
    // Some servers send a head in several packets.
    const end = this.#text.indexOf("\r\n\r\n");
    if (end === -1) {
      if (this.#text.length > HEAD_BYTES_MAX) throw new AnswerError("no head of an answer");
      return;
    }
    const head = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 4);
    const status = STATUS_PATTERN.exec(head)?.[1];
    if (status !== "200") throw new AnswerError(`status ${status ?? "unknown"} of a part`);
    if (CHUNKED_PATTERN.test(head)) {
      this.#state = "size";
      return;
    }
    const length = Number(LENGTH_PATTERN.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) throw new AnswerError("no length of a part");
    this.#take("body", length);
  }

  /** Reads the line before a chunk. False where more of it has to come. */
  #readSize(): boolean {
    const [line, size = ""] = SIZE_PATTERN.exec(this.#text) ?? [];
    if (line === undefined) {
      if (this.#text.length > LINE_BYTES) throw new AnswerError("no size of a chunk");
      return false;
    }
    const length = Number.parseInt(size, 16);
    // The last chunk, whose end has not come.
    if (length === 0) return false;
    this.#text = this.#text.slice(line.length);
    this.#take("chunk", length);
    return true;
  }

  /** Begins a body or chunk of so many bytes, of which some have come. */
  #take(state: "body" | "chunk", length: number): void {
    const came = Math.min(this.#text.length, length);
    if (state === "body" && came < this.#text.length) throw new AnswerError("more than was asked for");
    this.#text = this.#text.slice(came);
    this.#left = length - came;
    this.#state = state === "chunk" && this.#left === 0 ? "size" : state;
  }

  #end(): true {
    this.#state = "head";
    this.#text = "";
    return true;
  }
}
