/**
 * Viewers of `bench relay` that only count what comes, over the C library's sockets: the kernel throws the bytes away
 * and copies none, so a crowd costs little of the machine that is measured. What they count are bytes on the wire: chunk
 * headers, some ten bytes for each write, are among them.
 *
 * Hot path, once a batch and viewer: `epoll_wait` and `recv`.
 */
import { lookup } from "node:dns/promises";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";
import { MEBIBYTE } from "#common/units.ts";
import { addressOf, LATER, RawSockets, READABLE, WRITABLE } from "./raw-sockets.ts";
import type { Tally } from "./statistics.ts";

/** After so long others of this process get their turn. Milliseconds. */
const TURN_MS = 2;
/** At most so many bytes are thrown away at once. */
const DISCARD_BYTES = 4 * MEBIBYTE;

interface Member {
  readonly socket: number;
  state: "connecting" | "asked" | "reading" | "gone";
  bytes: number;
}

/** Viewers that are added one by one and never come back when they are cut off. */
export class RelayCrowd implements Disposable {
  readonly #sockets: RawSockets;
  readonly #clock: Clock;
  readonly #target: { readonly address: string; readonly port: number };
  readonly #request: Uint8Array;
  readonly #errors: Tally;
  readonly #members: Member[] = [];
  /** Streams that had begun and ended. */
  disconnects = 0;

  private constructor(options: {
    readonly sockets: RawSockets;
    readonly clock: Clock;
    readonly url: URL;
    readonly address: string;
    readonly errors: Tally;
  }) {
    const { sockets, clock, url, address, errors } = options;
    this.#sockets = sockets;
    this.#clock = clock;
    this.#errors = errors;
    this.#target = { address, port: Number(url.port || 80) };
    const text = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nUser-Agent: spillway-bench\r\nAccept: */*\r\n\r\n`;
    // A buffer of its own stays where it is.
    this.#request = new Uint8Array(new TextEncoder().encode(text).slice().buffer);
  }

  /** Throws StartError where there can be none. */
  static async open(options: {
    readonly clock: Clock;
    readonly url: string;
    readonly errors: Tally;
  }): Promise<RelayCrowd> {
    const url = new URL(options.url);
    const sockets = RawSockets.open();
    if (sockets === undefined || url.protocol !== "http:") {
      throw new StartError("no-crowd", "--checked below --viewers needs Linux's sockets and plain HTTP");
    }
    const { address } = await lookup(url.hostname.replace(/^\[|\]$/g, ""));
    return new RelayCrowd({ ...options, sockets, url, address });
  }

  /** Of each member so far. */
  get bytes(): readonly number[] {
    return this.#members.map((member) => member.bytes);
  }

  join(): void {
    const socket = this.#sockets.connect(this.#target);
    this.#sockets.watch(socket, this.#members.length, WRITABLE);
    this.#members.push({ socket, state: "connecting", bytes: 0 });
  }

  /** Serves those that have something to read, for about {@link TURN_MS}. */
  turn(): void {
    const endMs = this.#clock.monotonicMs() + TURN_MS;
    do {
      const ready = this.#sockets.wait(1);
      for (let position = 0; position < ready; position++) this.#serve(this.#sockets.readyAt(position));
    } while (this.#clock.monotonicMs() < endMs);
  }

  [Symbol.dispose](): void {
    for (const { socket, state } of this.#members) if (state !== "gone") this.#sockets.close(socket);
    this.#sockets[Symbol.dispose]();
  }

  #serve(index: number): void {
    const member = this.#members[index];
    if (member === undefined || member.state === "gone") return;
    try {
      if (member.state === "connecting") this.#ask(member, index);
      else if (member.state === "asked") this.#readHead(member);
      else this.#count(member, this.#sockets.discard(member.socket, DISCARD_BYTES));
    } catch (error) {
      this.#lose(member, error instanceof Error ? error.message : "failed");
    }
  }

  #ask(member: Member, index: number): void {
    const error = this.#sockets.connectionError(member.socket);
    if (error !== undefined) throw error;
    const { length } = this.#request;
    if (this.#sockets.send(member.socket, addressOf(this.#request), length) !== length) {
      throw new Error("no room for a request");
    }
    member.state = "asked";
    this.#sockets.rewatch(member.socket, index, READABLE);
  }

  #readHead(member: Member): void {
    const taken = this.#sockets.receive(member.socket);
    if (taken === LATER) return;
    const status = new TextDecoder().decode(this.#sockets.receivedBytes(Math.min(taken, 12))).slice(9);
    if (status !== "200") {
      this.#lose(member, taken === 0 ? "closed" : `status ${status}`);
      return;
    }
    member.state = "reading";
    this.#count(member, taken);
  }

  #count(member: Member, taken: number): void {
    if (taken === LATER) return;
    if (taken === 0) this.#lose(member, "closed");
    else member.bytes += taken;
  }

  #lose(member: Member, why: string): void {
    if (member.state === "reading") this.disconnects++;
    else this.#errors.add(why);
    member.state = "gone";
    this.#sockets.close(member.socket);
  }
}
