/** The order of stalling against a plain list, and on the receive path of Linux: who goes where there is no room. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { createRandomBelow } from "#common/random.ts";
import { ConnectionTable } from "./connection-table.ts";
import { EpollRig, type RigPlayer } from "./epoll-rig.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { HoldBlocks } from "./hold-blocks.ts";
import { STATE_BYTES } from "./kernel/layout.ts";
import { RECORD_STALLED_MS } from "./receiver-memory.ts";

const CONNECTIONS = 100;
/** A read whose answers take more room than a socket has: 7 to 20 hold blocks. */
const GETS = "PX 1 1\n".repeat(29_000);

let rig: EpollRig | undefined;
afterEach(() => rig?.close());

function openList() {
  const framebuffer = createFramebuffer({ width: 4, height: 4, connectionsMax: CONNECTIONS });
  const table = new ConnectionTable(framebuffer, 0);
  const bytes = new Uint8Array(framebuffer.memory.buffer);
  for (let connection = 0; connection < CONNECTIONS; connection += 1)
    table.take(1, (record) => void bytes.fill(0, record, record + STATE_BYTES));
  const hold = new HoldBlocks(framebuffer, 0);
  const { stalled } = hold;
  /** All that are offered. */
  const order = (needy = -1): number[] => {
    const offered: number[] = [];
    expect(stalled.seizeLongest(needy, (connection) => offered.push(connection) === 0)).toBe(-1);
    return offered;
  };
  return { table, hold, stalled, order };
}

describe("StalledPeers", () => {
  test("offers who has stalled longest first, whoever joins and leaves", () => {
    const { stalled, order } = openList();
    const random = createRandomBelow(3);
    let model: number[] = [];
    for (let step = 0; step < 2_000; step += 1) {
      const connection = random(20);
      if (random(2) === 0) {
        stalled.join(connection);
        if (!model.includes(connection)) model.push(connection);
      } else {
        stalled.leave(connection);
        model = model.filter((other) => other !== connection);
      }
      expect(order()).toEqual(model);
    }
  });

  test("offers nobody who stalled behind the one in need, and stops at the first that is taken", () => {
    const { stalled, order } = openList();
    for (const connection of [7, 3, 5, 9]) stalled.join(connection);
    expect(order(5)).toEqual([7, 3]);
    expect(order(7)).toEqual([]);
    expect(stalled.seizeLongest(9, (connection) => connection !== 7)).toBe(3);
  });

  test("looks at some connections that it cannot have, not at all of them", () => {
    const { stalled, order } = openList();
    for (let connection = 0; connection < CONNECTIONS; connection += 1) stalled.join(connection);
    expect(order()).toEqual(Array.from({ length: 64 }, (_, connection) => connection));
  });

  test("is made anew after a thread's death by the times of stalling", () => {
    const { table, hold, stalled, order } = openList();
    for (const [connection, stalledMs] of [
      [4, 50],
      [2, 30],
      [8, 40],
      [6, 20],
    ] as const) {
      stalled.join(connection);
      table.doubles[table.doubleOf(connection) + RECORD_STALLED_MS] = stalledMs;
    }
    table.release(2);
    hold.forgetThread(0, []);
    expect(order()).toEqual([6, 8, 4]);
    stalled.join(6);
    stalled.leave(8);
    stalled.join(1);
    expect(order()).toEqual([6, 4, 1]);
  });
});

/** Players that stall one after the other. */
function stallOneByOne(own: EpollRig, clock: FakeClock, count: number): RigPlayer[] {
  return Array.from({ length: count }, () => {
    const player = own.connect();
    player.send(GETS);
    clock.advance(1);
    return player;
  });
}

/** A player that ends with a command whose answer the socket does not take. */
function stallAtTheEnd(own: EpollRig): RigPlayer {
  const piece = "PX 1 1\n".repeat(1_000);
  const other = own.connect();
  let pieces = 0;
  for (; own.counted().stalls === 0; pieces += 1) other.send(piece);
  other.close();
  const player = own.connect();
  for (let sent = 1; sent < pieces; sent += 1) player.send(piece);
  player.send(`${piece}QUIT\n`);
  expect(own.counted().stalls).toBe(2);
  return player;
}

describe.if(process.platform === "linux")("EpollReceiver", () => {
  test("closes who has stalled longest where it has no room, not who lingers after the end or stalls anew", () => {
    const clock = new FakeClock();
    const own = new EpollRig({ clock, holdBlocksMax: 30 });
    rig = own;
    const ended = stallAtTheEnd(own);
    const recovered = stallOneByOne(own, clock, 1)[0];
    for (const player of [ended, recovered]) while (typeof player?.receive() === "string") own.drain();
    expect(own.counted()).toMatchObject({ stalls: 3, heldBytes: 0, closed: 1 });
    const [longest] = stallOneByOne(own, clock, 1);
    recovered?.send(GETS);
    while (own.counted().closed === 1) stallOneByOne(own, clock, 1);
    expect(own.counted()).toMatchObject({ droppedStalled: 1, closed: 2 });
    while (typeof longest?.receive() === "string");
    expect(longest?.put("x")).toBe(0);
    expect([ended.put("x"), recovered?.put("x")]).toEqual([1, 1]);
  });

  test("keeps the order when the thread dies that served one of them", () => {
    const clock = new FakeClock();
    const own = new EpollRig({ clock, threads: 2, holdBlocksMax: 60 });
    rig = own;
    const [first, second, third] = stallOneByOne(own, clock, 3);
    const dead = new ConnectionTable(own.framebuffer, 0);
    expect(dead.seize(1)).toBe(true);
    own.group.forgetThread(0);
    expect(own.counted()).toMatchObject({ closed: 1, droppedStalled: 0 });
    // The record of the second is taken again, first of all.
    const isClosed = (player: RigPlayer | undefined): boolean => {
      while (typeof player?.receive() === "string");
      return player?.put("x") === 0;
    };
    expect(isClosed(second)).toBe(true);
    while (own.counted().droppedStalled === 0) stallOneByOne(own, clock, 1);
    while (own.counted().droppedStalled === 1) stallOneByOne(own, clock, 1);
    expect([isClosed(first), isClosed(third)]).toEqual([true, true]);
    expect(own.counted().heldBytes).toBeGreaterThan(0);
  });
});
