/**
 * The limits for players on a server as it is run, in both receive paths: who is told what, that places come back, that
 * slowing down loses nothing, and that many connections are worth no more than one.
 */
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import type { FloodOrder } from "./flood-worker.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, paint, TemporaryFolder, waitFor } from "./harness.ts";
import { RECEIVE_PATHS, ServerAlone } from "./server-alone.ts";

const WIDTH = 320;
const HEIGHT = 180;
/** Far more than the sockets at both ends of a connection hold that nobody reads. */
const FLOOD_LINES = 600_000;
/** Pixels after which two floods are compared, and how often at most. */
const RATIO_PIXELS = 20_000_000;
const RATIOS_MAX = 6;
/** The line of a PROXY header, of a player at an address. */
const HEADER_OF = (address: string): string => `PROXY TCP4 ${address} 127.0.0.1 40000 1234\r\n`;

/** A server alone with the small canvas of these tests. */
function serve(receive: string, options: Readonly<Record<string, string | number>>): ServerAlone {
  return new ServerAlone({ receive, width: WIDTH, height: HEIGHT, fps: 1, ...options });
}

/** A player's connection. */
class Player implements Disposable {
  readonly socket: Socket;
  text = "";
  isEnded = false;
  isClosed = false;
  error = "";

  /** @param from the address to come from, on this machine */
  constructor(port: number, from = "127.0.0.1") {
    const host = from.includes(":") ? "::1" : "127.0.0.1";
    this.socket = connect({ port, host, localAddress: from, noDelay: true });
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text: string) => void (this.text += text));
    this.socket.on("error", (error) => void (this.error = error.message));
    this.socket.on("end", () => void (this.isEnded = true));
    this.socket.on("close", () => void (this.isClosed = true));
  }

  async ask(command: string): Promise<string> {
    const before = this.text.length;
    this.socket.write(`${command}\n`);
    await waitFor(
      `an answer to ${command}`,
      () => this.isClosed || (this.text.endsWith("\n") && this.text.length > before),
    );
    return this.text.slice(before);
  }

  /** Resolves with all that it was told once the server has closed. */
  async farewell(): Promise<string> {
    await waitFor("the server to close", () => this.isClosed);
    return this.error === "" ? this.text : `${this.text}(${this.error})`;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A thread that floods a server. */
class Flood implements Disposable {
  /** Resolves when all its connections are open. */
  readonly ready: Promise<unknown>;
  readonly #worker: Worker;

  constructor(order: FloodOrder) {
    this.#worker = new Worker(new URL("./flood-worker.ts", import.meta.url).href);
    this.ready = new Promise((resolve) => this.#worker.addEventListener("message", resolve, { once: true }));
    this.#worker.postMessage(order, []);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Half a megabyte of blended pixels in rows from `top` on. */
function pixelsAt(top: number): Uint8Array {
  const lines = Array.from({ length: 25_000 }, (_, index) => {
    const x = 100 + ((index * 7) % (WIDTH - 100));
    return `PX ${x} ${top + 100 + ((index * 3) % (HEIGHT - 100))} 80ff0040\n`;
  });
  return new TextEncoder().encode(lines.join(""));
}

const SIZE = `SIZE ${WIDTH} ${HEIGHT}\n`;

describe.each(RECEIVE_PATHS)("a server with --receive %s", (receive) => {
  test("denies connections beyond the limits in one line, lets others in, and gives places back", async () => {
    await using server = serve(receive, {
      "connections-per-prefix": 2,
      "connections-max": 5,
      "prefix-v4": 32,
    });
    await server.ready();
    const { port } = server;
    using first = new Player(port);
    using second = new Player(port);
    expect(await first.ask("SIZE")).toBe(SIZE);
    expect(await second.ask("SIZE")).toBe(SIZE);
    expect(await first.ask("HELP")).toContain("  2 connections from your address.\n");

    // Whether it says nothing, floods at once, or ends at once: the line arrives.
    for (const text of ["", "PX 1 1 ff0000\n".repeat(FLOOD_LINES), "SIZE\n"]) {
      using denied = new Player(port);
      denied.socket.write(text);
      await waitFor("the line", () => denied.text.length > 0 || denied.isClosed);
      denied.socket.end();
      expect(await denied.farewell()).toBe("ERR too many connections from your address (limit 2)\n");
    }

    using neighbour = new Player(port, "127.0.0.2");
    expect(await neighbour.ask("SIZE")).toBe(SIZE);
    using six = new Player(port, "::1");
    expect(await six.ask("SIZE")).toBe(SIZE);
    expect(await server.metric("spillway_server_prefixes")).toBe(3);

    using fifth = new Player(port, "127.0.0.3");
    expect(await fifth.ask("SIZE")).toBe(SIZE);
    using surplus = new Player(port, "127.0.0.4");
    expect(await surplus.farewell()).toBe("ERR too many connections to this server (limit 5)\n");

    first.socket.destroy();
    await waitFor(
      "its place to be free",
      async () => (await server.metric("spillway_server_connections")) === 4,
    );
    using again = new Player(port);
    expect(await again.ask("SIZE")).toBe(SIZE);
    expect(await server.metric('spillway_server_denied_connections_total{cause="prefix"}')).toBe(3);
    expect(await server.metric('spillway_server_denied_connections_total{cause="all"}')).toBe(1);
    expect(await server.metric("spillway_server_pixels_total")).toBe(0);
  });

  test("keeps players and places apart through a storm of connections", async () => {
    await using server = serve(receive, { "connections-per-prefix": 20, "connections-max": 30 });
    await server.ready();
    using loyal = new Player(server.port, "127.0.0.9");
    expect(await loyal.ask("SIZE")).toBe(SIZE);
    for (let round = 0; round < 3; round += 1) {
      const players = Array.from({ length: 300 }, () => new Player(server.port));
      await waitFor("all to be let in or denied", () =>
        players.filter(({ isClosed }) => isClosed).length >= 300 - 20 ? true : undefined,
      );
      expect(players.filter(({ isClosed }) => !isClosed).length).toBe(20);
      for (const player of players) player.socket.destroy();
      await waitFor(
        "the places to be free",
        async () => (await server.metric("spillway_server_connections")) === 1,
      );
    }
    expect(await loyal.ask("SIZE")).toBe(SIZE);
    expect(await server.metric("spillway_server_prefixes")).toBe(1);
    expect(await server.metric('spillway_server_denied_connections_total{cause="prefix"}')).toBe(840);
  });

  test("takes PROXY headers from the balancers named, and from nobody else", async () => {
    await using server = serve(receive, {
      "connections-per-prefix": 1,
      "proxy-protocol-from": "127.0.0.0/30",
    });
    await server.ready();
    const { port } = server;
    using one = new Player(port, "127.0.0.1");
    expect(await one.ask(`${HEADER_OF("203.0.113.1")}SIZE`)).toBe(SIZE);
    using two = new Player(port, "127.0.0.1");
    for (const byte of HEADER_OF("203.0.113.2")) {
      two.socket.write(byte);
      await Bun.sleep(0);
    }
    expect(await two.ask("SIZE")).toBe(SIZE);
    using same = new Player(port, "127.0.0.2");
    same.socket.write(HEADER_OF("203.0.113.2"));
    expect(await same.farewell()).toBe("ERR too many connections from your address (limit 1)\n");

    using binary = new Player(port, "127.0.0.1");
    binary.socket.write(
      Buffer.from(`0d0a0d0a000d0a515549540a2121002420010db8${"00".repeat(28)}04d20050`, "hex"),
    );
    expect(await binary.ask("SIZE")).toBe(SIZE);
    using local = new Player(port, "127.0.0.1");
    local.socket.write(Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex"));
    expect(await local.ask("SIZE")).toBe(SIZE);

    using bare = new Player(port, "127.0.0.1");
    bare.socket.write("SIZE\n");
    expect(await bare.farewell()).toBe("ERR expected a header of the PROXY protocol\n");
    using outside = new Player(port, "127.0.0.5");
    expect(await outside.ask(`${HEADER_OF("203.0.113.9")}SIZE`)).toBe(SIZE);

    expect(await server.metric("spillway_server_proxied_connections_total")).toBe(4);
    expect(await server.metric("spillway_server_proxy_failures_total")).toBe(1);
    expect(await server.metric("spillway_server_invalid_lines_total")).toBe(1);
    expect(await server.metric("spillway_server_prefixes")).toBe(5);
  });

  test("slows a player down to its rate and loses nothing", async () => {
    await using server = serve(receive, { "mbit-per-prefix": 40 });
    await server.ready();
    const pixels = 400_000;
    const lines = Array.from({ length: pixels }, (_, index) => {
      const colour = (index * 40_503).toString(16).slice(-6).padStart(6, "0");
      return `PX ${index % WIDTH} ${Math.floor(index / WIDTH) % HEIGHT} ${colour}\n`;
    });
    // Six connections share the rate of their prefix; the last colour of each pixel is one of the last lines'.
    const parts = Array.from({ length: 6 }, (_, part) =>
      lines.filter((_line, index) => Math.floor(index / WIDTH) % 6 === part).join(""),
    );
    const bytes = parts.join("").length;
    const startMs = performance.now();
    using other = new Player(server.port, "::1");
    const painting = Promise.all(parts.map((part) => paint(server.port, part)));
    expect(await other.ask("SIZE")).toBe(SIZE);
    await painting;
    const seconds = (performance.now() - startMs) / 1_000;
    expect(await server.metric("spillway_server_pixels_total")).toBe(pixels);
    expect(await server.metric("spillway_server_throttled_reads_total")).toBeGreaterThan(0);
    // What comes at once at first is 250 ms of the rate; in the listen path one read on each connection more.
    expect(bytes / seconds).toBeLessThan(2 * 5_000_000);
    const last = lines.slice(-WIDTH * 6);
    const gets = last.map((line) => `${line.split(" ").slice(0, 3).join(" ")}\n`).join("");
    expect(await paint(server.port, gets)).toBe(last.join(""));
  });

  test.each([
    // Generous: the machine may be busy, and the listen path only comes near.
    ["prefix", 0.4, 2.5],
    ["connection", 10, 1_000],
  ])(
    "gives 100 connections of one %s between %d and %d times the pixels of one",
    async (fairShare, ratioMin, ratioMax) => {
      await using server = serve(receive, { "fair-share": fairShare, "server-threads": 1 });
      await server.ready();
      // Their pixels land, those of the other fall outside: so the server counts them apart.
      using _many = new Flood({ port: server.port, from: "127.0.0.1", connections: 100, bytes: pixelsAt(0) });
      using _one = new Flood({ port: server.port, from: "::1", connections: 1, bytes: pixelsAt(500) });
      const count = async (): Promise<{ many: number; one: number }> => ({
        many: await server.metric("spillway_server_pixels_total"),
        one: await server.metric("spillway_server_outside_sets_total"),
      });
      await Promise.all([_many.ready, _one.ready]);
      await waitFor("both to paint", async () => {
        const { many, one } = await count();
        return many > 2_000_000 && one > 10_000;
      });
      const ratioOfNext = async (): Promise<number> => {
        const before = await count();
        const after = await waitFor("many pixels", async () => {
          const now = await count();
          return now.many + now.one - before.many - before.one > RATIO_PIXELS ? now : undefined;
        });
        return (after.many - before.many) / (after.one - before.one);
      };
      // While something else keeps the floods from their processor, the server has no more than it can take: then who
      // sends gets.
      let ratio = await ratioOfNext();
      for (let more = RATIOS_MAX - 1; more > 0 && (ratio < ratioMin || ratio > ratioMax); more -= 1)
        ratio = await ratioOfNext();
      expect(ratio).toBeGreaterThan(ratioMin);
      expect(ratio).toBeLessThan(ratioMax);
    },
  );

  test("closes players that send nothing, with a line, and no others", async () => {
    await using server = serve(receive, { "idle-seconds": 2 });
    await server.ready();
    using silent = new Player(server.port);
    using once = new Player(server.port);
    using busy = new Player(server.port);
    expect(await once.ask("SIZE")).toBe(SIZE);
    const timer = setInterval(() => busy.socket.write("P"), 200);
    expect(await silent.farewell()).toBe("ERR nothing received for 2 s\n");
    expect(await once.farewell()).toBe(`${SIZE}ERR nothing received for 2 s\n`);
    clearInterval(timer);
    expect(busy.isClosed).toBe(false);
    expect(await server.metric("spillway_server_idle_closed_connections_total")).toBe(2);
  });
});

test("a server with too few descriptors says so at start", async () => {
  const [port = 0, http = 0] = freePorts(2);
  using folder = new TemporaryFolder();
  const command = `ulimit -n 600; exec "$0" "$@"`;
  const main = `${import.meta.dir}/../main.ts`;
  const child = Bun.spawn(
    [
      "sh",
      "-c",
      command,
      process.execPath,
      main,
      "server",
      ...flags({
        "pixelflut-port": port,
        "server-port": http,
        "data-dir": folder.path,
        width: 64,
        height: 64,
      }),
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const reader = child.stderr.getReader();
  let log = "";
  await waitFor("the warning", async () => {
    const { value } = await reader.read();
    log += new TextDecoder().decode(value);
    return log.includes("connections=450");
  });
  expect(log).toContain("LimitNOFILE");
  child.kill("SIGTERM");
  await child.exited;
});
