/**
 * The viewers of an edge as one of its workers counts them. A player's connections end up in several workers, so a
 * worker counts no sessions: it notes what each kept it busy with, the hub adds that up, and what the hub says is
 * true of all counts here too, and for the limit.
 */
import type { Clock } from "#common/clock.ts";
import {
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
  /** Those that the hub has not heard of yet. */
  #sessionsBegun = 0;
  /** As the hub has heard. */
  #tsReported = 0;

  constructor(options: WorkerViewersOptions) {
    this.#options = options;
  }

  note(request: PlaylistRequest): boolean {
    const key = sessionKey(request, this.#options.salt);
    const session = this.#sessions.get(key) ?? this.#begin(key);
    if (session === undefined) return !this.isFull;
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
    const { viewersMax } = this.#options;
    // A session that has begun here may be known elsewhere: for the limit it counts at once, to be told it can wait.
    return viewersMax > 0 && this.total + this.#sessionsBegun >= viewersMax;
  }

  /** What is to be reported: each request is told once. */
  takeNotes(): SessionNotes {
    this.#sessionsBegun = 0;
    this.#tsReported = this.ts;
    const keys: bigint[] = [];
    const busyMs: number[] = [];
    for (const [key, session] of this.#sessions) {
      if (session.blockingMs === 0 && session.plainMs === 0) continue;
      keys.push(key);
      busyMs.push(session.blockingMs, session.plainMs);
      session.blockingMs = 0;
      session.plainMs = 0;
    }
    return { keys: BigUint64Array.from(keys), busyMs: Float64Array.from(busyMs) };
  }

  /** Takes over what the hub says. */
  adopt({ viewers, sessionKeys }: EdgeTotals): void {
    this.#viewers = viewers;
    this.#elsewhere = new Set(sessionKeys);
  }

  /** `undefined` where it is not counted: the edge is full, or too much is remembered. */
  #begin(key: bigint): Session | undefined {
    const isKnown = this.#elsewhere.has(key);
    if ((this.isFull && !isKnown) || this.#sessions.size >= SESSIONS_MAX) return undefined;
    const session = { blockingMs: 0, plainMs: 0, notedMs: 0 };
    this.#sessions.set(key, session);
    if (!isKnown) this.#sessionsBegun++;
    return session;
  }
}
