/**
 * Everything that the server says to a player, as bytes, and the bounded buffer that a parser appends it to. The
 * receive path sends and empties the buffer after each parse; while it has no room, parsing stops.
 */
import { REPLY_BYTES_MAX } from "./kernel/layout.ts";
import {
  HELPS_PER_WINDOW,
  LINE_BYTES_MAX,
  type ProtocolOptions,
  type Replies,
  type StatsReply,
} from "./pixelflut-parser.ts";
import type { CanvasSize } from "./framebuffer.ts";
import { REPLIES_BYTES } from "./memory-layout.ts";

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const ZERO = 0x30;
const LETTER_P = 0x50;
const LETTER_X = 0x58;
const HEX_DIGITS = new TextEncoder().encode("0123456789abcdef");

/** Replies of one thread, waiting to be sent. */
export class ReplyBuffer implements Replies {
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(lengthBytes = REPLIES_BYTES) {
    this.#bytes = new Uint8Array(Math.max(lengthBytes, REPLY_BYTES_MAX));
  }

  get length(): number {
    return this.#length;
  }

  /** True while any one reply fits. */
  get hasRoom(): boolean {
    return this.#bytes.length - this.#length >= REPLY_BYTES_MAX;
  }

  /** The waiting bytes: a view that the next append after {@link clear} overwrites. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  append(reply: Uint8Array): void {
    this.#bytes.set(reply, this.#length);
    this.#length += reply.length;
  }

  /**
   * Appends `PX x y rrggbb` and a newline: `x` and `y` as the client counts them, whole numbers from 0 to below 2^31,
   * `pixel` the canvas's word with r in its lowest byte. Plain arguments, since it is called once a get.
   */
  appendPixel(x: number, y: number, pixel: number): void {
    const bytes = this.#bytes;
    let end = this.#length;
    bytes[end] = LETTER_P;
    bytes[end + 1] = LETTER_X;
    bytes[end + 2] = SPACE;
    end = writeDecimal(bytes, end + 3, x);
    bytes[end] = SPACE;
    end = writeDecimal(bytes, end + 1, y);
    bytes[end] = SPACE;
    end += 1;
    for (let shift = 0; shift <= 16; shift += 8) {
      const channel = (pixel >>> shift) & 0xff;
      bytes[end] = HEX_DIGITS[channel >> 4] ?? 0;
      bytes[end + 1] = HEX_DIGITS[channel & 15] ?? 0;
      end += 2;
    }
    bytes[end] = LINE_FEED;
    this.#length = end + 1;
  }
}

/** Writes a whole number below 2^31 in decimal and returns the position behind it. */
function writeDecimal(bytes: Uint8Array, position: number, value: number): number {
  let end = position + 1;
  for (let limit = 10; value >= limit; limit *= 10) end += 1;
  let rest = value;
  for (let at = end - 1; at >= position; at -= 1) {
    const tenth = (rest / 10) | 0;
    bytes[at] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return end;
}

const encoder = new TextEncoder();

/** Sent once when a connection asks for HELP too often. */
export const STOP_HELP_REPLY = encoder.encode("Stop spamming HELP!\n");
/** Last words to a client under `--strict`. */
export const STRICT_REPLY = encoder.encode("ERR unknown or malformed command\n");

export function encodeSize({ width, height }: CanvasSize): Uint8Array {
  return encoder.encode(`SIZE ${width} ${height}\n`);
}

export function encodeStats({ pixels, connections }: StatsReply): Uint8Array {
  return encoder.encode(`STATS px:${pixels} conn:${connections}\n`);
}

/**
 * A get outside the canvas where the operator wants an answer to it.
 *
 * @param x and y: decimal digits as sent, perhaps with a sign; they come back without leading zeros
 */
export function encodeBlack({ x, y }: { readonly x: string; readonly y: string }): Uint8Array {
  return encoder.encode(`PX ${canonicalDecimal(x)} ${canonicalDecimal(y)} 000000\n`);
}

function canonicalDecimal(digits: string): string {
  return digits.replace(/^(-?)0+(?=\d)/, "$1");
}

/** The answer to HELP: size, commands and limits. */
export function encodeHelp(size: CanvasSize, options: ProtocolOptions): Uint8Array {
  const { width, height } = size;
  const alpha =
    options.alpha === "blend"
      ? "aa is blended: 00 changes nothing, ff covers"
      : "aa is ignored: all is opaque";
  const outside = options.outsideGets === "black" ? "answered with 000000" : "not answered";
  const mistake = options.isStrict ? "answered with ERR, and the connection closes" : "ignored up to its end";
  return encoder.encode(
    [
      `Pixelflut: a canvas of ${width} x ${height} pixels, from 0 0 at the top left to ${width - 1} ${height - 1}.`,
      "Commands, each a line:",
      "  HELP                  this text",
      `  SIZE                  answers SIZE ${width} ${height}`,
      "  PX <x> <y> <colour>   sets a pixel; colour: gg, rrggbb or rrggbbaa, hexadecimal",
      "  PX <x> <y>            answers PX <x> <y> <rrggbb>",
      "  OFFSET <x> <y>        is added to x and y of later PX of this connection; may be negative",
      "  STATS                 answers STATS px:<pixels set> conn:<connections>",
      "  QUIT                  closes the connection",
      "Binary commands, without a newline, numbers little-endian, coordinates without OFFSET:",
      "  PB                    + u16 x, u16 y, bytes r g b a: sets a pixel",
      "  PXMULTI               + u16 x, u16 y, u32 n, n times bytes r g b 0: sets n pixels, row after row",
      `Colours: ${alpha}.`,
      "Limits:",
      `  Lines of at most ${LINE_BYTES_MAX} bytes, longer ones are dropped. A line that is no command is ${mistake}.`,
      `  Sets outside the canvas do nothing, gets outside are ${outside}.`,
      `  HELP ${HELPS_PER_WINDOW} times a second. While you do not read your answers, your commands wait.`,
      ...(options.limits ?? []).map((sentence) => `  ${sentence}`),
      "",
    ].join("\n"),
  );
}
