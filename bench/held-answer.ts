/**
 * Reads the answers on one connection, one after the other, no more of them than a wait's measurement needs: status,
 * entity tag, body. Most come whole with one read and are then looked at where they lie; others are put together.
 */
// RFC 9112 (HTTP/1.1)

const HEAD_END = Buffer.from("\r\n\r\n");
/** A playlist is a few kilobytes; what has not ended by then is none. */
const ANSWER_BYTES_MAX = 1024 * 1024;
const STATUS_PATTERN = /^HTTP\/1\.1 (\d{3})/;
const LENGTH_PATTERN = /\r\ncontent-length: *(\d{1,9})/i;
const ETAG_PATTERN = /\r\netag: *([^\r]+)/i;
const GZIP_PATTERN = /\r\ncontent-encoding: *gzip/i;
const CLOSE_PATTERN = /\r\nconnection: *close/i;

/** One whole answer. */
export interface HeldAnswer {
  readonly status: number;
  /** In its quotes; empty without one. */
  readonly etag: string;
  readonly isGzip: boolean;
  /** True where the server ends the connection behind it. */
  readonly isLast: boolean;
  /** A view on what was read: valid until the next read. */
  readonly body: Buffer;
}

/** What cannot be read as an answer. */
export class AnswerError extends Error {
  override readonly name = "AnswerError";
}

/** The reader of one connection. */
export class AnswerReader {
  #begun: Buffer | undefined;

  /** True between two answers. */
  get isEmpty(): boolean {
    return this.#begun === undefined;
  }

  /**
   * Takes what was read. Returns the answer that it completes, or `undefined`. Throws AnswerError where there is none, or
   * more than was asked for.
   */
  push(bytes: Uint8Array): HeldAnswer | undefined {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const all = this.#begun === undefined ? chunk : Buffer.concat([this.#begun, chunk]);
    const headEnd = all.indexOf(HEAD_END);
    if (headEnd >= 0) {
      const head = all.toString("latin1", 0, headEnd);
      const length = Number(LENGTH_PATTERN.exec(head)?.[1] ?? Number.NaN);
      const status = Number(STATUS_PATTERN.exec(head)?.[1] ?? Number.NaN);
      if (Number.isNaN(length) || Number.isNaN(status)) throw new AnswerError("no status or no length");
      const start = headEnd + HEAD_END.length;
      if (all.length > start + length) throw new AnswerError("more than was asked for");
      if (all.length === start + length) {
        this.#begun = undefined;
        return {
          status,
          etag: ETAG_PATTERN.exec(head)?.[1] ?? "",
          isGzip: GZIP_PATTERN.test(head),
          isLast: CLOSE_PATTERN.test(head),
          body: all.subarray(start),
        };
      }
    }
    if (all.length > ANSWER_BYTES_MAX) throw new AnswerError("longer than a playlist");
    // A copy: the next read of any connection overwrites what this one has.
    this.#begun = this.#begun === undefined ? Buffer.from(chunk) : all;
    return undefined;
  }
}
