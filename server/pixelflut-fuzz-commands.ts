/**
 * The grammar of the differential fuzz: single commands of Pixelflut, right and wrong, made for one canvas and aimed at
 * its edges. It follows the OFFSETs that it writes, so that later pixels still land inside. Runs of commands and
 * what else a stream holds are put together in `pixelflut-fuzz-input.ts`.
 */
import type { CanvasSize } from "./framebuffer.ts";
import { LEADS, LINE_ENDS, NUMBERS, ODD_LINES, WORDS } from "./pixelflut-fuzz-lines.ts";
import {
  CARRIAGE_RETURN,
  LINE_FEED,
  pick,
  pickSize,
  SPACE,
  type FuzzWriter,
  type LetterCase,
  type Random,
} from "./pixelflut-fuzz-writer.ts";
import { LINE_BYTES_MAX } from "./pixelflut-parser.ts";

/** Where a command aims. `hot` are so few pixels that neighbours in a run meet. */
export const AIMS = ["inside", "hot", "edge", "outside", "half"] as const;
export type Aim = (typeof AIMS)[number];

/** How a run of PX looks. */
export interface PixelShape {
  /** Digits of each coordinate; 0 for as many as it needs. */
  readonly xDigits: number;
  readonly yDigits: number;
  /** 0 for a get. */
  readonly colourDigits: number;
  readonly letters: LetterCase;
  readonly alpha: "opaque" | "clear" | "random" | "rare";
  readonly aim: Aim;
}

export class FuzzCommands {
  readonly #writer: FuzzWriter;
  readonly #random: Random;
  readonly #size: CanvasSize;
  /** The OFFSET of the connection that is written to, as far as it is known. */
  offsetX = 0;
  offsetY = 0;

  constructor(writer: FuzzWriter, size: CanvasSize) {
    this.#writer = writer;
    this.#random = writer.random;
    this.#size = size;
  }

  /** A shape at random. Most often what real clients send: opaque, and aimed at the canvas. */
  pickShape(): PixelShape {
    const random = this.#random;
    return {
      xDigits: this.#pickDigits(this.#size.width, this.offsetX),
      yDigits: this.#pickDigits(this.#size.height, this.offsetY),
      colourDigits: pick(random, [6, 6, 6, 8, 8, 8, 2, 0]),
      letters: pick(random, ["lower", "lower", "upper", "mixed"]),
      alpha: pick(random, ["opaque", "opaque", "random", "random", "rare", "clear"]),
      aim: pick(random, ["inside", "inside", "inside", "inside", "hot", "half", "edge", "outside"]),
    };
  }

  /** `PX` of a shape, with single spaces and LF. */
  pixel(shape: PixelShape): void {
    const writer = this.#writer;
    const { width, height } = this.#size;
    writer.text("PX ");
    this.#coordinate(width, this.offsetX, shape.xDigits, shape.aim);
    writer.byte(SPACE);
    this.#coordinate(height, this.offsetY, shape.yDigits, shape.aim);
    if (shape.colourDigits > 0) {
      writer.byte(SPACE);
      this.#colour(shape);
    }
    writer.byte(LINE_FEED);
  }

  /** `PX` with whatever is allowed beyond single spaces and LF, or just wrong. */
  loosePixel(shape: PixelShape): void {
    const writer = this.#writer;
    const random = this.#random;
    const { width, height } = this.#size;
    if (random(4) === 0) writer.blanks();
    writer.text("PX");
    writer.blanks();
    if (random(12) === 0) writer.text(pick(random, ["-", "+", "00000000000000000000"]));
    this.#coordinate(width, this.offsetX, shape.xDigits, shape.aim);
    writer.blanks();
    if (random(12) === 0) writer.text(pick(random, ["-", "-0", "0000000"]));
    this.#coordinate(height, this.offsetY, shape.yDigits, shape.aim);
    if (random(5) > 0) {
      writer.blanks();
      const digits = random(4) === 0 ? random(11) : pick(random, [2, 6, 8]);
      for (let index = 0; index < digits; index += 1) writer.hex(random(16), 1, shape.letters);
    }
    if (random(3) === 0) writer.blanks();
    if (random(3) === 0) writer.byte(CARRIAGE_RETURN);
    writer.byte(LINE_FEED);
  }

