/** Who becomes a player, who is sent away, and what a load balancer has to say first. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { parseRange } from "#common/address-prefix.ts";
import { Admission, DENIED_LINGER_MS, OPEN_ADMISSION, PROXY_HEADER_MS_MAX } from "./admission.ts";
import { sumCounters } from "./counters.ts";
import type { Peer } from "./connection.ts";
import { createFramebuffer } from "./framebuffer.ts";
import { ListenDoor, type ListenPlayer } from "./listen-door.ts";
import { PlayerShares, type PlayerLimits } from "./player-shares.ts";
import type { SocketHandler } from "./socket-handler.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const PLAYER = "203.0.113.7";
const PROXY = "10.0.0.1";
const DENIED_LINGERING_MAX = 5;
const HEADER = `PROXY TCP4 ${PLAYER} 10.0.0.9 40000 1234\r\n`;

/** Notes what is asked of a socket. */
class FakePeer implements Peer {
  readonly localAddress = "::1";
  readonly calls: string[] = [];

  write(bytes: Uint8Array): number {
    this.calls.push(decoder.decode(bytes));
    return bytes.length;
  }
  pause(): void {}
  resume(): void {}
  finish(): void {
    this.calls.push("finish");
  }
  close(): void {
    this.calls.push("close");
  }
  terminate(): void {
    this.calls.push("terminate");
  }
}

function createRig(limits: Partial<PlayerLimits> = {}) {
  const framebuffer = createFramebuffer({ width: 2, height: 2, connectionsMax: 1_000 });
  const [counters] = framebuffer.counters;
  const range = parseRange("10.0.0.0/8");
  if (counters === undefined || range === undefined) throw new Error("Both are there");
  const rules = {
    ...OPEN_ADMISSION,
    limits: { ...OPEN_ADMISSION.limits, ...limits },
    proxies: [range],
    deniedLingeringMax: DENIED_LINGERING_MAX,
  };
  const shares = new PlayerShares(framebuffer, 0, rules.limits);
  const clock = new FakeClock();
  const opened: { readonly prefix: number; readonly events: string[] }[] = [];
  const door = new ListenDoor({
    admission: new Admission(shares, rules),
    counters,
    monotonicMs: () => clock.monotonicMs(),
    open(_, prefix): SocketHandler {
      const events: string[] = [];
      opened.push({ prefix, events });
      return {
        receive: (bytes) => void events.push(decoder.decode(bytes)),
        drain: () => void events.push("drain"),
        finish: () => void events.push("finish"),
        close: () => void events.push("close"),
      };
    },
  });
  const enter = (address: string): { readonly player: ListenPlayer; readonly peer: FakePeer } => {
    const peer = new FakePeer();
    return { peer, player: door.enter(peer, address) };
  };
  const check = (): void => door.checkDeadlines(clock.monotonicMs());
  return {
    framebuffer,
    shares,
    clock,
    door,
    opened,
    enter,
    check,
    counted: () => sumCounters(framebuffer.counters),
  };
}

function receive({ handler }: ListenPlayer, text: string): void {
  handler.receive(encoder.encode(text));
}

describe("ListenDoor.enter()", () => {
  test("opens a connection for a player and frees its place once", () => {
    const { enter, door, opened, shares } = createRig();
    const { player, peer } = enter(PLAYER);
    receive(player, "PX");
    player.handler.finish();
    expect([shares.connections(), shares.prefixes()]).toEqual([1, 1]);
    door.leave(player);
    door.leave(player);
    expect(opened).toEqual([{ prefix: 0, events: ["PX", "finish", "close", "close"] }]);
    expect([shares.connections(), peer.calls]).toEqual([0, []]);
  });

  test("tells those why who are not let in, sends FIN, and waits for theirs", () => {
    const { enter, door, opened, counted } = createRig({ connectionsPerPrefix: 1, connectionsMax: 2 });
    const first = enter(PLAYER);
    const second = enter(`::ffff:${PLAYER}`);
    expect(second.peer.calls).toEqual(["ERR too many connections from your address (limit 1)\n", "finish"]);
    receive(second.player, "PX 1 1 ff0000\n");
    second.player.handler.finish();
    expect(second.peer.calls.at(-1)).toBe("close");
    door.leave(second.player);
    enter("203.0.113.8");
    expect(enter("203.0.113.9").peer.calls).toEqual([
      "ERR too many connections to this server (limit 2)\n",
      "finish",
    ]);
    door.leave(first.player);
    expect(enter(PLAYER).peer.calls).toEqual([]);
    expect(opened.length).toBe(3);
    expect(counted()).toMatchObject({ deniedPrefix: 1, deniedAll: 1 });
  });

  test("closes those who stay after they were sent away, and the oldest of too many", () => {
    const { enter, door, clock, check } = createRig({ connectionsMax: 1 });
    enter(PLAYER);
    const denied = Array.from({ length: DENIED_LINGERING_MAX }, () => enter(PLAYER));
    expect(denied[0]?.peer.calls.at(-1)).toBe("finish");
    enter(PLAYER);
    expect(denied[0]?.peer.calls.at(-1)).toBe("terminate");
    expect(denied[1]?.peer.calls.at(-1)).toBe("finish");
    if (denied[1] !== undefined) door.leave(denied[1].player);
    clock.advance(DENIED_LINGER_MS - 1);
    check();
    expect(denied[2]?.peer.calls.at(-1)).toBe("finish");
    clock.advance(1);
    check();
    expect(denied[1]?.peer.calls.at(-1)).toBe("finish");
    expect(denied.slice(2).every(({ peer }) => peer.calls.at(-1) === "terminate")).toBe(true);
  });
});

