/**
 * What a failed call on a player's socket means. A number of the system that comes through `bun:ffi` need not be the one
 * that the call left: the runtime may have called the system in between. So only those that say that the peer or the
 * socket is gone end a connection; after all others it is armed again, which tells what there is. Should a call fail
 * again and again, that ends it too.
 */
import type { ConnectionTable } from "./connection-table.ts";
import {
  EBADF,
  ECONNABORTED,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTDOWN,
  EHOSTUNREACH,
  ENETDOWN,
  ENETRESET,
  ENETUNREACH,
  ENOTCONN,
  ENOTSOCK,
  EPIPE,
  ESHUTDOWN,
  ETIMEDOUT,
} from "./linux-constants.ts";
import { RECORD_FAILURES } from "./receiver-memory.ts";

/** Failures in a row without any that says why: what a shortage of memory passes in, at a turn each. */
const FAILURES_MAX = 64;

/** The peer or the socket is gone. */
const GONE: ReadonlySet<number> = new Set([
  EBADF,
  EPIPE,
  ENOTSOCK,
  ENETDOWN,
  ENETUNREACH,
  ENETRESET,
  ECONNABORTED,
  ECONNRESET,
  ENOTCONN,
  ESHUTDOWN,
  ETIMEDOUT,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
]);

/** One thread's access. Every connection named must be this thread's own. */
export class SocketFailures {
  readonly #table: ConnectionTable;

  constructor(table: ConnectionTable) {
    this.#table = table;
  }

  /** Notes a failure other than EAGAIN, as -errno. True where it ends the connection. */
  isEnd(connection: number, failure: number): boolean {
    const at = this.#table.wordOf(connection) + RECORD_FAILURES;
    const failures = (this.#table.words[at] ?? 0) + 1;
    this.#table.words[at] = failures;
    return GONE.has(-failure) || failures >= FAILURES_MAX;
  }

  /** Notes that a call has succeeded. */
  clear(connection: number): void {
    const at = this.#table.wordOf(connection) + RECORD_FAILURES;
    if (this.#table.words[at] !== 0) this.#table.words[at] = 0;
  }
}
