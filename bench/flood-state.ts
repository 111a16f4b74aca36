/**
 * What the threads of a flood share beside the patterns: a word that ends it, and how far each connection is. The
 * sending loop of a thread never yields, so messages would not do.
 */

/** What becomes of a connection. */
export const CONNECTION_STATUS = { waiting: 0, open: 1, confirmed: 2, failed: 3 } as const;
export type ConnectionStatus = (typeof CONNECTION_STATUS)[keyof typeof CONNECTION_STATUS];

/** Sums over all connections. */
export interface FloodTotals {
  /** Bytes that the kernel has taken. */
  readonly sentBytes: number;
  /** Bytes of answers. */
  readonly receivedBytes: number;
  readonly open: number;
  /** Answered at the end. */
  readonly confirmed: number;
  readonly failed: number;
}

/** Views on memory that all threads of a flood share; each connection is written by one thread. */
export class FloodState {
  /** Pass this to another thread and wrap it there. */
  readonly buffer: SharedArrayBuffer;
  readonly #sentBytes: Float64Array;
  readonly #receivedBytes: Float64Array;
  readonly #statuses: Int32Array;
  /** One word: 1 when the flood is to end. */
  readonly #control: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    const connections = (buffer.byteLength - CONTROL_BYTES) / CONNECTION_BYTES;
    this.buffer = buffer;
    this.#control = new Int32Array(buffer, 0, 1);
    this.#sentBytes = new Float64Array(buffer, CONTROL_BYTES, connections);
    this.#receivedBytes = new Float64Array(buffer, CONTROL_BYTES + connections * 8, connections);
    this.#statuses = new Int32Array(buffer, CONTROL_BYTES + connections * 16, connections);
  }

  /** State of so many connections, all of them waiting. */
  static create(connections: number): FloodState {
    return new FloodState(new SharedArrayBuffer(CONTROL_BYTES + connections * CONNECTION_BYTES));
  }

  get isEnding(): boolean {
    return Atomics.load(this.#control, 0) === 1;
  }

  /** Makes the sending loops of all threads return. */
  end(): void {
    Atomics.store(this.#control, 0, 1);
  }

  addSent(connection: number, bytes: number): void {
    this.#sentBytes[connection] = (this.#sentBytes[connection] ?? 0) + bytes;
  }

  addReceived(connection: number, bytes: number): void {
    this.#receivedBytes[connection] = (this.#receivedBytes[connection] ?? 0) + bytes;
  }

  setStatus(connection: number, status: ConnectionStatus): void {
    this.#statuses[connection] = status;
  }

  sentBytes(connection: number): number {
    return this.#sentBytes[connection] ?? 0;
  }

  receivedBytes(connection: number): number {
    return this.#receivedBytes[connection] ?? 0;
  }

  /** Sums of this moment; what other threads count just now may still be missing. */
  totals(): FloodTotals {
    const total = { sentBytes: 0, receivedBytes: 0, open: 0, confirmed: 0, failed: 0 };
    for (const [connection, status] of this.#statuses.entries()) {
      total.sentBytes += this.sentBytes(connection);
      total.receivedBytes += this.receivedBytes(connection);
      if (status === CONNECTION_STATUS.open) total.open += 1;
      else if (status === CONNECTION_STATUS.confirmed) total.confirmed += 1;
      else if (status === CONNECTION_STATUS.failed) total.failed += 1;
    }
    return total;
  }
}

/** The control word, alone on its line of the cache. */
const CONTROL_BYTES = 64;
/** Two counts of 8 bytes and a status of 4, each in an array of its own; padded so that the arrays stay aligned. */
const CONNECTION_BYTES = 24;
