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
  const shares = new PlayerShares(framebuffer, 0, all);
  const clock = new FakeClock();
  let rounds: (() => void)[] = [];
  const pacer = new ReceivePacer({
    shares,
    fairShare: all.fairShare,
    clock,
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
  return { pacer, clock, add, round, peers, waitingRounds: () => rounds.length };
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

  test("close() ends its timers", () => {
    const { add, round, clock, pacer } = createRig({ bytesPerSecondPerPrefix: 1_000_000 });
    const [peer] = add(0, 1, 2_000_000);
    round();
    pacer.close();
    clock.advance(10_000);
    expect(peer?.isPaused).toBe(true);
  });
});