  /** A line from the list of odd ones, or a loose PX. */
  irregular(): void {
    const writer = this.#writer;
    const random = this.#random;
    if (random(2) === 0) {
      this.loosePixel(this.pickShape());
      return;
    }
    writer.text(pick(random, ODD_LINES));
    writer.byte(LINE_FEED);
  }

  /** SIZE, HELP or STATS, with and without a line around. */
  word(): void {
    const random = this.#random;
    this.#writer.text(pick(random, LEADS));
    this.#writer.text(pick(random, WORDS));
    this.#writer.text(pick(random, LINE_ENDS));
  }

  /** Any command with a reply, and in a way that is not the commonest. */
  reply(): void {
    const random = this.#random;
    const writer = this.#writer;
    const kind = random(5);
    if (kind === 0) this.word();
    else if (kind === 1) writer.text(" STATS\n");
    else if (kind === 2) writer.text("nonsense\n");
    else {
      writer.text("PX");
      writer.blanks();
      this.#coordinate(this.#size.width, this.offsetX, kind === 3 ? 0 : 4, kind === 3 ? "inside" : "edge");
      writer.blanks();
      this.#coordinate(this.#size.height, this.offsetY, 0, "inside");
      writer.text(pick(random, ["\n", " \n", "\r\n"]));
    }
  }

  offset(): void {
    const random = this.#random;
    const x = this.#pickOffset(this.#size.width);
    const y = this.#pickOffset(this.#size.height);
    const writer = this.#writer;
    writer.text("OFFSET");
    writer.blanks();
    writer.decimal(x, random(8) === 0 ? random(12) : 1);
    writer.blanks();
    writer.decimal(y, random(8) === 0 ? random(12) : 1);
    if (random(8) === 0) writer.text(pick(random, [" ", "\r", " 1", "a", "-"]));
    writer.byte(LINE_FEED);
    this.offsetX = x;
    this.offsetY = y;
  }

  /** `OFFSET 0 0`, so that what follows is about the canvas again. */
  resetOffset(): void {
    this.#writer.text("OFFSET 0 0\n");
    this.offsetX = 0;
    this.offsetY = 0;
  }

