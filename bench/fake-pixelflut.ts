/**
 * A small Pixelflut server for the tests of the load scripts: it counts what arrives and keeps a canvas, with no
 * care for speed. Knows PX (gets, 2, 6 and 8 digits, blended), PB, PXMULTI, OFFSET, SIZE and STATS; ignores the rest.
 * Run as a program with a port it is a peer for `bench compare`.
 */
import type { Socket, TCPSocketListener } from "bun";
import { blend } from "./pixel-images.ts";

interface Peer {
  rest: Buffer;
  /** What the kernel has not taken yet. */
  unsent: string;
  offset: { readonly x: number; readonly y: number };
}

/** A server on 127.0.0.1. */
export class FakePixelflut {
  readonly width: number;
  readonly height: number;
  /** Colours, `0xrrggbb`, row by row. */
  readonly canvas: Uint32Array;
  /** Bytes received, pixels set, gets answered, and lines that were none of them. */
  bytes = 0;
  pixels = 0;
  gets = 0;
  garbage = 0;
  /** Bytes left behind by connections that ended within a command. */
  cutBytes = 0;
  #forgotten = -1;
  readonly #listener: TCPSocketListener<Peer>;

  /** @param port 0 takes a free one */
  constructor(width: number, height: number, port = 0) {
    this.width = width;
    this.height = height;
    this.canvas = new Uint32Array(width * height);
    this.#listener = Bun.listen<Peer>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => void (socket.data = { rest: Buffer.alloc(0), unsent: "", offset: { x: 0, y: 0 } }),
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
      const set = this.#readSet(bytes, offset, socket.data) ?? this.#readBinary(bytes, offset);
      if (set !== undefined && set > offset) {
        offset = set;
        continue;
      }
      const end = set === undefined ? -1 : bytes.indexOf(0x0a, offset);
      if (end === -1) break;
      answers += this.#line(bytes.toString("latin1", offset, end), socket.data);
      offset = end + 1;
    }
    socket.data.rest = bytes.subarray(offset);
    if (answers !== "") reply(socket, answers);
  }

  /** Where the `PX x y rrggbb` at `offset` ends, the command that floods are full of; `undefined` for anything else. */
  #readSet(bytes: Buffer, offset: number, peer: Peer): number | undefined {
    if (bytes[offset] !== 0x50 || bytes[offset + 1] !== 0x58 || bytes[offset + 2] !== 0x20) return undefined;
    let at = offset + 3;
    const numbers = [0, 0];
    for (let field = 0; field < 2; field += 1) {
      for (let digit = digitOf(bytes[at]); digit < 10; digit = digitOf(bytes[at])) {
        numbers[field] = (numbers[field] ?? 0) * 10 + digit;
        at += 1;
      }
      if (bytes[at] !== 0x20) return undefined;
      at += 1;
    }
    let colour = 0;
    for (let index = 0; index < 6; index += 1) colour = colour * 16 + digitOf(bytes[at + index]);
    if (bytes[at + 6] !== 0x0a || !Number.isInteger(colour)) return undefined;
    this.#set((numbers[0] ?? 0) + peer.offset.x, (numbers[1] ?? 0) + peer.offset.y, colour, 0xff);
    return at + 7;
  }

  /** Where the binary command at `offset` ends; `offset` if there is none, `undefined` if it is not complete. */
  #readBinary(bytes: Buffer, offset: number): number | undefined {
    const left = bytes.length - offset;
    if (bytes.toString("latin1", offset, offset + 2) === "PB") {
      if (left < 10) return undefined;
      const [x, y] = [bytes.readUInt16LE(offset + 2), bytes.readUInt16LE(offset + 4)];
      this.#set(x, y, bytes.readUIntBE(offset + 6, 3), bytes.readUInt8(offset + 9));
      return offset + 10;
    }
    if (bytes.toString("latin1", offset, offset + 7) !== "PXMULTI") return offset;
    const end = left < 15 ? Infinity : offset + 15 + bytes.readUInt32LE(offset + 11) * 4;
    if (end > bytes.length) return undefined;
    const first = bytes.readUInt16LE(offset + 9) * this.width + bytes.readUInt16LE(offset + 7);
    for (let at = offset + 15; at < end; at += 4) {
      const pixel = first + (at - offset - 15) / 4;
      this.#set(pixel % this.width, Math.floor(pixel / this.width), bytes.readUIntBE(at, 3), 0xff);
    }
    return end;
  }

  #line(line: string, peer: Peer): string {
    if (line === "SIZE") return `SIZE ${this.width} ${this.height}\n`;
    if (line === "STATS") return `STATS px:${this.pixels} conn:1\n`;
    const [, verb, x, y, digits] =
      /^(PX|OFFSET) (\d+) (\d+)(?: ([0-9a-f]{2}|[0-9a-f]{6}|[0-9a-f]{8}))?$/.exec(line) ?? [];
    if (verb === undefined || (verb === "OFFSET" && digits !== undefined)) {
      this.garbage += 1;
      return "";
    }
    if (verb === "OFFSET") {
      peer.offset = { x: Number(x), y: Number(y) };
      return "";
    }
    const [left, top] = [Number(x) + peer.offset.x, Number(y) + peer.offset.y];
    if (digits === undefined) {
      this.gets += 1;
      const value = this.canvas[top * this.width + left] ?? 0;
      return `PX ${x} ${y} ${value.toString(16).padStart(6, "0")}\n`;
    }
    const colour = digits.length === 2 ? digits.repeat(3) : digits.slice(0, 6);
    const alpha = digits.length === 8 ? digits.slice(6) : "ff";
    this.#set(left, top, Number.parseInt(colour, 16), Number.parseInt(alpha, 16));
    return "";
  }

  #set(x: number, y: number, colour: number, alpha: number): void {
    const pixel = y * this.width + x;
    if (pixel !== this.#forgotten) this.canvas[pixel] = blend(this.canvas[pixel] ?? 0, colour, alpha);
    this.pixels += 1;
  }
}

/** Value of a lower-case hexadecimal digit; NaN for anything else. */
function digitOf(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : Number.NaN;
}

function reply(socket: Socket<Peer>, answers: string): void {
  const text = socket.data.unsent + answers;
  if (text === "") return;
  const taken = Math.max(0, socket.write(text));
  socket.data.unsent = text.slice(taken);
}

if (import.meta.main) new FakePixelflut(40, 30, Number(process.argv[2]));
