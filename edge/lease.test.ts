/** The lease against an origin that speaks the same messages over a real WebSocket. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock, systemClock, type Clock } from "#common/clock.ts";
import { PROOF_REFUSED, ProofChecker } from "#common/cluster-auth.ts";
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  type LeaseHello,
  type LeaseMessage,
  type LeaseSegmentHosts,
} from "#common/formats/lease.ts";
import { silentLog, type Log, type LogFields } from "#common/log.ts";
import { until } from "./fake-origin.ts";
import { LeaseClient } from "./lease.ts";

const SECRET = "a secret of the cluster";
const HELLO: LeaseHello = {
  type: "hello",
  version: 1,
  publicUrl: "",
  scheme: "http",
  port: 8081,
  region: "hall-1",
  capacityBitsPerSecond: 1_000_000,
};
const LOAD = { state: "ready", viewers: 3, egressBitsPerSecond: 42 } as const;

interface LeaseOrigin {
  readonly port: number;
  readonly messages: (LeaseMessage | undefined)[];
  readonly proofs: string[];
  readonly counts: { opened: number; closed: number; pinged: number };
  readonly close: () => Promise<void>;
}

const closers: (() => void | Promise<void>)[] = [];
/** What the lease told of, tables of segment hosts and its loss, in order. */
const heard: (LeaseSegmentHosts | "lost")[] = [];
/** How often the lease asked for the load, which it does for each report. */
let reports = 0;

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  heard.length = 0;
  reports = 0;
});

const TABLE: LeaseSegmentHosts = {
  type: "segment-hosts",
  origin: "o1",
  version: 1,
  from: { cmaf: 10, ts: 20 },
  hosts: [{ url: "http://edge", weight: 1 }],
};

/** An origin that says `afterWelcome` to each edge, and `afterPong` behind the answer to each ping. */
function startOrigin(
  port = 0,
  {
    afterWelcome = [],
    afterPong = [],
  }: { readonly afterWelcome?: readonly string[]; readonly afterPong?: readonly string[] } = {},
): LeaseOrigin {
  const messages: (LeaseMessage | undefined)[] = [];
  const proofs: string[] = [];
  const counts = { opened: 0, closed: 0, pinged: 0 };
  const server = Bun.serve({
    port,
    hostname: "127.0.0.1",
    fetch(request, server) {
      if (new URL(request.url).pathname !== "/api/v1/lease") return new Response(null, { status: 404 });
      proofs.push(request.headers.get("authorization") ?? "");
      return server.upgrade(request) ? undefined : new Response(null, { status: 426 });
    },
    websocket: {
      open: () => void counts.opened++,
      // The pong has been sent by now.
      ping(socket) {
        counts.pinged++;
        for (const text of afterPong) socket.send(text);
      },
      close: () => void counts.closed++,
      message(socket, text) {
        const message = decodeLeaseMessage(String(text));
        messages.push(message);
        if (message?.type !== "hello") return;
        socket.send(encodeLeaseMessage({ type: "welcome", version: 1 }));
        for (const text of afterWelcome) socket.send(text);
      },
    },
  });
  const close = (): Promise<void> => server.stop(true);
  closers.push(close);
  return { port: server.port ?? 0, messages, proofs, counts, close };
}

function startLease(
  port: number,
  clusterSecret = "",
  clock: Clock = systemClock,
  log: Log = silentLog,
): LeaseClient {
  const lease = new LeaseClient({
    upstreamUrl: `http://127.0.0.1:${port}`,
    hello: HELLO,
    load() {
      reports++;
      return LOAD;
    },
    onSegmentHosts: (table) => void heard.push(table),
    onLost: () => void heard.push("lost"),
    clusterSecret,
    clock,
    random: () => 0.5,
    log,
  });
  closers.push(() => lease.close());
  return lease;
}

/** Remembers for how long it was asked to wait. */
class RecordingClock extends FakeClock {
  readonly delays: number[] = [];

  override after(delayMs: number, callback: () => void): () => void {
    this.delays.push(delayMs);
    return super.after(delayMs, callback);
  }
}

