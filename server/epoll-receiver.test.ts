/** The receive path of Linux with players at socket pairs and the real kernel: replies, back-pressure, endings. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "#common/clock.ts";
import { createRandomBelow } from "#common/random.ts";
import { LINGER_MS_MAX, STALL_MS_MAX, STALL_TOTAL_MS_MAX } from "./connection.ts";
import { EpollRig, type EpollRigOptions, type RigPlayer } from "./epoll-rig.ts";
import { OPAQUE } from "./framebuffer.ts";
import { EAGAIN } from "./linux-constants.ts";
import { HOLD_BLOCK_BYTES } from "./receiver-memory.ts";

/** Gets whose replies are more than a socket takes. */
const GETS = 20_000;
const GET = "PX 1 1\n";
/** So much that a socket has room again once it is taken. */
const SOME_BYTES = 42_000;
/** A browser's header is answered at this length. */
const HEADER_BYTES_MAX = 65_536;
/** Deadlines are checked as often. */
const CHECK_MS_MAX = 1_001;
const ANSWER = "PX 1 1 000000\n";

let rig: EpollRig | undefined;
afterEach(() => rig?.close());

function openRig(options: EpollRigOptions = {}): EpollRig {
  rig = new EpollRig(options);
  return rig;
}

/** Has a player that takes nothing send gets until it is no longer read. Returns how many. */
function stall({ counted }: { counted: EpollRig["counted"] }, player: RigPlayer): number {
  const before = counted().stalls;
  let gets = 0;
  while (counted().stalls === before && gets < 50 * GETS) {
    const sent = player.send(GET.repeat(1_000));
    expect(sent).toBe(1_000 * GET.length);
    gets += 1_000;
  }
  return gets;
}

/** Takes all that comes, a piece at a time, until nothing does. */
function takeAll(openRig: EpollRig, player: RigPlayer): string {
  let text = "";
  for (;;) {
    openRig.drain();
    const piece = player.receive();
    if (typeof piece === "number") return text;
    text += piece;
  }
}

