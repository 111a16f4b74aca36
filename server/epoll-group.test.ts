/** What the main thread does for the receive path of Linux: after a thread's death, and at the end. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { readdirSync } from "node:fs";
import { SpillwayError, StartError } from "#common/errors.ts";
import { ConnectionTable } from "./connection-table.ts";
import { OwnedEpollGroup } from "./epoll-group.ts";
import { EpollRig } from "./epoll-rig.ts";
import { EpollSet } from "./epoll-set.ts";
import { EAGAIN, EMFILE, ENOSPC, EPOLL_CTL_ADD } from "./linux-constants.ts";
import { LinuxSockets } from "./linux-sockets.ts";
import { openReceiverMemory, OWNER_NONE, WORD_HOLD_LOCK, WORD_TABLE_LOCK } from "./receiver-memory.ts";
import { SharedLock } from "./shared-lock.ts";

let rig: EpollRig | undefined;
afterEach(() => {
  rig?.close();
  rig = undefined;
});

/** Descriptors that this process has open. */
function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Has the system take so many more descriptors into a set, and no others. */
function refuse(sockets: LinuxSockets, taken: number): { mockRestore(): void } {
  let left = taken;
  // Called on the instance, in place of the method.
  const { controlEpoll } = sockets;
  return spyOn(sockets, "controlEpoll").mockImplementation(function (
    this: LinuxSockets,
    epoll,
    operation,
    ...rest
  ) {
    if (operation !== EPOLL_CTL_ADD || left-- > 0) return controlEpoll.call(this, epoll, operation, ...rest);
    return -ENOSPC;
  });
}

/** Thread 1 lives; what thread 0 does before its death is done by its parts, one by one. */
function openRig(): { own: EpollRig; dead: ConnectionTable; deadSet: EpollSet } {
  const own = new EpollRig({ threads: 2 });
  rig = own;
  const { framebuffer, sockets, group } = own;
  const systemOffset = framebuffer.map.threadAreas[0]?.systemOffset ?? 0;
  const deadSet = new EpollSet(sockets, group.group, { framebuffer, systemOffset });
  return { own, dead: new ConnectionTable(framebuffer, 0), deadSet };
}

describe.if(process.platform === "linux")("OwnedEpollGroup.forgetThread()", () => {
  test("closes what the thread was serving, and nothing else", () => {
    const { own, dead } = openRig();
    const [served, arming, idle] = [own.connect(), own.connect(), own.connect()];
    expect(dead.seize(0) && dead.seize(1)).toBe(true);
    dead.beginArming(1);
    own.group.forgetThread(0);
    expect([served.receive(), arming.receive(), idle.receive()]).toEqual([0, 0, -EAGAIN]);
    idle.put("SIZE\n");
    own.receivers[1]?.drain();
    expect(idle.receive()).toBe("SIZE 64 48\n");
    expect(own.counted()).toMatchObject({ accepted: 3, closed: 2 });
    expect(own.shares.connections()).toBe(1);
    expect(dead.ownerOf(0)).toBe(OWNER_NONE);
  });

  test("closes what the thread had taken from the queue or not yet put there; what is queued is served", () => {
    const { own, dead } = openRig();
    const [taken, claimed, queued] = [own.connect(), own.connect(), own.connect()];
    for (const player of [taken, queued]) player.put("SIZE\n");
    expect([dead.claim(0), dead.claim(1), dead.claim(2)]).toEqual([true, true, true]);
    own.shares.enqueue(0, 0);
    own.shares.enqueue(2, 0);
    expect(own.shares.take(1)).toBe(0);
    own.group.forgetThread(0);
    own.receivers[1]?.drain();
    // It had sent something that nobody read.
    expect(taken.receive()).toBeLessThanOrEqual(0);
    expect(claimed.receive()).toBe(0);
    expect(queued.receive()).toBe("SIZE 64 48\n");
    expect(own.counted()).toMatchObject({ accepted: 3, closed: 2 });
  });

  test("arms connections again whose events the thread had taken, also those whose peer takes no replies", () => {
    const { own, deadSet } = openRig();
    const [idle, stalled] = [own.connect(), own.connect()];
    stalled.send("PX 1 1\n".repeat(29_000));
    expect(own.counted().stalls).toBe(1);
    idle.put("SIZE\n");
    while (typeof stalled.receive() === "string");
    expect(deadSet.wait(1_000)).toBeGreaterThan(0);
    own.receivers[1]?.drain();
    expect(idle.receive()).toBe(-EAGAIN);
    own.group.forgetThread(0);
    own.receivers[1]?.drain();
    expect(idle.receive()).toBe("SIZE 64 48\n");
    expect(stalled.receive()).toContain("PX 1 1 000000\n");
  });

  test("gives back locks, records and hold blocks", () => {
    const { own, dead } = openRig();
    const player = own.connect();
    player.send("PX 1 1\n".repeat(29_000));
    expect(own.counted().heldBytes).toBeGreaterThan(0);
    expect(dead.seize(0)).toBe(true);
    const { words } = openReceiverMemory(own.framebuffer.memory.buffer, own.framebuffer.map.receiverOffset);
    for (const word of [WORD_TABLE_LOCK, WORD_HOLD_LOCK]) new SharedLock(words, word, 0).lock();
    own.group.freeLocks(0);
    // The others run meanwhile.
    const other = own.connect();
    other.send("SIZE\n");
    expect(other.receive()).toBe("SIZE 64 48\n");
    other.close();
    own.group.forgetThread(0);
    expect(own.counted().heldBytes).toBe(0);
    for (let round = 0; round < 3; round += 1) {
      const players = Array.from({ length: 64 }, () => own.connect());
      for (const each of players) each.close();
    }
    expect(own.counted()).toMatchObject({ accepted: 194, closed: 194, deniedAll: 0 });
  });
});

