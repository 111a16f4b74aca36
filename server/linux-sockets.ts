/**
 * Sockets, epoll and eventfd of Linux as thin typed functions on the C library: what `epoll-receiver.ts` stands on, and
 * the only file that calls native code by `bun:ffi`. Memory is passed as addresses; whoever calls answers for it that
 * they lie in memory which stays where it is. Errors come back as the negative of the system's number, never thrown,
 * except from functions that open something. The first group runs once a read or so, and allocates nothing.
 */
import { dlopen, FFIType, ptr, read, type Pointer } from "bun:ffi";
import { SpillwayError } from "#common/errors.ts";
import {
  AF_INET6,
  AF_UNIX,
  AI_NUMERICSERV,
  AI_PASSIVE,
  CLOCK_MONOTONIC,
  EAGAIN,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  ERROR_NAMES,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  MADV_HUGEPAGE,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "./linux-constants.ts";

/** The C library by the names that it has: glibc, then musl. */
const LIBRARIES = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`] as const;

/**
 * `struct epoll_event` in 32-bit words: packed on x86-64, aligned elsewhere. Its first word is the events; the two at
 * {@link EPOLL_DATA_WORD} come back as they were given.
 */
export const EPOLL_EVENT_WORDS = process.arch === "x64" ? 3 : 4;
export const EPOLL_DATA_WORD = process.arch === "x64" ? 1 : 2;
/** Bytes of the largest address of a socket, `struct sockaddr_storage`. */
export const SOCKET_ADDRESS_BYTES = 128;

/** `struct sockaddr_in` and `sockaddr_in6`: where the port (of network order) and the address lie. */
export const ADDRESS_PORT_BYTE = 2;
export const ADDRESS_IPV4_BYTE = 4;
export const ADDRESS_IPV6_BYTE = 8;

const { i32, u64_fast, u64, cstring } = FFIType;
/** Pointers and lengths go as numbers: a pointer of user space has 47 bits. Results fit into 32 bits. */
const FUNCTIONS = {
  recv: { args: [i32, u64_fast, u64_fast, i32], returns: i32 },
  send: { args: [i32, u64_fast, u64_fast, i32], returns: i32 },
  epoll_wait: { args: [i32, u64_fast, i32, i32], returns: i32 },
  epoll_ctl: { args: [i32, i32, i32, u64_fast], returns: i32 },
  accept4: { args: [i32, u64_fast, u64_fast, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
  write: { args: [i32, u64_fast, u64_fast], returns: i32 },
  clock_gettime: { args: [i32, u64_fast], returns: i32 },
  __errno_location: { args: [], returns: FFIType.ptr },
  socket: { args: [i32, i32, i32], returns: i32 },
  socketpair: { args: [i32, i32, i32, u64_fast], returns: i32 },
  bind: { args: [i32, u64_fast, i32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, u64_fast, i32], returns: i32 },
  getsockname: { args: [i32, u64_fast, u64_fast], returns: i32 },
  epoll_create1: { args: [i32], returns: i32 },
  eventfd: { args: [i32, i32], returns: i32 },
  getaddrinfo: { args: [cstring, cstring, u64_fast, u64_fast], returns: i32 },
  freeaddrinfo: { args: [u64], returns: FFIType.void },
  madvise: { args: [u64_fast, u64_fast, i32], returns: i32 },
} as const;

type Symbols = ReturnType<typeof dlopen<typeof FUNCTIONS>>["symbols"];

/** Bytes of the memory in which small arguments are passed. */
const SCRATCH_BYTES = 256;
/** Places in it: an option's value or a length; a structure; the 8 bytes that wake. */
const VALUE_AT = 0;
const STRUCTURE_AT = 16;
const ONE_AT = 192;

// Keep-alive: see `listen-receiver.ts`, where Bun sets the same.
const KEEP_ALIVE_PROBE_SECONDS = 1;
const KEEP_ALIVE_PROBES = 10;

/** Where `bytes` lie in the process. Only memory of a SharedArrayBuffer or an ArrayBuffer of its own stays there. */
export function addressOf(bytes: ArrayBufferView<ArrayBufferLike>): number {
  return ptr(bytes as NodeJS.TypedArray);
}

/** The C library for one thread. */
export class LinuxSockets {
  readonly #symbols: Symbols;
  /** Where this thread's `errno` is. */
  readonly #errno: Pointer;
  readonly #scratch = new DataView(new ArrayBuffer(SCRATCH_BYTES));
  readonly #scratchAddress: number;

  /** Throws a {@link SpillwayError} where there is no such library: on another system. */
  constructor() {
    this.#symbols = openLibrary();
    // A pointer as a number: only addresses beyond 2^53 come as a bigint.
    this.#errno = this.#symbols.__errno_location() as Pointer;
    this.#scratchAddress = addressOf(this.#scratch);
    this.#scratch.setBigUint64(ONE_AT, 1n, true);
  }

  /** Reads at most `length` bytes to `address`. 0 is the peer's FIN. */
  receive(socket: number, address: number, length: number): number {
    const count = this.#symbols.recv(socket, address, length, 0);
    return count >= 0 ? count : this.#failure();
  }

  /** Sends what there is room for, and raises no signal. */
  send(socket: number, address: number, length: number): number {
    const count = this.#symbols.send(socket, address, length, MSG_NOSIGNAL);
    return count >= 0 ? count : this.#failure();
  }

  /** Fills the list of events at `address`, at most `count`. A timeout of -1 ms is none. */
  waitForEvents(epoll: number, address: number, count: number, timeoutMs: number): number {
    const events = this.#symbols.epoll_wait(epoll, address, count, timeoutMs);
    return events >= 0 ? events : this.#failure();
  }

  /** @param event address of the event that says what to wait for */
  controlEpoll(epoll: number, operation: number, descriptor: number, event: number): number {
    return this.#symbols.epoll_ctl(epoll, operation, descriptor, event) === 0 ? 0 : this.#failure();
  }

  /** The next connection, nonblocking. Its address is written to `address`, whose length stands at `lengthAddress`. */
  accept(listener: number, address: number, lengthAddress: number): number {
    const socket = this.#symbols.accept4(listener, address, lengthAddress, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return socket >= 0 ? socket : this.#failure();
  }

  /** Sends FIN behind what was sent; reading goes on. */
  finish(socket: number): number {
    return this.#symbols.shutdown(socket, SHUT_WR) === 0 ? 0 : this.#failure();
  }

  close(descriptor: number): void {
    // Linux frees the descriptor whatever close(2) says: a second try could hit another thread's.
    this.#symbols.close(descriptor);
  }

  /** Closes with RST, and forgets what was not sent. */
  reset(socket: number): void {
    this.#scratch.setInt32(VALUE_AT, 1, true);
    this.#scratch.setInt32(VALUE_AT + 4, 0, true);
    this.#symbols.setsockopt(socket, SOL_SOCKET, SO_LINGER, this.#scratchAddress + VALUE_AT, 8);
    this.#symbols.close(socket);
  }

  /** Adds 1 to an eventfd. */
  wake(eventDescriptor: number): void {
    this.#symbols.write(eventDescriptor, this.#scratchAddress + ONE_AT, 8);
  }

  /** Milliseconds of the system's monotonic clock: the same in all threads, unlike `performance.now()`. */
  monotonicMs(): number {
    this.#symbols.clock_gettime(CLOCK_MONOTONIC, this.#scratchAddress + STRUCTURE_AT);
    const seconds =
      this.#scratch.getUint32(STRUCTURE_AT, true) + this.#scratch.getUint32(STRUCTURE_AT + 4, true) * 2 ** 32;
    return seconds * 1_000 + this.#scratch.getUint32(STRUCTURE_AT + 8, true) / 1_000_000;
  }

  /** Negative errno. Where it cannot be read, "not now": the next event tells what happened. */
  #failure(): number {
    const errno = read.i32(this.#errno, 0);
    return errno > 0 ? -errno : -EAGAIN;
  }

  /**
   * Listens for TCP, without sharing the port. Options of the listener pass to the connections that it accepts.
   *
   * @param hostname an address or `localhost`; `::` takes IPv4 too
   * @param idleMs after this long without a byte the system asks a peer whether it is there
   * @returns the descriptor, nonblocking
   */
  listen(options: {
    readonly hostname: string;
    readonly port: number;
    readonly backlog: number;
    readonly idleMs: number;
  }): number {
    const { hostname, port, backlog, idleMs } = options;
    const found = this.#resolve(hostname, port);
    try {
      const listener = this.#check(
        this.#symbols.socket(found.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
        "socket",
      );
      try {
        this.#setOption(listener, SOL_SOCKET, SO_REUSEADDR, 1);
        if (found.family === AF_INET6) this.#setOption(listener, IPPROTO_IPV6, IPV6_V6ONLY, 0);
        // Replies are batched per read already: waiting for more would only delay them.
        this.#setOption(listener, IPPROTO_TCP, TCP_NODELAY, 1);
        this.#setOption(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
        this.#setOption(listener, IPPROTO_TCP, TCP_KEEPIDLE, Math.ceil(idleMs / 1_000));
        this.#setOption(listener, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE_PROBE_SECONDS);
        this.#setOption(listener, IPPROTO_TCP, TCP_KEEPCNT, KEEP_ALIVE_PROBES);
        this.#check(this.#symbols.bind(listener, found.address, found.length), "bind");
        this.#check(this.#symbols.listen(listener, backlog), "listen");
        return listener;
      } catch (error) {
        this.close(listener);
        throw error;
      }
    } finally {
      this.#symbols.freeaddrinfo(found.list);
    }
  }

  /** The port that a socket is bound to. */
  localPort(socket: number): number {
    return this.#readName(socket).getUint16(ADDRESS_PORT_BYTE, false);
  }

  /** The address that a socket is bound to, as text without a zone. Empty where it has none. */
  localAddress(socket: number): string {
    const name = this.#readName(socket);
    const family = name.getUint16(0, true);
    if (family === AF_INET6) {
      const groups = Array.from({ length: 8 }, (_, index) =>
        name.getUint16(ADDRESS_IPV6_BYTE + index * 2, false),
      );
      const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
      return isMapped ? ipv4Text(name, ADDRESS_IPV6_BYTE + 12) : ipv6Text(groups);
    }
    return family === AF_UNIX ? "" : ipv4Text(name, ADDRESS_IPV4_BYTE);
  }

  createEpoll(): number {
    return this.#check(this.#symbols.epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  }

  /** An eventfd at 0: for {@link wake}, and as a descriptor to spare. Negative where there is none. */
  createEvent(): number {
    const descriptor = this.#symbols.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return descriptor >= 0 ? descriptor : this.#failure();
  }

  /** Two nonblocking sockets that are connected to each other. */
  createPair(): readonly [number, number] {
    const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    this.#check(
      this.#symbols.socketpair(AF_UNIX, type, 0, this.#scratchAddress + STRUCTURE_AT),
      "socketpair",
    );
    return [this.#scratch.getInt32(STRUCTURE_AT, true), this.#scratch.getInt32(STRUCTURE_AT + 4, true)];
  }

  /** Asks for huge pages in `[address, address + length)`, a multiple of the page size each. False where refused. */
  adviseHugePages(address: number, length: number): boolean {
    return this.#symbols.madvise(address, length, MADV_HUGEPAGE) === 0;
  }

  /** The name of a socket in the scratch memory. */
  #readName(socket: number): DataView {
    this.#scratch.setInt32(VALUE_AT, SOCKET_ADDRESS_BYTES, true);
    const at = this.#scratchAddress;
    this.#check(this.#symbols.getsockname(socket, at + STRUCTURE_AT, at + VALUE_AT), "getsockname");
    return new DataView(this.#scratch.buffer, STRUCTURE_AT, SOCKET_ADDRESS_BYTES);
  }

  #setOption(socket: number, level: number, name: number, value: number): void {
    this.#scratch.setInt32(VALUE_AT, value, true);
    this.#check(
      this.#symbols.setsockopt(socket, level, name, this.#scratchAddress + VALUE_AT, 4),
      "setsockopt",
    );
  }

  /** The address to bind; its memory is the C library's until `list` is freed. */
  #resolve(hostname: string, port: number) {
    const hints = STRUCTURE_AT;
    for (let at = 0; at < 48; at += 4) this.#scratch.setInt32(hints + at, 0, true);
    // struct addrinfo, the same in glibc and musl: flags, family, type, protocol; then as read below.
    this.#scratch.setInt32(hints, AI_PASSIVE | AI_NUMERICSERV, true);
    this.#scratch.setInt32(hints + 8, SOCK_STREAM, true);
    const at = this.#scratchAddress;
    if (this.#symbols.getaddrinfo(hostname, String(port), at + hints, at + VALUE_AT) !== 0)
      throw new SpillwayError("ENOTFOUND", `Cannot resolve ${hostname}`);
    const list = this.#scratch.getBigUint64(VALUE_AT, true);
    // A pointer of user space has 47 bits.
    const info = Number(list) as Pointer;
    return {
      list,
      family: read.i32(info, 4),
      length: read.i32(info, 16),
      address: Number(read.u64(info, 24)),
    };
  }

  #check(result: number, what: string): number {
    if (result >= 0) return result;
    const errno = -this.#failure();
    const name = ERROR_NAMES[errno] ?? `error ${errno}`;
    throw new SpillwayError(name, `${what}: ${name}`);
  }
}

function openLibrary(): Symbols {
  let cause: unknown;
  for (const library of process.platform === "linux" ? LIBRARIES : []) {
    try {
      return dlopen(library, FUNCTIONS).symbols;
    } catch (error) {
      cause = error;
    }
  }
  throw new SpillwayError("no-epoll", "This system has no C library with epoll", { cause });
}

/** In its shortest form, which is how a URL writes it (RFC 5952). */
function ipv6Text(groups: readonly number[]): string {
  const long = groups.map((group) => group.toString(16)).join(":");
  return new URL(`http://[${long}]/`).hostname.slice(1, -1);
}

function ipv4Text(name: DataView, at: number): string {
  return [0, 1, 2, 3].map((index) => name.getUint8(at + index)).join(".");
}
