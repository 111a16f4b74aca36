/**
 * What may come on a connection instead of commands, on the receive path of Linux: a load balancer's header before
 * them, or a browser's request. Both are collected in a hold block, since they may come in any number of reads, each
 * read by another thread.
 */
import { DENIED_LINGER_MS, PROXY_REPLY, type Admission } from "./admission.ts";
import { LINGER_MS_MAX } from "./connection.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { CounterSlot } from "./counters.ts";
import type { EpollEndings, TurnEnd } from "./epoll-endings.ts";
import type { HeldReplies } from "./held-replies.ts";
import { HttpRedirect, type ViewerAddress } from "./http-redirect.ts";
import type { LinuxSockets } from "./linux-sockets.ts";
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from "./proxy-protocol.ts";
import {
  FLAG_IS_BROWSER,
  FLAG_IS_PROXY,
  HOLD_BLOCK_BYTES,
  RECORD_ADDRESS,
  RECORD_PREFIX,
} from "./receiver-memory.ts";

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export interface EpollOpeningsOptions {
  readonly sockets: LinuxSockets;
  readonly table: ConnectionTable;
  readonly held: HeldReplies;
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
    const { held, endings, counters } = this.#options;
    const collected = held.restOf(connection);
    // No header is longer, so the rest of a long read is not copied.
    const length = Math.min(end - start, PROXY_HEADER_BYTES_MAX - collected);
    if (!held.collect(connection, start, length)) return endings.reset(connection);
    const header = readProxyHeader(this.#collected(connection));
    if (header.state === "incomplete") return "again";
    if (header.state === "bad") return this.failHeader(connection, nowMs);
    held.clearRest(connection);
    if (header.address !== undefined) {
      counters.add("proxiedConnections", 1);
      const reply = this.#letIn(connection, header.address);
      if (reply !== undefined) return endings.say(connection, reply, nowMs, DENIED_LINGER_MS);
    }
    endings.clearFlag(connection, FLAG_IS_PROXY);
    endings.setDeadline(connection, 0);
    counters.add("accepted", 1);
    return start + header.length - collected;
  }

  /** Sends a load balancer away that does not tell whose connection it is. */
  failHeader(connection: number, nowMs: number): TurnEnd {
    this.#options.counters.add("proxyFailures", 1);
    return this.#options.endings.say(connection, PROXY_REPLY, nowMs, DENIED_LINGER_MS);
  }

  /** Takes a part of a browser's request, and answers it once its header is over or fills a block. */
  readRequest(connection: number, start: number, end: number, nowMs: number): TurnEnd {
    const { held, endings, counters } = this.#options;
    if (!endings.hasFlag(connection, FLAG_IS_BROWSER)) {
      endings.setFlag(connection, FLAG_IS_BROWSER);
      // Not renewed by what follows: a header has an end.
      endings.setDeadline(connection, nowMs + LINGER_MS_MAX);
      counters.add("redirects", 1);
    }
    const collected = held.restOf(connection);
    const length = Math.min(end - start, HOLD_BLOCK_BYTES - collected);
    if (!held.collect(connection, start, length)) return endings.reset(connection);
    const isOver = collected + length === HOLD_BLOCK_BYTES || this.#hasEmptyLine(connection, collected);
    return isOver ? this.answerBrowser(connection, nowMs) : "again";
  }

  answerBrowser(connection: number, nowMs: number): TurnEnd {
    const { sockets, endings, viewers } = this.#options;
    const localAddress = sockets.localAddress(endings.socketOf(connection));
    const redirect = new HttpRedirect({ viewers, localAddress });
    redirect.receive(this.#collected(connection));
    return endings.say(connection, redirect.response(), nowMs);
  }

  /** Moves a connection to the player's prefix. Returns what to say where that is full. */
  #letIn(connection: number, address: Uint8Array): Uint8Array | undefined {
    const { admission, table, bytes } = this.#options;
    const at = table.wordOf(connection);
    const outcome = admission.readmit(table.words[at + RECORD_PREFIX] ?? 0, address, connection);
    if (typeof outcome === "string") return admission.replyTo(outcome);
    table.words[at + RECORD_PREFIX] = outcome;
    bytes.set(address, (at + RECORD_ADDRESS) * 4);
    return undefined;
  }

  /** A copy of what was collected: decoders of text take none of shared memory. */
  #collected(connection: number): Uint8Array<ArrayBuffer> {
    const { held, bytes } = this.#options;
    const length = held.restOf(connection);
    if (length === 0) return new Uint8Array(0);
    const address = held.restAddressOf(connection);
    return new Uint8Array(bytes.subarray(address, address + length));
  }

  /** True where an empty line ends in what was collected from `from` on; the first line is that of the request. */
  #hasEmptyLine(connection: number, from: number): boolean {
    const { held, bytes } = this.#options;
    const length = held.restOf(connection);
    if (length === 0) return false;
    const address = held.restAddressOf(connection);
    for (let at = Math.max(1, from); at < length; at += 1) {
      if (bytes[address + at] !== LINE_FEED) continue;
      const before = at - (bytes[address + at - 1] === CARRIAGE_RETURN ? 2 : 1);
      if (before >= 0 && bytes[address + before] === LINE_FEED) return true;
    }
    return false;
  }
}
