/**
 * The Pixelflut protocol in plain TypeScript: the specification that any faster parser is compared with. A read goes
 * in, pixels land in the shared canvas, replies in a buffer; what is left of a read is an incomplete command of at most
 * 1 KiB, kept with the connection, so that the outcome never depends on how TCP cut the bytes. Here is the framing:
 * where each command begins and ends. What they do is in `text-commands.ts` and `canvas-writer.ts`. One call per TCP
 * read. Guarded by `bench/micro/pixelflut-parser.bench.ts`.
 */
import { CanvasWriter, readUint16 } from "./canvas-writer.ts";
import type { CounterSlot } from "./counters.ts";
import type { CanvasSize, Framebuffer } from "./framebuffer.ts";
import { byteAt, isBlank } from "./line-scanner.ts";
import {
  LINE_BYTES_MAX,
  type PixelflutParser,
  type ProtocolOptions,
  type StatsReply,
} from "./pixelflut-parser.ts";
import { ReplyBuffer } from "./pixelflut-replies.ts";
import { createPlainState, keepTail, TAIL_CAPACITY_BYTES, type PlainState } from "./plain-state.ts";
import { TextCommands } from "./text-commands.ts";

const PXMULTI_HEADER_BYTES = 15;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const LETTER_B = 0x42;
const LETTER_P = 0x50;

const encoder = new TextEncoder();
const HELP = encoder.encode("HELP");
const SIZE = encoder.encode("SIZE");
const PXMULTI = encoder.encode("PXMULTI");
const HTTP_GET = encoder.encode("GET ");

export interface PlainParserOptions {
  readonly framebuffer: Framebuffer;
  /** Where this thread counts. */
  readonly counters: CounterSlot;
  readonly protocol: ProtocolOptions;
  /** What STATS answers; asked after everything before it was counted. */
  readonly readStats: () => StatsReply;
}

/** A stretch of bytes, and the position from which no further command is begun. */
interface Stretch {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly stopAt: number;
}

/**
 * The steps below take position and end as plain arguments, some of them four in a row: they run once a command, and an
 * object for each would be an allocation for each.
 */
export class PlainParser implements PixelflutParser<PlainState> {
  readonly replies = new ReplyBuffer();
  readonly #size: CanvasSize;
  readonly #counters: CounterSlot;
  readonly #writer: CanvasWriter;
  readonly #commands: TextCommands;
  #nowMs = 0;
  /** True when the last command waits for room in the reply buffer rather than for bytes. */
  #isOutOfRoom = false;

  constructor({ framebuffer, counters, protocol, readStats }: PlainParserOptions) {
    const { replies } = this;
    const writer = new CanvasWriter({ framebuffer, counters, blends: protocol.alpha === "blend" });
    this.#size = framebuffer;
    this.#counters = counters;
    this.#writer = writer;
    this.#commands = new TextCommands({ size: framebuffer, writer, replies, counters, protocol, readStats });
  }

  open(): PlainState {
    return createPlainState();
  }

  parse(state: PlainState, bytes: Uint8Array, nowMs: number): number {
    this.#nowMs = nowMs;
    this.#isOutOfRoom = false;
    const taken = this.#parseRead(state, bytes);
    this.#writer.flushCounters();
    this.#commands.flushCounters();
    return taken;
  }

  #parseRead(state: PlainState, bytes: Uint8Array): number {
    let start = 0;
    if (state.tailLength > 0) {
      start = this.#finishTail(state, bytes);
      if (state.tailLength > 0) return start;
    }
    const end = bytes.length;
    const position = state.phase === "open" ? this.#run(state, { bytes, start, end, stopAt: end }) : start;
    if (state.phase === "closing") return end;
    if (state.phase === "http" || this.#isOutOfRoom) return position;
    keepTail(state, bytes.subarray(position));
    return end;
  }

  /**
   * Completes the command whose beginning an earlier read left, and no other.
   *
   * @returns how many of `bytes` were taken. The tail is empty then, unless the command is still incomplete or finds
   * no room for its reply.
   */
  #finishTail(state: PlainState, bytes: Uint8Array): number {
    const tail = state.tail ?? new Uint8Array(TAIL_CAPACITY_BYTES);
    const before = state.tailLength;
    const added = Math.min(bytes.length, TAIL_CAPACITY_BYTES - before);
    tail.set(bytes.subarray(0, added), before);
    const end = before + added;
    const position = this.#run(state, { bytes: tail, start: 0, end, stopAt: 1 });
    if (position > 0) {
      state.tailLength = 0;
      return position - before;
    }
    if (this.#isOutOfRoom) return 0;
    state.tailLength = end;
    return added;
  }

