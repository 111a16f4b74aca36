/**
 * A careful Pixelflut client beside the flood: asks for the size, for the server's own counters where it has any,
 * reads the canvas back, and paints the block whose appearance `bench latency` waits for.
 */
import type { Socket } from "bun";
import type { Clock } from "#common/clock.ts";
import { StartError } from "#common/errors.ts";

/** Longest wait for an answer. Milliseconds. */
const ANSWER_MS_MAX = 5_000;
/** How long a server that may not know `STATS` has to answer it. Milliseconds. */
const STATS_MS_MAX = 500;
/** Longest wait for a connection. Milliseconds. */
const CONNECT_MS_MAX = 5_000;
/** A line longer than this is dropped: no answer of Pixelflut is. */
const LINE_CHARACTERS_MAX = 65_536;
/** Gets sent before their answers are awaited: enough to fill a round trip, few enough for any server's buffers. */
const GETS_IN_FLIGHT = 2_048;

/** Where a Pixelflut server listens. */
export interface PixelflutTarget {
  readonly host: string;
  readonly port: number;
}

/** A server's own count, from the answer to `STATS`. */
export interface PixelflutCounters {
  /** Pixels set since it started, by whoever. */
  readonly pixels: number;
}

/** One connection that asks and waits for lines. One question at a time. */
export class PixelflutClient {
  readonly #clock: Clock;
  #socket: Socket | undefined;
  #rest = "";
  #onLine: (line: string) => void = () => {};
  #onDrain: () => void = () => {};
  #onClose: () => void = () => {};
  #isClosed = false;

  private constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Opens a connection. Throws {@link StartError} that names host and port. */
  static async connect(target: PixelflutTarget, clock: Clock): Promise<PixelflutClient> {
    const client = new PixelflutClient(clock);
    await client.#open(target);
    return client;
  }

  /** Width and height of the canvas in pixels. */
  async size(): Promise<{ readonly width: number; readonly height: number }> {
    const match = await this.#ask("SIZE\n", /^SIZE (\d+) (\d+)/, ANSWER_MS_MAX);
    if (match === undefined) throw new StartError("no-answer", "The Pixelflut server does not answer SIZE");
    return { width: Number(match[1]), height: Number(match[2]) };
  }

  /** The server's counters, or `undefined` where it does not speak of them. */
  async counters(): Promise<PixelflutCounters | undefined> {
    const match = await this.#ask("STATS\n", /^STATS .*\bpx:(\d+)/, STATS_MS_MAX);
    return match === undefined ? undefined : { pixels: Number(match[1]) };
  }

  /**
   * Reads pixels with `PX x y`, calling `onPixel` with each answer as it comes: its number `y * width + x`, and its
   * colour `0xrrggbb`. Ends early when answers stop coming.
   */
  async readPixels(options: {
    readonly width: number;
    readonly pixels: Uint32Array;
    readonly onPixel: (pixel: number, colour: number) => void;
    readonly signal: AbortSignal;
  }): Promise<void> {
    const { width, pixels, onPixel, signal } = options;
    for (let from = 0; from < pixels.length && !signal.aborted; from += GETS_IN_FLIGHT) {
      const batch = pixels.subarray(from, from + GETS_IN_FLIGHT);
      let text = "";
      for (const pixel of batch) text += `PX ${pixel % width} ${Math.floor(pixel / width)}\n`;
      let missing = batch.length;
      const isAnswered = await this.#converse(text, ANSWER_MS_MAX, (line) => {
        const match = /^PX (\d+) (\d+) ([0-9a-fA-F]{6})/.exec(line);
        if (match === null) return false;
        onPixel(Number(match[2]) * width + Number(match[1]), Number.parseInt(match[3] ?? "", 16));
        missing -= 1;
        return missing === 0;
      });
      if (!isAnswered) return;
    }
  }

  /** Sends bytes and resolves once the kernel has taken the last one; false where the connection is gone. */
  async send(bytes: Uint8Array): Promise<boolean> {
    let rest = bytes;
    while (!this.#isClosed) {
      const taken = Math.max(0, this.#socket?.write(rest) ?? 0);
      rest = rest.subarray(taken);
      if (rest.length === 0) return true;
      const drained = Promise.withResolvers<void>();
      this.#onDrain = drained.resolve;
      this.#onClose = drained.resolve;
      await drained.promise;
    }
    return false;
  }

  close(): void {
    this.#socket?.end();
  }

  async #ask(question: string, pattern: RegExp, msMax: number): Promise<RegExpExecArray | undefined> {
    let found: RegExpExecArray | null = null;
    await this.#converse(question, msMax, (line) => {
      found = pattern.exec(line);
      return found !== null;
    });
    return found ?? undefined;
  }

  /** Sends `question`, passes lines to `onLine` until it returns true. False after `msMax` without a line. */
  async #converse(question: string, msMax: number, onLine: (line: string) => boolean): Promise<boolean> {
    const done = Promise.withResolvers<boolean>();
    let cancel = this.#clock.after(msMax, () => done.resolve(false));
    this.#onLine = (line) => {
      cancel();
      if (onLine(line)) done.resolve(true);
      else cancel = this.#clock.after(msMax, () => done.resolve(false));
    };
    const isSent = await Promise.race([this.send(new TextEncoder().encode(question)), done.promise]);
    this.#onClose = () => done.resolve(false);
    if (!isSent || this.#isClosed) done.resolve(false);
    const isAnswered = await done.promise;
    cancel();
    this.#onLine = () => {};
    this.#onClose = () => {};
    return isAnswered;
  }

  async #open({ host, port }: PixelflutTarget): Promise<void> {
    const overdue = Promise.withResolvers<never>();
    const cancel = this.#clock.after(CONNECT_MS_MAX, () => overdue.reject(new Error("timeout")));
    const connecting = Bun.connect({
      hostname: host,
      port,
      socket: {
        data: (_, chunk) => this.#read(chunk),
        drain: () => this.#onDrain(),
        close: () => this.#closed(),
        error: () => this.#closed(),
      },
    });
    try {
      this.#socket = await Promise.race([connecting, overdue.promise]);
    } catch (cause) {
      // A connection that opens after all is not wanted any more.
      connecting.then(
        (socket) => socket.terminate(),
        () => {},
      );
      throw new StartError("cannot-connect", `Cannot connect to the Pixelflut server ${host}:${port}`, {
        cause,
      });
    } finally {
      cancel();
    }
  }

  #closed(): void {
    this.#isClosed = true;
    this.#onClose();
  }

  #read(chunk: Uint8Array): void {
    const lines = (this.#rest + Buffer.from(chunk).toString("latin1")).split("\n");
    this.#rest = (lines.pop() ?? "").slice(-LINE_CHARACTERS_MAX);
    for (const line of lines) this.#onLine(line);
  }
}
