/** Players from 127.0.0.1 that cost a server more than they paint: idle ones, senders of single bytes, visitors. */
import { waitFor } from "./harness.ts";

/** Connections begun at once: fewer than a listener lets wait. */
const OPENING_MAX = 250;
/** Pause between the bytes of {@link ByteSenders}: some 20,000 segments a second come from them. Milliseconds. */
const BYTE_MS = 10;
/** {@link Visitors} at the same time, and their pause between two visits: a few thousand a second. Milliseconds. */
const VISITORS = 8;
const VISIT_MS = 2;
const encoder = new TextEncoder();

/** A connection and what came over it. */
interface Held {
  readonly socket: Bun.Socket<Received>;
  readonly received: Received;
}

interface Received {
  text: string;
}

async function connect(port: number): Promise<Held> {
  const received: Received = { text: "" };
  const socket = await Bun.connect<Received>({
    hostname: "127.0.0.1",
    port,
    data: received,
    socket: {
      data: (_, bytes) => void (received.text += Buffer.from(bytes).toString("latin1")),
      // What a test waits for does not come then.
      error() {},
    },
  });
  return { socket, received };
}

async function connectMany(port: number, count: number): Promise<Held[]> {
  const held: Held[] = [];
  while (held.length < count) {
    const opening = Array.from({ length: Math.min(OPENING_MAX, count - held.length) }, () => connect(port));
    held.push(...(await Promise.all(opening)));
  }
  return held;
}

function closeAll(held: readonly Held[]): void {
  for (const { socket } of held) socket.terminate();
}

/** Connections that send nothing, the beginning of a command, or one command, and then sit there. */
export class IdleCrowd implements AsyncDisposable {
  readonly #port: number;
  readonly #size: string;
  #held: Held[] = [];

  /** @param size the server's answer to SIZE */
  constructor(port: number, size: string) {
    this.#port = port;
    this.#size = size;
  }

  /** Connections now. */
  get count(): number {
    return this.#held.length;
  }

  async open(count: number): Promise<void> {
    this.#held = await connectMany(this.#port, count);
    for (const [index, { socket }] of this.#held.entries())
      socket.write(["", "SI", "SIZE\n"][index % 3] ?? "");
  }

  /** Resolves when every connection has answered all that it was asked, now or before. */
  async allAnswer(): Promise<void> {
    for (const [index, { socket }] of this.#held.entries()) socket.write(index % 3 === 1 ? "ZE\n" : "SIZE\n");
    await waitFor("all idle connections to answer", () =>
      this.#held.every(({ received }, index) => received.text === this.#size.repeat(index % 3 === 2 ? 2 : 1)),
    );
  }

  close(): void {
    closeAll(this.#held);
    this.#held = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Connections that set a pixel of their own and ask for it, again and again, a byte a segment. */
export class ByteSenders implements AsyncDisposable {
  readonly #port: number;
  readonly #width: number;
  readonly #top: number;
  #held: Held[] = [];
  #texts: Uint8Array[] = [];
  /** The next byte of each: all send in step. */
  #next = 0;
  #rounds = 0;
  #bytes = 0;
  #isSending = false;
  #sending: Promise<void> = Promise.resolve();

  /** @param area its pixels from row `top` on are theirs */
  constructor(port: number, { width, top }: { readonly width: number; readonly top: number }) {
    this.#port = port;
    this.#width = width;
    this.#top = top;
  }

  async open(count: number): Promise<void> {
    this.#held = await connectMany(this.#port, count);
    for (const { socket } of this.#held) socket.setNoDelay(true);
    this.#texts = this.#held.map((_, index) => encoder.encode(this.#set(index) + this.#get(index)));
  }

  async start(): Promise<void> {
    this.#isSending = true;
    this.#sending = this.#send();
  }

  async stop(): Promise<void> {
    this.#isSending = false;
    await this.#sending;
  }

  /** Sends on to the end of a get and waits until all are answered rightly. Resolves with what was sent in all. */
  async finish(): Promise<{ readonly commands: number; readonly bytes: number }> {
    while (this.#next > 0 || this.#rounds === 0) {
      this.#sendByte();
      await Bun.sleep(0);
    }
    await waitFor("the answers to all gets", () =>
      this.#held.every(({ received }, index) => received.text === this.#set(index).repeat(this.#rounds)),
    );
    return { commands: 2 * this.#rounds * this.#held.length, bytes: this.#bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    closeAll(this.#held);
  }

  async #send(): Promise<void> {
    while (this.#isSending) {
      this.#sendByte();
      await Bun.sleep(BYTE_MS);
    }
  }

  #sendByte(): void {
    for (const [index, { socket }] of this.#held.entries()) {
      const text = this.#texts[index] ?? new Uint8Array();
      this.#bytes += socket.write(text.subarray(this.#next, this.#next + 1));
    }
    this.#next += 1;
    if (this.#next < (this.#texts[0]?.length ?? 0)) return;
    this.#next = 0;
    this.#rounds += 1;
  }

  /** Texts of all connections have one length: x and y have three digits. */
  #place(index: number): string {
    return `PX ${100 + (index % (this.#width - 100))} ${this.#top + Math.floor(index / (this.#width - 100))}`;
  }

  #set(index: number): string {
    return `${this.#place(index)} ${(0x123456 + index * 7_919).toString(16)}\n`;
  }

  #get(index: number): string {
    return `${this.#place(index)}\n`;
  }
}

/** Players that connect and leave in a loop: every other one paints a pixel, the others send nothing. */
export class Visitors {
  readonly #port: number;
  readonly #width: number;
  readonly #top: number;
  readonly #pixels: number;
  /** Connections opened and closed. */
  visits = 0;
  /** Those of them that painted. */
  painted = 0;
  #isComing = false;
  #coming: Promise<unknown> = Promise.resolve();

  /** @param area its pixels from row `top` to before row `height` are theirs, painted in turn */
  constructor(port: number, { width, top, height }: Readonly<Record<"width" | "top" | "height", number>>) {
    this.#port = port;
    this.#width = width;
    this.#top = top;
    this.#pixels = width * (height - top);
  }

  async start(): Promise<void> {
    this.#isComing = true;
    this.#coming = Promise.all(Array.from({ length: VISITORS }, () => this.#visitAgain()));
  }

  async stop(): Promise<void> {
    this.#isComing = false;
    await this.#coming;
  }

  /** Commands that ask for every pixel that was painted. */
  get gets(): string {
    return this.#places.map((place) => `${place}\n`).join("");
  }

  /** The answers to {@link gets}. */
  get answers(): string {
    return this.#places.map((place, pixel) => `${place} ${this.#colour(pixel)}\n`).join("");
  }

  async #visitAgain(): Promise<void> {
    while (this.#isComing) {
      const visit = this.visits;
      this.visits += 1;
      const { socket } = await connect(this.#port);
      if (visit % 2 === 0) {
        const pixel = this.painted % this.#pixels;
        this.painted += 1;
        socket.write(`${this.#place(pixel)} ${this.#colour(pixel)}\n`);
      }
      socket.end();
      await Bun.sleep(VISIT_MS);
    }
  }

  get #places(): string[] {
    const count = Math.min(this.painted, this.#pixels);
    return Array.from({ length: count }, (_, pixel) => this.#place(pixel));
  }

  #place(pixel: number): string {
    return `PX ${pixel % this.#width} ${this.#top + Math.floor(pixel / this.#width)}`;
  }

  #colour(pixel: number): string {
    return (0x100000 + pixel * 53).toString(16);
  }
}
