/**
 * The viewers of an edge as one of its workers counts them. A player's connections end up in several workers, so a
 * worker counts no sessions: it notes what each kept it busy with, the hub adds that up, and what the hub says is
 * true of all counts here too, and for the limit.
 */
import type { Clock } from "#common/clock.ts";
import {
  placesFor,
  prefixHash,
  sessionKey,
  VIEWER_WINDOW_MS,
  type PlaylistRequest,
  type ViewerKind,
  type Viewers,
} from "./viewers.ts";
import type { EdgeTotals, SessionNotes } from "./worker-messages.ts";

/** A session that has asked for nothing for so long may be refused again when the edge is full. */
const FORGET_MS = 3 * VIEWER_WINDOW_MS;
/** Sessions remembered at once; further ones are served and not counted. */
const SESSIONS_MAX = 100_000;

interface Session {
  readonly prefix: bigint;
  blockingMs: number;
  plainMs: number;
  /** On the monotonic clock. */
  notedMs: number;
}

export interface WorkerViewersOptions {
  readonly clock: Clock;
  readonly salt: bigint;
  /** Hard limit of the whole edge; 0 for none. Overrun by no more than comes within one report of all workers. */
  readonly viewersMax: number;
}

/** What one worker knows of the viewers of all. */
export class WorkerViewers implements Viewers {
  ts = 0;
  events = 0;
  readonly #options: WorkerViewersOptions;
  readonly #sessions = new Map<bigint, Session>();
  /** Of all workers, as last heard. */
  #viewers: Readonly<Record<ViewerKind, number>> = { llhls: 0, hls: 0, ts: 0, events: 0 };
  #elsewhere = new Set<bigint>();
  #heavyPrefixes: ReadonlyMap<bigint, number> = new Map();
  /** Those that the hub has not heard of yet, and of which prefixes they are. */
  #sessionsBegun = 0;
  readonly #begunBy = new Map<bigint, number>();
  /** As the hub has heard. */
  #tsReported = 0;

  constructor(options: WorkerViewersOptions) {
    this.#options = options;
  }

  note(request: PlaylistRequest): boolean {
    const key = sessionKey(request, this.#options.salt);
    const session = this.#sessions.get(key) ?? this.#begin(key, request.address);
    if (session === undefined) return false;
    session[request.isBlocking ? "blockingMs" : "plainMs"] += request.busyMs;
    session.notedMs = this.#options.clock.monotonicMs();
    return true;
  }

  /** Forgets sessions that are over. */
  rotate(): void {
    const endMs = this.#options.clock.monotonicMs() - FORGET_MS;
    for (const [key, { notedMs }] of this.#sessions) {
      if (notedMs < endMs) this.#sessions.delete(key);
    }
  }

  get byKind(): Readonly<Record<ViewerKind, number>> {
    return this.#viewers;
  }

  get total(): number {
    const { llhls, hls, ts } = this.#viewers;
    return llhls + hls + ts + this.ts - this.#tsReported;
  }

  get isFull(): boolean {
    return this.#free <= 0;
  }

  /** What is to be reported: each request is told once. */
  takeNotes(): SessionNotes {
    this.#sessionsBegun = 0;
    this.#begunBy.clear();
    this.#tsReported = this.ts;
    const keys: bigint[] = [];
    const prefixes: bigint[] = [];
    const busyMs: number[] = [];
    for (const [key, session] of this.#sessions) {
      if (session.blockingMs === 0 && session.plainMs === 0) continue;
      keys.push(key);
      prefixes.push(session.prefix);
      busyMs.push(session.blockingMs, session.plainMs);
      session.blockingMs = 0;
      session.plainMs = 0;
    }
    return {
      keys: BigUint64Array.from(keys),
      prefixes: BigUint64Array.from(prefixes),
      busyMs: Float64Array.from(busyMs),
    };
  }

  /** Takes over what the hub says. */
  adopt({ viewers, sessionKeys, heavyPrefixes }: EdgeTotals): void {
    this.#viewers = viewers;
    this.#elsewhere = new Set(sessionKeys);
    this.#heavyPrefixes = heavyPrefixes;
  }

  get #free(): number {
    const { viewersMax } = this.#options;
    // A session that has begun here may be known elsewhere: for the limit it counts at once, to be told it can wait.
    return viewersMax === 0 ? Infinity : viewersMax - this.total - this.#sessionsBegun;
  }

  /** `undefined` where there is no place for it. Past {@link SESSIONS_MAX} it is not remembered. */
  #begin(key: bigint, address: string): Session | undefined {
    const prefix = prefixHash(address, this.#options.salt);
    const isKnown = this.#elsewhere.has(key);
    const begunBefore = this.#begunBy.get(prefix) ?? 0;
    const own = (this.#heavyPrefixes.get(prefix) ?? 0) + begunBefore;
    if (!isKnown && placesFor({ own, free: this.#free }) === 0) return undefined;
    const session = { prefix, blockingMs: 0, plainMs: 0, notedMs: 0 };
    if (this.#sessions.size >= SESSIONS_MAX) return session;
    this.#sessions.set(key, session);
    if (isKnown) return session;
    this.#sessionsBegun++;
    this.#begunBy.set(prefix, begunBefore + 1);
    return session;
  }
}
