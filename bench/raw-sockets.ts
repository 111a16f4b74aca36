/**
 * TCP sockets of Linux's C library for the flooding connections, the only file of the load scripts that uses bun:ffi:
 * a flood through `Bun.connect` costs so much that it measures itself. Nonblocking, one epoll set per thread.
 *
 * Hot path: `send` and `wait` allocate nothing; a call costs what the system call costs and some 35 ns.
 */
import { dlopen, FFIType, ptr, read, type Pointer } from "bun:ffi";
import { isIPv6 } from "node:net";
import { AF_INET, AF_INET6, encodeSocketAddress } from "./socket-address.ts";

// Linux's numbers, the same on x86-64 and AArch64.
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const MSG_NOSIGNAL = 0x4000;
const MSG_TRUNC = 0x20;
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_MOD = 3;
/** Errors that mean "later". */
const EAGAIN = 11;
const EINTR = 4;
const EINPROGRESS = 115;
/** Names of the errors that a flooding connection meets. */
const ERROR_NAMES: Readonly<Record<number, string>> = {
  13: "EACCES",
  24: "EMFILE",
  32: "EPIPE",
  99: "EADDRNOTAVAIL",
  101: "ENETUNREACH",
  104: "ECONNRESET",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
};

/** Events of a socket; several are added up. */
export const READABLE = 0x001;
export const WRITABLE = 0x004;
/** Always reported: an error, or both sides closed. */
const FAILED = 0x008 | 0x010;
/** Events fetched at once; more wait for the next call. */
const EVENTS_MAX = 64;
/** `struct epoll_event` is packed on x86-64 only: u32 events, then u64 data. */
const EVENT_BYTES = process.arch === "x64" ? 12 : 16;
const EVENT_DATA = process.arch === "x64" ? 4 : 8;
/** Answers are read into a buffer of this size, and forgotten unless one asks. */
const RECEIVE_BYTES = 256 * 1024;

/** What `send` and `receive` return where the kernel has no room or no data now. */
export const LATER = -1;

/** The functions of the C library named `name`. Throws where there is none. */
function loadFunctions(name: string) {
  return dlopen(name, {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    connect: { args: ["i32", "buffer", "buffer_length"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "buffer", "buffer"], returns: "i32" },
    // Addresses and lengths as numbers: no view is made for each call.
    send: { args: ["i32", "usize", "usize", "i32"], returns: FFIType.i64_fast },
    recv: { args: ["i32", "usize", "usize", "i32"], returns: FFIType.i64_fast },
    close: { args: ["i32"], returns: "i32" },
    epoll_create1: { args: ["i32"], returns: "i32" },
    epoll_ctl: { args: ["i32", "i32", "i32", "buffer"], returns: "i32" },
    epoll_wait: { args: ["i32", "buffer", "i32", "i32"], returns: "i32" },
    __errno_location: { args: [], returns: "ptr" },
  }).symbols;
}

function loadLibrary() {
  if (process.platform !== "linux") return undefined;
  for (const name of ["libc.so.6", `ld-musl-${process.arch === "x64" ? "x86_64" : "aarch64"}.so.1`]) {
    try {
      return loadFunctions(name);
    } catch {
      // The other C library, or none that is known: Bun's own sockets are used then.
    }
  }
  return undefined;
}

type Library = NonNullable<ReturnType<typeof loadLibrary>>;

/** A refused or broken connection; `code` as in Node, such as `ECONNREFUSED`. */
export class RawSocketError extends Error {
  override readonly name = "RawSocketError";
  readonly code: string;

  constructor(operation: string, errno: number) {
    const code = ERROR_NAMES[errno] ?? `errno ${errno}`;
    super(`${operation}: ${code}`);
    this.code = code;
  }
}

/** Where `bytes` lies now. Only valid while it is kept and, unless its buffer is shared or large, until a view on it is made. */
export function addressOf(bytes: Uint8Array): number {
  return ptr(bytes);
}

/** The sockets of one thread and the epoll set that watches them. */
export class RawSockets {
  readonly #library: Library;
  readonly #errno: Pointer;
  readonly #epoll: number;
  readonly #events = new DataView(new ArrayBuffer(EVENTS_MAX * EVENT_BYTES));
  readonly #event = new DataView(new ArrayBuffer(EVENT_BYTES));
  // An ArrayBuffer of its own stays where it is; a small array's memory may move once a view on it is made.
  readonly #received = new Uint8Array(new ArrayBuffer(RECEIVE_BYTES));
  readonly #receivedAddress = addressOf(this.#received);

  private constructor(library: Library) {
    this.#library = library;
    const errno = library.__errno_location();
    // The C library gives each thread a place for errno, never null; the type allows for both.
    this.#errno = errno as Pointer;
    this.#epoll = library.epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw this.#error("epoll_create1");
  }

