/**
 * Sockets of those who were not let in, on the receive path of Linux: they get a line that says why, and a while to read
 * it. They are no connections: nothing of them is read, and they are not in the epoll set. A ring in the thread's area
 * of the shared memory, so that somebody can close them where the thread dies.
 */
import { DENIED_LINGER_MS, DENIED_LINGERING_MAX } from "./admission.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { addressOf, type LinuxSockets } from "./linux-sockets.ts";
import {
  SYSTEM_DENIED_COUNT,
  SYSTEM_DENIED_DEADLINES,
  SYSTEM_DENIED_FIRST,
  SYSTEM_DENIED_SOCKETS,
} from "./receiver-memory.ts";

export class DeniedSockets {
  readonly #sockets: LinuxSockets;
  readonly #first: Int32Array<ArrayBufferLike>;
  readonly #count: Int32Array<ArrayBufferLike>;
  readonly #ring: Int32Array<ArrayBufferLike>;
  readonly #deadlinesMs: Float64Array<ArrayBufferLike>;

  /** @param systemOffset of the thread's area */
  constructor(sockets: LinuxSockets, { memory }: Framebuffer, systemOffset: number) {
    const { buffer } = memory;
    this.#sockets = sockets;
    this.#first = new Int32Array(buffer, systemOffset + SYSTEM_DENIED_FIRST, 1);
    this.#count = new Int32Array(buffer, systemOffset + SYSTEM_DENIED_COUNT, 1);
    this.#ring = new Int32Array(buffer, systemOffset + SYSTEM_DENIED_SOCKETS, DENIED_LINGERING_MAX);
    this.#deadlinesMs = new Float64Array(
      buffer,
      systemOffset + SYSTEM_DENIED_DEADLINES,
      DENIED_LINGERING_MAX,
    );
  }

  /** Says why and sends FIN. Where there are too many already, the oldest has to go. */
  send(socket: number, reply: Uint8Array, nowMs: number): void {
    // A copy, since its address must not move; nobody who floods us with connections gets here often enough to matter.
    const bytes = new Uint8Array(new ArrayBuffer(reply.length));
    bytes.set(reply);
    this.#sockets.send(socket, addressOf(bytes), bytes.length);
    this.#sockets.finish(socket);
    if (this.length === DENIED_LINGERING_MAX) this.#closeFirst();
    const place = (this.#get(this.#first) + this.length) % DENIED_LINGERING_MAX;
    this.#ring[place] = socket;
    this.#deadlinesMs[place] = nowMs + DENIED_LINGER_MS;
    this.#count[0] = this.length + 1;
  }

  get length(): number {
    return this.#get(this.#count);
  }

  /** Closes those who have had their time. */
  checkDeadlines(nowMs: number): void {
    while (this.length > 0 && (this.#deadlinesMs[this.#get(this.#first)] ?? 0) <= nowMs) this.#closeFirst();
  }

  /** Closes all. */
  close(): void {
    while (this.length > 0) this.#closeFirst();
  }

  #closeFirst(): void {
    const first = this.#get(this.#first);
    this.#first[0] = (first + 1) % DENIED_LINGERING_MAX;
    this.#count[0] = this.length - 1;
    this.#sockets.close(this.#ring[first] ?? -1);
  }

  #get(word: Int32Array<ArrayBufferLike>): number {
    return word[0] ?? 0;
  }
}
