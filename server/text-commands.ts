/**
 * What each text command of Pixelflut does, once its line is whole: the plain parser frames lines and calls
 * {@link TextCommands.run}. Lines of the commonest shape never get here (`canvas-writer.ts`).
 */
import type { CanvasWriter } from "./canvas-writer.ts";
import type { CounterSlot } from "./counters.ts";
import type { CanvasSize } from "./framebuffer.ts";
import { LineScanner } from "./line-scanner.ts";
import {
  HELP_WINDOW_MS,
  HELPS_PER_WINDOW,
  type ProtocolOptions,
  type StatsReply,
} from "./pixelflut-parser.ts";
import {
  encodeBlack,
  encodeHelp,
  encodeSize,
  encodeStats,
  STOP_HELP_REPLY,
  STRICT_REPLY,
  type ReplyBuffer,
} from "./pixelflut-replies.ts";
import type { PlainState } from "./plain-state.ts";

const encoder = new TextEncoder();
const PX = encoder.encode("PX");
const OFFSET = encoder.encode("OFFSET");
const STATS = encoder.encode("STATS");
const QUIT = encoder.encode("QUIT");

export interface TextCommandsOptions {
  readonly size: CanvasSize;
  readonly writer: CanvasWriter;
  readonly replies: ReplyBuffer;
  readonly counters: CounterSlot;
  readonly protocol: ProtocolOptions;
  readonly readStats: () => StatsReply;
}

/** Commands either are carried out and return true, or find no room for their reply, do nothing and return false. */
export class TextCommands {
  readonly #size: CanvasSize;
  readonly #writer: CanvasWriter;
  readonly #replies: ReplyBuffer;
  readonly #counters: CounterSlot;
  readonly #protocol: ProtocolOptions;
  readonly #readStats: () => StatsReply;
  readonly #scanner = new LineScanner();
  readonly #helpReply: Uint8Array;
  readonly #sizeReply: Uint8Array;
  // Counted here while a read is parsed, added to the shared slot by flushCounters.
  #gets = 0;
  #outsideGets = 0;

  constructor(options: TextCommandsOptions) {
    this.#size = options.size;
    this.#writer = options.writer;
    this.#replies = options.replies;
    this.#counters = options.counters;
    this.#protocol = options.protocol;
    this.#readStats = options.readStats;
    this.#helpReply = encodeHelp(options.size, options.protocol);
    this.#sizeReply = encodeSize(options.size);
  }

  /** The line `bytes[start..end)`: not empty, without leading blanks and line end. */
  run(
    state: PlainState,
    bytes: Uint8Array,
    range: { readonly start: number; readonly end: number },
  ): boolean {
    const scanner = this.#scanner;
    scanner.begin(bytes, range.start, range.end);
    if (scanner.readWord(PX)) return this.#runPx(state);
    if (scanner.readWord(OFFSET)) return this.#runOffset(state);
    if (scanner.readWord(STATS) && scanner.isAtEnd) return this.#runStats();
    if (scanner.readWord(QUIT) && scanner.isAtEnd) {
      state.phase = "closing";
      return true;
    }
    return this.#refuse(state);
  }

  /** Adds what was counted to the thread's slot: once a read. */
  flushCounters(): void {
    if (this.#gets > 0) this.#counters.add("gets", this.#gets);
    if (this.#outsideGets > 0) this.#counters.add("outsideGets", this.#outsideGets);
    this.#gets = 0;
    this.#outsideGets = 0;
  }

  runSize(): boolean {
    if (!this.#replies.hasRoom) return false;
    this.#replies.append(this.#sizeReply);
    return true;
  }

  runHelp(state: PlainState, nowMs: number): boolean {
    if (!this.#replies.hasRoom) return false;
    if (nowMs - state.helpWindowStartMs >= HELP_WINDOW_MS) {
      state.helpWindowStartMs = nowMs;
      state.helpCount = 0;
    }
    state.helpCount += 1;
    if (state.helpCount <= HELPS_PER_WINDOW) {
      this.#replies.append(this.#helpReply);
      return true;
    }
    this.#counters.add("refusedHelps", 1);
    if (state.helpCount === HELPS_PER_WINDOW + 1) this.#replies.append(STOP_HELP_REPLY);
    return true;
  }

  #runPx(state: PlainState): boolean {
    const scanner = this.#scanner;
    if (!scanner.readCoordinate()) return this.#refuse(state);
    const x = scanner.value;
    const xStart = scanner.numberStart;
    const xEnd = scanner.numberEnd;
    if (!scanner.readCoordinate()) return this.#refuse(state);
    const y = scanner.value;
    if (scanner.isAtEnd) {
      if (!this.#replies.hasRoom) return false;
      if (!this.#get(state, x, y)) this.#answerOutside(xStart, xEnd);
      return true;
    }
    if (!scanner.readColour()) return this.#refuse(state);
    if (x < 0 || y < 0) {
      this.#writer.countOutside();
      return true;
    }
    const { rgb, alpha } = scanner.colour;
    this.#writer.set({ x: x + state.offsetX, y: y + state.offsetY, rgb, alpha });
    return true;
  }

  /** Answers with the pixel. False where it is outside the canvas. */
  #get(state: PlainState, sentX: number, sentY: number): boolean {
    const { width, height } = this.#size;
    const x = sentX + state.offsetX;
    const y = sentY + state.offsetY;
    if (sentX < 0 || sentY < 0 || x < 0 || y < 0 || x >= width || y >= height) return false;
    this.#gets += 1;
    this.#replies.appendPixel(sentX, sentY, this.#writer.pixelAt(y * width + x));
    return true;
  }

  /** A get outside the canvas, whose y is the scanner's last number. */
  #answerOutside(xStart: number, xEnd: number): void {
    this.#outsideGets += 1;
    if (this.#protocol.outsideGets === "silent") return;
    const scanner = this.#scanner;
    const x = scanner.textOf(xStart, xEnd);
    const y = scanner.textOf(scanner.numberStart, scanner.numberEnd);
    this.#replies.append(encodeBlack({ x, y }));
  }

  #runOffset(state: PlainState): boolean {
    const scanner = this.#scanner;
    if (!scanner.readOffset()) return this.#refuse(state);
    const x = scanner.value;
    if (!scanner.readOffset() || !scanner.isAtEnd) return this.#refuse(state);
    state.offsetX = x;
    state.offsetY = scanner.value;
    return true;
  }

  #runStats(): boolean {
    if (!this.#replies.hasRoom) return false;
    this.#writer.flushCounters();
    this.#replies.append(encodeStats(this.#readStats()));
    return true;
  }

  /** A line that is no command. */
  #refuse(state: PlainState): boolean {
    if (this.#protocol.isStrict) {
      if (!this.#replies.hasRoom) return false;
      this.#replies.append(STRICT_REPLY);
      state.phase = "closing";
    }
    this.#counters.add("invalidLines", 1);
    return true;
  }
}
