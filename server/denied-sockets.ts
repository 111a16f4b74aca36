/**
 * Sockets of those who were not let in, on the receive path of Linux: they get a line that says why, and a while to read
 * it. They are no connections and not in the epoll set: what they send is read now and then, and dropped. A ring in the
 * thread's area of the shared memory, so that somebody can close them where the thread dies.
 */
import { DENIED_LINGER_MS, DENIED_LINGERING_MAX } from "./admission.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { READ_BYTES_MAX } from "./kernel/layout.ts";
import { EAGAIN, EINTR } from "./linux-constants.ts";
import { addressOf, type LinuxSockets } from "./linux-sockets.ts";
import type { ThreadArea } from "./memory-layout.ts";
import {
  SYSTEM_DENIED_COUNT,
  SYSTEM_DENIED_DEADLINES,
  SYSTEM_DENIED_FIRST,
  SYSTEM_DENIED_SOCKETS,
} from "./receiver-memory.ts";

/** How often what they send is read, and how much of it then: of all together, and of each at least. */
const DRAIN_MS = 10;
const DRAIN_BYTES = 1_048_576;
const DRAIN_BYTES_MIN = 4_096;

export interface DeniedSocketsOptions {
  readonly sockets: LinuxSockets;
  readonly framebuffer: Framebuffer;
  /** The thread's. */
  readonly area: ThreadArea;
  /** How many it keeps; {@link DENIED_LINGERING_MAX} at most. */
  readonly lingeringMax: number;
}

/** One thread's, for use between two turns: reads go where those of players go. */
export class DeniedSockets {
  readonly #sockets: LinuxSockets;
  readonly #first: Int32Array<ArrayBufferLike>;
  readonly #count: Int32Array<ArrayBufferLike>;
  /** Descriptors, -1 for one that is closed. */
  readonly #ring: Int32Array<ArrayBufferLike>;
  readonly #deadlinesMs: Float64Array<ArrayBufferLike>;
  readonly #readAddress: number;
  readonly #lingeringMax: number;
  #drainAtMs = 0;

  constructor({ sockets, framebuffer, area, lingeringMax }: DeniedSocketsOptions) {
    const { buffer } = framebuffer.memory;
    const { systemOffset, readOffset } = area;
    this.#sockets = sockets;
    this.#first = new Int32Array(buffer, systemOffset + SYSTEM_DENIED_FIRST, 1);
    this.#count = new Int32Array(buffer, systemOffset + SYSTEM_DENIED_COUNT, 1);
    this.#ring = new Int32Array(buffer, systemOffset + SYSTEM_DENIED_SOCKETS, DENIED_LINGERING_MAX);
    this.#deadlinesMs = new Float64Array(
      buffer,
      systemOffset + SYSTEM_DENIED_DEADLINES,
      DENIED_LINGERING_MAX,
    );
    this.#readAddress = addressOf(new Uint8Array(buffer, readOffset, READ_BYTES_MAX));
    this.#lingeringMax = lingeringMax;
  }

  /** Says why and sends FIN. Where there are too many already, the oldest has to go. */
  send(socket: number, reply: Uint8Array, nowMs: number): void {
    if (this.#lingeringMax === 0) {
      this.dismiss(socket, reply);
      return;
    }
    this.#say(socket, reply);
    if (this.length === this.#lingeringMax) this.#closeFirst();
    if (this.length === 0) this.#drainAtMs = nowMs + DRAIN_MS;
    const place = this.#placeOf(this.length);
    this.#ring[place] = socket;
    this.#deadlinesMs[place] = nowMs + DENIED_LINGER_MS;
    this.#count[0] = this.length + 1;
  }

  /** Says why, and closes at once: for somebody whose descriptor is needed. */
  dismiss(socket: number, reply: Uint8Array): void {
    this.#say(socket, reply);
    this.#close(socket);
  }

  get length(): number {
    return this.#get(this.#count);
  }

  /** When {@link drain} is to be called, infinity where nobody is left. */
  get dueAtMs(): number {
    return this.length === 0 ? Number.POSITIVE_INFINITY : this.#drainAtMs;
  }

  /**
   * Drops what has come, so that whoever floods comes to the end of it and to the line; closes those who have sent FIN
   * and those who have had their time.
   */
  drain(nowMs: number): void {
    this.#drainAtMs = nowMs + DRAIN_MS;
    this.#checkDeadlines(nowMs);
    const share = Math.max(DRAIN_BYTES_MIN, Math.floor(DRAIN_BYTES / this.length));
    const bytesMax = Math.min(READ_BYTES_MAX, share);
    for (let index = 0; index < this.length; index += 1) {
      const place = this.#placeOf(index);
      const socket = this.#ring[place] ?? -1;
      if (socket < 0) continue;
      const count = this.#sockets.receive(socket, this.#readAddress, bytesMax);
      if (count > 0 || count === -EAGAIN || count === -EINTR) continue;
      this.#ring[place] = -1;
      this.#sockets.close(socket);
    }
    while (this.length > 0 && this.#ring[this.#placeOf(0)] === -1) this.#closeFirst();
  }

  /** Closes all. */
  close(): void {
    while (this.length > 0) this.#closeFirst();
  }

  /** Closes those who have had their time. */
  #checkDeadlines(nowMs: number): void {
    while (this.length > 0 && (this.#deadlinesMs[this.#placeOf(0)] ?? 0) <= nowMs) this.#closeFirst();
  }

  #say(socket: number, reply: Uint8Array): void {
    // A copy, since its address must not move; nobody who floods us with connections gets here often enough to matter.
    const bytes = new Uint8Array(new ArrayBuffer(reply.length));
    bytes.set(reply);
    this.#sockets.send(socket, addressOf(bytes), bytes.length);
    this.#sockets.finish(socket);
  }

  #closeFirst(): void {
    const first = this.#placeOf(0);
    this.#first[0] = (first + 1) % DENIED_LINGERING_MAX;
    this.#count[0] = this.length - 1;
    this.#close(this.#ring[first] ?? -1);
  }

  /** Reads before it closes: bytes that nobody has read are answered with RST, on which a peer may forget the line. */
  #close(socket: number): void {
    if (socket < 0) return;
    this.#sockets.receive(socket, this.#readAddress, READ_BYTES_MAX);
    this.#sockets.close(socket);
  }

  /** The place of the one that is number `index` from the oldest on. */
  #placeOf(index: number): number {
    return (this.#get(this.#first) + index) % DENIED_LINGERING_MAX;
  }

  #get(word: Int32Array<ArrayBufferLike>): number {
    return word[0] ?? 0;
  }
}
