/**
 * Reads parts on one connection, one after the other: the head is looked at, the body taken off the socket without a copy,
 * so that thousands of players cost this script less than they cost the server.
 */
// RFC 9112 (HTTP/1.1)
import { AnswerError } from "./held-answer.ts";
import { LATER, type RawSockets } from "./raw-sockets.ts";

/** A head that has not ended by then is none. */
const HEAD_BYTES_MAX = 2_048;
const HEAD_END_BYTES = 4;
const STATUS_PATTERN = /^HTTP\/1\.1 (\d{3})/;
const LENGTH_PATTERN = /\r\ncontent-length: *(\d{1,9})/i;

/** The reader of one connection. */
export class PartReader {
  /** Bytes of the body that are to come; `undefined` while the head is. */
  #left: number | undefined;
  /** The beginning of a head. */
  #head = "";

  /** Takes what has come. True once a part is whole. Throws AnswerError for what is none. */
  read(sockets: RawSockets, socket: number): boolean {
    let left = this.#left ?? this.#readHead(sockets, socket);
    while (left !== undefined && left > 0) {
      const taken = sockets.discard(socket, left);
      if (taken === LATER) break;
      if (taken === 0) throw new AnswerError("closed by the server");
      left -= taken;
    }
    const isWhole = left === 0;
    this.#left = isWhole ? undefined : left;
    return isWhole;
  }

  /** Reads the head and whatever of the body came in its packet. Returns what is left, `undefined` if more has to come. */
  #readHead(sockets: RawSockets, socket: number): number | undefined {
    const taken = sockets.receive(socket, HEAD_BYTES_MAX);
    if (taken === LATER) return undefined;
    if (taken === 0) throw new AnswerError("closed by the server");
    // Some servers send a head in two packets.
    const text = this.#head + Buffer.from(sockets.receivedBytes(taken)).toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end === -1) {
      if (text.length > HEAD_BYTES_MAX) throw new AnswerError("no head of an answer");
      this.#head = text;
      return undefined;
    }
    this.#head = "";
    const status = STATUS_PATTERN.exec(text)?.[1];
    if (status !== "200") throw new AnswerError(`status ${status ?? "unknown"} of a part`);
    const length = Number(LENGTH_PATTERN.exec(text.slice(0, end))?.[1] ?? Number.NaN);
    const came = text.length - end - HEAD_END_BYTES;
    if (Number.isNaN(length) || came > length) throw new AnswerError("no length of a part");
    return length - came;
  }
}
