/** Pixel threads as the server has them, and players on real sockets, for tests. */
import { connect, type Socket } from "node:net";
import { systemClock } from "#common/clock.ts";
import { silentLog } from "#common/log.ts";
import { sumCounters } from "./counters.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { PixelThreads, type PixelThreadsOptions } from "./pixel-threads.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";

const WAIT_MS_MAX = 8_000;

/** Waits until `condition` holds; fails the test where it never does. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS_MAX;
  for (let looks = 0; !condition(); looks += 1) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain: ${what}`);
    // Most things come at once.
    await (looks < 100 ? new Promise(setImmediate) : Bun.sleep(1));
  }
}

/** Threads and what they count. */
export interface ThreadsRig {
  readonly framebuffer: Framebuffer;
  readonly threads: PixelThreads;
  readonly counted: () => ReturnType<typeof sumCounters>;
}

/** Two threads, all options as given. */
export async function openRig(
  options: Partial<PixelThreadsOptions> & { alpha?: ProtocolOptions["alpha"] } = {},
): Promise<ThreadsRig> {
  const framebuffer = createFramebuffer({ width: 640, height: 480, threads: 4, connectionsMax: 2_000 });
  const threads = await PixelThreads.open({
    framebuffer,
    count: 2,
    hostname: "::",
    port: 0,
    protocol: { alpha: options.alpha ?? "blend", outsideGets: "silent", isStrict: false },
    viewers: { url: "", port: 8081 },
    log: silentLog,
    clock: systemClock,
    ...options,
  });
  return { framebuffer, threads, counted: () => sumCounters(framebuffer.counters) };
}

/** A player. */
export class Client {
  readonly socket: Socket;
  text = "";
  isClosed = false;

  constructor(port: number, host: string) {
    this.socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text: string) => void (this.text += text));
    this.socket.on("error", () => this.socket.destroy());
    this.socket.on("end", () => this.socket.end());
    this.socket.on("close", () => (this.isClosed = true));
  }

  static async open(port: number, host = "127.0.0.1"): Promise<Client> {
    const client = new Client(port, host);
    await until(() => !client.socket.connecting, "connect");
    return client;
  }

  /** Sends the rest and FIN, and waits for the server to close. */
  async end(bytes: string | Uint8Array = ""): Promise<string> {
    this.socket.end(bytes);
    await until(() => this.isClosed, "the server closes");
    return this.text;
  }
}