describe("LeaseClient", () => {
  test("says hello, then its load, and its end closes the lease", async () => {
    const origin = startOrigin();
    const lease = startLease(origin.port, SECRET);
    await until(() => origin.messages.length >= 3);
    const load = { type: "load", ...LOAD } as const;
    expect(origin.messages.slice(0, 3)).toEqual([HELLO, load, load]);
    expect(lease.isHeld).toBe(true);
    const checker = new ProofChecker(SECRET);
    expect(checker.isValid(origin.proofs[0] ?? "", "lease", Date.now())).toBe(true);
    lease.close();
    await until(() => origin.counts.closed === 1);
    expect(lease.isHeld).toBe(false);
  });

  test("comes back within a second of the origin's restart, with a new proof", async () => {
    const origin = startOrigin();
    const clock = new FakeClock();
    const lease = startLease(origin.port, SECRET, clock);
    await until(() => lease.isHeld);
    await origin.close();
    await until(() => !lease.isHeld);
    const again = startOrigin(origin.port);
    clock.advance(1_000);
    await until(() => lease.isHeld);
    expect(again.messages[0]).toEqual(HELLO);
    expect(again.proofs[0]).not.toBe(origin.proofs[0] ?? "");
  });

  test("hands on tables of segment hosts and its loss, and passes over what it does not know", async () => {
    const next = { ...TABLE, version: 2 };
    const strange = ['{"type":"later"}', JSON.stringify({ ...TABLE, hosts: [{}] }), "x".repeat(70_000)];
    const afterWelcome = [encodeLeaseMessage(TABLE), ...strange, encodeLeaseMessage(next)];
    const origin = startOrigin(0, { afterWelcome });
    const lease = startLease(origin.port);
    await until(() => heard.length === 2);
    expect(heard).toEqual([TABLE, next]);
    expect(lease.isHeld).toBe(true);
    await origin.close();
    await until(() => !lease.isHeld);
    expect(heard.at(-1)).toBe("lost");
    expect(heard).toHaveLength(3);
  });

  test("goes on trying where there is no origin yet", async () => {
    const first = startOrigin();
    const { port } = first;
    await first.close();
    const clock = new FakeClock();
    let warnings = 0;
    const lease = startLease(port, "", clock, { ...silentLog, warn: () => void warnings++ });
    await until(() => warnings === 1);
    expect(lease.isHeld).toBe(false);
    const origin = startOrigin(port);
    clock.advance(1_000);
    await until(() => lease.isHeld);
    expect(origin.proofs).toEqual([""]);
  });

  test.each([
    ["the origin demands the cluster secret", 403, `refused with status 403: ${PROOF_REFUSED}`],
    ["the upstream hands out no leases", 404, "refused with status 404"],
    ["nobody listens", undefined, "Failed to connect"],
  ])("says why there is none when %s", async (_, status, why) => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(null, { status: status ?? 500 }),
    });
    const port = server.port ?? 0;
    if (status === undefined) await server.stop(true);
    else closers.push(() => server.stop(true));
    const warned: (LogFields | undefined)[] = [];
    startLease(port, "", systemClock, { ...silentLog, warn: (_, fields) => void warned.push(fields) });
    await until(() => warned.length > 0);
    expect(warned).toEqual([{ origin: `http://127.0.0.1:${port}`, why }]);
  });

  test("is asked for ever more seldom where the upstream is no origin, which is told once, until it has become one", async () => {
    const noOrigin = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(null, { status: 404 }),
    });
    const port = noOrigin.port ?? 0;
    const clock = new RecordingClock();
    const lines: string[] = [];
    const note = (line: string): void => void lines.push(line);
    const lease = startLease(port, "", clock, { ...silentLog, warn: note, info: note });
    const pauses: number[] = [];
    for (let tries = 1; tries <= 12; tries++) {
      // The time limit of the handshake, and the pause behind it.
      await until(() => clock.delays.length === 2 * tries);
      const pauseMs = clock.delays.at(-1) ?? 0;
      pauses.push(pauseMs);
      if (tries < 12) clock.advance(pauseMs);
    }
    const doubled = [150, 300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 60_000, 60_000, 60_000];
    expect(pauses).toEqual(doubled.map((pauseMs) => pauseMs * 0.75));
    await noOrigin.stop(true);
    startOrigin(port);
    clock.advance(60_000);
    await until(() => lease.isHeld);
    expect(lines).toEqual([
      "Has no lease from an upstream that is no origin: asking it ever more seldom",
      "Holds a lease",
    ]);
  });

  test("is asked for as often as ever once what was no origin does not answer: it may be about to become one", async () => {
    const noOrigin = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(null, { status: 404 }),
    });
    const port = noOrigin.port ?? 0;
    const clock = new RecordingClock();
    const lines: string[] = [];
    const note = (line: string): void => void lines.push(line);
    startLease(port, "", clock, { ...silentLog, warn: note, info: note });
    for (let tries = 1; tries <= 8; tries++) {
      await until(() => clock.delays.length === 2 * tries);
      if (tries === 7) await noOrigin.stop(true);
      if (tries < 8) clock.advance(clock.delays.at(-1) ?? 0);
    }
    expect(clock.delays.at(-1)).toBe(600);
    expect(lines).toHaveLength(1);
  });

  test("is kept by an origin that answers pings, lost after 5 s without, once", async () => {
    const origin = startOrigin(0, { afterPong: [encodeLeaseMessage(TABLE)] });
    const clock = new FakeClock();
    const lease = startLease(origin.port, "", clock);
    for (let second = 1; second <= 8; second++) {
      // What is heard behind the pong: that has been seen, too.
      await until(() => heard.length === second);
      clock.advance(1_000);
    }
    await until(() => heard.length === 9);
    expect([lease.isHeld, origin.counts.opened]).toEqual([true, 1]);
    // No turn of the event loop, so no pong is seen.
    clock.advance(5_900);
    expect(lease.isHeld).toBe(false);
    await until(() => origin.counts.closed === 1);
    // One new try, which was due meanwhile, and one report a second afterwards: the old loop has ended.
    await until(() => lease.isHeld);
    const before = reports;
    clock.advance(3_000);
    expect([origin.counts.opened, reports - before]).toEqual([2, 3]);
  });
});
