/**
 * How many people watch through this edge, by kind. Relay and event viewers are open connections. HLS players are
 * counted by session: requests of one address and browser within a window. Behind one address there may be a whole
 * hall with the same phone, so a session weighs as many viewers as its playlist requests would keep busy.
 */
import type { Clock } from "#common/clock.ts";

/** Label values of `spillway_edge_viewers`. */
export const VIEWER_KINDS = ["llhls", "hls", "ts", "events"] as const;
export type ViewerKind = (typeof VIEWER_KINDS)[number];

/** Requests are weighed over this long; a session ends after two windows without one. */
export const VIEWER_WINDOW_MS = 5_000;
/** Sessions remembered at once; further ones are served and not counted. */
const SESSIONS_MAX = 100_000;

interface Session {
  /** Requests of this window: those that wait for a version, and what the others would need, in milliseconds. */
  blocking: number;
  plainMs: number;
  /** Windows since the last request. */
  idleWindows: number;
  kind: "llhls" | "hls";
  viewers: number;
}

/** One playlist request, for the count. */
export interface PlaylistRequest {
  readonly address: string;
  readonly userAgent: string;
  /** True when it asks for a version by number. */
  readonly isBlocking: boolean;
}

/** Counts viewers. Addresses are kept only as hashes with a salt of this process. */
export class Viewers {
  /** Open relay and event connections; their owners count them up and down. */
  ts = 0;
  events = 0;
  readonly #salt = crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
  readonly #sessions = new Map<bigint | number, Session>();
  readonly #clock: Clock;
  readonly #versionsMost: () => number;
  readonly #viewersMax: number;
  #windowStartMs: number;
  #versionsAtStart = 0;

  /**
   * @param options.versionsMost versions that the busiest playlist has had since start
   * @param options.viewersMax hard limit; 0 for none
   */
  constructor(options: {
    readonly clock: Clock;
    readonly versionsMost: () => number;
    readonly viewersMax: number;
  }) {
    this.#clock = options.clock;
    this.#versionsMost = options.versionsMost;
    this.#viewersMax = options.viewersMax;
    this.#windowStartMs = options.clock.monotonicMs();
  }

  /** Counts a playlist request. False when it comes from a new session and the edge is full. */
  note({ address, userAgent, isBlocking }: PlaylistRequest): boolean {
    const key = Bun.hash(`${address}\n${userAgent}`, this.#salt);
    let session = this.#sessions.get(key);
    if (session === undefined) {
      if (this.isFull) return false;
      if (this.#sessions.size >= SESSIONS_MAX) return true;
      session = { blocking: 0, plainMs: 0, idleWindows: 0, kind: "hls", viewers: 1 };
      this.#sessions.set(key, session);
    }
    session.idleWindows = 0;
    if (isBlocking) {
      session.blocking++;
      session.kind = "llhls";
    } else {
      session.plainMs += PLAIN_INTERVAL_MS;
    }
    return true;
  }

  /** To be called about once a second: closes windows that are over. */
  rotate(): void {
    const nowMs = this.#clock.monotonicMs();
    const windowMs = nowMs - this.#windowStartMs;
    if (windowMs < VIEWER_WINDOW_MS) return;
    const versions = this.#versionsMost();
    const asked = Math.max(1, versions - this.#versionsAtStart);
    this.#windowStartMs = nowMs;
    this.#versionsAtStart = versions;
    for (const [key, session] of this.#sessions) {
      if (++session.idleWindows > 2) {
        this.#sessions.delete(key);
        continue;
      }
      weigh(session, { asked, windowMs });
    }
  }

  /** Viewers of each kind. */
  get byKind(): Record<ViewerKind, number> {
    const counts = { llhls: 0, hls: 0, ts: this.ts, events: this.events };
    for (const session of this.#sessions.values()) counts[session.kind] += session.viewers;
    return counts;
  }

  /** Viewers of video. Event connections belong to pages that play as well. */
  get total(): number {
    const { llhls, hls, ts } = this.byKind;
    return llhls + hls + ts;
  }

  /** True when new viewers are to be refused. */
  get isFull(): boolean {
    return this.#viewersMax > 0 && this.total >= this.#viewersMax;
  }
}

/** How often a player without blocking reload looks at a playlist, about: segments of 1 to 2 s. */
const PLAIN_INTERVAL_MS = 1_250;

function weigh(session: Session, window: { readonly asked: number; readonly windowMs: number }): void {
  const { blocking, plainMs } = session;
  if (blocking === 0 && plainMs === 0) return;
  session.kind = blocking > 0 ? "llhls" : "hls";
  const load = blocking > 0 ? blocking / window.asked : plainMs / window.windowMs;
  session.viewers = Math.max(1, Math.round(load));
  session.blocking = 0;
  session.plainMs = 0;
}
