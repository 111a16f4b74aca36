/**
 * What may come on a connection instead of commands, on the receive path of Linux: a load balancer's header before
 * them, or a browser's request. Both may come in any number of reads, each read by another thread, so what is known of
 * them lies in the connection's record, where a player's has the tail.
 */
import assert from "node:assert/strict";
import { DENIED_LINGER_MS, PROXY_REPLY, type Admission } from "./admission.ts";
import { LINGER_MS_MAX } from "./connection.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { CounterSlot } from "./counters.ts";
import type { EpollEndings, TurnEnd } from "./epoll-endings.ts";
import { HttpRedirect, REDIRECT_STATE_BYTES, type ViewerAddress } from "./http-redirect.ts";
import { TAIL_BYTES_MAX } from "./kernel/layout.ts";
import type { LinuxSockets } from "./linux-sockets.ts";
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from "./proxy-protocol.ts";
import {
  FLAG_IS_BROWSER,
  FLAG_IS_PROXY,
  RECORD_OPENING_BYTE,
  RECORD_OPENING_LENGTH,
  RECORD_PREFIX,
} from "./receiver-memory.ts";

assert(
  Math.max(PROXY_HEADER_BYTES_MAX, REDIRECT_STATE_BYTES) <= TAIL_BYTES_MAX,
  "what comes instead of commands fits into the place of the tail",
);

export interface EpollOpeningsOptions {
  readonly sockets: LinuxSockets;
  readonly table: ConnectionTable;
  readonly endings: EpollEndings;
  readonly counters: CounterSlot;
  readonly admission: Admission;
  readonly viewers: ViewerAddress;
  /** The whole shared memory. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
}

/** One thread's. Every connection named must be this thread's own. */
export class EpollOpenings {
  readonly #options: EpollOpeningsOptions;

  constructor(options: EpollOpeningsOptions) {
    this.#options = options;
  }

  /**
   * Takes a read, at `[start, end)` of the shared memory, of a connection that a load balancer opened.
   *
   * @returns where the player's commands begin, once the header is whole and the player let in; else what becomes of the
   * connection
   */
  readHeader(connection: number, start: number, end: number, nowMs: number): number | TurnEnd {
    const { endings, counters } = this.#options;
    const before = this.#headerLengthOf(connection);
    const header = readProxyHeader(this.#collect(connection, start, end));
    if (header.state === "incomplete") return "again";
    if (header.state === "bad") return this.failHeader(connection, nowMs);
    if (header.address !== undefined) {
      counters.add("proxiedConnections", 1);
      const reply = this.#letIn(connection, header.address);
      if (reply !== undefined) return endings.say(connection, reply, nowMs, DENIED_LINGER_MS);
    }
    endings.clearFlag(connection, FLAG_IS_PROXY);
    endings.setDeadline(connection, 0);
    counters.add("accepted", 1);
    return start + header.length - before;
  }

  /** True once a part of a load balancer's header has come. */
  hasHeaderBegun(connection: number): boolean {
    return this.#headerLengthOf(connection) > 0;
  }

  /** Sends a load balancer away that does not tell whose connection it is. */
  failHeader(connection: number, nowMs: number): TurnEnd {
    this.#options.counters.add("proxyFailures", 1);
    return this.#options.endings.say(connection, PROXY_REPLY, nowMs, DENIED_LINGER_MS);
  }

  /** Takes a part of a browser's request, and answers it once its header is over or too long. */
  readRequest(connection: number, start: number, end: number, nowMs: number): TurnEnd {
    const { endings, counters, bytes } = this.#options;
    if (!endings.hasFlag(connection, FLAG_IS_BROWSER)) {
      this.#openingOf(connection, REDIRECT_STATE_BYTES).fill(0);
      endings.setFlag(connection, FLAG_IS_BROWSER);
      // Not renewed by what follows: a header has an end.
      endings.setDeadline(connection, nowMs + LINGER_MS_MAX);
      counters.add("redirects", 1);
    }
    const redirect = this.#redirectOf(connection);
    redirect.receive(bytes.subarray(start, end));
    return redirect.isComplete ? endings.say(connection, redirect.response(), nowMs) : "again";
  }

  /** Answers what has come of a browser's request. */
  answerBrowser(connection: number, nowMs: number): TurnEnd {
    return this.#options.endings.say(connection, this.#redirectOf(connection).response(), nowMs);
  }

  /** Moves a connection to the player's prefix. Returns what to say where that is full. */
  #letIn(connection: number, address: Uint8Array): Uint8Array | undefined {
    const { admission, table } = this.#options;
    const at = table.wordOf(connection);
    const outcome = admission.readmit(table.words[at + RECORD_PREFIX] ?? 0, address, connection);
    if (typeof outcome === "string") return admission.replyTo(outcome);
    table.words[at + RECORD_PREFIX] = outcome;
    return undefined;
  }

  /** Goes on with a browser's request. */
  #redirectOf(connection: number): HttpRedirect {
    const { sockets, endings, viewers } = this.#options;
    return new HttpRedirect({
      viewers,
      state: this.#openingOf(connection, REDIRECT_STATE_BYTES),
      get localAddress() {
        return sockets.localAddress(endings.socketOf(connection));
      },
    });
  }

  /**
   * Adds a read to a load balancer's header.
   *
   * @returns a copy of all of it: decoders of text take none of shared memory
   */
  #collect(connection: number, start: number, end: number): Uint8Array<ArrayBuffer> {
    const { table, bytes } = this.#options;
    const before = this.#headerLengthOf(connection);
    // No header is longer, so the rest of a long read is not copied.
    const length = Math.min(before + end - start, PROXY_HEADER_BYTES_MAX);
    const opening = this.#openingOf(connection, length);
    opening.set(bytes.subarray(start, start + length - before), before);
    table.words[table.wordOf(connection) + RECORD_OPENING_LENGTH] = length;
    return new Uint8Array(opening);
  }

  #headerLengthOf(connection: number): number {
    const { table } = this.#options;
    return table.words[table.wordOf(connection) + RECORD_OPENING_LENGTH] ?? 0;
  }

  #openingOf(connection: number, length: number): Uint8Array<ArrayBufferLike> {
    const { table, bytes } = this.#options;
    const at = table.recordOf(connection) + RECORD_OPENING_BYTE;
    return bytes.subarray(at, at + length);
  }
}