  /** `undefined` where there is no such library: not Linux, or an unknown C library. */
  static open(): RawSockets | undefined {
    const library = loadLibrary();
    return library === undefined ? undefined : new RawSockets(library);
  }

  /** Begins a connection and returns its descriptor; it is writable once {@link connectionError} can tell. */
  connect(target: { readonly address: string; readonly port: number }): number {
    const { address, port } = target;
    const family = isIPv6(address) ? AF_INET6 : AF_INET;
    const socket = this.#library.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket < 0) throw this.#error("socket");
    const bytes = encodeSocketAddress(address, port);
    if (this.#library.connect(socket, bytes, bytes) < 0 && this.#lastErrno() !== EINPROGRESS) {
      const error = this.#error("connect");
      this.close(socket);
      throw error;
    }
    return socket;
  }

  /** Why a connection that was begun has failed; `undefined` if it has not. */
  connectionError(socket: number): RawSocketError | undefined {
    const errno = new Int32Array(1);
    this.#library.getsockopt(socket, SOL_SOCKET, SO_ERROR, errno, Int32Array.of(4));
    return errno[0] === 0 ? undefined : new RawSocketError("connect", errno[0] ?? 0);
  }

  /** Watches `socket`, known to {@link wait} by `index`, for `events`. */
  watch(socket: number, index: number, events: number): void {
    this.#control(EPOLL_CTL_ADD, { socket, index, events });
  }

  /** Changes what `socket` is watched for. */
  rewatch(socket: number, index: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, { socket, index, events });
  }

  /** Waits until watched sockets are ready, at most `waitMs`. Returns how many {@link readyAt} tells of. */
  wait(waitMs: number): number {
    return Math.max(0, this.#library.epoll_wait(this.#epoll, this.#events, EVENTS_MAX, waitMs));
  }

  /** The index that the ready socket `position` (0 first) is watched by. */
  readyAt(position: number): number {
    return this.#events.getUint32(position * EVENT_BYTES + EVENT_DATA, true);
  }

  /** True where a send or an error waits. */
  isWritable(position: number): boolean {
    return (this.#events.getUint32(position * EVENT_BYTES, true) & (WRITABLE | FAILED)) !== 0;
  }

  /** True where data, the end or an error waits. */
  isReadable(position: number): boolean {
    return (this.#events.getUint32(position * EVENT_BYTES, true) & (READABLE | FAILED)) !== 0;
  }

  /** Offers memory to the kernel. Returns how many bytes it took, or {@link LATER}. Throws where the peer is gone. */
  send(socket: number, address: number, length: number): number {
    const taken = Number(this.#library.send(socket, address, length, MSG_NOSIGNAL));
    return taken >= 0 ? taken : this.#later("send");
  }

  /**
   * Reads what came, at most `bytesMax`. Returns how many bytes ({@link receivedBytes} views them), 0 at the end, or
   * {@link LATER}.
   */
  receive(socket: number, bytesMax = RECEIVE_BYTES): number {
    const taken = Number(
      this.#library.recv(socket, this.#receivedAddress, Math.min(bytesMax, RECEIVE_BYTES), 0),
    );
    return taken >= 0 ? taken : this.#later("recv");
  }

  /** Takes at most `bytesMax` of what came without copying them. Returns what {@link receive} does. */
  discard(socket: number, bytesMax: number): number {
    // tcp(7): with MSG_TRUNC nothing is written to the buffer.
    const taken = Number(this.#library.recv(socket, this.#receivedAddress, bytesMax, MSG_TRUNC));
    return taken >= 0 ? taken : this.#later("recv");
  }

  /** The first `length` bytes of the last {@link receive}; overwritten by the next. */
  receivedBytes(length: number): Uint8Array {
    return this.#received.subarray(0, length);
  }

  /** Closes a socket, which leaves the set by that. */
  close(socket: number): void {
    this.#library.close(socket);
  }

  [Symbol.dispose](): void {
    this.#library.close(this.#epoll);
  }

  #control(
    operation: number,
    { socket, index, events }: Readonly<Record<"socket" | "index" | "events", number>>,
  ): void {
    this.#event.setUint32(0, events, true);
    this.#event.setBigUint64(EVENT_DATA, BigInt(index), true);
    if (this.#library.epoll_ctl(this.#epoll, operation, socket, this.#event) < 0) {
      throw this.#error("epoll_ctl");
    }
  }

  #later(operation: string): number {
    const errno = this.#lastErrno();
    if (errno === EAGAIN || errno === EINTR) return LATER;
    throw new RawSocketError(operation, errno);
  }

  #lastErrno(): number {
    return read.i32(this.#errno, 0);
  }

  #error(operation: string): RawSocketError {
    return new RawSocketError(operation, this.#lastErrno());
  }
}
