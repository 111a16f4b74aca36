/** What happens where the process has no descriptor for another player: in a process of its own, with few of them. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";

const WAIT_MS_MAX = 8_000;
const DESCRIPTORS = 120;
/** Says where it listens, and its counters for each byte of input. */
const SERVER = `
  import { systemClock } from "#common/clock.ts";
  import { sumCounters } from "${import.meta.dir}/counters.ts";
  import { createFramebuffer } from "${import.meta.dir}/framebuffer.ts";
  import { PixelThreads } from "${import.meta.dir}/pixel-threads.ts";
  const framebuffer = createFramebuffer({ width: 64, height: 48, threads: 2, connectionsMax: 1_000 });
  const say = (what) => process.stdout.write(JSON.stringify(what) + "\\n");
  const log = { debug() {}, info() {}, warn: (warning, fields) => say({ warning, ...fields }), error: say };
  const threads = await PixelThreads.open({
    ...{ framebuffer, count: 2, hostname: "127.0.0.1", port: 0, log, clock: systemClock, receive: "epoll" },
    protocol: { alpha: "blend", outsideGets: "silent", isStrict: false },
    viewers: { url: "", port: 8081 },
  });
  say({ port: threads.port });
  for await (const chunk of process.stdin) say(sumCounters(framebuffer.counters));
  await threads.close();
  process.exit();
`;

/** The server's lines. */
class Server {
  readonly #child = Bun.spawn(
    ["sh", "-c", `ulimit -n ${DESCRIPTORS} && exec "$0" -e "$1"`, process.execPath, SERVER],
    { cwd: import.meta.dir, stdio: ["pipe", "pipe", "inherit"] },
  );
  readonly #lines: AsyncIterator<Record<string, unknown>>;
  readonly warnings: Record<string, unknown>[] = [];

  constructor() {
    this.#lines = readLines(this.#child.stdout);
  }

  async port(): Promise<number> {
    return Number((await this.#next())["port"]);
  }

  async counted(): Promise<Record<string, unknown>> {
    void this.#child.stdin.write("?");
    await this.#child.stdin.flush();
    return this.#next();
  }

  async close(): Promise<number> {
    await this.#child.stdin.end();
    return this.#child.exited;
  }

  /** The next line that is no warning. */
  async #next(): Promise<Record<string, unknown>> {
    for (;;) {
      const { value } = await this.#lines.next();
      if (!("warning" in value)) return value;
      this.warnings.push(value);
    }
  }
}

async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield JSON.parse(text.slice(0, end));
      text = text.slice(end + 1);
    }
  }
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS_MAX;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain: ${what}`);
    await Bun.sleep(1);
  }
}

/** A player who asks for the size as soon as there is a connection. */
class Player {
  readonly socket: Socket;
  text = "";
  isClosed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1" });
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text: string) => void (this.text += text));
    this.socket.on("error", () => this.socket.destroy());
    this.socket.on("close", () => (this.isClosed = true));
    this.socket.write("SIZE\n");
  }

  get isSettled(): boolean {
    return this.isClosed || this.text !== "";
  }
}

test.if(process.platform === "linux")(
  "PixelThreads send players away that there is no descriptor for, and serve the others",
  async () => {
    const server = new Server();
    const port = await server.port();
    const players = Array.from({ length: DESCRIPTORS }, () => new Player(port));
    await until(() => players.every((player) => player.isSettled), "everybody is served or sent away");
    const served = players.filter((player) => player.text === "SIZE 64 48\n");
    expect(served.length).toBeGreaterThan(10);
    expect(served.length).toBeLessThan(DESCRIPTORS - 10);
    const others = players.filter((player) => !served.includes(player));
    await until(() => others.every((player) => player.isClosed), "the others are sent away");
    expect(new Set(others.map(({ text }) => text))).toEqual(
      new Set(["ERR too many connections to this server (limit 1000)\n"]),
    );
    expect(await server.counted()).toMatchObject({
      accepted: served.length,
      closed: 0,
      refusedConnections: DESCRIPTORS - served.length,
    });
    // A thread's warning comes by a message, after the players are told.
    await until(async () => {
      await server.counted();
      return server.warnings.length > 0;
    }, "a warning");
    expect(server.warnings.length).toBeLessThanOrEqual(2);
    expect(server.warnings[0]).toMatchObject({ reason: "EMFILE" });

    served[0]?.socket.write("PX 1 1\n");
    await until(() => served[0]?.text.includes("PX 1 1 000000\n") === true, "who is in is served");
    served[1]?.socket.destroy();
    await until(async () => {
      const player = new Player(port);
      await until(() => player.isSettled, "the next is served or sent away");
      return player.text !== "";
    }, "there is room again");
    for (const player of players) player.socket.destroy();
    expect(await server.close()).toBe(0);
  },
  2 * WAIT_MS_MAX,
);
