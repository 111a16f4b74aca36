/** A connection between a made-up socket and the real parser: replies, back-pressure, endings. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import {
  Connection,
  LINGER_MS_MAX,
  STALL_MS_MAX,
  STALL_TOTAL_MS_MAX,
  type ConnectionContext,
  type Peer,
} from "./connection.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { sumCounters } from "./counters.ts";
import { PlainParser } from "./plain-parser.ts";
import type { PlainState } from "./plain-state.ts";

const encoder = new TextEncoder();

/** A socket that takes as many bytes as the test allows. */
class FakePeer implements Peer {
  readonly localAddress = "::1";
  readonly calls: string[] = [];
  /** Bytes that it still takes. */
  room = Number.POSITIVE_INFINITY;
  /** True once the other side has reset. */
  isBroken = false;
  text = "";

  write(bytes: Uint8Array): number {
    if (this.isBroken) return -1;
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.text += new TextDecoder().decode(bytes.subarray(0, taken));
    return taken;
  }
  pause(): void {
    this.calls.push("pause");
  }
  resume(): void {
    this.calls.push("resume");
  }
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

interface Rig {
  readonly framebuffer: Framebuffer;
  readonly clock: FakeClock;
  readonly context: ConnectionContext<PlainState>;
  readonly peer: FakePeer;
  readonly connection: Connection<PlainState>;
  readonly receive: (text: string) => void;
}

function createRig(heldBytesMax?: number, more: Partial<ConnectionContext<PlainState>> = {}): Rig {
  const framebuffer = createFramebuffer({ width: 8, height: 8 });
  const [counters] = framebuffer.counters;
  if (counters === undefined) throw new Error("A framebuffer has counters");
  const clock = new FakeClock();
  const context: ConnectionContext<PlainState> = {
    parser: new PlainParser({
      framebuffer,
      counters,
      protocol: { alpha: "blend", outsideGets: "silent", isStrict: false },
      readStats: () => ({ pixels: 0, connections: 0 }),
    }),
    counters,
    monotonicMs: () => clock.monotonicMs(),
    viewers: { url: "", port: 8081 },
    held: { bytes: 0 },
    watched: new Set(),
    ...(heldBytesMax === undefined ? {} : { heldBytesMax }),
    ...more,
  };
  const peer = new FakePeer();
  const connection = new Connection(context, peer);
  const receive = (text: string): void => connection.receive(encoder.encode(text));
  return { framebuffer, clock, context, peer, connection, receive };
}

describe("Connection", () => {
  test("finish() sends FIN behind the replies and drops the incomplete command", () => {
    const { peer, connection, receive, framebuffer } = createRig();
    receive("PX 1 1 010203\nSIZE\nPX 1 1\nPX 2 2 01");
    connection.finish();
    expect(peer.text).toBe("SIZE 8 8\nPX 1 1 010203\n");
    expect(peer.calls).toEqual(["close"]);
    connection.close();
    connection.close();
    const { accepted, closed, receivedBytes, sentBytes } = sumCounters(framebuffer.counters);
    expect({ accepted, closed, receivedBytes, sentBytes }).toEqual({
      accepted: 1,
      closed: 1,
      receivedBytes: 35,
      sentBytes: 23,
    });
  });

  test("receive() stops reading while the peer takes nothing, and loses nothing", () => {
    const { peer, connection, receive, context, framebuffer } = createRig();
    peer.room = 5;
    receive(`${"SIZE\n".repeat(20_000)}PX 1 1 010203\n`);
    expect(peer.calls).toEqual(["pause"]);
    expect(framebuffer.pixels[9]).toBe(0xff00_0000);
    expect(context.held.bytes).toBeGreaterThan(0);
    receive("PX 1 1\n");
    connection.finish();
    for (let rounds = 0; rounds < 100 && context.held.bytes > 0; rounds += 1) {
      peer.room = 10_000;
      connection.drain();
    }
    expect(peer.text).toBe(`${"SIZE 8 8\n".repeat(20_000)}PX 1 1 010203\n`);
    expect(peer.calls.at(-1)).toBe("resume");
    expect(peer.calls).toContain("close");
    expect(context.held.bytes).toBe(0);
    expect(context.watched.size).toBe(0);
  });

  test("checkDeadline() closes a peer that takes nothing for too long, not one that takes a little", () => {
    const { peer, connection, receive, clock, context, framebuffer } = createRig();
    peer.room = 0;
    receive("SIZE\n".repeat(10));
    const check = (): void =>
      context.watched.forEach((watched) => watched.checkDeadline(clock.monotonicMs()));
    clock.advance(STALL_MS_MAX - 1);
    peer.room = 3;
    connection.drain();
    clock.advance(STALL_MS_MAX - 1);
    check();
    expect(peer.calls).toEqual(["pause"]);
    clock.advance(1);
    check();
    expect(peer.calls).toEqual(["pause", "terminate"]);
    connection.close();
    expect(context.held.bytes).toBe(0);
    expect(sumCounters(framebuffer.counters).droppedStalled).toBe(1);
  });

  test("checkDeadline() closes a peer that trickles for too long in all", () => {
    const { peer, receive, connection, clock, context, framebuffer } = createRig();
    peer.room = 0;
    receive("SIZE\n".repeat(100));
    const check = (): void =>
      context.watched.forEach((watched) => watched.checkDeadline(clock.monotonicMs()));
    for (let spentMs = 0; spentMs < STALL_TOTAL_MS_MAX; spentMs += STALL_MS_MAX / 2) {
      expect(peer.calls).toEqual(["pause"]);
      clock.advance(STALL_MS_MAX / 2);
      peer.room = 1;
      connection.drain();
      check();
    }
    expect(peer.calls).toEqual(["pause", "terminate"]);
    expect(sumCounters(framebuffer.counters)).toMatchObject({ droppedStalled: 1, heldBytes: 0 });
  });

  test("checkDeadline() closes a browser that never ends its header", () => {
    const { peer, receive, clock, context } = createRig();
    receive("GET / HTTP/1.1\r\n");
    clock.advance(LINGER_MS_MAX - 1);
    receive("X: y\r\n");
    for (const watched of context.watched) watched.checkDeadline(clock.monotonicMs());
    expect(peer.calls).toEqual([]);
    clock.advance(1);
    for (const watched of context.watched) watched.checkDeadline(clock.monotonicMs());
    expect(peer.calls).toEqual(["terminate"]);
  });

  test("receive() closes the connection that has stalled longest when the thread holds too much", () => {
    const { peer, receive, context, clock, framebuffer } = createRig(1_500);
    peer.room = 0;
    receive("SIZE\n".repeat(100));
    clock.advance(1);
    const later = new FakePeer();
    later.room = 0;
    const second = new Connection(context, later);
    second.receive(encoder.encode("SIZE\n".repeat(100)));
    expect(peer.calls).toEqual(["pause", "terminate"]);
    expect(later.calls).toEqual(["pause"]);
    expect(context.held.bytes).toBe(900);
    expect(sumCounters(framebuffer.counters)).toMatchObject({ droppedStalled: 1, closed: 1, heldBytes: 900 });
    second.close();
    expect(sumCounters(framebuffer.counters).heldBytes).toBe(0);
  });

  test("receive() closes the connection that makes the thread hold too much", () => {
    const { peer, receive, framebuffer } = createRig(1_000);
    peer.room = 0;
    receive("SIZE\n".repeat(1_000));
    expect(peer.calls).toEqual(["pause", "terminate"]);
    expect(sumCounters(framebuffer.counters).droppedStalled).toBe(1);
  });

  test("receive() closes at once where a write tells that the peer has reset", () => {
    const { peer, connection, receive, context } = createRig();
    peer.isBroken = true;
    receive("SIZE\n".repeat(100));
    expect(peer.calls).toContain("terminate");
    connection.close();
    expect({ held: context.held.bytes, watched: context.watched.size }).toEqual({ held: 0, watched: 0 });
  });

  test("QUIT sends FIN behind the replies, then counts and drops what comes, for a while", () => {
    const { peer, connection, receive, clock, context, framebuffer } = createRig();
    peer.room = 4;
    receive("SIZE\nQUIT\nPX 1 1 010203\n");
    expect(peer.calls).toEqual(["pause"]);
    peer.room = 100;
    connection.drain();
    expect(peer.text).toBe("SIZE 8 8\n");
    expect(peer.calls).toEqual(["pause", "resume", "finish"]);
    receive("PX 1 1 010203\n");
    expect(framebuffer.pixels[9]).toBe(0xff00_0000);
    expect(sumCounters(framebuffer.counters).receivedBytes).toBe(38);
    clock.advance(LINGER_MS_MAX);
    for (const watched of context.watched) watched.checkDeadline(clock.monotonicMs());
    expect(peer.calls.at(-1)).toBe("terminate");
  });

  test("GET is answered with a redirect once its header is over, or at FIN", () => {
    const { peer, receive } = createRig();
    receive("GE");
    receive("T / HTTP/1.1\r\nHost: a:1234\r\n");
    expect(peer.text).toBe("");
    receive("\r\nrest");
    expect(peer.text).toContain("Location: http://a:8081/\r\n");
    expect(peer.calls).toEqual(["resume", "finish"]);

    const cut = createRig();
    cut.receive("GET / HTTP/1.1\r\n");
    cut.connection.finish();
    expect(cut.peer.text).toContain("Location: http://[::1]:8081/\r\n");
    expect(cut.peer.calls).toEqual(["close"]);
  });
});

describe("Connection with an idle limit", () => {
  const idle = { ms: 5_000, reply: encoder.encode("ERR idle\n") };

  test("says so and closes who has sent nothing for that long, or never anything", () => {
    const { peer, connection, receive, clock, framebuffer, context } = createRig(undefined, { idle });
    clock.advance(4_999);
    connection.checkDeadline(clock.monotonicMs());
    receive("P");
    clock.advance(4_999);
    connection.checkDeadline(clock.monotonicMs());
    expect([peer.text, peer.calls]).toEqual(["", []]);
    clock.advance(1);
    connection.checkDeadline(clock.monotonicMs());
    connection.checkDeadline(clock.monotonicMs());
    expect([peer.text, peer.calls]).toEqual(["ERR idle\n", ["resume", "finish"]]);
    // It has the usual time to read that.
    clock.advance(LINGER_MS_MAX);
    connection.checkDeadline(clock.monotonicMs());
    expect(peer.calls).toEqual(["resume", "finish", "terminate"]);
    connection.close();
    expect(context.watched.size).toBe(0);
    expect(sumCounters(framebuffer.counters)).toMatchObject({ idleClosed: 1, closed: 1 });
  });

  test("does not count the time in which the player could not send", () => {
    const { peer, connection, receive, clock, framebuffer } = createRig(undefined, { idle });
    connection.pace(true);
    clock.advance(60_000);
    connection.checkDeadline(clock.monotonicMs());
    connection.pace(false);
    clock.advance(4_999);
    connection.checkDeadline(clock.monotonicMs());
    peer.room = 3;
    receive("SIZE\n");
    clock.advance(10_000);
    connection.checkDeadline(clock.monotonicMs());
    peer.room = 100;
    connection.drain();
    clock.advance(4_999);
    connection.checkDeadline(clock.monotonicMs());
    expect(peer.text).toBe("SIZE 8 8\n");
    clock.advance(1);
    connection.checkDeadline(clock.monotonicMs());
    expect(peer.text).toBe("SIZE 8 8\nERR idle\n");
    expect(sumCounters(framebuffer.counters).idleClosed).toBe(1);
  });
});

describe("Connection.pace()", () => {
  test("pauses and resumes reading, but resumes none whose replies wait", () => {
    const { peer, connection, receive } = createRig();
    connection.pace(true);
    connection.pace(false);
    expect(peer.calls).toEqual(["pause", "resume"]);
    peer.room = 3;
    receive("SIZE\n");
    connection.pace(true);
    connection.pace(false);
    connection.pace(true);
    peer.room = 100;
    connection.drain();
    expect(peer.calls).toEqual(["pause", "resume", "pause", "pause", "pause"]);
    connection.pace(false);
    expect(peer.calls.at(-1)).toBe("resume");
  });
});
