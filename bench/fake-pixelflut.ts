/**
 * A small Pixelflut server for the tests of the load scripts: it counts what arrives and keeps a canvas, with no
 * care for speed. Knows PX, PB, SIZE and STATS.
 */
import type { Socket, TCPSocketListener } from "bun";

interface Peer {
  rest: Buffer;
  /** What the kernel has not taken yet. */
  unsent: string;
}

/** A server on a free port of 127.0.0.1. */
export class FakePixelflut {
  readonly width: number;
  readonly height: number;
  /** Colours, `0xrrggbb`, row by row. */
  readonly canvas: Uint32Array;
  /** Bytes received, and pixels set. */
  bytes = 0;
  pixels = 0;
  /** Bytes left behind by connections that ended within a command. */
  cutBytes = 0;
  #forgotten = -1;
  readonly #listener: TCPSocketListener<Peer>;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.canvas = new Uint32Array(width * height);
    this.#listener = Bun.listen<Peer>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void (socket.data = { rest: Buffer.alloc(0), unsent: "" }),
        data: (socket, chunk) => this.#read(socket, chunk),
        drain: (socket) => reply(socket, ""),
        close: (socket) => void (this.cutBytes += socket.data.rest.length),
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Makes pixel `pixel` stay black whatever is set. */
  forget(pixel: number): void {
    this.#forgotten = pixel;
    this.canvas[pixel] = 0;
  }

  close(): void {
    this.#listener.stop(true);
  }

  #read(socket: Socket<Peer>, chunk: Buffer): void {
    this.bytes += chunk.length;
    const bytes = Buffer.concat([socket.data.rest, chunk]);
    let offset = 0;
    let answers = "";
    for (;;) {
      if (bytes.length - offset >= 2 && bytes.toString("latin1", offset, offset + 2) === "PB") {
        if (bytes.length - offset < 10) break;
        const [x, y] = [bytes.readUInt16LE(offset + 2), bytes.readUInt16LE(offset + 4)];
        this.#set(x, y, bytes.readUIntBE(offset + 6, 3));
        offset += 10;
        continue;
      }
      const end = bytes.indexOf(0x0a, offset);
      if (end === -1) break;
      answers += this.#line(bytes.toString("latin1", offset, end));
      offset = end + 1;
    }
    socket.data.rest = bytes.subarray(offset);
    if (answers !== "") reply(socket, answers);
  }

  #line(line: string): string {
    if (line === "SIZE") return `SIZE ${this.width} ${this.height}\n`;
    if (line === "STATS") return `STATS px:${this.pixels} conn:1\n`;
    const [verb, x, y, colour] = line.split(" ");
    if (verb !== "PX") return "";
    if (colour === undefined) {
      const value = this.canvas[Number(y) * this.width + Number(x)] ?? 0;
      return `PX ${x} ${y} ${value.toString(16).padStart(6, "0")}\n`;
    }
    this.#set(Number(x), Number(y), Number.parseInt(colour.slice(0, 6), 16));
    return "";
  }

  #set(x: number, y: number, colour: number): void {
    const pixel = y * this.width + x;
    if (pixel !== this.#forgotten) this.canvas[pixel] = colour;
    this.pixels += 1;
  }
}

function reply(socket: Socket<Peer>, answers: string): void {
  const text = socket.data.unsent + answers;
  if (text === "") return;
  const taken = Math.max(0, socket.write(text));
  socket.data.unsent = text.slice(taken);
}