  binary(aim: Aim, alpha: PixelShape["alpha"]): void {
    const writer = this.#writer;
    const { width, height } = this.#size;
    writer.text("PB");
    writer.uint16(this.#target(width, aim));
    writer.uint16(this.#target(height, aim));
    writer.uint16(this.#random(65_536));
    writer.byte(this.#random(256));
    writer.byte(this.#alpha(alpha));
  }

  /** PXMULTI with its pixels. True where it swallows far more than follows here. */
  multi(): boolean {
    const random = this.#random;
    const writer = this.#writer;
    const { width, height } = this.#size;
    const x = random(8) === 0 ? this.#target(width, "edge") : random(width);
    const y = random(8) === 0 ? this.#target(height, "edge") : random(height);
    const left = Math.max(0, width * height - y * width - x);
    const isHuge = random(24) === 0;
    const count = isHuge
      ? pick(random, [2 ** 32 - 1, 2 ** 31, 2 ** 32 - (y * width + x), 2 ** 31 - (y * width + x), 2 ** 30])
      : pick(random, [0, 1, 2, random(20), pickSize(random, 2_000), Math.min(left, 4_000), left + random(2)]);
    writer.text("PXMULTI");
    writer.uint16(x);
    writer.uint16(y);
    writer.uint32(count);
    const payload = Math.min(count, 3_000);
    const kind = random(3);
    for (let pixel = 0; pixel < payload; pixel += 1) {
      if (kind === 0) writer.text(pick(random, ["PX 1", "\n\n\n\n", "PB\x01\x00", "SIZE"]));
      else writer.uint32(random(2 ** 32));
    }
    return count > payload;
  }

  /** A line whose length is about the longest allowed. */
  longLine(): void {
    const writer = this.#writer;
    const random = this.#random;
    const length = random(4) === 0 ? pickSize(random, 5_000) : LINE_BYTES_MAX - 6 + random(12);
    const kind = random(6);
    const start = writer.length;
    if (kind === 0) writer.fill(0x41, length);
    else if (kind === 1) writer.fill(SPACE, Math.max(0, length - random(6)));
    else writer.text("PX ");
    if (kind === 1) writer.text(pick(random, ["SIZE", "HELP", "SIZ"]));
    if (kind === 2) writer.digits(Math.max(1, length - 13));
    if (kind === 3) writer.fill(0x30, Math.max(1, length - 13));
    if (kind >= 4) {
      writer.text("1");
      writer.fill(SPACE, Math.max(1, length - 13));
    }
    if (kind > 1) writer.text(" 1 ffffff");
    if (random(3) === 0) writer.fill(SPACE, Math.max(0, length - (writer.length - start)));
    writer.text(pick(random, ["\n", "\n", "\r\n", ""]));
  }

  /** Any one command. */
  any(): void {
    const random = this.#random;
    const kind = random(40);
    if (kind < 14) this.pixel(this.pickShape());
    else if (kind < 18) this.pixel({ ...this.pickShape(), xDigits: 0, yDigits: 0, aim: "inside" });
    else if (kind < 26) this.irregular();
    else if (kind < 29) this.word();
    else if (kind < 33) this.binary(pick(random, AIMS), pick(random, ["opaque", "random", "clear"]));
    else if (kind < 35) this.offset();
    else if (kind < 37) this.resetOffset();
    else if (kind < 38) this.#writer.digits(random(30));
    else if (kind < 39) this.#writer.byte(LINE_FEED);
    else this.longLine();
  }

  #pickDigits(limit: number, offset: number): number {
    const random = this.#random;
    const most = String(Math.max(1, limit - 1 - offset)).length;
    const kind = random(8);
    if (kind < 3) return 0;
    return 1 + random(kind < 7 ? most : 7);
  }

  /** Digits of a coordinate on one axis, `limit` pixels long. */
  #coordinate(limit: number, offset: number, digits: number, aim: Aim): void {
    const random = this.#random;
    const writer = this.#writer;
    if (aim === "outside" && random(16) === 0) {
      writer.digits(1 + random(random(8) === 0 ? 300 : 24));
      return;
    }
    const isHit = aim === "inside" || aim === "hot" || (aim === "half" && random(2) === 0);
    if (digits === 0) {
      writer.decimal(this.#target(limit, isHit ? aim : "edge") - offset);
      return;
    }
    // As many digits as the shape has, without leading zeros where the canvas has such a place.
    const least = digits === 1 ? 0 : 10 ** (digits - 1);
    const most = 10 ** digits - 1;
    const first = Math.max(least, -offset);
    const last = Math.min(most, limit - 1 - offset, aim === "hot" ? first + 2 : most);
    if (isHit && first <= last) writer.decimal(first + random(last - first + 1));
    else if (random(2) === 0) writer.decimal(Math.max(0, this.#target(limit, aim) - offset), digits);
    else writer.decimal(least + random(most - least + 1));
  }

  /** A place on one axis, mostly inside for `inside`, `hot` and `half`. */
  #target(limit: number, aim: Aim): number {
    const random = this.#random;
    if (aim === "outside") return random(2) === 0 ? pick(random, NUMBERS) : limit + random(limit + 300);
    if (aim === "edge") return pick(random, [0, limit - 1, limit, limit + 1, pick(random, NUMBERS)]);
    if (aim === "hot") return random(Math.min(limit, 3));
    return random(aim === "half" ? limit * 2 : limit);
  }

  #colour({ colourDigits, letters, alpha }: PixelShape): void {
    const writer = this.#writer;
    writer.hex(this.#random(0x100_0000), Math.min(colourDigits, 6), letters);
    if (colourDigits === 8) writer.hex(this.#alpha(alpha), 2, letters);
  }

  #alpha(kind: PixelShape["alpha"]): number {
    const random = this.#random;
    if (kind === "opaque") return 255;
    if (kind === "clear") return random(4) === 0 ? 255 : 0;
    if (kind === "rare") return random(50) === 0 ? random(256) : 255;
    return random(8) === 0 ? pick(random, [0, 1, 127, 128, 254, 255]) : random(256);
  }

  #pickOffset(limit: number): number {
    const random = this.#random;
    const sign = random(2) === 0 ? 1 : -1;
    const kind = random(8);
    if (kind < 3) return sign * random(limit);
    if (kind < 5) return -random(10 ** (1 + random(9)));
    return kind < 7 ? sign * pick(random, NUMBERS) : 0;
  }
}
