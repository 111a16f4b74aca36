/** The pacer with made-up sockets and rounds of an event loop. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { NO_PLAYER_LIMITS, PlayerShares, type PlayerLimits } from "./player-shares.ts";
import { ReceivePacer, type PacedPeer } from "./receive-pacer.ts";

/** A socket that always has something to read while it is not paused. */
class FloodingPeer implements PacedPeer {
  isPaused = false;
  receivedBytes = 0;
  readonly prefix: number;
  readonly readBytes: number;

  constructor(prefix: number, readBytes: number) {
    this.prefix = prefix;
    this.readBytes = readBytes;
  }

  pace(isPaused: boolean): void {
    this.isPaused = isPaused;
  }
}

function createRig(limits: Partial<PlayerLimits> = {}) {
  const framebuffer = createFramebuffer({ width: 2, height: 2 });
  const all = { ...NO_PLAYER_LIMITS, ...limits };
  const [counters] = framebuffer.counters;
  if (counters === undefined) throw new Error("A framebuffer has counters");
  const shares = new PlayerShares(framebuffer, 0, all);
  const clock = new FakeClock();
  let rounds: (() => void)[] = [];
  const pacer = new ReceivePacer({
    shares,
    fairShare: all.fairShare,
    clock,
    counters,
    nextRound: (callback) => void rounds.push(callback),
  });
  const peers: FloodingPeer[] = [];
  const add = (prefix: number, count: number, readBytes: number): FloodingPeer[] => {
    const added = Array.from({ length: count }, () => new FloodingPeer(prefix, readBytes));
    for (const peer of added) pacer.join(prefix, peer);
    peers.push(...added);
    return added;
  };
  /** One round of the event loop: every socket that is not paused is read once. */
  const round = (): void => {
    for (const peer of peers) {
      if (peer.isPaused) continue;
      peer.receivedBytes += peer.readBytes;
      pacer.received(peer.prefix, peer, peer.readBytes, 0);
    }
    const due = rounds;
    rounds = [];
    for (const callback of due) callback();
  };
  return { pacer, clock, counters, add, round, peers, waitingRounds: () => rounds.length };
}

function sum(peers: readonly FloodingPeer[]): number {
  return peers.reduce((total, { receivedBytes }) => total + receivedBytes, 0);
}

describe("ReceivePacer", () => {
  test.each([
    ["prefix", 1],
    ["connection", 100],
  ] as const)("gives 100 connections of one %s %d times what one gets", (fairShare, times) => {
    const { add, round } = createRig({ fairShare });
    const many = add(0, 100, 100_000);
    const single = add(1, 1, 100_000);
    for (let count = 0; count < 3_000; count += 1) round();
    const ratio = sum(many) / sum(single);
    expect(ratio).toBeGreaterThan(0.8 * times);
    expect(ratio).toBeLessThan(1.25 * times);
    // All of the many get their turn.
    const fewest = Math.min(...many.map(({ receivedBytes }) => receivedBytes));
    expect(fewest).toBeGreaterThan(0);
  });

  test("never has a prefix with one connection wait", () => {
    const { add, round } = createRig();
    const small = add(0, 1, 1_000);
    const large = add(1, 1, 500_000);
    for (let count = 0; count < 100; count += 1) round();
    expect([sum(small), sum(large)]).toEqual([100_000, 50_000_000]);
  });

  test("has nobody wait once the others are gone", () => {
    const { add, round, pacer, waitingRounds } = createRig();
    const many = add(0, 50, 10_000);
    const [single] = add(1, 1, 10_000);
    for (let count = 0; count < 20; count += 1) round();
    expect(many.some(({ isPaused }) => isPaused)).toBe(true);
    if (single === undefined) throw new Error("One was added");
    single.isPaused = true;
    pacer.leave(1, single);
    round();
    round();
    expect(many.some(({ isPaused }) => isPaused)).toBe(false);
    expect(waitingRounds()).toBe(0);
  });

  test("forgets debts while nobody is read, and lets the event loop rest", () => {
    const { add, round, peers, waitingRounds } = createRig();
    add(0, 20, 10_000);
    add(1, 1, 10_000);
    round();
    peers.length = 0;
    for (let count = 0; count < 2_000 && waitingRounds() > 0; count += 1) round();
    expect(waitingRounds()).toBe(0);
  });

  test("holds a prefix to its budget and loses nobody's turn", () => {
    const { add, round, clock } = createRig({ bytesPerSecondPerPrefix: 10_000_000 });
    const many = add(0, 40, 50_000);
    const single = add(1, 1, 50_000);
    for (let timeMs = 0; timeMs < 10_000; timeMs += 1) {
      round();
      clock.advance(1);
    }
    for (const peers of [many, single]) {
      expect(sum(peers)).toBeGreaterThan(95_000_000);
      expect(sum(peers)).toBeLessThan(110_000_000);
    }
    expect(Math.min(...many.map(({ receivedBytes }) => receivedBytes))).toBeGreaterThan(0);
  });

  test("has a connection wait that joins while the budget is used up", () => {
    const { add, round, clock } = createRig({ bytesPerSecondPerPrefix: 1_000_000 });
    add(0, 1, 2_000_000);
    round();
    const [late] = add(0, 1, 1);
    expect(late?.isPaused).toBe(true);
    clock.advance(2_000);
    expect(late?.isPaused).toBe(false);
  });

  test("counts who waits now, and how often somebody had to for a fair share", () => {
    const { add, round, counters, pacer, peers } = createRig();
    const waiting = (): number => peers.filter(({ isPaused }) => isPaused).length;
    let pauses = 0;
    const many = add(0, 20, 10_000);
    for (const peer of many) {
      const pace = peer.pace.bind(peer);
      peer.pace = (isPaused) => {
        pauses += isPaused ? 1 : 0;
        pace(isPaused);
      };
    }
    const [single] = add(1, 1, 10_000);
    for (let count = 0; count < 50; count += 1) {
      round();
      expect(counters.read("pausedConnections")).toBe(waiting());
    }
    expect(waiting()).toBeGreaterThan(0);
    expect(counters.read("fairSharePauses")).toBe(pauses);
    expect(counters.read("throttledReads")).toBe(0);
    const paused = many.find(({ isPaused }) => isPaused);
    if (paused === undefined || single === undefined) throw new Error("Both were added");
    const before = counters.read("pausedConnections");
    pacer.leave(0, paused);
    pacer.leave(1, single);
    expect(counters.read("pausedConnections")).toBe(before - 1);
    pacer.close();
    expect(counters.read("pausedConnections")).toBe(0);
  });

  test("counts no pause for a budget as one for a fair share", () => {
    const { add, round, counters } = createRig({ bytesPerSecondPerPrefix: 1_000_000 });
    add(0, 3, 2_000_000);
    round();
    expect([counters.read("pausedConnections"), counters.read("fairSharePauses")]).toEqual([3, 0]);
  });

  test("close() ends its timers", () => {
    const { add, round, clock, pacer } = createRig({ bytesPerSecondPerPrefix: 1_000_000 });
    const [peer] = add(0, 1, 2_000_000);
    round();
    pacer.close();
    clock.advance(10_000);
    expect(peer?.isPaused).toBe(true);
  });
});