describe.if(process.platform === "linux")("OwnedEpollGroup", () => {
  test("leaves no descriptor behind, whatever its threads had open", () => {
    const before = openFiles();
    const own = new EpollRig({ threads: 3, connectionsMax: 1 });
    const players = Array.from({ length: 4 }, () => own.connect());
    expect(openFiles()).toBeGreaterThan(before + 3 + 2 * players.length);
    // Whoever takes a dead thread's place has a spare descriptor of its own.
    const withSpares = openFiles();
    own.group.forgetThread(1);
    own.group.forgetThread(2);
    expect(openFiles()).toBe(withSpares - 2);
    own.close();
    expect(openFiles()).toBe(before);
  });

  test.each<[string, (sockets: LinuxSockets) => { mockRestore(): void }]>([
    ["eventfd: EMFILE", (sockets) => spyOn(sockets, "createEvent").mockReturnValue(-EMFILE)],
    [
      "epoll_create1: EMFILE",
      (sockets) =>
        spyOn(sockets, "createEpoll").mockImplementation(() => {
          throw new SpillwayError("EMFILE", "epoll_create1: EMFILE");
        }),
    ],
    ["epoll_ctl: ENOSPC", (sockets) => refuse(sockets, 0)],
    ["epoll_ctl: ENOSPC", (sockets) => refuse(sockets, 1)],
  ])("does not start where the system fails with %s, and closes what it opened", (reason, fail) => {
    rig = new EpollRig();
    const { framebuffer, shares } = rig;
    const before = openFiles();
    const failing = fail(LinuxSockets.prototype);
    const open = (): OwnedEpollGroup =>
      new OwnedEpollGroup({ framebuffer, hostname: "127.0.0.1", port: 0, shares });
    try {
      expect(open).toThrow(new StartError("no-epoll-set", `Cannot receive players by epoll: ${reason}`));
    } finally {
      failing.mockRestore();
    }
    expect(openFiles()).toBe(before);
  });

  test("names the option where it cannot bind", () => {
    rig = new EpollRig();
    const { framebuffer, group, shares } = rig;
    const again = (): OwnedEpollGroup =>
      new OwnedEpollGroup({ framebuffer, hostname: "127.0.0.1", port: group.port, shares });
    expect(again).toThrow(StartError);
    expect(again).toThrow(`Cannot bind port ${group.port} on 127.0.0.1 (--pixelflut-port): address in use`);
  });

  test("close() closes the sockets of all connections", () => {
    const own = new EpollRig();
    const players = [own.connect(), own.connect()];
    players[0]?.send("PX 1 1\n".repeat(29_000));
    own.group.close();
    expect(players[1]?.receive()).toBe(0);
  });
});
