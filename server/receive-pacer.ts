/**
 * Slows players of `listen-receiver.ts` down: those whose prefix has used up its budget of bytes, and those whose prefix
 * gets more than others while there is not enough time for all. Sockets are paused, so that nothing is lost.
 *
 * That path cannot choose what it reads next: the event loop reads every socket that has something, once a round. So a
 * fair share is approximate here, and of one thread: what a prefix has had beyond one read a round is its debt (deficit
 * round robin, Shreedhar and Varghese, 1995); while it has one, whoever of it is read is paused, and each round of the
 * event loop takes as much off the debt as the largest read of late. Connections of one prefix dealt to several threads
 * have a share in each. Budgets are exact over time and shared by all threads, but a prefix that reaches its own with
 * many connections open may first receive one read on each of them.
 */
import type { Clock } from "#common/clock.ts";
import type { CounterSlot } from "./counters.ts";
import { readCost, type PlayerShares } from "./player-shares.ts";

/** A budget is looked at again after no less than this, in milliseconds: pausing costs two calls of the system. */
const BUDGET_WAIT_MS_MIN = 10;
/** How many connections of a prefix are read again at once when there is a budget, before it is looked at again. */
const RESUMED_PER_LOOK = 4;
/** What the largest read of late is multiplied by in each round with reads: it is forgotten within some tens of them. */
const QUANTUM_DECAY = 0.9;

/** A connection, for the pacer. */
export interface PacedPeer {
  /** While true nothing of it should be read. */
  pace(isPaused: boolean): void;
}

/** Connections of one prefix in this thread. */
interface Group {
  readonly open: Set<PacedPeer>;
  /** In the order in which they are read again. */
  readonly paused: Set<PacedPeer>;
  /** Cost beyond the share. */
  debt: number;
  /** True while the budget is used up and a timer runs. */
  isLimited: boolean;
}

export interface ReceivePacerOptions {
  readonly shares: PlayerShares;
  readonly fairShare: "prefix" | "connection";
  readonly clock: Clock;
  /** Where this thread counts. */
  readonly counters: CounterSlot;
  /** Calls back after the event loop has looked at its sockets once more. Default: `setImmediate`. */
  readonly nextRound?: (callback: () => void) => void;
}

export class ReceivePacer {
  readonly #options: ReceivePacerOptions;
  readonly #nextRound: (callback: () => void) => void;
  readonly #groups = new Map<number, Group>();
  readonly #cancels = new Map<Group, () => void>();
  /** What a prefix may have in a round, in cost. */
  #quantum = 0;
  #isRoundComing = false;
  #wasRead = false;

  constructor(options: ReceivePacerOptions) {
    this.#options = options;
    this.#nextRound = options.nextRound ?? ((callback) => void setImmediate(callback));
  }

  /** A connection of a prefix begins. */
  join(prefix: number, peer: PacedPeer): void {
    let group = this.#groups.get(prefix);
    if (group === undefined) {
      group = { open: new Set(), paused: new Set(), debt: 0, isLimited: false };
      this.#groups.set(prefix, group);
    }
    group.open.add(peer);
    if (group.isLimited) this.#pause(group, peer);
  }

  /** A connection has closed, or is no longer slowed down. */
  leave(prefix: number, peer: PacedPeer): void {
    const group = this.#groups.get(prefix);
    if (group === undefined) return;
    group.open.delete(peer);
    if (group.paused.delete(peer)) this.#options.counters.add("pausedConnections", -1);
    if (group.open.size + group.paused.size > 0) return;
    this.#groups.delete(prefix);
    this.#cancels.get(group)?.();
    this.#cancels.delete(group);
  }

  /** A connection that joined was read. */
  received(prefix: number, peer: PacedPeer, bytes: number, replyBytes: number): void {
    const group = this.#groups.get(prefix);
    if (group === undefined) return;
    const { shares, clock, counters, fairShare } = this.#options;
    const waitMs = shares.charge(prefix, bytes, clock.monotonicMs());
    if (waitMs > 0) {
      this.#limit(group, waitMs);
      return;
    }
    // Nobody to share with.
    if (fairShare === "connection" || this.#groups.size === 1) return;
    const cost = readCost(bytes, replyBytes);
    group.debt += cost;
    this.#quantum = Math.max(this.#quantum, cost);
    this.#wasRead = true;
    if (group.debt > this.#quantum && this.#pause(group, peer)) counters.add("fairSharePauses", 1);
    this.#callRound();
  }

  /** Ends all timers. */
  close(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
    for (const { paused } of this.#groups.values())
      this.#options.counters.add("pausedConnections", -paused.size);
    this.#groups.clear();
  }

  #limit(group: Group, waitMs: number): void {
    for (const peer of group.open) this.#pause(group, peer);
    group.isLimited = true;
    this.#cancels.get(group)?.();
    const cancel = this.#options.clock.after(Math.max(waitMs, BUDGET_WAIT_MS_MIN), () => this.#look(group));
    this.#cancels.set(group, cancel);
  }

  /** There is a budget again: a few are read, and if that leaves some of it, the next few. */
  #look(group: Group): void {
    this.#cancels.delete(group);
    this.#resume(group, RESUMED_PER_LOOK);
    group.isLimited = group.paused.size > 0;
    if (!group.isLimited) return;
    this.#cancels.set(
      group,
      this.#options.clock.after(BUDGET_WAIT_MS_MIN, () => this.#look(group)),
    );
  }

  #callRound(): void {
    if (this.#isRoundComing) return;
    this.#isRoundComing = true;
    this.#nextRound(() => {
      this.#isRoundComing = false;
      this.#beginRound();
    });
  }

  /** Every prefix may have one more read. Rounds follow each other while somebody waits for one. */
  #beginRound(): void {
    let isWanted = false;
    for (const group of this.#groups.values()) {
      if (group.isLimited) continue;
      group.debt = this.#groups.size === 1 ? 0 : Math.max(0, group.debt - this.#quantum);
      // The one that is read next may bring as much again, so one at a time.
      if (this.#groups.size === 1) this.#resume(group, group.paused.size);
      else if (group.debt < this.#quantum) this.#resume(group, 1);
      isWanted ||= group.paused.size > 0 || group.debt > 0;
    }
    // In a round without reads nobody has said what a read costs now.
    if (this.#wasRead) this.#quantum *= QUANTUM_DECAY;
    this.#wasRead = false;
    if (isWanted) this.#callRound();
    else this.#quantum = 0;
  }

  /** False where the connection waits already, or is no longer slowed down. */
  #pause(group: Group, peer: PacedPeer): boolean {
    if (!group.open.delete(peer)) return false;
    group.paused.add(peer);
    this.#options.counters.add("pausedConnections", 1);
    peer.pace(true);
    return true;
  }

  #resume(group: Group, count: number): void {
    let left = count;
    for (const peer of group.paused) {
      if (left === 0) return;
      left -= 1;
      group.paused.delete(peer);
      group.open.add(peer);
      this.#options.counters.add("pausedConnections", -1);
      peer.pace(false);
    }
  }
}
