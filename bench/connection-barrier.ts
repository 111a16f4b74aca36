/**
 * The end of a flooding connection: the rest of the command that it has begun, then SIZE, whose answer says that the
 * server has worked off everything before it.
 */

/** Asked behind the last command. */
export const BARRIER = new TextEncoder().encode("SIZE\n");
const ANSWER = "SIZE ";

/** The last bytes of a connection, followed as they are sent, and the answer behind them. */
export class ConnectionBarrier {
  /** What is still to be sent. */
  rest: Uint8Array;
  #tail = "";

  constructor(restOfCommand: Uint8Array) {
    this.rest = Buffer.concat([restOfCommand, BARRIER]);
  }

  /** Notes `bytes` more as sent; returns how many of them belonged to the command. */
  advance(bytes: number): number {
    const ofCommand = Math.max(0, Math.min(bytes, this.rest.length - BARRIER.length));
    this.rest = this.rest.subarray(bytes);
    return ofCommand;
  }

  /** True once the answer has come; it may come cut, behind answers to gets, which are of no interest. */
  isAnsweredBy(chunk: Uint8Array): boolean {
    if (this.rest.length > 0) return false;
    const text = this.#tail + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1");
    this.#tail = text.slice(1 - ANSWER.length);
    return text.includes(ANSWER);
  }
}
