/** Who is let in on the receive path of Linux, load balancers' headers, and players who say nothing. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { parseAddress, parseRange } from "#common/address-prefix.ts";
import {
  DENIED_LINGER_MS,
  DENIED_LINGERING_MAX,
  OPEN_ADMISSION,
  PROXY_HEADER_MS_MAX,
  type AdmissionRules,
} from "./admission.ts";
import { ConnectionTable } from "./connection-table.ts";
import { EpollRig, type EpollRigOptions, type RigPlayer } from "./epoll-rig.ts";
import { EAGAIN, ENOSPC, EPOLL_CTL_ADD } from "./linux-constants.ts";
import { THREADS_MAX } from "./memory-layout.ts";
import { PlayerShares } from "./player-shares.ts";

const PROXY = address("10.0.0.1");
const PLAYER = address("192.0.2.7");
const OTHER = address("192.0.2.8");
const HEADER = "PROXY TCP4 192.0.2.7 10.0.0.1 1000 1234\r\n";

let rig: EpollRig | undefined;
afterEach(() => {
  rig?.close();
  rig = undefined;
});

function openRig(rules: Partial<AdmissionRules>, options: EpollRigOptions = {}): EpollRig {
  rig = new EpollRig({ ...options, admission: { ...OPEN_ADMISSION, ...rules } });
  return rig;
}

function address(text: string): Uint8Array<ArrayBuffer> {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return new Uint8Array(parsed);
}

function proxies() {
  const range = parseRange("10.0.0.0/8");
  return range === undefined ? [] : [range];
}

const onePerPrefix = { ...OPEN_ADMISSION.limits, connectionsPerPrefix: 1 };
const full = { ...OPEN_ADMISSION.limits, connectionsMax: 1 };
/** As often is read what those send who are not let in. */
const DRAIN_MS_MAX = 10;

