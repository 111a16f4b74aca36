/** Connections of prefixes, with a system's table and a clock of the test's own; and the table of Linux. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { openPeers, peerName, readPeers } from "./tcp-connections.ts";

function rig(connectionsMax: number, processes = 1) {
  const clock = new FakeClock();
  const open = new Set<string>();
  let looks = 0;
  const system = { tells: true };
  const openPeers = (): ReadonlySet<string> | undefined => {
    looks++;
    return system.tells ? open : undefined;
  };
  const limit = new ConnectionLimit({ clock, connectionsMax, processes, openPeers });
  const asks = (name: string, prefix = "p", isHttp3 = false): boolean => {
    open.add(name);
    return limit.admits({ prefix, name, isHttp3 });
  };
  return { clock, open, system, limit, asks, looks: () => looks };
}

describe("ConnectionLimit", () => {
  test("admits so many of a prefix, those for as long as they are open, and others instead of closed ones", () => {
    const { clock, open, asks, limit } = rig(2);
    expect([asks("1"), asks("2"), asks("3"), asks("other", "q"), asks("1")]).toEqual([
      true,
      true,
      false,
      true,
      true,
    ]);
    open.delete("1");
    open.delete("other");
    clock.advance(1_000);
    expect([asks("3"), asks("4"), limit.count]).toEqual([true, false, 2]);
    clock.advance(3_600_000);
    expect([asks("2"), asks("4")]).toEqual([true, false]);
  });

  test("reads the system's table only for who is over the limit, and ten times a second at most", () => {
    const { clock, asks, looks } = rig(3);
    for (const name of ["1", "2", "3"]) asks(name);
    expect(looks()).toBe(0);
    for (let count = 0; count < 100; count++) asks("4");
    expect(looks()).toBe(1);
    clock.advance(100);
    asks("4");
    expect(looks()).toBe(2);
  });

  test("lets one in who closes a connection after each request, a tenth of a second after it met the limit", () => {
    const { clock, open, asks } = rig(2);
    const asksOnce = (name: string): boolean => {
      const isAdmitted = asks(name);
      open.delete(name);
      return isAdmitted;
    };
    expect(["1", "2", "3", "4", "5", "6"].map(asksOnce)).toEqual([true, true, true, true, false, false]);
    clock.advance(100);
    expect(["7", "8", "9"].map(asksOnce)).toEqual([true, true, false]);
  });

  test("of several processes counts what the others have, and tells them what it has itself, without closed ones", () => {
    const { clock, open, asks, limit } = rig(4, 2);
    expect([asks("1"), [...limit.heavy], asks("2"), [...limit.heavy]]).toEqual([true, [], true, [["p", 2]]]);
    limit.elsewhere = new Map([["p", 2]]);
    expect([asks("3"), asks("1"), asks("1 of q", "q")]).toEqual([false, true, true]);
    limit.elsewhere = new Map([["p", 1]]);
    expect([asks("3"), asks("4")]).toEqual([true, false]);
    for (const name of ["1", "2"]) open.delete(name);
    clock.advance(1_000);
    expect([[...limit.heavy], limit.count]).toEqual([[], 2]);
  });

  test("takes no connection for closed while the system does not tell", () => {
    const { clock, open, system, asks } = rig(1);
    expect([asks("1"), asks("2")]).toEqual([true, false]);
    system.tells = false;
    clock.advance(1_000);
    expect([asks("3"), asks("1")]).toEqual([false, true]);
    system.tells = true;
    open.clear();
    clock.advance(1_000);
    expect(asks("3")).toBe(true);
  });

  test("forgets a peer of HTTP/3, which no table lists, when it has asked for nothing for half a minute", () => {
    const { clock, open, asks } = rig(1);
    expect(asks("1", "p", true)).toBe(true);
    open.clear();
    clock.advance(29_000);
    expect([asks("2", "p", true), asks("1", "p", true)]).toEqual([false, true]);
    clock.advance(29_000);
    expect(asks("2", "p", true)).toBe(false);
    clock.advance(2_000);
    expect(asks("2", "p", true)).toBe(true);
  });
});

describe("the system's table", () => {
  test("readPeers() takes open connections to the port alone", () => {
    const peers = new Set<string>();
    const lines = [
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
      "   0: 0100007F:1F91 020200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0",
      "   1: 0100007F:1F91 030200C0:C351 06 00000000:00000000 00:00000000 00000000     0        0 1 1 0",
      "   2: 0100007F:1F90 040200C0:C352 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0",
      "   3: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0",
      "   4: B80D0120000000000000000001000000:1F91 B80D0120000000000000000002000000:C353 01 0:0 0:0 0 0 0 1",
      "",
    ];
    readPeers(lines.join("\n"), 0x1f91, peers);
    expect([...peers]).toEqual([peerName("192.0.2.2", 0xc350), peerName("2001:db8::2", 0xc353)] as string[]);
  });

  test.skipIf(process.platform !== "linux")(
    "openPeers() names peers as requests do, on a socket for both families",
    async () => {
      const seen = Promise.withResolvers<Bun.SocketAddress | null>();
      await using server = Bun.serve({
        port: 0,
        hostname: "::",
        fetch(request, own) {
          seen.resolve(own.requestIP(request));
          return new Response(JSON.stringify([...(openPeers(own.port ?? 0) ?? [])]));
        },
      });
      const listed = (await (await fetch(`http://127.0.0.1:${server.port}/`)).json()) as string[];
      const peer = await seen.promise;
      expect(listed).toContain(peerName(peer?.address ?? "", peer?.port ?? 0) ?? "no address");
    },
  );
});
