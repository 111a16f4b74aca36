/** Budgets of bytes, threads that sleep, and threads that die, with made-up reads. */
import { describe, expect, test } from "bun:test";
import { sumCounters } from "./counters.ts";
import { READ_BYTES_MAX } from "./kernel/layout.ts";
import { readCost, type PlayerShares } from "./player-shares.ts";
import { admitted, crowd, key, openShares, openState, serve } from "./player-shares-fixture.ts";
import { WORD_LOCK } from "./player-shares-memory.ts";
import { SharedLock } from "./shared-lock.ts";

describe("PlayerShares' budgets", () => {
  const BYTES_PER_SECOND = 1_000_000;
  const limits = { bytesPerSecondPerPrefix: BYTES_PER_SECOND };

  /** Reads as much as allowed for a time and returns the bytes by owner. */
  function read(shares: PlayerShares, owners: readonly number[], forMs: number): number[] {
    const got: number[] = [];
    for (let nowMs = 1; nowMs <= forMs; nowMs += 1) {
      for (let turn = 0; turn < 50; turn += 1) {
        const connection = shares.take(nowMs);
        if (connection < 0) break;
        const bytes = shares.readBytesMax;
        expect(bytes).toBeLessThanOrEqual(READ_BYTES_MAX);
        const owner = owners[connection] ?? 0;
        got[owner] = (got[owner] ?? 0) + bytes;
        shares.done(connection, bytes, readCost(bytes, 0), true, nowMs);
      }
    }
    return got;
  }

  test("hold each prefix to its rate, whatever its connections", () => {
    const { shares, framebuffer } = openShares(limits);
    const { owners } = crowd(shares, [1, 50]);
    const got = read(shares, owners, 4_000);
    for (const bytes of got) {
      // Four seconds, and what it may send at once at first.
      expect(bytes).toBeGreaterThan(4 * BYTES_PER_SECOND);
      expect(bytes).toBeLessThan(4.6 * BYTES_PER_SECOND);
    }
    expect(sumCounters(framebuffer.counters).throttledReads).toBeGreaterThan(100);
  });

  test("of prefixes that have none hold up nobody else", () => {
    const { shares } = openShares(limits);
    const { prefixes } = crowd(shares, [1, 1]);
    const first = shares.take(1);
    shares.done(first, 10 * BYTES_PER_SECOND, 100, true, 1);
    const second = shares.take(1);
    expect(second).not.toBe(first);
    shares.done(second, 10, 10, true, 1);
    expect(shares.take(1)).toBe(second);
    shares.done(second, 10, 10, false, 1);
    expect([shares.take(1), shares.waiting()]).toEqual([-1, 1]);
    const dueMs = shares.dueMs(1);
    expect(dueMs).toBeGreaterThan(9_000);
    expect(dueMs).toBeLessThan(10_000);
    expect(shares.take(1 + dueMs - 1)).toBe(-1);
    expect(shares.take(1 + dueMs)).toBe(first);
    shares.drop(first);
    expect(shares.dueMs(1)).toBe(Number.POSITIVE_INFINITY);
    shares.enqueue(first, prefixes[0] ?? -1);
    expect(shares.take(2 + dueMs)).toBe(first);
  });

  test("are not renewed by coming again", () => {
    const { shares } = openShares(limits);
    const prefix = admitted(shares.admit(key(1)));
    expect(shares.charge(prefix, 10 * BYTES_PER_SECOND, 1)).toBeGreaterThan(9_000);
    shares.leave(prefix);
    const again = admitted(shares.admit(key(1)));
    expect(shares.charge(again, 1, 2)).toBeGreaterThan(9_000);
    expect(shares.charge(again, 1, 20_000)).toBe(0);
  });

  test("charge() has nobody wait without a limit", () => {
    const { shares } = openShares();
    expect(shares.charge(admitted(shares.admit(key(1))), 1e12, 1)).toBe(0);
    expect(shares.dueMs(1)).toBe(Number.POSITIVE_INFINITY);
  });

  test("free many prefixes that fall due together, a few a turn", () => {
    const count = 200;
    const { shares } = openShares(limits);
    crowd(
      shares,
      Array.from({ length: count }, () => 1),
    );
    for (let turn = 0; turn < count; turn += 1) shares.done(shares.take(1), BYTES_PER_SECOND, 10, true, 1);
    expect(shares.take(1)).toBe(-1);
    const served = new Set<number>();
    for (let turn = 0; turn < count; turn += 1) {
      const connection = shares.take(5_000);
      served.add(connection);
      shares.done(connection, 1, 10, false, 5_000);
    }
    expect(served.size).toBe(count);
  });
});

describe("PlayerShares.sleep()", () => {
  test("lets a thread sleep only while there is nothing to read, and has it called once", () => {
    const { shares, other } = openShares();
    expect(other.sleep(1)).toBe(true);
    const prefix = admitted(shares.admit(key(1)));
    for (let connection = 0; connection < 3; connection += 1) shares.enqueue(connection, prefix);
    expect(shares.sleep(1)).toBe(false);
    shares.take(1);
    expect(shares.isHelpWanted).toBe(true);
    // It has been called already.
    shares.take(1);
    expect(shares.isHelpWanted).toBe(false);
    other.wake();
    expect(other.take(1)).toBe(2);
    expect(other.sleep(1)).toBe(true);
    shares.enqueue(3, prefix);
    shares.take(1);
    // Nothing is left to help with.
    expect(shares.isHelpWanted).toBe(false);
  });

  test("does not let a thread sleep over a budget that is due", () => {
    const { shares } = openShares({ bytesPerSecondPerPrefix: 1_000_000 });
    crowd(shares, [1]);
    shares.done(shares.take(1), 2_000_000, 10, true, 1);
    expect(shares.sleep(1)).toBe(true);
    shares.wake();
    expect(shares.sleep(1 + shares.dueMs(1))).toBe(false);
  });
});

describe("PlayerShares.forgetThread()", () => {
  test("puts right what a thread left half changed, and serves on", () => {
    const { framebuffer, shares, other, outsider } = openShares();
    const { owners } = crowd(shares, [30, 1, 5]);
    const running = other.take(1);
    expect(other.sleep(1)).toBe(false);
    const state = openState(framebuffer);
    // It dies in the middle: it has the lock, and heaps and counts are nonsense.
    new SharedLock(state.words, WORD_LOCK, 1).lock();
    state.ready.fill(7);
    state.words.fill(3, 17, 21);
    state.buckets.fill(0);
    outsider.forgetThread(1);
    outsider.drop(running);
    expect([shares.connections(), shares.prefixes(), shares.waiting()]).toEqual([36, 3, 35]);
    const got = serve(shares, { owners, costs: [1_000, 1_000, 1_000], turns: 6_000 });
    for (const each of got) expect(Math.abs(each - 2_000_000)).toBeLessThan(10_000);
    expect(shares.admit(key(1))).toBe(shares.prefixOf(30));
  });

  test("takes a dead thread off the sleepers", () => {
    const { shares, other, outsider } = openShares();
    expect(other.sleep(1)).toBe(true);
    outsider.forgetThread(1);
    crowd(shares, [3]);
    shares.take(1);
    expect(shares.isHelpWanted).toBe(false);
  });
});
