/** Real threads and real sockets, in every receive path: a sample of what the tests of their parts prove in process. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { StartError } from "#common/errors.ts";
import { createRandomBelow } from "#common/random.ts";
import { openConnections } from "./counters.ts";
import { OPAQUE } from "./framebuffer.ts";
import { loadPixelflutCases } from "./pixelflut-cases.ts";
import { encodeHelp } from "./pixelflut-replies.ts";
import { Client, openRig, until, type ThreadsRig } from "./pixel-threads-rig.ts";
import type { ReceiveName } from "./receive-path.ts";

/** Longer cases are sent one byte a segment only where a segment is a call, in `epoll-cases.test.ts`. */
const BYTEWISE_MAX = 250;

/** The receive paths of this system. */
const PATHS: readonly ReceiveName[] = process.platform === "linux" ? ["epoll", "listen"] : ["listen"];

describe.each(PATHS)("PixelThreads, %s", (receive) => {
  let blending: ThreadsRig;
  let ignoring: ThreadsRig;

  beforeAll(async () => {
    [blending, ignoring] = await Promise.all([openRig({ receive }), openRig({ receive, alpha: "ignore" })]);
  });

  afterAll(async () => {
    await Promise.all([blending.threads.close(), ignoring.threads.close()]);
  });

  describe("PixelThreads pass the case table over sockets", async () => {
    for (const testCase of await loadPixelflutCases()) {
      if (!testCase.isComplete) continue;
      const { bytes } = testCase;
      const ways = [{ way: "as it is cut", ends: [...testCase.splitAt, bytes.length] }];
      if (bytes.length <= BYTEWISE_MAX)
        ways.push({ way: "one byte a segment", ends: Array.from(bytes, (_, index) => index + 1) });
      test.each(ways)(`${testCase.name}, $way`, async ({ ends }) => {
        const alpha = testCase.alphas[0] ?? "blend";
        const { framebuffer, threads, counted } = alpha === "blend" ? blending : ignoring;
        const help = encodeHelp(framebuffer, { alpha, outsideGets: "silent", isStrict: false });
        const expected = testCase.expectReply.replaceAll("<HELP>", new TextDecoder().decode(help));
        framebuffer.pixels.fill(OPAQUE);
        const client = await Client.open(threads.port);
        const before = counted().receivedBytes;
        let sent = 0;
        for (const end of ends) {
          client.socket.write(bytes.subarray(sent, end));
          sent = end;
          if (end < bytes.length || !testCase.halfClose)
            await until(() => counted().receivedBytes === before + sent, "the segment arrives");
        }
        // Replies come while the connection is open, or else behind the client's FIN.
        if (!testCase.halfClose)
          await until(() => client.text.length >= expected.length, "the replies arrive");
        expect(await client.end()).toBe(expected);

        const reader = await Client.open(threads.port, "::1");
        const gets = testCase.thenRead.map(([x, y]) => `PX ${x} ${y}\n`);
        const colours = testCase.thenRead.map(([x, y, colour]) => `PX ${x} ${y} ${colour}\n`);
        expect(await reader.end(gets.join(""))).toBe(colours.join(""));
      });
    }
  });

  test("PixelThreads count exactly what many connections send", async () => {
    const { framebuffer, threads, counted } = await openRig({ receive });
    const random = createRandomBelow(6);
    let pixels = 0;
    let bytes = 0;
    const floods = Array.from({ length: 6 }, async () => {
      const client = await Client.open(threads.port);
      let text = "";
      for (let index = 0; index < 20_000; index += 1) {
        const x = random(700);
        if (x < 640) pixels += 1;
        text += `PX ${x} ${random(480)} ${random(0x100_0000).toString(16).padStart(6, "0")}\n`;
      }
      bytes += text.length;
      await client.end(text);
    });
    await Promise.all(floods);
    const totals = counted();
    expect(totals).toMatchObject({
      pixels,
      outsideSets: 120_000 - pixels,
      receivedBytes: bytes,
      invalidLines: 0,
    });
    expect(totals.accepted).toBe(6);
    await until(() => openConnections(framebuffer.counters) === 0, "all connections are closed");
    await threads.close();
  });

  test("property-disconnect-anywhere: FIN and RST after every prefix leave nothing behind", async () => {
    const { framebuffer, threads, counted } = blending;
    framebuffer.pixels.fill(OPAQUE);
    const before = counted();
    const text = "PX 12 34 0a0b0c\nPX 13 35 0d0e0f\nPX 12 34\nSIZE\nPX 14 36 10\n";
    const rounds = Array.from({ length: text.length }, (_, length) => length);
    for (const reset of [false, true]) {
      await Promise.all(
        rounds.map(async (length) => {
          const client = await Client.open(threads.port);
          client.socket.write(text.slice(0, length));
          if (reset) client.socket.resetAndDestroy();
          else await client.end();
        }),
      );
    }
    await until(() => counted().accepted === before.accepted + 2 * rounds.length, "all connections are seen");
    await until(() => openConnections(framebuffer.counters) === 0, "all connections are closed");
    expect(framebuffer.pixels[36 * 640 + 14]).toBe(OPAQUE >>> 0);
    expect(counted().faults).toBe(0);
  });

  test("property-reads-never-drained: a player that never reads is no longer read, and others go on", async () => {
    const { threads, counted } = blending;
    const before = counted();
    const greedy = await Client.open(threads.port);
    greedy.socket.pause();
    const line = "PX 639 479\n";
    const chunk = line.repeat(5_000);
    let chunks = 0;
    while (counted().stalls === before.stalls && chunks < 1_000) {
      chunks += 1;
      if (!greedy.socket.write(chunk)) {
        await until(
          () => greedy.socket.writableLength === 0 || counted().stalls > before.stalls,
          "the socket drains or stalls",
        );
      }
    }
    expect(counted().stalls).toBeGreaterThan(before.stalls);
    const other = await Client.open(threads.port);
    expect(await other.end("SIZE\n")).toBe("SIZE 640 480\n");

    let received = 0;
    greedy.socket.removeAllListeners("data");
    greedy.socket.on("data", (text: string) => void (received += text.length));
    greedy.socket.end();
    greedy.socket.resume();
    await until(() => greedy.isClosed, "all replies are taken");
    expect(received).toBe(chunks * 5_000 * "PX 639 479 000000\n".length);
  });

  test("PixelThreads keep a connection open after a line of 64 MiB", async () => {
    const { threads, framebuffer } = blending;
    const client = await Client.open(threads.port);
    const garbage = Buffer.alloc(1 << 20, 0x41);
    for (let sent = 0; sent < 64; sent += 1) {
      if (!client.socket.write(garbage))
        await until(() => client.socket.writableLength === 0, "the socket drains");
    }
    expect(await client.end("\nPX 3 3 010203\nSIZE\n")).toBe("SIZE 640 480\n");
    expect(framebuffer.pixels[3 * 640 + 3]).toBe(0xff03_0201);
  });

  test("QUIT closes after the replies, although the player still sends", async () => {
    const client = await Client.open(blending.threads.port);
    client.socket.write("SIZE\nQUIT\nSIZE\n");
    await until(() => client.isClosed, "the server closes");
    expect(client.text).toBe("SIZE 640 480\n");
  });

  describe("PixelThreads.open() refuses a port in use", () => {
    test.each([{}, { reusePort: true }])("held with %o", async (sharing) => {
      const holder = Bun.listen({ hostname: "::", port: 0, socket: { data() {} }, ...sharing });
      const failure = await openRig({ receive, port: holder.port }).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(StartError);
      expect(String(failure)).toBe(
        `StartError: Cannot bind port ${holder.port} on :: (--pixelflut-port): address in use`,
      );
      holder.stop(true);
    });

    test("an address of another machine", async () => {
      const failure = await openRig({ receive, hostname: "192.0.2.1" }).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(StartError);
      expect(String(failure)).toContain("--pixelflut-port");
    });
  });

  test("PixelThreads.close() ends connections and frees the port at once", async () => {
    const first = await openRig({ receive });
    const client = await Client.open(first.threads.port);
    client.socket.write("SIZE\n");
    await until(() => client.text !== "", "the reply arrives");
    await first.threads.close();
    await until(() => client.isClosed, "the connection is closed");
    const second = await openRig({ receive, port: first.threads.port });
    expect(second.threads.port).toBe(first.threads.port);
    await second.threads.close();
  });

  test("short connections are all served, whichever thread has their turns", async () => {
    const { framebuffer, threads, counted } = await openRig({ receive, count: 4 });
    const players = Array.from({ length: 8 }, async () => {
      for (let round = 0; round < 100; round += 1) {
        const client = await Client.open(threads.port);
        client.socket.write("PX 1 1\nPX ");
        expect(await client.end("2 2\n")).toBe("PX 1 1 000000\nPX 2 2 000000\n");
      }
    });
    await Promise.all(players);
    expect(counted()).toMatchObject({ accepted: 800, gets: 1_600, faults: 0 });
    await until(() => openConnections(framebuffer.counters) === 0, "all connections are closed");
    await threads.close();
  });

  test("close() ends 1,000 open connections at once", async () => {
    const { framebuffer, threads, counted } = await openRig({ receive });
    const clients = Array.from({ length: 1_000 }, () => new Client(threads.port, "127.0.0.1"));
    for (const client of clients) client.socket.write("SIZE\n");
    await until(() => clients.every((client) => client.text !== ""), "all are served");
    expect(openConnections(framebuffer.counters)).toBe(1_000);
    expect(counted().accepted).toBe(1_000);
    await threads.close();
    await until(() => clients.every((client) => client.isClosed), "all are closed");
  });

  test("pause() keeps every thread from painting until resume()", async () => {
    const { threads, counted } = await openRig({ receive });
    const clients = await Promise.all(Array.from({ length: 3 }, () => Client.open(threads.port)));
    const text = "PX 1 1 ffffff\nPX 2 2\n".repeat(5_000);
    for (let round = 1; round <= 5; round += 1) {
      const before = counted().receivedBytes;
      for (const client of clients) client.socket.write(text);
      await until(() => counted().receivedBytes > before, "something arrives");
      threads.pause();
      const paused = counted();
      // This thread blocks, so that nothing more is sent; what was sent could be painted.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      expect(counted()).toEqual(paused);
      threads.resume();
      const bytes = round * clients.length * text.length;
      await until(() => counted().receivedBytes === bytes, "the rest is painted");
    }
    const gets = 5 * 5_000 * "PX 2 2 000000\n".length;
    await until(() => clients.every((client) => client.text.length === gets), "all is answered");
    threads.pause();
    await threads.close();
    await until(() => clients.every((client) => client.isClosed), "a paused thread ends too");
  });
});