describe.if(process.platform === "linux")("EpollReceiver", () => {
  test("tells those who are not let in why, and lets them read it", () => {
    const clock = new FakeClock();
    const own = openRig({ limits: onePerPrefix }, { clock });
    const first = own.connect(PLAYER);
    const second = own.connect(PLAYER);
    expect(second.receive()).toBe("ERR too many connections from your address (limit 1)\n");
    expect(second.receive()).toBe(0);
    own.connect(OTHER).send("SIZE\n");
    first.close();
    const third = own.connect(PLAYER);
    third.send("SIZE\n");
    expect(third.receive()).toBe("SIZE 64 48\n");
    expect(own.counted()).toMatchObject({ accepted: 3, closed: 1, deniedPrefix: 1 });
    // Until then its socket is open.
    expect(second.put("x")).toBe(1);
    clock.advance(DENIED_LINGER_MS);
    own.drain();
    expect(second.put("x")).toBe(0);
  });

  test("keeps so many sockets of those who are not let in and no more", () => {
    for (const deniedLingeringMax of [DENIED_LINGERING_MAX, 7, 0]) {
      const own = openRig({ limits: full, deniedLingeringMax });
      own.connect(PLAYER);
      const denied = Array.from({ length: DENIED_LINGERING_MAX + 3 }, () => own.connect(OTHER));
      const open = denied.filter((player) => player.put("x") === 1);
      expect(open.length).toBe(deniedLingeringMax);
      expect(open).toEqual(denied.slice(denied.length - open.length));
      for (const player of denied) expect(player.receive()).toContain("ERR too many connections");
      expect(own.counted()).toMatchObject({ accepted: 1, deniedAll: denied.length });
      own.close();
      rig = undefined;
    }
  });

  test("reads and drops what those send who are not let in, and is done with them at their FIN", () => {
    const clock = new FakeClock();
    const own = openRig({ limits: full }, { clock });
    own.connect(PLAYER);
    const [flood, brief] = [own.connect(OTHER), own.connect(OTHER)];
    const chunk = "PX 1 1 ffffff\n".repeat(5_000);
    let sent = 0;
    for (let round = 0; round < DENIED_LINGER_MS / DRAIN_MS_MAX - 1; round += 1) {
      sent += flood.send(chunk);
      if (round === 1) brief.finish();
      clock.advance(DRAIN_MS_MAX);
    }
    // Far more than the sockets hold.
    expect(sent).toBeGreaterThan(4 * 1_024 * 1_024);
    own.drain();
    expect([flood.put("x"), brief.put("x")]).toEqual([1, 0]);
    own.drain();
    clock.advance(DRAIN_MS_MAX);
    own.drain();
    expect(flood.receive()).toBe("ERR too many connections to this server (limit 1)\n");
    expect(flood.receive()).toBe(0);
    expect(own.counted()).toMatchObject({ receivedBytes: 0, pixels: 0 });
  });

  test("reads once more before it closes somebody not let in", () => {
    const own = openRig({ limits: full, deniedLingeringMax: 1 });
    own.connect(PLAYER);
    const first = own.connect(OTHER);
    first.put("SIZE\n");
    own.connect(OTHER);
    expect(first.receive()).toContain("ERR too many connections");
    // A socket closed with unread bytes says ECONNRESET here.
    expect(first.receive()).toBe(0);
  });

  test("tells players, counts them and says so where the system does not take their sockets into the set", () => {
    const codes: string[] = [];
    const own = openRig({ proxies: proxies() }, { onExhausted: (code) => void codes.push(code) });
    const { sockets } = own;
    const refuse = (_epoll: number, operation: number): number => (operation === EPOLL_CTL_ADD ? -ENOSPC : 0);
    const refusing = spyOn(sockets, "controlEpoll").mockImplementation(refuse);
    for (const from of [PLAYER, PROXY]) {
      const player = own.connect(from);
      expect(player.receive()).toContain("ERR too many connections to this server");
      expect(player.receive()).toBe(0);
    }
    refusing.mockRestore();
    expect(codes).toEqual(["ENOSPC", "ENOSPC"]);
    expect(own.counted()).toMatchObject({ accepted: 1, closed: 1, refusedConnections: 2 });
    expect(own.shares.connections()).toBe(0);
    const player = own.connect(PLAYER);
    player.send("SIZE\n");
    expect(player.receive()).toBe("SIZE 64 48\n");
  });

  test("tells players and counts them for whom there is a place and no record", () => {
    const own = openRig({}, { connectionsMax: 2 });
    const others = new ConnectionTable(own.framebuffer, THREADS_MAX);
    while (others.take(-1, () => {}) >= 0);
    const player = own.connect(PLAYER);
    expect(player.receive()).toBe("ERR too many connections to this server (limit 2)\n");
    expect(own.counted()).toMatchObject({ accepted: 0, deniedAll: 1 });
    expect(own.shares.connections()).toBe(0);
  });

  test("has a record for whoever gets a place that has just been given back", () => {
    const own = openRig({ limits: full }, { connectionsMax: 1 });
    const first = own.connect(PLAYER);
    const { leave } = PlayerShares.prototype;
    let next: RigPlayer | undefined;
    const leaving = spyOn(PlayerShares.prototype, "leave").mockImplementation(function (
      this: PlayerShares,
      prefix,
    ) {
      leave.call(this, prefix);
      next ??= own.connect(OTHER);
    });
    first.close();
    leaving.mockRestore();
    next?.send("SIZE\n");
    expect(next?.receive()).toBe("SIZE 64 48\n");
  });

  test("reads a load balancer's header, however it is cut", () => {
    const own = openRig({ proxies: proxies(), limits: onePerPrefix });
    const text = `${HEADER}SIZE\nPX 1 1\n`;
    for (let cut = 1; cut < text.length; cut += 1) {
      const player = own.connect(PROXY);
      player.send(text.slice(0, cut));
      player.send(text.slice(cut));
      expect(player.receive()).toBe("SIZE 64 48\nPX 1 1 000000\n");
      player.close();
    }
    const runs = text.length - 1;
    const receivedBytes = runs * (text.length - HEADER.length);
    expect(own.counted()).toMatchObject({
      accepted: runs,
      closed: runs,
      proxiedConnections: runs,
      proxyFailures: 0,
      receivedBytes,
      heldBytes: 0,
      invalidLines: 0,
    });
  });

  test("holds players to their limits behind a load balancer", () => {
    const clock = new FakeClock();
    const own = openRig({ proxies: proxies(), limits: onePerPrefix }, { clock });
    const first = own.connect(PROXY);
    first.send(`${HEADER}SIZE\n`);
    expect(first.receive()).toBe("SIZE 64 48\n");
    const second = own.connect(PROXY);
    second.send(`${HEADER}PX 1 1 ffffff\n`);
    expect(second.receive()).toBe("ERR too many connections from your address (limit 1)\n");
    expect(second.receive()).toBe(0);
    clock.advance(PROXY_HEADER_MS_MAX);
    own.drain();
    expect(own.counted()).toMatchObject({ accepted: 1, closed: 0, deniedPrefix: 1, pixels: 0 });
    first.close();
    const third = own.connect(PROXY);
    third.send(`${HEADER}SIZE\n`);
    expect(third.receive()).toBe("SIZE 64 48\n");
  });

  test("lets a load balancer speak for itself", () => {
    const own = openRig({ proxies: proxies() });
    const player = own.connect(PROXY);
    player.send("PROXY UNKNOWN\r\nSIZE\n");
    expect(player.receive()).toBe("SIZE 64 48\n");
    own.connect(PROXY).finish();
    expect(own.counted()).toMatchObject({ accepted: 1, proxiedConnections: 0, proxyFailures: 0 });
  });

  test.each([
    ["a command", "SIZE\n"],
    ["too much", `PROXY TCP4 ${"x".repeat(2_000)}`],
  ])("sends a load balancer away that says %s", (_, text) => {
    const own = openRig({ proxies: proxies() });
    const player = own.connect(PROXY);
    player.send(text);
    expect(player.receive()).toBe("ERR expected a header of the PROXY protocol\n");
    expect(player.receive()).toBe(0);
    player.close();
    expect(own.counted()).toMatchObject({ accepted: 0, closed: 0, proxyFailures: 1, receivedBytes: 0 });
    expect(own.shares.connections()).toBe(0);
  });

  test("sends a load balancer away that does not finish its header", () => {
    const clock = new FakeClock();
    const own = openRig({ proxies: proxies() }, { clock });
    const slow = own.connect(PROXY);
    slow.send("PROXY TCP4");
    const cut = own.connect(PROXY);
    cut.send("PROXY");
    cut.finish();
    expect(cut.receive()).toContain("ERR expected");
    clock.advance(PROXY_HEADER_MS_MAX);
    own.drain();
    expect(slow.receive()).toContain("ERR expected");
    clock.advance(DENIED_LINGER_MS + 1_001);
    own.drain();
    expect(own.counted()).toMatchObject({ proxyFailures: 2, heldBytes: 0 });
    expect(own.shares.connections()).toBe(0);
  });

  test("closes players who send nothing for too long, and tells them", () => {
    const clock = new FakeClock();
    const own = openRig({ idleMs: 30_000 }, { clock });
    const silent = own.connect(PLAYER);
    const lively = own.connect(PLAYER);
    clock.advance(29_000);
    lively.send("SIZE\n");
    clock.advance(1_001);
    own.drain();
    expect(silent.receive()).toBe("ERR nothing received for 30 s\n");
    expect(silent.receive()).toBe(0);
    expect(lively.receive()).toBe("SIZE 64 48\n");
    expect(lively.receive()).toBe(-EAGAIN);
    silent.finish();
    expect(own.counted()).toMatchObject({ idleClosed: 1, closed: 1 });
  });

  test("reads no more of a prefix than its budget allows, and goes on when there is one again", () => {
    const clock = new FakeClock();
    const limits = { ...OPEN_ADMISSION.limits, bytesPerSecondPerPrefix: 100_000 };
    const own = openRig({ limits }, { clock });
    const player = own.connect(PLAYER);
    const receiver = own.receivers[0];
    player.put("PX 1 1 ffffff\n".repeat(10_000));
    for (let turn = 0; turn < 100; turn += 1) receiver?.step(0);
    const first = own.counted().receivedBytes;
    expect(first).toBeLessThan(140_000);
    clock.advance(500);
    for (let turn = 0; turn < 100; turn += 1) receiver?.step(0);
    expect(own.counted().receivedBytes).toBeGreaterThan(first + 30_000);
    expect(own.counted().throttledReads).toBeGreaterThan(0);
  });
});
