/** Limits and fairness of players, with made-up reads; between real threads at the end. */
import { describe, expect, test } from "bun:test";
import { createRandomBelow } from "#common/random.ts";
import { shareFramebuffer } from "./framebuffer.ts";
import { sumCounters } from "./counters.ts";
import { admitted, crowd, key, openShares, openState, serve } from "./player-shares-fixture.ts";
import { PREFIX_HASH_NEXT, PREFIX_WORDS, WORD_LOCK } from "./player-shares-memory.ts";
import { SharedLock } from "./shared-lock.ts";
import type { WorkerOrder, WorkerReport } from "./shared-lock-worker.ts";

describe("PlayerShares.take()", () => {
  test.each<[string, number[], number[]]>([
    ["100 connections and one", [100, 1], [10_000, 10_000]],
    ["100 connections with small reads and one with large ones", [100, 1], [3_000, 200_000]],
    ["100 connections with large reads and one with small ones", [100, 1], [200_000, 3_000]],
    ["three prefixes", [1, 20, 60], [50_000, 7_000, 20_000]],
  ])("gives prefixes equal parts: %s", (_, counts, costs) => {
    const { shares } = openShares();
    const { owners } = crowd(shares, counts);
    const got = serve(shares, { owners, costs, turns: 20_000 });
    // One turn more or less.
    const spread = Math.max(...got) - Math.min(...got);
    expect(spread).toBeLessThanOrEqual(2 * Math.max(...costs));
  });

  test("takes turns of connections where they, not prefixes, get equal parts", () => {
    const { shares } = openShares({ fairShare: "connection" });
    const { owners } = crowd(shares, [100, 1]);
    expect(serve(shares, { owners, costs: [1_000, 1_000], turns: 10_100 })).toEqual([10_000_000, 100_000]);
  });

  test("serves one prefix in the order in which its connections were queued", () => {
    const { shares } = openShares();
    crowd(shares, [5]);
    const order = Array.from({ length: 10 }, () => {
      const connection = shares.take(1);
      shares.done(connection, 10, 5_000, true, 1);
      return connection;
    });
    expect(order).toEqual([0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
  });

  test("does not pay a prefix for the time in which it asked for nothing, nor make it pay", () => {
    const { shares } = openShares();
    const { owners, prefixes } = crowd(shares, [1, 2]);
    // The first goes quiet.
    const first = shares.take(1);
    expect(first).toBe(0);
    shares.done(first, 100, 100, false, 1);
    serve(shares, { owners, costs: [1_000, 1_000], turns: 5_000 });
    shares.enqueue(0, prefixes[0] ?? -1);
    const got = serve(shares, { owners, costs: [1_000, 1_000], turns: 1_000 });
    expect(Math.abs((got[0] ?? 0) - (got[1] ?? 0))).toBeLessThanOrEqual(4_000);
  });

  test("gives a second thread another prefix while one of the first runs", () => {
    const { shares, other } = openShares();
    const { owners } = crowd(shares, [10, 10]);
    // A round to learn what turns cost.
    serve(shares, { owners, costs: [9_000, 9_000], turns: 4 });
    expect(owners[shares.take(1)]).not.toBe(owners[other.take(1)]);
  });

  test("keeps a busy single connection ahead that two threads cannot serve at once", () => {
    const { shares, other } = openShares();
    const { owners } = crowd(shares, [1, 50]);
    const got = [0, 0];
    // Each thread has one turn running; they end by turns.
    const running = [shares.take(1), other.take(1)];
    for (let turn = 0; turn < 4_000; turn += 1) {
      const thread = turn % 2 === 0 ? shares : other;
      const connection = running[turn % 2] ?? -1;
      const owner = owners[connection] ?? 0;
      got[owner] = (got[owner] ?? 0) + 1;
      thread.done(connection, 5_000, 5_000, true, 1);
      running[turn % 2] = thread.take(1);
    }
    expect(got[0] ?? 0).toBeGreaterThan(1_900);
  });

  test("returns -1 where nothing is queued, and counts what is", () => {
    const { shares } = openShares();
    expect([shares.take(1), shares.waiting()]).toEqual([-1, 0]);
    crowd(shares, [2, 1]);
    expect(shares.waiting()).toBe(3);
    const taken = [shares.take(1), shares.take(1), shares.take(1)];
    expect(taken.toSorted((one, two) => one - two)).toEqual([0, 1, 2]);
    expect([shares.take(1), shares.waiting()]).toEqual([-1, 0]);
  });
});

describe("PlayerShares.admit()", () => {
  test("counts connections by prefix and in all, over threads, and frees places", () => {
    const { shares, other, outsider, framebuffer } = openShares({
      connectionsPerPrefix: 2,
      connectionsMax: 5,
    });
    const one = admitted(shares.admit(key(1)));
    expect(other.admit(key(1))).toBe(one);
    expect(shares.admit(key(1))).toBe("prefix");
    const two = admitted(other.admit(key(2)));
    expect(two).not.toBe(one);
    admitted(shares.admit(key(2)));
    admitted(shares.admit(key(3)));
    expect([shares.admit(key(4)), other.admit(key(1))]).toEqual(["all", "all"]);
    expect([outsider.connections(), outsider.prefixes()]).toEqual([5, 3]);
    other.leave(one);
    expect(shares.admit(key(2))).toBe("prefix");
    expect(other.admit(key(1))).toBe(one);
    shares.leave(two);
    other.leave(two);
    expect([outsider.connections(), outsider.prefixes()]).toEqual([3, 2]);
    const { deniedAll, deniedPrefix } = sumCounters(framebuffer.counters);
    expect({ deniedAll, deniedPrefix }).toEqual({ deniedAll: 2, deniedPrefix: 2 });
  });

  test("has no limit of a prefix for a proxy, and moves its connections to their players", () => {
    const { shares, outsider } = openShares({ connectionsPerPrefix: 1 });
    const proxy = admitted(shares.admit(key(9), true));
    expect(shares.admit(key(9), true)).toBe(proxy);
    const player = admitted(shares.readmit(proxy, key(1), -1));
    expect(player).not.toBe(proxy);
    expect(shares.readmit(proxy, key(1), -1)).toBe("prefix");
    shares.leave(proxy);
    expect([outsider.connections(), outsider.prefixes()]).toEqual([1, 1]);
  });

  test("moves a running connection with its turn", () => {
    const { shares } = openShares();
    const proxy = admitted(shares.admit(key(9), true));
    shares.enqueue(0, proxy);
    expect(shares.take(1)).toBe(0);
    const player = admitted(shares.readmit(proxy, key(1), 0));
    shares.done(0, 500, 700, true, 1);
    expect(shares.prefixOf(0)).toBe(player);
    expect(shares.take(1)).toBe(0);
    shares.drop(0);
    shares.leave(player);
    expect([shares.connections(), shares.waiting()]).toEqual([0, 0]);
  });

  test("keeps 16,384 connections apart that all come from different prefixes", () => {
    const count = 16_384;
    const { shares } = openShares({}, count);
    const prefixes = Array.from({ length: count }, (_, index) => admitted(shares.admit(key(index))));
    expect(new Set(prefixes).size).toBe(count);
    expect(shares.admit(key(count))).toBe("all");
    prefixes.forEach((prefix, connection) => shares.enqueue(connection, prefix));
    const served = new Set<number>();
    for (let turn = 0; turn < count; turn += 1) {
      const connection = shares.take(1);
      served.add(connection);
      shares.done(connection, 1, 1_000 + (connection % 97), turn % 2 === 0, 1);
    }
    expect([served.size, shares.waiting()]).toEqual([count, count / 2]);
    prefixes.forEach((prefix, connection) => {
      shares.drop(connection);
      shares.leave(prefix);
    });
    expect([shares.connections(), shares.prefixes(), shares.waiting()]).toEqual([0, 0, 0]);
  });

  test("uses the record again that was left longest ago, also where keys collide", () => {
    // Four records and four buckets: keys collide all the time.
    const { shares, framebuffer } = openShares({}, 4);
    const random = createRandomBelow(5);
    const open4: { number: number; prefix: number }[] = [];
    for (let step = 0; step < 3_000; step += 1) {
      const isFull = open4.length === 4;
      if (isFull || (open4.length > 0 && random(2) === 0)) {
        const [left] = open4.splice(random(open4.length), 1);
        if (left !== undefined) shares.leave(left.prefix);
      } else {
        const number = random(12);
        const prefix = admitted(shares.admit(key(number)));
        for (const each of open4) expect(each.prefix === prefix).toBe(each.number === number);
        open4.push({ number, prefix });
      }
      expect(shares.prefixes()).toBe(new Set(open4.map(({ number }) => number)).size);
    }
    const { buckets, prefixes } = openState(framebuffer);
    let chained = 0;
    for (const bucket of buckets) {
      for (let link = bucket; link !== 0; chained += 1) {
        link = prefixes[(link - 1) * PREFIX_WORDS + PREFIX_HASH_NEXT] ?? 0;
      }
    }
    expect(chained).toBe(4);
  });

  test("leaveAllOf() takes back what one thread let in", () => {
    const { shares, other, outsider } = openShares();
    for (let index = 0; index < 20; index += 1) shares.admit(key(index % 3));
    other.admit(key(1));
    outsider.leaveAllOf(0);
    expect([outsider.connections(), outsider.prefixes()]).toEqual([1, 1]);
  });
});

test.each([
  ["prefix", 0],
  ["prefix", 200_000],
  ["connection", 200_000],
] as const)("PlayerShares keeps its books whatever is done, shared by %s, %d bytes/s", (fairShare, rate) => {
  const { framebuffer, shares, outsider } = openShares({ fairShare, bytesPerSecondPerPrefix: rate });
  const random = createRandomBelow(12);
  const prefixes = new Map<number, number>();
  const queued = new Set<number>();
  const running = new Set<number>();
  let nowMs = 1;
  const idle = (): number => {
    const some = random(60);
    return prefixes.has(some) && !queued.has(some) && !running.has(some) ? some : -1;
  };
  const steps: (() => void)[] = [
    () => {
      const connection = random(60);
      if (!prefixes.has(connection)) prefixes.set(connection, admitted(shares.admit(key(random(9)))));
    },
    () => {
      const connection = idle();
      if (connection < 0) return;
      shares.enqueue(connection, prefixes.get(connection) ?? -1);
      queued.add(connection);
    },
    () => {
      const connection = shares.take(nowMs);
      // Somebody is always served where no budget can be in the way.
      if (connection < 0) expect(rate > 0 || queued.size === 0).toBe(true);
      else expect(queued.delete(connection)).toBe(true);
      if (connection >= 0) running.add(connection);
    },
    () => {
      const [connection] = running;
      if (connection === undefined) return;
      running.delete(connection);
      const isReady = random(2) === 0;
      shares.done(connection, random(30_000), 1 + random(50_000), isReady, nowMs);
      if (isReady) queued.add(connection);
    },
    () => {
      const connection = random(60);
      const prefix = prefixes.get(connection);
      if (prefix === undefined || random(3) > 0) return;
      shares.drop(connection);
      shares.leave(prefix);
      for (const set of [prefixes, queued, running]) set.delete(connection);
    },
    () => {
      const [connection] = running;
      if (connection === undefined || random(4) > 0) return;
      const prefix = prefixes.get(connection) ?? -1;
      prefixes.set(connection, admitted(shares.readmit(prefix, key(random(9)), connection)));
    },
    () => void (nowMs += random(20)),
    () => {
      // As if a thread had died while it changed something.
      if (random(40) === 0) {
        new SharedLock(openState(framebuffer).words, WORD_LOCK, 1).lock();
        outsider.forgetThread(1);
      }
    },
  ];
  for (let step = 0; step < 30_000; step += 1) {
    steps[random(steps.length)]?.();
    expect(shares.waiting()).toBe(queued.size);
    expect([outsider.connections(), outsider.prefixes()]).toEqual([
      prefixes.size,
      new Set(prefixes.values()).size,
    ]);
  }
  // All that waits is served in the end.
  for (
    let count = queued.size;
    count > 0;
    nowMs += shares.dueMs(nowMs) === Number.POSITIVE_INFINITY ? 1 : 50
  ) {
    const connection = shares.take(nowMs);
    if (connection < 0) continue;
    expect(queued.delete(connection)).toBe(true);
    count -= 1;
  }
  expect(shares.waiting()).toBe(0);
});

test("PlayerShares loses and doubles nothing between two threads", async () => {
  const { framebuffer, limits, shares } = openShares();
  const counts = [60, 1, 3];
  const { owners } = crowd(shares, counts);
  const turns = 150_000;
  const served = new Int32Array(new SharedArrayBuffer(4 * (owners.length + 1)));
  const workers = [0, 1].map((thread) => {
    const worker = new Worker(new URL("./shared-lock-worker.ts", import.meta.url).href);
    const order: WorkerOrder = {
      type: "serve",
      framebuffer: shareFramebuffer(framebuffer),
      thread,
      limits,
      served,
      turns,
    };
    const { promise, resolve } = Promise.withResolvers<WorkerReport>();
    // Only shared-lock-worker.ts posts here.
    worker.addEventListener("message", ({ data }: MessageEvent<WorkerReport>) => resolve(data));
    worker.postMessage(order, []);
    return { worker, report: promise };
  });
  const reports = await Promise.all(workers.map(({ report }) => report));
  const total = served[owners.length] ?? 0;
  expect(reports.reduce((sum, { done }) => sum + done, 0)).toBe(total);
  expect(served.subarray(0, owners.length).reduce((sum, count) => sum + count, 0)).toBe(total);
  expect(shares.waiting()).toBe(owners.length);
  const all = new Set(Array.from(owners, () => shares.take(1)));
  expect([all.size, shares.take(1)]).toEqual([owners.length, -1]);
  for (const { worker } of workers) worker.terminate();
});
