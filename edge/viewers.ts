/**
 * How many people watch through this edge, by kind. Relay and event viewers are open connections. HLS players are
 * counted by session: requests of one address and browser within a window. Behind one address there may be a whole
 * hall with the same phone, so a session weighs as many viewers as its playlist requests keep busy. Where viewers are
 * limited, one prefix of addresses never counts for all of them: a single host could claim to be any number.
 */
import type { Clock } from "#common/clock.ts";
import { viewerPrefix } from "./viewer-address.ts";

/** Label values of `spillway_edge_viewers`. */
export const VIEWER_KINDS = ["llhls", "hls", "ts", "events"] as const;
export type ViewerKind = (typeof VIEWER_KINDS)[number];

/** Requests are weighed over this long; a session ends after two windows without one. */
export const VIEWER_WINDOW_MS = 5_000;
/** Sessions remembered at once; further ones are served and not counted. */
const SESSIONS_MAX = 100_000;
/** How many times as many places as are left one prefix may have: alone three quarters of all, with another three sevenths. */
const PREFIX_SHARE = 3;
/** Prefixes are told to workers that have at least this part of all places: there are no more of them than this. */
const HEAVY_PREFIXES_MAX = 64;
/** Of an IPv4 address mapped into IPv6 (RFC 4291 2.5.5.2). */
const MAPPED_PREFIX = "::ffff:";

interface Session {
  /** See {@link prefixHash}. */
  readonly prefix: bigint;
  /** Of the requests of this window; see {@link SessionBusy}. */
  blockingMs: number;
  plainMs: number;
  /** Windows since the last request. */
  idleWindows: number;
  kind: SessionKind;
  viewers: number;
}

type SessionKind = "llhls" | "hls";

/** One playlist request, for the count. */
export interface PlaylistRequest {
  readonly address: string;
  readonly userAgent: string;
  /** True when it asks for a version by number. */
  readonly isBlocking: boolean;
  /** How long after it the same viewer sends the next one, about, in milliseconds. */
  readonly busyMs: number;
}

/** Who watches through this edge. */
export interface Viewers {
  /** Open relay and event connections of this process; their owners count them up and down. */
  ts: number;
  events: number;
  /** Counts a playlist request. False when it comes from a new session and the edge is full. */
  note(request: PlaylistRequest): boolean;
  /** To be called about once a second. */
  rotate(): void;
  /** Viewers of each kind. */
  readonly byKind: Readonly<Record<ViewerKind, number>>;
  /** Viewers of video. Event connections belong to pages that play as well. */
  readonly total: number;
  /** True when new viewers are to be refused. */
  readonly isFull: boolean;
}

/** For how long requests of one session keep one viewer busy, in milliseconds: blocking and plain ones. */
export interface SessionBusy {
  readonly blockingMs: number;
  readonly plainMs: number;
}

/** What is told of one session: {@link sessionKey}, {@link prefixHash}, and what it was kept busy with. */
export interface SessionNote extends SessionBusy {
  readonly key: bigint;
  readonly prefix: bigint;
}

/**
 * How many viewers more one prefix may have that has `own`, where there are places for `free`: a part of them, so that some
 * are always left for others, however many prefixes want all.
 *
 * @param free infinity where viewers are not limited; may be below 0
 */
export function placesFor({ own, free }: { readonly own: number; readonly free: number }): number {
  return Math.max(0, Math.ceil((PREFIX_SHARE * free - own) / (PREFIX_SHARE + 1)));
}

/** What sessions are told apart by, without keeping addresses: a hash with a salt that nobody else knows. */
export function sessionKey({ address, userAgent }: PlaylistRequest, salt: bigint): bigint {
  // A socket for both families shows IPv4 in this form over TCP, and plain over HTTP/3, to which players change over.
  const plain = address.startsWith(MAPPED_PREFIX) ? address.slice(MAPPED_PREFIX.length) : address;
  return Bun.hash.wyhash(`${plain}\n${userAgent}`, salt);
}

/** The same of the prefix of an address, IPv4 or /64. */
export function prefixHash(address: string, salt: bigint): bigint {
  return Bun.hash.wyhash(viewerPrefix(address), salt);
}

/** A salt for {@link sessionKey} and {@link prefixHash}. */
export function randomSalt(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
}

/** Counts viewers by what this process hears of them. */
export class CountedViewers implements Viewers {
  ts = 0;
  events = 0;
  readonly #salt = randomSalt();
  readonly #sessions = new Map<bigint, Session>();
  /** Viewers of all sessions by kind and by prefix, kept up to date: they are asked for with each request. */
  readonly #counts: Record<SessionKind, number> = { llhls: 0, hls: 0 };
  readonly #prefixes = new Map<bigint, number>();
  readonly #clock: Clock;
  readonly #viewersMax: number;
  #windowStartMs: number;