  /**
   * Carries out commands until one is incomplete, has no room for its reply, or ends the connection's text.
   *
   * @returns the position behind the last whole command
   */
  #run(state: PlainState, { bytes, start, end, stopAt }: Stretch): number {
    let position = start;
    while (position < stopAt && state.phase === "open") {
      const next = this.#runOne(state, bytes, { start: position, end });
      if (next === position) break;
      position = next;
      state.isFresh = false;
      const isAtCommand = state.multiRemaining === 0 && !state.isDroppingLine && state.phase === "open";
      if (isAtCommand && stopAt === end) {
        const { offsetX, offsetY } = state;
        position = this.#writer.runPixels(bytes, { start: position, end, offsetX, offsetY });
      }
    }
    return position;
  }

  /**
   * Carries out one command, or what there is of PXMULTI's pixels or of a line to be dropped.
   *
   * @returns the position behind it, or `start` where it is incomplete or has no room for its reply
   */
  #runOne(state: PlainState, bytes: Uint8Array, { start, end }: { start: number; end: number }): number {
    if (state.isDroppingLine) return dropLine(state, bytes, start, end);
    if (state.multiRemaining > 0) return this.#runMulti(state, bytes, start, end);
    if (byteAt(bytes, start) === LETTER_P) {
      if (end - start >= 2 && byteAt(bytes, start + 1) === LETTER_B)
        return this.#writer.runBinary(bytes, start, end);
      if (startsWith(bytes, start, end, PXMULTI)) return this.#beginMulti(state, bytes, start, end);
    }
    if (state.isFresh && startsWith(bytes, start, end, HTTP_GET)) {
      state.phase = "http";
      return start + HTTP_GET.length;
    }
    return this.#runText(state, bytes, start, end);
  }

  /** The header of `PXMULTI`. Where its range leaves the canvas, none of it is painted. */
  #beginMulti(state: PlainState, bytes: Uint8Array, start: number, end: number): number {
    if (end - start < PXMULTI_HEADER_BYTES) return start;
    const { width, height } = this.#size;
    const at = start + PXMULTI.length;
    const x = readUint16(bytes, at);
    const y = readUint16(bytes, at + 2);
    const count = readUint16(bytes, at + 4) + readUint16(bytes, at + 6) * 65_536;
    const index = y * width + x;
    const isInside = x < width && y < height && index + count <= width * height;
    state.multiRemaining = count;
    state.multiIndex = isInside ? index : -1;
    return start + PXMULTI_HEADER_BYTES;
  }

  /** The pixels of `PXMULTI` that are here whole. */
  #runMulti(state: PlainState, bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(Math.floor((end - start) / 4), state.multiRemaining);
    this.#writer.setRow(bytes, start, { index: state.multiIndex, count });
    state.multiRemaining -= count;
    if (state.multiIndex >= 0) state.multiIndex += count;
    return start + count * 4;
  }

  /** A text line; or SIZE and HELP, which need no end of line. */
  #runText(state: PlainState, bytes: Uint8Array, start: number, end: number): number {
    const limit = Math.min(end, start + TAIL_CAPACITY_BYTES);
    let first = start;
    while (first < limit && isBlank(byteAt(bytes, first))) first += 1;
    const wordLimit = Math.min(end, start + LINE_BYTES_MAX);
    if (startsWith(bytes, first, wordLimit, SIZE)) {
      return this.#commands.runSize() ? first + SIZE.length : this.#wait(start);
    }
    if (startsWith(bytes, first, wordLimit, HELP)) {
      return this.#commands.runHelp(state, this.#nowMs) ? first + HELP.length : this.#wait(start);
    }
    let lineFeed = first;
    while (lineFeed < limit && byteAt(bytes, lineFeed) !== LINE_FEED) lineFeed += 1;
    if (lineFeed === limit) {
      if (limit - start < TAIL_CAPACITY_BYTES) return start;
      state.isDroppingLine = true;
      this.#counters.add("longLines", 1);
      return limit;
    }
    const hasReturn = lineFeed > first && byteAt(bytes, lineFeed - 1) === CARRIAGE_RETURN;
    const lineEnd = hasReturn ? lineFeed - 1 : lineFeed;
    const isDone = lineEnd === first || this.#commands.run(state, bytes, { start: first, end: lineEnd });
    return isDone ? lineFeed + 1 : this.#wait(start);
  }

  /** Notes that the command at `start` waits for room in the reply buffer. */
  #wait(start: number): number {
    this.#isOutOfRoom = true;
    return start;
  }
}

/** Skips up to and with the next LF. */
function dropLine(state: PlainState, bytes: Uint8Array, start: number, end: number): number {
  const lineFeed = bytes.indexOf(LINE_FEED, start);
  if (lineFeed < 0 || lineFeed >= end) return end;
  state.isDroppingLine = false;
  return lineFeed + 1;
}

function startsWith(bytes: Uint8Array, position: number, end: number, word: Uint8Array): boolean {
  if (end - position < word.length) return false;
  for (let index = 0; index < word.length; index += 1) {
    if (byteAt(bytes, position + index) !== byteAt(word, index)) return false;
  }
  return true;
}
