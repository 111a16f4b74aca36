/**
 * How much the system still has to send on a connection: what shows that a slow peer takes something. Looked up only for
 * peers that seem to stall; one reading of the system's tables serves all who ask within a moment.
 */
// proc(5): /proc/net/tcp and tcp6 have a line a socket: number, local address, remote address, state, tx_queue:rx_queue, …
import { readFile } from "node:fs/promises";
import type { Clock } from "#common/clock.ts";
import { ESTABLISHED, hexPort, remoteNames, TABLES } from "./tcp-connections.ts";

/** Reading takes some milliseconds a thousand connections, on another thread. */
const READING_MS_MAX = 1_000;
/** Hexadecimal digits of `tx_queue`. */
const QUEUE_DIGITS = 8;

/** The peer of a connection, as `Bun.serve` names it. */
export type Peer = Pick<Bun.SocketAddress, "address" | "port">;

/** The queues of all connections of this machine. */
export class SendQueues {
  readonly #clock: Clock;
  #reading: Promise<string> | undefined;
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Bytes written to the connection of `peer` with the own `port` that the peer has not acknowledged; `undefined` where the
   * system lists none such: HTTP/3, or no Linux.
   */
  async unsentBytes(port: number, peer: Peer): Promise<number | undefined> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#reading === undefined || nowMs - this.#readMs >= READING_MS_MAX) {
      this.#reading = readTables();
      this.#readMs = nowMs;
    }
    return readQueue(await this.#reading, port, peer);
  }
}

/** The `tx_queue` of one connection in the text of `/proc/net/tcp` or `tcp6`; `undefined` where it is not listed. */
export function readQueue(
  tables: string,
  port: number,
  { address, port: peerPort }: Peer,
): number | undefined {
  for (const name of remoteNames(address)) {
    const line = `:${hexPort(port)} ${name}:${hexPort(peerPort)} ${ESTABLISHED} `;
    const at = tables.indexOf(line);
    if (at === -1) continue;
    const start = at + line.length;
    return Number.parseInt(tables.slice(start, start + QUEUE_DIGITS), 16);
  }
  return undefined;
}

/** Nothing where there are no tables, or no file can be opened any more. */
async function readTables(): Promise<string> {
  const texts = await Promise.all(TABLES.map((table) => readFile(table, "latin1").catch(() => "")));
  return texts.join("");
}