describe.if(process.platform === "linux")("EpollReceiver", () => {
  test("sends FIN behind the replies of a player that sent FIN, and drops the incomplete command", () => {
    const { connect, counted, framebuffer } = bound(openRig());
    const player = connect();
    player.send("PX 1 1 010203\nSIZE\nPX 1 1\nPX 2 2 01");
    player.finish();
    expect(player.receive()).toBe("SIZE 64 48\nPX 1 1 010203\n");
    expect(player.receive()).toBe(0);
    expect(framebuffer.pixels[2 * 64 + 2]).toBe(OPAQUE >>> 0);
    expect(counted()).toMatchObject({ accepted: 1, closed: 1, receivedBytes: 35, sentBytes: 25 });
  });

  test("stops reading a player that takes nothing, loses nothing, and serves the others", () => {
    const own = openRig();
    const { connect, counted } = bound(own);
    const greedy = connect();
    let gets = stall({ counted }, greedy);
    expect(counted().heldBytes).toBeGreaterThan(0);
    const held = counted().heldBytes;
    // What the socket still takes stays in it.
    gets += Math.floor(greedy.send(GET.repeat(GETS)) / GET.length);
    expect(counted().heldBytes).toBe(held);
    const other = connect();
    other.send("SIZE\n");
    expect(other.receive()).toBe("SIZE 64 48\n");
    greedy.finish();
    const replies = takeAll(own, greedy);
    expect(replies).toBe(ANSWER.repeat(gets));
    expect(counted()).toMatchObject({ heldBytes: 0, droppedStalled: 0, gets });
    expect(counted().closed).toBe(1);
  });

  test("keeps the rest of a read that a player did not take the answers of, and goes on with it", () => {
    const own = openRig();
    const { connect, counted, framebuffer } = bound(own);
    const player = connect();
    // One read, of which the answers are more than a socket takes.
    const sent = player.put(`${GET.repeat(29_000)}PX 2 2 010203\n`);
    expect(sent).toBe(29_000 * GET.length + 14);
    own.drain();
    expect(counted().stalls).toBe(1);
    expect(counted().heldBytes).toBeGreaterThan(HOLD_BLOCK_BYTES);
    expect(framebuffer.pixels[2 * 64 + 2]).toBe(OPAQUE >>> 0);
    expect(takeAll(own, player)).toBe(ANSWER.repeat(29_000));
    expect(framebuffer.pixels[2 * 64 + 2]).toBe(0xff03_0201);
    expect(counted().heldBytes).toBe(0);
    player.send("SIZE\n");
    expect(player.receive()).toBe("SIZE 64 48\n");
  });

  test("closes a player that takes nothing for too long, not one that takes a little", () => {
    const clock = new FakeClock();
    const own = openRig({ clock });
    const { connect, counted } = bound(own);
    const player = connect();
    player.send(GET.repeat(29_000));
    clock.advance(STALL_MS_MAX - 1);
    player.receive(SOME_BYTES);
    own.drain();
    clock.advance(STALL_MS_MAX - 1);
    own.drain();
    expect(counted().closed).toBe(0);
    clock.advance(STALL_MS_MAX + CHECK_MS_MAX);
    own.drain();
    expect(counted()).toMatchObject({ closed: 1, droppedStalled: 1, heldBytes: 0 });
  });

  test("closes a player that trickles for too long in all", () => {
    const clock = new FakeClock();
    const own = openRig({ clock, width: 1_280, height: 1_000 });
    const { connect, counted } = bound(own);
    const player = connect();
    // Far more to answer than the player takes in that time.
    player.send("SIZE".repeat(50_000));
    let spentMs = 0;
    while (counted().closed === 0 && spentMs < 2 * STALL_TOTAL_MS_MAX) {
      clock.advance(STALL_MS_MAX);
      spentMs += STALL_MS_MAX;
      player.receive(SOME_BYTES);
      own.drain();
    }
    expect(spentMs).toBe(STALL_TOTAL_MS_MAX);
    expect(counted()).toMatchObject({ droppedStalled: 1, heldBytes: 0 });
  });

  test("closes the player that has stalled longest when it holds too much", () => {
    const clock = new FakeClock();
    const { connect, counted } = bound(openRig({ clock, holdBlocksMax: 8 }));
    const players: RigPlayer[] = [];
    while (counted().droppedStalled === 0 && players.length < 20) {
      const player = connect();
      players.push(player);
      stall({ counted }, player);
      clock.advance(1);
    }
    expect(players.length).toBeGreaterThan(1);
    expect(counted()).toMatchObject({ droppedStalled: 1, closed: 1 });
    players[0]?.receive();
    expect(counted().heldBytes).toBeLessThanOrEqual(8 * HOLD_BLOCK_BYTES);
    for (const player of players) player.close();
    expect(counted().heldBytes).toBe(0);
  });

  test("closes the player that alone holds too much", () => {
    const { connect, counted } = bound(openRig({ holdBlocksMax: 2 }));
    const player = connect();
    player.put(GET.repeat(29_000));
    rig?.drain();
    expect(counted()).toMatchObject({ droppedStalled: 1, closed: 1, heldBytes: 0 });
  });

  test("QUIT sends FIN behind the replies, then counts and drops what comes, for a while", () => {
    const clock = new FakeClock();
    const own = openRig({ clock });
    const { connect, counted, framebuffer } = bound(own);
    const player = connect();
    player.send("SIZE\nQUIT\nPX 1 1 010203\n");
    expect(player.receive()).toBe("SIZE 64 48\n");
    expect(player.receive()).toBe(0);
    player.send("PX 1 1 010203\n");
    expect(framebuffer.pixels[64 + 1]).toBe(OPAQUE >>> 0);
    expect(counted()).toMatchObject({ receivedBytes: 38, closed: 0 });
    clock.advance(LINGER_MS_MAX);
    own.drain();
    expect(counted()).toMatchObject({ closed: 1, droppedStalled: 0 });
  });

  test("QUIT behind more replies than a socket takes sends them all", () => {
    const own = openRig();
    const { connect, counted } = bound(own);
    const player = connect();
    player.put(`${GET.repeat(29_000)}QUIT\nSIZE\n`);
    own.drain();
    expect(counted().stalls).toBe(1);
    expect(takeAll(own, player)).toBe(ANSWER.repeat(29_000));
    player.close();
    expect(counted()).toMatchObject({ closed: 1, heldBytes: 0 });
  });

  test("a mistake under strict is answered and ends the connection", () => {
    const { connect } = bound(
      openRig({ protocol: { alpha: "blend", outsideGets: "silent", isStrict: true } }),
    );
    const player = connect();
    player.send("SIZE\nnonsense\nSIZE\n");
    expect(player.receive()).toBe("SIZE 64 48\nERR unknown or malformed command\n");
    expect(player.receive()).toBe(0);
  });

  test("GET is answered with a redirect once its header is over, however it is cut, or at FIN", () => {
    const { connect, counted } = bound(openRig());
    const request = "GET / HTTP/1.1\r\nHost: a:1234\r\n\r\n";
    for (let cut = 1; cut < request.length; cut += 1) {
      const player = connect();
      player.send(request.slice(0, cut));
      expect(player.receive()).toBe(-EAGAIN);
      player.send(`${request.slice(cut)}rest`);
      expect(player.receive()).toContain("Location: http://a:8081/\r\n");
      expect(player.receive()).toBe(0);
      player.close();
    }
    const cutShort = connect();
    cutShort.send("GET / HTTP/1.1\r\nHost: b\r\n");
    cutShort.finish();
    expect(cutShort.receive()).toContain("Location: http://b:8081/\r\n");
    expect(counted()).toMatchObject({ redirects: request.length, heldBytes: 0 });
  });

  test("GET with a header of any length is answered, and one that never ends is closed", () => {
    const clock = new FakeClock();
    const own = openRig({ clock });
    const { connect, counted } = bound(own);
    const long = connect();
    long.send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(HEADER_BYTES_MAX)}`);
    expect(long.receive()).toContain("Location: http://a:8081/\r\n");
    long.close();
    const slow = connect();
    slow.send("GET / HTTP/1.1\r\n");
    clock.advance(LINGER_MS_MAX - 1);
    slow.send("X: y\r\n");
    expect(counted().closed).toBe(1);
    clock.advance(CHECK_MS_MAX);
    own.drain();
    expect(counted()).toMatchObject({ closed: 2, heldBytes: 0 });
  });

  test("closes a connection in whose turn an exception comes, and nobody else gets its replies", () => {
    let throws = false;
    const own = openRig({
      wrapKernel: (kernel) => ({
        ...kernel,
        parse(record, start, end, nowMs) {
          const taken = kernel.parse(record, start, end, nowMs);
          if (throws) throw new Error("on purpose");
          return taken;
        },
      }),
    });
    const { connect, counted } = bound(own);
    const unlucky = connect();
    throws = true;
    unlucky.send("SIZE\n");
    throws = false;
    const other = connect();
    other.send("HELP\nPX 0 0\n");
    expect(other.receive()).toEndWith("PX 0 0 000000\n");
    expect(counted()).toMatchObject({ faults: 1, closed: 1, accepted: 2 });
    expect(own.faults).toEqual(["on purpose"]);
  });

  test("any receiver goes on where another left off", () => {
    const own = openRig({ threads: 3 });
    const { connect, framebuffer, counted } = bound(own);
    const random = createRandomBelow(11);
    const player = connect();
    let text = "";
    for (let index = 0; index < 2_000; index += 1) {
      text += `PX ${random(64)} ${random(48)} ${random(0x100_0000).toString(16).padStart(6, "0")}\n`;
      if (index % 100 === 0) text += "OFFSET 1 2\nPX 5 5 11223344\n";
    }
    for (let at = 0; at < text.length;) {
      const length = 1 + random(40);
      player.put(text.slice(at, at + length));
      at += length;
      own.receivers[random(3)]?.drain();
    }
    const whole = new EpollRig();
    whole.connect().send(text);
    expect(Bun.hash(framebuffer.bytes)).toBe(Bun.hash(whole.framebuffer.bytes));
    expect(counted().pixels).toBe(whole.counted().pixels);
    expect(framebuffer.counters.slice(0, 3).every((slot) => slot.read("pixels") > 0)).toBe(true);
    whole.close();
  });

  test("players that close at any moment leave nothing behind", () => {
    const { connect, counted } = bound(openRig());
    const text = "PX 12 34 0a0b0c\nPX 13 35\nPX 12 34\nSIZE\nHELP\nPX 14 36 10\n";
    for (let length = 0; length < text.length; length += 1) {
      for (const isServed of [true, false]) {
        const player = connect();
        if (isServed) player.send(text.slice(0, length));
        else player.put(text.slice(0, length));
        player.close();
      }
    }
    expect(counted()).toMatchObject({
      accepted: 2 * text.length,
      closed: 2 * text.length,
      faults: 0,
      heldBytes: 0,
    });
  });

  test("uses records again, and says so when there are none", () => {
    const own = openRig({ connectionsMax: 4 });
    const { connect, counted } = bound(own);
    for (let round = 0; round < 3; round += 1) {
      const players = Array.from({ length: 4 }, () => connect());
      const denied = connect();
      expect(denied.receive()).toContain("ERR too many connections to this server");
      expect(denied.receive()).toBe(0);
      for (const player of players) player.send("SIZE\n");
      for (const player of players) expect(player.receive()).toBe("SIZE 64 48\n");
      for (const player of players) player.close();
      denied.close();
    }
    expect(counted()).toMatchObject({ accepted: 12, closed: 12, deniedAll: 3 });
  });
});

/** The rig's parts as functions of their own. */
function bound(own: EpollRig) {
  return { connect: () => own.connect(), counted: () => own.counted(), framebuffer: own.framebuffer };
}
