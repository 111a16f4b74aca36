/**
 * Accepts players on the listening socket that all threads share. Whoever gets its event accepts a few, so that a flood
 * of connections does not keep pixels waiting, and arms it again. Where the process runs out of descriptors those who
 * knock are let in by a spare one and sent away, rather than left waiting; where the system runs out of memory nobody is
 * accepted for a moment.
 */
import { addressOfSockaddr } from "./address-prefix.ts";
import type { CounterSlot } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ERROR_NAMES } from "./linux-constants.ts";
import { addressOf, SOCKET_ADDRESS_BYTES, type LinuxSockets } from "./linux-sockets.ts";
import { SYSTEM_ADDRESS } from "./receiver-memory.ts";

/** Connections accepted before pixels have their turn. */
const ACCEPTS_PER_TURN = 32;
/** Nobody is accepted for this long after the system had no descriptor or no memory for a connection. */
const EXHAUSTED_MS = 100;
/** While players wait to be read, accepting rests for so many times as long as it took: it gets an eighth of the time. */
const REST_FACTOR = 7;

export interface EpollAcceptorOptions {
  readonly sockets: LinuxSockets;
  readonly listener: number;
  readonly framebuffer: Framebuffer;
  readonly systemOffset: number;
  readonly counters: CounterSlot;
  /** Takes over an accepted socket. */
  readonly onSocket: (socket: number, address: Uint8Array) => void;
  /** Told of the system's error where it has no room for a connection: once for each time that accepting stops. */
  readonly onExhausted: (code: string) => void;
}

export class EpollAcceptor {
  readonly #options: EpollAcceptorOptions;
  readonly #sockaddr: Uint8Array<ArrayBufferLike>;
  readonly #length: Int32Array<ArrayBufferLike>;
  readonly #address: number;
  /** A descriptor to be closed where there is no other, to accept one connection more; -1 while there is none. */
  #spare: number;

  constructor(options: EpollAcceptorOptions) {
    this.#options = options;
    const { buffer } = options.framebuffer.memory;
    this.#sockaddr = new Uint8Array(buffer, options.systemOffset + SYSTEM_ADDRESS, SOCKET_ADDRESS_BYTES);
    this.#length = new Int32Array(buffer, options.systemOffset + SYSTEM_ADDRESS + SOCKET_ADDRESS_BYTES, 1);
    this.#address = addressOf(this.#sockaddr);
    this.#spare = options.sockets.createEvent();
  }

  /**
   * Accepts who knocks.
   *
   * @param isBusy true while other work waits
   * @returns from when on the listener may be armed again: a time in milliseconds, in the past for at once
   */
  accept(nowMs: number, isBusy: boolean): number {
    const { sockets } = this.#options;
    for (let count = 0; count < ACCEPTS_PER_TURN; count += 1) {
      const socket = this.#acceptOne();
      if (socket === -EAGAIN) return 0;
      if (EXHAUSTION.has(-socket)) return this.#endure(-socket);
      // Whatever else it is has befallen that one connection: its peer is gone, the network was down.
      if (socket < 0) continue;
      // A connection without an address of IP could only be a test's.
      this.#options.onSocket(socket, addressOfSockaddr(this.#sockaddr) ?? NO_ADDRESS);
    }
    if (!isBusy) return 0;
    const endMs = sockets.monotonicMs();
    return endMs + (endMs - nowMs) * REST_FACTOR;
  }

  /** The system has no room for a connection. Returns until when nobody is accepted. */
  #endure(errno: number): number {
    const { sockets, onExhausted } = this.#options;
    if (errno === EMFILE || errno === ENFILE) this.#refuse();
    onExhausted(ERROR_NAMES[errno] ?? String(errno));
    return sockets.monotonicMs() + EXHAUSTED_MS;
  }

  /** Sends connections away that there is no descriptor for. */
  #refuse(): void {
    const { sockets, counters } = this.#options;
    for (let count = 0; count < ACCEPTS_PER_TURN && this.#spare >= 0; count += 1) {
      sockets.close(this.#spare);
      const socket = this.#acceptOne();
      if (socket >= 0) {
        sockets.close(socket);
        counters.add("refusedConnections", 1);
      }
      this.#spare = sockets.createEvent();
      if (socket === -EAGAIN) return;
    }
    // Somebody else took the descriptor: there may be one again by now.
    if (this.#spare < 0) this.#spare = sockets.createEvent();
  }

  #acceptOne(): number {
    this.#length[0] = SOCKET_ADDRESS_BYTES;
    return this.#options.sockets.accept(
      this.#options.listener,
      this.#address,
      this.#address + SOCKET_ADDRESS_BYTES,
    );
  }
}

const EXHAUSTION: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);
const NO_ADDRESS = new Uint8Array(16);