  /** @param options.viewersMax hard limit; 0 for none */
  constructor(options: { readonly clock: Clock; readonly viewersMax: number }) {
    this.#clock = options.clock;
    this.#viewersMax = options.viewersMax;
    this.#windowStartMs = options.clock.monotonicMs();
  }

  note(request: PlaylistRequest): boolean {
    const key = sessionKey(request, this.#salt);
    const known = this.#sessions.get(key);
    const prefix = known?.prefix ?? prefixHash(request.address, this.#salt);
    if (known === undefined && this.#placesFor(prefix) === 0) return false;
    const { isBlocking, busyMs } = request;
    this.add({ key, prefix, blockingMs: isBlocking ? busyMs : 0, plainMs: isBlocking ? 0 : busyMs });
    return true;
  }

  /** Counts requests of a session, full or not. */
  add({ key, prefix, blockingMs, plainMs }: SessionNote): void {
    let session = this.#sessions.get(key);
    if (session === undefined) {
      if (this.#sessions.size >= SESSIONS_MAX) return;
      session = { prefix, blockingMs: 0, plainMs: 0, idleWindows: 0, kind: "hls", viewers: 0 };
      this.#sessions.set(key, session);
      this.#become(session, "hls", 1);
    }
    session.idleWindows = 0;
    session.blockingMs += blockingMs;
    session.plainMs += plainMs;
    if (blockingMs > 0 && session.kind !== "llhls") this.#become(session, "llhls", session.viewers);
  }

  /** Keys of the sessions that are known now, where some new one would be refused; else `undefined`. */
  get sessionKeys(): BigUint64Array | undefined {
    const most = Math.max(0, ...this.heavyPrefixes.values());
    const isOpen = placesFor({ own: most, free: this.#free }) > 0;
    return isOpen ? undefined : BigUint64Array.from(this.#sessions.keys());
  }

  /** Viewers of the prefixes that have many, by {@link prefixHash}; none where viewers are not limited. */
  get heavyPrefixes(): ReadonlyMap<bigint, number> {
    const max = this.#viewersMax;
    if (max === 0) return new Map();
    return new Map(this.#prefixes.entries().filter(([, count]) => count * HEAVY_PREFIXES_MAX >= max));
  }

  /** Closes windows that are over. */
  rotate(): void {
    const nowMs = this.#clock.monotonicMs();
    const windowMs = nowMs - this.#windowStartMs;
    if (windowMs < VIEWER_WINDOW_MS) return;
    this.#windowStartMs = nowMs;
    for (const [key, session] of this.#sessions) {
      if (++session.idleWindows > 2) {
        this.#become(session, session.kind, 0);
        this.#sessions.delete(key);
      } else {
        this.#weigh(session, windowMs);
      }
    }
  }

  get byKind(): Record<ViewerKind, number> {
    return { ...this.#counts, ts: this.ts, events: this.events };
  }

  get total(): number {
    return this.#counts.llhls + this.#counts.hls + this.ts;
  }

  get isFull(): boolean {
    return this.#viewersMax > 0 && this.total >= this.#viewersMax;
  }

  /** A player that asks by number also asks plainly, when it joins: it is counted by what it asks by number. */
  #weigh(session: Session, windowMs: number): void {
    const { blockingMs, plainMs } = session;
    if (blockingMs === 0 && plainMs === 0) return;
    const kind = blockingMs > 0 ? "llhls" : "hls";
    const busyMs = blockingMs > 0 ? blockingMs : plainMs;
    this.#become(session, kind, Math.max(1, Math.round(busyMs / windowMs)));
    session.blockingMs = 0;
    session.plainMs = 0;
  }

  get #free(): number {
    return this.#viewersMax === 0 ? Infinity : this.#viewersMax - this.total;
  }

  #placesFor(prefix: bigint): number {
    return placesFor({ own: this.#prefixes.get(prefix) ?? 0, free: this.#free });
  }

  /** What its prefix has no place for is not counted; but what was counted stays, and who is alone there is one. */
  #become(session: Session, kind: SessionKind, viewers: number): void {
    const before = session.viewers;
    this.#count(session, -before);
    const isAlone = !this.#prefixes.has(session.prefix);
    const placed = Math.max(before, this.#placesFor(session.prefix), isAlone ? 1 : 0);
    session.kind = kind;
    session.viewers = Math.min(viewers, placed);
    this.#count(session, session.viewers);
  }

  #count({ kind, prefix }: Session, viewers: number): void {
    this.#counts[kind] += viewers;
    const sum = (this.#prefixes.get(prefix) ?? 0) + viewers;
    if (sum > 0) this.#prefixes.set(prefix, sum);
    else this.#prefixes.delete(prefix);
  }
}
