/**
 * Accepts players on the listening socket that all threads share. Whoever gets its event accepts a few, so that a flood
 * of connections does not keep pixels waiting, and arms it again. Where the process runs out of descriptors those who
 * knock are let in by a spare one, told so and sent away, rather than left waiting; where the system runs out of memory
 * nobody is accepted for a moment.
 */
import { addressOfSockaddr } from "./sockaddr.ts";
import type { CounterSlot } from "./counters.ts";
import type { Framebuffer } from "./framebuffer.ts";
import { EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ERROR_NAMES } from "./linux-constants.ts";
import { addressOf, SOCKET_ADDRESS_BYTES, type LinuxSockets } from "./linux-sockets.ts";
import { SYSTEM_ADDRESS, SYSTEM_SPARE } from "./receiver-memory.ts";

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
  /** Sends away an accepted socket that there is no descriptor for, and closes it. */
  readonly onRefused: (socket: number) => void;
  /** Told of the system's error where it has no room for a connection: once for each time that accepting stops. */
  readonly onExhausted: (code: string) => void;
}

export class EpollAcceptor {
  readonly #options: EpollAcceptorOptions;
  readonly #sockaddr: Uint8Array<ArrayBufferLike>;
  readonly #length: Int32Array<ArrayBufferLike>;
  readonly #address: number;
  readonly #spare: SpareDescriptor;

  constructor(options: EpollAcceptorOptions) {
    this.#options = options;
    const { buffer } = options.framebuffer.memory;
    this.#sockaddr = new Uint8Array(buffer, options.systemOffset + SYSTEM_ADDRESS, SOCKET_ADDRESS_BYTES);
    this.#length = new Int32Array(buffer, options.systemOffset + SYSTEM_ADDRESS + SOCKET_ADDRESS_BYTES, 1);
    this.#address = addressOf(this.#sockaddr);
    this.#spare = new SpareDescriptor(options);
    this.#spare.open();
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
    const { counters, onRefused } = this.#options;
    for (let count = 0; count < ACCEPTS_PER_TURN && this.#spare.isOpen; count += 1) {
      this.#spare.close();
      const socket = this.#acceptOne();
      if (socket >= 0) {
        onRefused(socket);
        counters.add("refusedConnections", 1);
      }
      this.#spare.open();
      if (socket === -EAGAIN) return;
    }
    // Somebody else took the descriptor: there may be one again by now.
    this.#spare.open();
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

/**
 * A descriptor to be closed where there is no other, to accept one connection more. Its number is in the thread's area
 * of the shared memory, so that somebody can close it where the thread is gone.
 */
export class SpareDescriptor {
  readonly #sockets: LinuxSockets;
  /** The descriptor + 1. */
  readonly #word: Int32Array<ArrayBufferLike>;

  constructor({
    sockets,
    framebuffer,
    systemOffset,
  }: Pick<EpollAcceptorOptions, "sockets" | "framebuffer" | "systemOffset">) {
    this.#sockets = sockets;
    this.#word = new Int32Array(framebuffer.memory.buffer, systemOffset + SYSTEM_SPARE, 1);
  }

  get isOpen(): boolean {
    return this.#word[0] !== 0;
  }

  /** Opens it where it is not, if the system has one. */
  open(): void {
    if (!this.isOpen) this.#word[0] = Math.max(0, this.#sockets.createEvent() + 1);
  }

  close(): void {
    const descriptor = (this.#word[0] ?? 0) - 1;
    this.#word[0] = 0;
    if (descriptor >= 0) this.#sockets.close(descriptor);
  }
}

const EXHAUSTION: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);
const NO_ADDRESS = new Uint8Array(16);