describe("ListenDoor behind a load balancer", () => {
  test.each([1, 5, HEADER.length, HEADER.length + 3, 1_000])(
    "hands the player's bytes on that follow the header, %d bytes a read",
    (size) => {
      const { enter, door, opened, shares, counted } = createRig();
      const { player, peer } = enter(PROXY);
      const text = `${HEADER}PX 1 1 ff0000\nSIZE\n`;
      for (let at = 0; at < text.length; at += size) receive(player, text.slice(at, at + size));
      player.handler.drain();
      player.handler.finish();
      expect(opened[0]?.events.join("")).toBe("PX 1 1 ff0000\nSIZE\ndrainfinish");
      expect([shares.connections(), shares.prefixes(), peer.calls]).toEqual([1, 1, []]);
      // It is the player's prefix, not the balancer's.
      expect(enter(PLAYER).player.prefix).toBe(player.prefix);
      door.leave(player);
      expect(opened[0]?.events.at(-1)).toBe("close");
      expect(counted()).toMatchObject({ proxiedConnections: 1, proxyFailures: 0 });
    },
  );

  test("counts connections by player, not by balancer", () => {
    const { enter, opened, shares, door } = createRig({ connectionsPerPrefix: 1 });
    const players = [1, 2, 3, 3].map((number) => {
      const entered = enter(PROXY);
      receive(entered.player, `PROXY TCP4 203.0.113.${number} 10.0.0.9 1 2\r\n`);
      return entered;
    });
    expect(opened.length).toBe(3);
    expect(players[3]?.peer.calls).toEqual([
      "ERR too many connections from your address (limit 1)\n",
      "finish",
    ]);
    for (const { player } of players) door.leave(player);
    expect([shares.connections(), shares.prefixes()]).toEqual([0, 0]);
  });

  test("has a balancer play under its own address where it speaks for itself", () => {
    const { enter, opened, counted } = createRig();
    const { player } = enter(PROXY);
    receive(player, "PROXY UNKNOWN\r\nSIZE\n");
    expect(opened).toEqual([{ prefix: player.prefix, events: ["SIZE\n"] }]);
    expect(counted().proxiedConnections).toBe(0);
  });

  test("sends away who begins otherwise, ends within the header or takes too long", () => {
    const { enter, opened, clock, check, counted } = createRig();
    const otherwise = enter(PROXY);
    receive(otherwise.player, "PX 1 1 ff0000\n");
    const within = enter(PROXY);
    receive(within.player, HEADER.slice(0, 20));
    within.player.handler.finish();
    const silent = enter(PROXY);
    silent.player.handler.finish();
    clock.advance(1);
    const slow = enter(PROXY);
    receive(slow.player, HEADER.slice(0, -1));
    clock.advance(PROXY_HEADER_MS_MAX - 1);
    check();
    expect(slow.peer.calls).toEqual([]);
    clock.advance(1);
    check();
    const reply = "ERR expected a header of the PROXY protocol\n";
    expect([otherwise, within, silent, slow].map(({ peer }) => peer.calls)).toEqual([
      [reply, "finish", "terminate"],
      [reply, "finish", "close", "terminate"],
      ["close"],
      [reply, "finish"],
    ]);
    expect([opened.length, counted().proxyFailures]).toEqual([0, 3]);
  });

  test("takes a header from nobody else", () => {
    const { enter, opened } = createRig();
    receive(enter(PLAYER).player, HEADER);
    expect(opened[0]?.events).toEqual([HEADER]);
  });
});
